package topology

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"

	"github.com/pelletier/go-toml/v2"

	"parley/internal/tomlfile"
)

// Parse reads a topology document. The error is a tomlfile.Errors that names every bad value with its place;
// what can only be seen in the whole is left to Validate.
func Parse(file string, text []byte) (*Snapshot, error) {
	doc, err := tomlfile.Parse(file, text)
	if err != nil {
		return nil, err
	}
	t := &Topology{Version: 1}
	if err := doc.Decode(t, nil); err != nil {
		return nil, err
	}
	return newSnapshot(t, doc, bytes.Clone(text), 0), nil
}

// Load reads a topology file.
func Load(file string) (*Snapshot, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	return Parse(file, text)
}

// Format writes a topology as TOML. Parse reads back an equal topology.
func Format(t *Topology) []byte {
	var b bytes.Buffer
	e := toml.NewEncoder(&b)
	e.SetIndentTables(false)
	if err := e.Encode(t); err != nil {
		panic(fmt.Sprintf("topology: encode: %v", err)) // every type in it can be written
	}
	return b.Bytes()
}

// Single is the topology of one machine that does everything inside: what `parley init` begins with.
func Single(domain, node FQDN, addrs ...netip.Addr) *Topology {
	return &Topology{
		Version: 1,
		Name:    string(domain),
		Domains: []FQDN{domain},
		Features: Features{Conferencing, AudioVideo, AppSharing, Voice, DialIn, CallPark, ResponseGroup, Announcement, Chat,
			Mobility, Monitor, Phones},
		SimpleURLs: SimpleURLs{
			Meet:   map[FQDN]URL{domain: {Host: "meet." + domain}},
			DialIn: URL{Host: "dialin." + domain},
			Admin:  URL{Host: "admin." + domain},
		},
		Sites: []Site{{Name: "main", Kind: CentralSite}},
		Pools: []Pool{{
			FQDN: node, Kind: Standard, Site: "main", Collocated: []Role{RoleMediation, RolePersistentChat, RoleMediaRelay},
			CentralManagement: true,
			Servers:           []Server{{FQDN: node, Addresses: addrs}},
		}},
	}
}
