package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/tomlfile"
)

// Snapshot is one revision of a topology, indexed for questions. It is immutable and safe for concurrent
// use; what its methods return must not be changed.
type Snapshot struct {
	revision int64
	topo     *Topology
	doc      *tomlfile.Document // nil when the topology was made in code
	text     []byte

	zones    map[string]*Zone
	sites    map[string]*Site
	pools    map[FQDN]*Pool
	machines []*Machine
	byName   map[FQDN]*Machine
	peers    map[FQDN]Peer
	byAddr   map[netip.Addr]FQDN
	domains  map[FQDN]bool
	proxies  map[FQDN]*ReverseProxy
	shares   map[string]*FileShare
}

// Machine is one computer of the deployment, in the product or around it.
type Machine struct {
	FQDN      FQDN
	Roles     []Role
	Site      *Site
	Zone      *Zone // nil when the topology has no zones
	Addresses []netip.Addr
	Pool      *Pool   // nil for machines that are in no pool of the product
	Server    *Server // its entry in the pool
	Path      string  // of its entry in the document, as in "pool[0].server[2]"
}

// Has reports whether the machine has a role.
func (m *Machine) Has(r Role) bool { return slices.Contains(m.Roles, r) }

// Source gives the current snapshot. Callers ask again for every decision and keep no snapshot for long.
type Source func() *Snapshot

// NewSnapshot indexes a topology made in code. The topology must not be changed afterwards. It is not
// validated; a reference to something that does not exist reads as absent.
func NewSnapshot(t *Topology, revision int64) *Snapshot { return newSnapshot(t, nil, nil, revision) }

func newSnapshot(t *Topology, doc *tomlfile.Document, text []byte, revision int64) *Snapshot {
	s := &Snapshot{
		revision: revision, topo: t, doc: doc, text: text,
		zones: map[string]*Zone{}, sites: map[string]*Site{}, pools: map[FQDN]*Pool{}, byName: map[FQDN]*Machine{},
		peers: map[FQDN]Peer{}, byAddr: map[netip.Addr]FQDN{}, domains: map[FQDN]bool{},
		proxies: map[FQDN]*ReverseProxy{}, shares: map[string]*FileShare{},
	}
	for i := range t.Zones {
		s.zones[t.Zones[i].Name] = &t.Zones[i]
	}
	for i := range t.Sites {
		s.sites[t.Sites[i].Name] = &t.Sites[i]
	}
	for i := range t.Pools {
		s.pools[t.Pools[i].FQDN] = &t.Pools[i]
	}
	for _, d := range t.Domains {
		s.domains[d] = true
	}
	for i := range t.ReverseProxies {
		s.proxies[t.ReverseProxies[i].FQDN] = &t.ReverseProxies[i]
	}
	for i := range t.FileShares {
		s.shares[t.FileShares[i].Name] = &t.FileShares[i]
	}
	s.collectMachines()
	s.collectPeers()
	return s
}

// Revision counts the changes of the topology, from 1. It is 0 for a snapshot that was never stored.
func (s *Snapshot) Revision() int64 { return s.revision }

// Topology is the document behind the snapshot. It must not be changed.
func (s *Snapshot) Topology() *Topology { return s.topo }

// Text is the document as it was written, or as it would be written when the topology was made in code.
func (s *Snapshot) Text() []byte {
	if s.text != nil {
		return slices.Clone(s.text)
	}
	return Format(s.topo)
}

// Hash identifies the content: equal text, equal hash.
func (s *Snapshot) Hash() string {
	sum := sha256.Sum256(s.Text())
	return hex.EncodeToString(sum[:])
}

// Place is the position of a path such as "pool[0].fqdn" in the document.
func (s *Snapshot) Place(path string) tomlfile.Place { return s.doc.Place(path) }

// Domains are the SIP domains, the default first.
func (s *Snapshot) Domains() []FQDN { return s.topo.Domains }

// DefaultDomain is the first SIP domain.
func (s *Snapshot) DefaultDomain() FQDN {
	if len(s.topo.Domains) == 0 {
		return ""
	}
	return s.topo.Domains[0]
}

// OwnDomain reports whether domain is one of the SIP domains. Case and a dot at the end do not matter.
func (s *Snapshot) OwnDomain(domain string) bool { return s.domains[canonical(domain)] }

// OwnHost reports whether host is the name of a pool or of a server of the product.
func (s *Snapshot) OwnHost(host string) bool {
	name := canonical(host)
	if s.pools[name] != nil {
		return true
	}
	m := s.byName[name]
	return m != nil && m.Pool != nil
}

func canonical(name string) FQDN { return FQDN(strings.ToLower(strings.TrimSuffix(name, "."))) }

// Node is the member of a pool with that name: the answer to "which node am I".
func (s *Snapshot) Node(name FQDN) (*Machine, bool) {
	m := s.byName[canonical(string(name))]
	if m == nil || m.Pool == nil {
		return nil, false
	}
	return m, true
}

// Machine is any machine of the deployment by name.
func (s *Snapshot) Machine(name FQDN) (*Machine, bool) {
	m := s.byName[canonical(string(name))]
	return m, m != nil
}

// Machines lists every machine, in the order of the document.
func (s *Snapshot) Machines() []*Machine { return s.machines }

// Members lists the machines of a pool in the order of their first start.
func (s *Snapshot) Members(pool FQDN) []*Machine {
	var out []*Machine
	for _, m := range s.machines {
		if m.Pool != nil && m.Pool.FQDN == pool {
			out = append(out, m)
		}
	}
	return out
}

// Pool is the pool with that name.
func (s *Snapshot) Pool(name FQDN) (*Pool, bool) { p := s.pools[name]; return p, p != nil }

// PoolsWith lists the pools whose members have a role, in the order of the document.
func (s *Snapshot) PoolsWith(role Role) []*Pool {
	var out []*Pool
	for i := range s.topo.Pools {
		p := &s.topo.Pools[i]
		if slices.Contains(p.roles(), role) || role == RoleCentralManagement && p.CentralManagement {
			out = append(out, p)
		}
	}
	return out
}

// Site is the site with that name.
func (s *Snapshot) Site(name string) (*Site, bool) { v := s.sites[name]; return v, v != nil }

// Zone is the zone with that name.
func (s *Snapshot) Zone(name string) (*Zone, bool) { v := s.zones[name]; return v, v != nil }

// ReverseProxy is the reverse proxy with that name.
func (s *Snapshot) ReverseProxy(name FQDN) (*ReverseProxy, bool) {
	v := s.proxies[name]
	return v, v != nil
}

// FileShare is the file share with that name.
func (s *Snapshot) FileShare(name string) (*FileShare, bool) { v := s.shares[name]; return v, v != nil }

// ZoneOf is the zone that contains an address: the one with the longest matching network, or the external
// zone when there is one. It is nil when no zone fits.
func (s *Snapshot) ZoneOf(a netip.Addr) *Zone {
	var best, outside *Zone
	bits := -1
	for i := range s.topo.Zones {
		z := &s.topo.Zones[i]
		if z.Kind == External && len(z.Networks) == 0 {
			outside = z
		}
		for _, n := range z.Networks {
			if n.Contains(a.Unmap()) && n.Bits() > bits {
				best, bits = z, n.Bits()
			}
		}
	}
	if best == nil {
		return outside
	}
	return best
}

// FeaturesAt are the features of a site: its own, or those of the central site or deployment above it.
func (s *Snapshot) FeaturesAt(site *Site) Features {
	for range 2 { // a branch, then its central site
		if site == nil {
			break
		}
		if site.Features != nil {
			return site.Features
		}
		site = s.sites[site.Parent]
	}
	return s.topo.Features
}

// SimpleURLsAt are the simple URLs of a site: its own when it has any, otherwise those of the deployment.
func (s *Snapshot) SimpleURLsAt(site *Site) SimpleURLs {
	if site != nil && !site.SimpleURLs.IsZero() {
		return site.SimpleURLs
	}
	return s.topo.SimpleURLs
}

// MediaAt is the media configuration of a site, complete with defaults. A nil site asks for the deployment's.
func (s *Snapshot) MediaAt(site *Site) Media {
	m := s.topo.Media.over(DefaultMedia())
	if site != nil {
		m = site.Media.over(m)
	}
	return m
}

// ClientMedia is the media configuration that clients at a site are told. They learn it where they sign in, which for a
// branch without a registrar is its central site.
func (s *Snapshot) ClientMedia(site *Site) Media {
	if site != nil && site.Kind == BranchSite && !s.hasRegistrar(site.Name) && s.sites[site.Parent] != nil {
		site = s.sites[site.Parent]
	}
	return s.MediaAt(site)
}

func (s *Snapshot) hasRegistrar(site string) bool {
	return slices.ContainsFunc(s.topo.Pools, func(p Pool) bool { return p.Site == site && p.Kind.Registrar() })
}

// roles are those of the kind and the collocated ones.
func (p *Pool) roles() []Role {
	out := slices.Clone(p.Kind.Roles())
	for _, r := range p.Collocated {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// Has reports whether the members of the pool have a role.
func (p *Pool) Has(r Role) bool {
	return slices.Contains(p.roles(), r) || r == RoleCentralManagement && p.CentralManagement
}

// InternalWebName is the name of the internal web services: an own one, or the pool's.
func (p *Pool) InternalWebName() FQDN {
	if p.InternalWeb != "" {
		return p.InternalWeb
	}
	return p.FQDN
}

func (s *Snapshot) collectMachines() {
	t := s.topo
	add := func(m *Machine) {
		s.machines = append(s.machines, m)
		if s.byName[m.FQDN] == nil {
			s.byName[m.FQDN] = m
		}
	}
	for i := range t.Pools {
		p := &t.Pools[i]
		site := s.sites[p.Site]
		zone := s.zoneFor(p.Zone, site, p.Kind == Edge)
		for j := range p.Servers {
			roles := p.roles()
			if p.CentralManagement && j == 0 {
				roles = append(roles, RoleCentralManagement)
			}
			add(&Machine{FQDN: p.Servers[j].FQDN, Roles: roles, Site: site, Zone: zone, Addresses: p.Servers[j].Addresses,
				Pool: p, Server: &p.Servers[j], Path: tomlfile.At(tomlfile.At("pool", i)+".server", j)})
		}
	}
	other := func(kind string, i int, name FQDN, role Role, site, zone string, perimeter bool, addrs []netip.Addr) {
		at := s.sites[site]
		if m := s.byName[name]; m != nil && m.Pool == nil && m.Site == at {
			// A database server that also carries the file share is one machine.
			if !m.Has(role) {
				m.Roles = append(m.Roles, role)
			}
			return
		}
		add(&Machine{FQDN: name, Roles: []Role{role}, Site: at, Zone: s.zoneFor(zone, at, perimeter), Addresses: addrs,
			Path: tomlfile.At(kind, i)})
	}
	for i, g := range t.Gateways {
		other("gateway", i, g.FQDN, RoleGateway, g.Site, g.Zone, false, g.Addresses)
	}
	for i, d := range t.Databases {
		other("database", i, d.FQDN, RoleDatabase, d.Site, "", false, d.Addresses)
	}
	for i, f := range t.FileShares {
		other("file-share", i, f.Host, RoleFileShare, f.Site, "", false, f.Addresses)
	}
	for i, r := range t.ReverseProxies {
		other("reverse-proxy", i, r.FQDN, RoleReverseProxy, r.Site, r.Zone, true, r.Addresses)
	}
	for i, h := range t.Hosts {
		role := RoleInfrastructure
		if h.Kind == UnifiedMessagingHost {
			role = RoleUnifiedMessaging
		}
		other("host", i, h.FQDN, role, h.Site, h.Zone, false, h.Addresses)
	}
	for i, p := range t.TrustedPools {
		if len(p.Computers) == 0 {
			other("trusted-application-pool", i, p.FQDN, RoleTrustedServer, p.Site, "", false, p.Addresses)
		}
		site := s.sites[p.Site]
		for j, c := range p.Computers {
			add(&Machine{FQDN: c.FQDN, Roles: []Role{RoleTrustedServer}, Site: site, Zone: s.zoneFor("", site, false),
				Addresses: c.Addresses, Path: tomlfile.At(tomlfile.At("trusted-application-pool", i)+".computer", j)})
		}
	}
}

// zoneFor is the named zone, or the one that a site implies.
func (s *Snapshot) zoneFor(name string, site *Site, perimeter bool) *Zone {
	if name == "" && site != nil {
		if name = site.Zone; perimeter {
			name = site.Perimeter
		}
	}
	if z := s.zones[name]; z != nil || name != "" {
		return z
	}
	// With a single zone of the right kind there is nothing to choose.
	want := Internal
	if perimeter {
		want = Perimeter
	}
	var only *Zone
	for i := range s.topo.Zones {
		if s.topo.Zones[i].Kind == want {
			if only != nil {
				return nil
			}
			only = &s.topo.Zones[i]
		}
	}
	return only
}
