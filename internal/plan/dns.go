package plan

import (
	"net/netip"
	"slices"
	"strings"

	"parley/internal/topology"
)

// Record is one DNS record that must exist.
type Record struct {
	View  topology.ZoneKind // which name servers: internal, perimeter or external
	Type  string            // A, AAAA, SRV or CNAME
	Name  string
	Value string // address, or target of an SRV record
	Port  uint16 // of an SRV record
	Need  string // "yes", "optional", or what for
	Note  string
}

// Records lists the DNS records of the plan: internal, perimeter, external.
func (p *Plan) Records() []Record {
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	n := &zoneWriter{r: r, seen: map[Record]bool{}}
	n.servers()
	n.pools()
	n.discovery()
	n.pages()
	n.edges()
	n.proxies()
	slices.SortStableFunc(n.out, func(a, b Record) int { return viewOrder[a.View] - viewOrder[b.View] })
	return n.out
}

var viewOrder = map[topology.ZoneKind]int{topology.Internal: 0, topology.Perimeter: 1, topology.External: 2}

type zoneWriter struct {
	r    *resolver
	out  []Record
	seen map[Record]bool
}

func (n *zoneWriter) put(rec Record) {
	key := rec
	key.Need, key.Note = "", ""
	if rec.Name == "" || rec.Value == "" || n.seen[key] {
		return
	}
	n.seen[key] = true
	n.out = append(n.out, rec)
}

// addresses adds an A or AAAA record for each address.
func (n *zoneWriter) addresses(view topology.ZoneKind, name topology.FQDN, addrs []netip.Addr, need, note string) {
	for _, a := range addrs {
		kind := "A"
		if a.Unmap().Is6() {
			kind = "AAAA"
		}
		n.put(Record{View: view, Type: kind, Name: string(name), Value: a.Unmap().String(), Need: need, Note: note})
	}
}

func (n *zoneWriter) srv(view topology.ZoneKind, name string, target topology.FQDN, port uint16, need string) {
	n.put(Record{View: view, Type: "SRV", Name: name, Value: string(target), Port: port, Need: need})
}

// servers adds every machine under its own name.
func (n *zoneWriter) servers() {
	for _, m := range n.r.s.Machines() {
		view, need := topology.Internal, "yes"
		if m.Has(topology.RoleEdge) {
			view = topology.Perimeter
		}
		if m.Has(topology.RoleDatabase) || m.Has(topology.RoleFileShare) {
			need = "if separate"
		}
		n.addresses(view, m.FQDN, m.Addresses, need, "server")
	}
}

// pools adds pool names and the names of their internal web services.
func (n *zoneWriter) pools() {
	for i := range n.r.t.Pools {
		p := &n.r.t.Pools[i]
		view := topology.Internal
		if p.Kind == topology.Edge {
			view = topology.Perimeter
		}
		need := "yes"
		if !p.Kind.FrontEnd() && p.Kind != topology.Edge {
			need = "if used"
		}
		if balancedSIP(p) {
			n.addresses(view, p.FQDN, p.Virtual, need, "virtual address of the pool")
		} else {
			for _, m := range n.r.s.Members(p.FQDN) {
				n.addresses(view, p.FQDN, m.Addresses, need, "member of the pool")
			}
		}
		if p.Kind.FrontEnd() || p.Kind == topology.Director {
			web := n.webAddresses(p)
			n.addresses(topology.Internal, p.InternalWebName(), web, "yes", "internal web services")
		}
	}
}

// webAddresses are where the web services of a pool are reached inside.
func (n *zoneWriter) webAddresses(p *topology.Pool) []netip.Addr {
	if balancedWeb(p) {
		return webAddresses(p)
	}
	var out []netip.Addr
	for _, m := range n.r.s.Members(p.FQDN) {
		out = append(out, m.Addresses...)
	}
	return out
}

// entrance is the pool that answers first inside: a Director, otherwise the pool that owns the configuration,
// otherwise the first Front End pool.
func (n *zoneWriter) entrance() *topology.Pool {
	var first *topology.Pool
	for i := range n.r.t.Pools {
		p := &n.r.t.Pools[i]
		switch {
		case p.Kind == topology.Director:
			return p
		case p.Kind.FrontEnd() && (first == nil || p.CentralManagement && !first.CentralManagement):
			first = p
		}
	}
	return first
}

// discovery adds the names by which clients inside find the way in.
func (n *zoneWriter) discovery() {
	p := n.entrance()
	if p == nil {
		return
	}
	legacy := "only for older clients and handsets"
	var sip []netip.Addr
	if balancedSIP(p) {
		sip = p.Virtual
	} else {
		for _, m := range n.r.s.Members(p.FQDN) {
			sip = append(sip, m.Addresses...)
		}
	}
	for _, d := range n.r.s.Domains() {
		n.addresses(topology.Internal, "lyncdiscoverinternal."+d, n.webAddresses(p), "yes", "discovery, web services of "+string(p.FQDN))
		n.addresses(topology.Internal, "sip."+d, sip, legacy, string(p.FQDN))
		n.srv(topology.Internal, "_sipinternaltls._tcp."+string(d), p.FQDN, 5061, legacy)
		n.srv(topology.Internal, "_sipinternal._tcp."+string(d), p.FQDN, 5061, legacy)
		if n.r.anywhere(topology.Phones) {
			n.addresses(topology.Internal, "ucupdates-r2."+d, n.webAddresses(p), "optional, for phones before sign-in", "updates of phones")
			for _, h := range n.r.t.Hosts {
				if h.Kind == topology.TimeHost {
					n.srv(topology.Internal, "_ntp._udp."+string(d), h.FQDN, 123, "handsets")
				}
			}
		}
		if e := n.federationEdge(); e != nil && n.r.anywhere(topology.Mobility) {
			n.srv(topology.Internal, "_sipfederationtls._tcp."+string(d), e.EdgeSettings.Access.FQDN, 5061, "mobile push")
		}
	}
}

// federationEdge is the Edge pool that carries federation: the named one, or the first.
func (n *zoneWriter) federationEdge() *topology.Pool {
	if p, ok := n.r.s.Pool(n.r.t.Federation.Edge); ok {
		return p
	}
	if all := n.r.pools(func(p *topology.Pool) bool { return p.Kind == topology.Edge }); len(all) > 0 {
		return all[0]
	}
	return nil
}

// pages adds the simple URLs inside.
func (n *zoneWriter) pages() {
	p := n.entrance()
	if p == nil {
		return
	}
	for _, u := range n.urls() {
		web, need := n.webAddresses(p), "yes"
		if u.site != nil {
			for _, q := range n.r.frontEndPools() {
				if q.Site == u.site.Name {
					web = n.webAddresses(q)
					break
				}
			}
		}
		if u.admin {
			need = "optional"
		}
		n.addresses(topology.Internal, u.host, web, need, "page")
	}
}

type page struct {
	host  topology.FQDN
	admin bool
	site  *topology.Site // whose own URL it is
}

// urls lists the hosts of all simple URLs, of the deployment and of sites that have their own.
func (n *zoneWriter) urls() []page {
	var out []page
	collect := func(u topology.SimpleURLs, site *topology.Site) {
		for _, d := range n.r.s.Domains() {
			out = append(out, page{host: u.Meet[d].Host, site: site})
		}
		out = append(out, page{host: u.DialIn.Host, site: site}, page{host: u.Admin.Host, admin: true, site: site})
	}
	collect(n.r.t.SimpleURLs, nil)
	for i := range n.r.t.Sites {
		collect(n.r.t.Sites[i].SimpleURLs, &n.r.t.Sites[i])
	}
	return out
}

// edges adds what the outside looks up to reach Edges.
func (n *zoneWriter) edges() {
	carrier := n.federationEdge()
	for i := range n.r.t.Pools {
		p := &n.r.t.Pools[i]
		if p.Kind != topology.Edge {
			continue
		}
		e := p.EdgeSettings
		access := n.public(p, e.Access, func(s topology.EdgeServer) ([]netip.Addr, []netip.Addr) { return s.Access, s.PublicAccess })
		n.addresses(topology.External, e.Access.FQDN, access, "yes", "Access service")
		n.addresses(topology.External, e.WebConference.FQDN, n.public(p, e.WebConference, func(s topology.EdgeServer) ([]netip.Addr, []netip.Addr) {
			return s.WebConference, s.PublicWebConference
		}), "yes", "Web Conferencing service")
		n.addresses(topology.External, e.AV.FQDN, n.public(p, e.AV, func(s topology.EdgeServer) ([]netip.Addr, []netip.Addr) { return s.AV, s.PublicAV }), "yes", "A/V service")
		if p != carrier {
			continue
		}
		for _, d := range n.r.s.Domains() {
			n.addresses(topology.External, "sip."+d, access, "yes", "Access service, for clients that guess")
			n.srv(topology.External, "_sip._tls."+string(d), e.Access.FQDN, e.AccessPort(), "yes")
			if n.r.has(p, topology.FederationAccess) || n.r.anywhere(topology.Mobility) {
				n.srv(topology.External, "_sipfederationtls._tcp."+string(d), e.Access.FQDN, 5061, "federation, mobile push")
			}
			if n.r.has(p, topology.XMPP) {
				n.srv(topology.External, "_xmpp-server._tcp."+string(d), e.Access.FQDN, 5269, "XMPP")
			}
		}
	}
}

// public are the addresses under which the outside reaches a service: virtual ones, translated ones, or the
// Edges' own.
func (n *zoneWriter) public(p *topology.Pool, s topology.EdgeService, pick func(topology.EdgeServer) (own, public []netip.Addr)) []netip.Addr {
	if p.ExternalBalancing() == topology.BalanceHardware && len(s.Virtual) > 0 {
		return s.Virtual
	}
	var out []netip.Addr
	for i := range p.Servers {
		own, public := pick(p.Servers[i].External.Fill())
		if p.EdgeSettings.NAT && len(public) > 0 {
			own = public
		}
		out = append(out, own...)
	}
	return out
}

// proxies adds what the outside looks up to reach web services.
func (n *zoneWriter) proxies() {
	for i := range n.r.t.ReverseProxies {
		rp := &n.r.t.ReverseProxies[i]
		addrs := rp.External
		for _, p := range n.r.published(rp) {
			n.addresses(topology.External, p.ExternalWeb, addrs, "yes", "external web services of "+string(p.FQDN))
			n.addresses(topology.Internal, p.ExternalWeb, addrs, "if mobile clients resolve it inside", "external web services of "+string(p.FQDN))
		}
		for _, d := range n.r.s.Domains() {
			n.addresses(topology.External, "lyncdiscover."+d, addrs, "yes", "discovery")
		}
		for _, u := range n.urls() {
			if !u.admin {
				n.addresses(topology.External, u.host, addrs, "yes", "page")
			}
		}
		for _, f := range n.r.pools(func(p *topology.Pool) bool { return p.Kind == topology.OfficeWebApps }) {
			n.addresses(topology.External, f.FQDN, addrs, "if presentations are used outside", "presentations")
		}
	}
}

func (p *Plan) dns() *Document {
	d := &Document{
		Title:   "DNS records",
		Columns: columns("zone", "type", "name", "value", "port", "need", "notes"),
		Notes: []string{
			"Clients look for lyncdiscoverinternal, lyncdiscover, _sipinternaltls._tcp, _sip._tls, sipinternal, sip and sipexternal, in that order.",
			"The target of an SRV record lies in the same domain as the record; where the pool is in another, use pin-point zones or set clients by hand.",
		},
	}
	for _, r := range p.Records() {
		port := ""
		if r.Port != 0 {
			port = itoa(r.Port)
		}
		d.add(r.View, r.Type, r.Name, r.Value, port, r.Need, r.Note)
	}
	return d
}

// Views lists the two sets of name servers: those inside, which know the perimeter too, and those outside.
func Views() []string { return []string{"internal", "external"} }

// Zone is the records of one DNS zone in one view.
type Zone struct {
	Name    string
	Records []Record
}

// Relative is a name as written inside the zone: "@" for the zone itself.
func (z Zone) Relative(name string) string {
	if name == z.Name {
		return "@"
	}
	return strings.TrimSuffix(name, "."+z.Name)
}

// Zones splits the records of a view into zones: one for each SIP domain, and for each other domain in which a
// server has its name.
func (p *Plan) Zones(view string) []Zone {
	domains := p.Topology.Domains()
	zoneOf := func(name string) string {
		best := ""
		for _, d := range domains {
			if (name == string(d) || strings.HasSuffix(name, "."+string(d))) && len(d) > len(best) {
				best = string(d)
			}
		}
		if best == "" {
			// Not ours by name: the domain above the host.
			_, best, _ = strings.Cut(name, ".")
		}
		return best
	}
	index := map[string]int{}
	var out []Zone
	for _, r := range p.Records() {
		if (view == "external") != (r.View == topology.External) {
			continue
		}
		name := zoneOf(r.Name)
		i, ok := index[name]
		if !ok {
			i = len(out)
			index[name] = i
			out = append(out, Zone{Name: name})
		}
		if !slices.ContainsFunc(out[i].Records, func(o Record) bool {
			return o.Type == r.Type && o.Name == r.Name && o.Value == r.Value && o.Port == r.Port
		}) {
			out[i].Records = append(out[i].Records, r)
		}
	}
	return out
}
