package adminapi

import (
	"net/http"
	"time"

	"parley/internal/plan"
	"parley/internal/plan/render/html"
	"parley/internal/topology"
)

// Certificate is one element of GET /api/v1/certificates.
type Certificate struct {
	Use       string    `json:"use"` // "node", "site" for one of another authority in certs/, "ca", "users"
	Subject   string    `json:"subject"`
	Names     []string  `json:"names"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Renewed   bool      `json:"renewed"` // by the node itself, in time
	State     string    `json:"state"`   // "good", "soon" when somebody should look, "expired"
}

// Deployment is GET /api/v1/deployment: the topology in force as people look at it.
type Deployment struct {
	Revision int64           `json:"revision"`
	Domains  []topology.FQDN `json:"domains"`
	Sites    []Site          `json:"sites"`
	Media    []MediaRange    `json:"media"` // of the whole deployment
	Trusted  []Trusted       `json:"trusted"`
}

// Site is a site with what stands there.
type Site struct {
	Name    string `json:"name"`
	Parent  string `json:"parent,omitempty"` // of a branch
	Zone    string `json:"zone"`
	Users   int    `json:"users"`
	Pools   []Pool `json:"pools"`
	Drawing string `json:"drawing"` // SVG
}

// Pool is a pool with its machines.
type Pool struct {
	FQDN       topology.FQDN   `json:"fqdn"`
	Kind       string          `json:"kind"`
	Collocated []topology.Role `json:"collocated"`
	Machines   []Machine       `json:"machines"`
}

// Machine is a member of a pool.
type Machine struct {
	FQDN      topology.FQDN   `json:"fqdn"`
	Addresses []string        `json:"addresses"`
	Roles     []topology.Role `json:"roles"`
}

// MediaRange is a range of ports of the conferencing configuration.
type MediaRange struct {
	Key   string `json:"key"`
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	Used  bool   `json:"used"` // clients keep to theirs only while client-ranges is on
}

// Trusted is a computer of another maker, or an application on it, whose requests are believed.
type Trusted struct {
	Computer    topology.FQDN `json:"computer,omitempty"`
	Application string        `json:"application,omitempty"`
	Port        uint16        `json:"port,omitempty"`
	Transport   string        `json:"transport,omitempty"`
	Pool        topology.FQDN `json:"pool"`
	Addresses   []string      `json:"addresses"`
	Believed    bool          `json:"believed"` // its requests need no credentials
}

func (s *Server) deployment(w http.ResponseWriter, _ *http.Request) error {
	snap := s.cfg.Control.Snapshot()
	return reply(w, deploymentOf(snap))
}

func deploymentOf(snap *topology.Snapshot) Deployment {
	t := snap.Topology()
	p := plan.Resolve(snap)
	out := Deployment{Revision: snap.Revision(), Domains: list(snap.Domains()), Sites: []Site{}, Media: mediaOf(snap), Trusted: trustedOf(t)}
	for i := range t.Sites {
		site := &t.Sites[i]
		v := Site{Name: site.Name, Parent: site.Parent, Zone: site.Zone, Users: site.Users, Pools: []Pool{}, Drawing: html.Drawing(p, site)}
		for j := range t.Pools {
			q := &t.Pools[j]
			if q.Site != site.Name {
				continue
			}
			pool := Pool{FQDN: q.FQDN, Kind: string(q.Kind), Collocated: list(q.Collocated), Machines: []Machine{}}
			for _, m := range snap.Members(q.FQDN) {
				one := Machine{FQDN: m.FQDN, Roles: list(m.Roles), Addresses: []string{}}
				for _, a := range m.Addresses {
					one.Addresses = append(one.Addresses, a.String())
				}
				pool.Machines = append(pool.Machines, one)
			}
			v.Pools = append(v.Pools, pool)
		}
		out.Sites = append(out.Sites, v)
	}
	return out
}

func mediaOf(snap *topology.Snapshot) []MediaRange {
	m := snap.MediaAt(nil)
	var out []MediaRange
	for _, r := range []struct {
		key    string
		ports  topology.PortRange
		client bool
	}{
		{"audio", m.Audio, false}, {"video", m.Video, false}, {"application-sharing", m.AppSharing, false},
		{"client-sip", m.ClientSIP, true}, {"client-media", m.ClientMedia, true}, {"client-audio", m.ClientAudio, true},
		{"client-video", m.ClientVideo, true}, {"client-application-sharing", m.ClientAppSharing, true},
		{"client-file-transfer", m.ClientFile, true},
	} {
		if !r.ports.IsZero() {
			out = append(out, MediaRange{r.key, r.ports.Start, r.ports.Last(), !r.client || m.ClientRangesOn()})
		}
	}
	return list(out)
}

func trustedOf(t *topology.Topology) []Trusted {
	out := []Trusted{}
	for _, p := range t.TrustedPools {
		computers := p.Computers
		if len(computers) == 0 {
			computers = []topology.Server{{FQDN: p.FQDN, Addresses: p.Addresses}}
		}
		for _, c := range computers {
			v := Trusted{Computer: c.FQDN, Pool: p.FQDN, Believed: !p.Challenge, Addresses: []string{}}
			for _, a := range c.Addresses {
				v.Addresses = append(v.Addresses, a.String())
			}
			out = append(out, v)
		}
		for _, a := range p.Applications {
			transport := "tls"
			if a.TCP {
				transport = "tcp"
			}
			out = append(out, Trusted{Application: a.ID, Port: a.Port, Transport: transport, Pool: p.FQDN,
				Addresses: []string{}, Believed: !p.Challenge && !a.TCP})
		}
	}
	return out
}
