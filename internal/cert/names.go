package cert

import (
	"net/netip"
	"slices"

	"parley/internal/topology"
)

// Use is what a certificate is assigned to. A node of the internal CA needs one certificate for everything;
// public authorities and older designs want them apart.
type Use string

// The uses of the certificate plan.
const (
	UseDefault      Use = "default"
	UseInternalWeb  Use = "internal-web"
	UseExternalWeb  Use = "external-web"
	UseEdgeExternal Use = "edge-external"
	UseEdgeInternal Use = "edge-internal"
	UseProxy        Use = "listener" // of a reverse proxy
)

// Uses lists what certificates a machine needs, in the order of the plan.
func Uses(m *topology.Machine) []Use {
	switch {
	case m.Has(topology.RoleFrontEnd), m.Has(topology.RoleDirector):
		return []Use{UseDefault, UseInternalWeb, UseExternalWeb}
	case m.Has(topology.RoleEdge):
		return []Use{UseEdgeExternal, UseEdgeInternal}
	case m.Has(topology.RoleReverseProxy):
		return []Use{UseProxy}
	case m.Pool != nil:
		return []Use{UseDefault}
	}
	return nil
}

// Plan is the request for one use of a machine's certificate: subject first, then the alternative names that
// the planning rules ask for. It is empty when the machine does not have that use.
func Plan(s *topology.Snapshot, m *topology.Machine, use Use) Request {
	if !slices.Contains(Uses(m), use) {
		return Request{}
	}
	n := namer{s: s, m: m, features: s.FeaturesAt(m.Site), urls: s.SimpleURLsAt(m.Site)}
	switch use {
	case UseEdgeExternal:
		n.edgeExternal()
	case UseProxy:
		n.proxy()
	default:
		n.member(use)
	}
	return Request{Subject: n.names[0], Names: n.names}
}

// ForNode is the request for the one certificate of a node: the names of all its uses, and the addresses
// under which phones may be pointed at it.
func ForNode(s *topology.Snapshot, m *topology.Machine, addrs ...netip.Addr) Request {
	n := namer{s: s, m: m}
	for _, use := range Uses(m) {
		if use == UseEdgeExternal {
			continue // signed by a public authority, with a key of its own
		}
		for _, name := range Plan(s, m, use).Names {
			n.addText(name)
		}
	}
	r := Request{Subject: n.names[0], Names: n.names}
	for _, a := range append(slices.Clone(m.Addresses), addrs...) {
		if !a.IsUnspecified() && !slices.Contains(r.Addresses, a.Unmap()) {
			r.Addresses = append(r.Addresses, a.Unmap())
		}
	}
	return r
}

// namer collects names without repeating one.
type namer struct {
	s        *topology.Snapshot
	m        *topology.Machine
	features topology.Features
	urls     topology.SimpleURLs
	names    []string
}

func (n *namer) add(names ...topology.FQDN) {
	for _, f := range names {
		n.addText(string(f))
	}
}

func (n *namer) addText(name string) {
	if name != "" && !slices.Contains(n.names, name) {
		n.names = append(n.names, name)
	}
}

func (n *namer) member(use Use) {
	p := n.m.Pool
	front := n.m.Has(topology.RoleFrontEnd)
	switch {
	case use == UseInternalWeb, use == UseExternalWeb:
		if p.Kind == topology.Enterprise {
			n.add(p.FQDN)
		} else {
			n.add(n.m.FQDN)
		}
	default:
		n.add(p.FQDN)
	}
	switch use {
	case UseEdgeInternal:
		n.add(n.m.FQDN)
	case UseInternalWeb:
		n.add(p.InternalWebName(), n.m.FQDN, p.FQDN)
		n.simple(true)
		n.discovery(true)
	case UseExternalWeb:
		n.add(p.ExternalWeb)
		n.simple(false)
		n.discovery(false)
	default:
		n.add(n.m.FQDN)
		if front || n.m.Has(topology.RoleDirector) || n.m.Has(topology.RoleBranch) {
			// Clients of a domain look for sip.<domain>; with strict matching the certificate must say so.
			for _, d := range n.s.Domains() {
				n.add("sip." + d)
			}
		}
		if front || n.m.Has(topology.RoleDirector) {
			// RFC 5922: a peer that resolved the domain itself expects the domain in the certificate.
			n.add(n.s.Domains()...)
		}
	}
}

// simple adds the names of the pages: meet per domain, dial-in, and inside also admin.
func (n *namer) simple(inside bool) {
	for _, d := range n.s.Domains() {
		n.add(n.urls.Meet[d].Host)
	}
	n.add(n.urls.DialIn.Host)
	if inside {
		n.add(n.urls.Admin.Host)
	}
}

func (n *namer) discovery(inside bool) {
	for _, d := range n.s.Domains() {
		if inside {
			n.add("lyncdiscoverinternal." + d)
		}
		n.add("lyncdiscover." + d)
	}
}

func (n *namer) edgeExternal() {
	e := n.m.Pool.EdgeSettings
	n.add(e.Access.FQDN, e.WebConference.FQDN)
	for _, d := range n.s.Domains() {
		n.add("sip." + d)
	}
	if n.features.Has(topology.XMPP) {
		for _, d := range n.s.Domains() {
			n.add("xmpp." + d)
			n.addText("*." + string(d))
		}
	}
}

func (n *namer) proxy() {
	for i := range n.s.Topology().Pools {
		p := &n.s.Topology().Pools[i]
		r, _ := n.s.ReverseProxy(n.m.FQDN)
		if p.ExternalWeb != "" && (len(r.Publishes) == 0 || slices.Contains(r.Publishes, p.FQDN)) {
			n.add(p.ExternalWeb)
		}
	}
	n.simple(false)
	n.discovery(false)
	if len(n.names) == 0 {
		n.add(n.m.FQDN)
	}
}
