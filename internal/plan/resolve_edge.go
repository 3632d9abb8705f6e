package plan

import (
	"net/netip"
	"slices"

	"parley/internal/porttable"
	"parley/internal/topology"
)

// The three services of an Edge, as parties in the perimeter.
type edgeSide struct{ access, web, av Party }

// outer is the outside of an Edge pool. Behind a hardware balancer, clients reach virtual addresses; what
// the Edges open themselves, and all media, comes from and goes to the members.
func (r *resolver) outer(p *topology.Pool) (virtual, members edgeSide) {
	base := r.pool(p)
	side := func(service string, pick func(topology.EdgeServer) []netip.Addr) Party {
		out := base
		out.Name, out.Role, out.Outer, out.Hosts = string(p.FQDN)+" "+service, "edge "+service, true, nil
		for i := range p.Servers {
			out.Hosts = append(out.Hosts, Host{string(p.Servers[i].FQDN), pick(p.Servers[i].External.Fill())})
		}
		return out
	}
	members = edgeSide{
		access: side("access", func(e topology.EdgeServer) []netip.Addr { return e.Access }),
		web:    side("web-conferencing", func(e topology.EdgeServer) []netip.Addr { return e.WebConference }),
		av:     side("a/v", func(e topology.EdgeServer) []netip.Addr { return e.AV }),
	}
	virtual = members
	if p.ExternalBalancing() == topology.BalanceHardware {
		e := p.EdgeSettings
		vip := func(m Party, s topology.EdgeService) Party {
			if len(s.Virtual) > 0 {
				m.Name, m.Hosts = m.Name+" address", []Host{{string(s.FQDN), s.Virtual}}
			}
			return m
		}
		virtual = edgeSide{vip(members.access, e.Access), vip(members.web, e.WebConference), vip(members.av, e.AV)}
	}
	return virtual, members
}

// edges adds both sides of every Edge pool.
func (r *resolver) edges() {
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind == topology.Edge }) {
		r.edgeOutside(p)
		r.edgeInside(p)
	}
}

func (r *resolver) edgeOutside(p *topology.Pool) {
	e := p.EdgeSettings
	any := r.outside("anyone outside")
	virtual, members := r.outer(p)
	one := func(port uint16) Range { return Range{port, port} }
	relay := ports(e.RelayPorts())

	if r.has(p, topology.RemoteAccess) || r.has(p, topology.Anonymous) {
		r.on(porttable.CliSip443, any, virtual.access, one(e.AccessPort()), "Own users outside sign in over TLS.")
		if e.AccessPort() != topology.EdgeFederationPort {
			// The table marks mutual TLS, which clients do not speak; the same port carries federation, which does.
			r.add(Flow{Row: porttable.CliSip5061, From: any, To: virtual.access, Transport: "tcp", Ports: one(topology.EdgeFederationPort),
				Protocol: "TCP (TLS)", Note: "Own users outside who are set to this port."})
		}
		r.on(porttable.CliPsom443, any, virtual.web, one(e.WebConferencePort()), "")
	}
	r.on(porttable.CliTurn443, any, virtual.av, one(e.AVPort()), "")
	r.flow(porttable.CliTurn3478, any, virtual.av, "")
	if r.has(p, topology.FederationAccess) {
		r.fact("edge-ext-access-5061-in", any, virtual.access)
		r.fact("edge-ext-access-5061-out", members.access, any)
	}
	r.fact("edge-ext-access-80-out", members.access, any)
	dns := any
	if len(e.DNSServers) > 0 {
		dns.Name, dns.Role, dns.Hosts = "name servers of "+string(p.FQDN), "dns", []Host{{"name servers", e.DNSServers}}
	}
	r.fact("edge-ext-access-53-out", members.access, dns)
	r.fact("edge-ext-av-3478-out", members.av, any)
	r.fact("edge-ext-av-443-out", members.av, any)
	r.factOn("edge-ext-av-range-out", members.av, any, relay)
	if r.has(p, topology.LegacyFederation) {
		r.factOn("edge-ext-av-range-in", any, members.av, relay)
	}
	if r.has(p, topology.XMPP) {
		r.fact("edge-ext-xmpp-5269-in", any, virtual.access)
		r.fact("edge-ext-xmpp-5269-out", members.access, any)
	}
}

func (r *resolver) edgeInside(p *topology.Pool) {
	self := r.pool(p)
	if hop, ok := r.s.Pool(p.NextHop); ok {
		r.fact("edge-int-sip-5061-out", r.pool(hop), self)
		r.fact("edge-int-sip-5061-in", self, r.pool(hop))
	}
	uses := func(q *topology.Pool) bool {
		for _, e := range r.edgesFor(q) {
			if e == p {
				return true
			}
		}
		return false
	}
	for _, f := range r.pools(func(q *topology.Pool) bool { return q.Kind.Registrar() && uses(q) }) {
		from := r.pool(f)
		r.fact("edge-int-auth-5062", from, self)
		if !f.Kind.FrontEnd() {
			continue
		}
		if r.has(f, topology.Conferencing) {
			r.fact("edge-int-psom-8057", from, self)
		}
		if r.has(f, topology.AdmissionControl) {
			r.flow(porttable.SrvFePdp5080, self, from, "The A/V Edge asks whether relayed media may pass.")
		}
		if r.has(f, topology.XMPP) {
			r.fact("edge-int-xmpp-23456", from, self)
		}
		if f.CentralManagement {
			r.fact("edge-int-replicate-4443", from, self)
		}
	}
	// Everybody inside may need a relay: clients, and servers that carry media.
	inside := r.clientZones()
	for _, m := range r.pools(func(q *topology.Pool) bool { return q.Has(topology.RoleMediation) || q.Kind.FrontEnd() }) {
		inside = append(inside, r.pool(m))
	}
	for _, from := range inside {
		r.fact("edge-int-stun-3478", from, self)
		r.fact("edge-int-stun-443", from, self)
	}
	for _, m := range r.hosts(topology.ManagementHost) {
		r.fact("edge-int-logging-50001", m, self)
	}
	for _, o := range r.pools(func(q *topology.Pool) bool { return q.CentralManagement }) {
		r.fact("edge-int-replicate-4443", r.pool(o), self)
		r.fact("edge-int-logging-50001", r.pool(o), self)
	}
}

// relays adds the media relays of Front Ends, which stand in for an Edge: people outside reach them where remote access is
// wanted.
func (r *resolver) relays() {
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind != topology.Edge && p.Has(topology.RoleMediaRelay) }) {
		self := r.pool(p)
		from := r.clientZones()
		if r.has(p, topology.RemoteAccess) {
			any := r.outside("anyone outside")
			from = append(from, any)
			r.factOn("edge-ext-av-range-out", self, any, ports(p.EdgeSettings.RelayPorts()))
		}
		for _, c := range from {
			r.flow(porttable.CliTurn3478, c, self, "")
			r.flow(porttable.CliTurn443, c, self, "")
		}
	}
}

// proxies adds reverse proxies.
func (r *resolver) proxies() {
	for i := range r.t.ReverseProxies {
		p := &r.t.ReverseProxies[i]
		self := r.machine(p.FQDN, "reverse-proxy")
		front := self
		front.Outer, front.Hosts = true, []Host{{string(p.FQDN), p.External}}
		if len(p.External) == 0 {
			front = self
		}
		any := r.outside("anyone outside")
		r.fact("proxy-ext-80", any, front)
		r.fact("proxy-ext-443", any, front)
		if r.anywhere(topology.Mobility) {
			// Mobile clients inside use the external name too.
			for _, c := range r.clientZones() {
				r.fact("proxy-ext-443", c, front)
			}
		}
		for _, w := range r.published(p) {
			to := r.web(w)
			if w.Kind.FrontEnd() {
				r.flow(porttable.SrvFeWebcompat8080, self, to, "")
				r.flow(porttable.SrvFeWeb4443, self, to, "From the reverse proxy; the original host name stays in the request.")
			} else {
				r.fact("proxy-int-8080", self, to)
				r.fact("proxy-int-4443", self, to)
			}
		}
		for _, f := range r.pools(func(q *topology.Pool) bool { return q.Kind == topology.OfficeWebApps }) {
			r.fact("proxy-int-443", self, r.web(f))
		}
	}
}

// published lists the pools whose web services a proxy shows outside: those named, otherwise all that have a
// name for it, and always the one that answers first.
func (r *resolver) published(p *topology.ReverseProxy) []*topology.Pool {
	return r.pools(func(q *topology.Pool) bool {
		if q.FQDN == p.NextHop {
			return true
		}
		if len(p.Publishes) == 0 {
			return q.ExternalWeb != ""
		}
		for _, n := range p.Publishes {
			if n == q.FQDN {
				return true
			}
		}
		return false
	})
}

// clients adds what clients open to each other and what servers open to clients.
func (r *resolver) clients() {
	all := r.clientZones()
	peers := mergeByKind(all)
	for _, c := range all {
		for _, d := range r.hosts(topology.DHCPHost) {
			r.flow(porttable.CliDhcp6768, c, d, "")
			if r.anywhere(topology.Phones) {
				r.flow(porttable.CliPhonesDhcp6768, c, d, "")
			}
		}
		for _, m := range r.clientMedia(c) {
			for _, peer := range peers {
				r.on(m.row, c, peer, m.ports, "Directly between clients.")
			}
			for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind.FrontEnd() || p.Has(topology.RoleMediation) }) {
				if m.servers {
					r.on(m.row, r.pool(p), c, m.ports, "From servers to clients.")
				}
			}
		}
		if r.anywhere(topology.LegacyClients) {
			for _, peer := range peers {
				r.flow(porttable.CliFiletransfer68916901, c, peer, "")
			}
		}
	}
}

// mergeByKind makes one party of all internal zones and one of all branches: with twenty branches, a rule for
// each pair of them would bury the rest of the report.
func mergeByKind(zones []Party) []Party {
	var out []Party
	for _, kind := range []topology.ZoneKind{topology.Internal, topology.Branch} {
		var merged Party
		n := 0
		for _, z := range zones {
			if z.Kind != kind {
				continue
			}
			if n++; n == 1 {
				merged = z
				continue
			}
			merged.Name, merged.Zone = "clients in every "+string(kind)+" zone", "every "+string(kind)+" zone"
			merged.Networks = append(slices.Clone(merged.Networks), z.Networks...)
		}
		if n > 0 {
			out = append(out, merged)
		}
	}
	return out
}

// medium is one kind of client media with the ports that a zone's clients use for it.
type medium struct {
	row     string
	ports   Range
	servers bool // servers send to it too
}

func (r *resolver) clientMedia(c Party) []medium {
	m := r.s.ClientMedia(r.siteOf(c.Zone))
	pick := func(p topology.PortRange) Range {
		if m.ClientRangesOn() {
			return ports(p)
		}
		return Range{1024, 65535}
	}
	out := []medium{
		{porttable.CliAudioRange, pick(m.ClientAudio), true},
		{porttable.CliVideoRange, pick(m.ClientVideo), true},
		{porttable.CliP2pfileRange, pick(m.ClientFile), false},
	}
	if r.anywhere(topology.AppSharing) {
		out = append(out, medium{porttable.CliAppshareRange, pick(m.ClientAppSharing), true})
	}
	return out
}

// siteOf is the site whose clients are in a zone, nil when it cannot be told.
func (r *resolver) siteOf(zone string) *topology.Site {
	for i := range r.t.Sites {
		if r.t.Sites[i].Zone == zone {
			return &r.t.Sites[i]
		}
	}
	return nil
}
