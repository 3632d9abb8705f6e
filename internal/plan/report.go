package plan

import (
	"fmt"
	"slices"
	"strings"

	"parley/internal/cert"
	"parley/internal/topology"
)

// EdgeReports are the four reports about the perimeter of the planning tool: Summary, Certificates, Firewall and DNS.
func (p *Plan) EdgeReports() []*Document {
	return []*Document{p.edgeSummary(), p.edgeCertificates(), p.edgeFirewall(), p.edgeDNS()}
}

// edgeSummary lists what stands in the perimeter: every service with its name and addresses.
func (p *Plan) edgeSummary() *Document {
	d := &Document{Kind: "summary", Title: "Summary", Columns: columns("role", "location", "fqdn", "ip_address", "network_type", "comments")}
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	addr := func(h Host) string { return Party{Hosts: []Host{h}}.Addresses() }
	for _, pool := range r.pools(func(q *topology.Pool) bool { return q.Kind == topology.Edge }) {
		e := pool.EdgeSettings
		network := "public"
		if e.NAT {
			network = "private, translated"
		}
		virtual, members := r.outer(pool)
		service := func(role string, fqdn topology.FQDN, port uint16, v, m Party, public func(topology.EdgeServer) string) {
			if len(v.Hosts) > 0 && v.Name != m.Name {
				d.add(role, pool.Site, fqdn, v.Addresses(), "public", fmt.Sprintf("virtual address, TCP port %d", port))
			}
			for i, h := range m.Hosts {
				comment := fmt.Sprintf("%s, TCP port %d", h.Name, port)
				if e.NAT {
					if t := public(pool.Servers[i].External.Fill()); t != "" {
						comment += ", outside " + t
					}
				}
				d.add(role, pool.Site, fqdn, addr(h), network, comment)
			}
		}
		list := func(h Host) string {
			if len(h.Addresses) == 0 {
				return ""
			}
			return addr(h)
		}
		service("Access", e.Access.FQDN, e.AccessPort(), virtual.access, members.access, func(s topology.EdgeServer) string { return list(Host{Addresses: s.PublicAccess}) })
		service("Web Conferencing", first(e.WebConference.FQDN, e.Access.FQDN), e.WebConferencePort(), virtual.web, members.web, func(s topology.EdgeServer) string { return list(Host{Addresses: s.PublicWebConference}) })
		service("A/V", first(e.AV.FQDN, e.Access.FQDN), e.AVPort(), virtual.av, members.av, func(s topology.EdgeServer) string { return list(Host{Addresses: s.PublicAV}) })
		for _, h := range r.pool(pool).Hosts {
			d.add("Edge internal", pool.Site, pool.FQDN, addr(h), "internal side", h.Name+"; static routes to the inside, no default gateway")
		}
		if next, ok := p.Topology.Pool(pool.NextHop); ok {
			d.add("Next hop", next.Site, next.FQDN, r.sip(next).Addresses(), "internal", string(next.Kind))
		}
	}
	for _, x := range r.t.ReverseProxies {
		d.add("Reverse proxy", x.Site, x.FQDN, addr(Host{string(x.FQDN), x.External}), "outer side", "")
		d.add("Reverse proxy", x.Site, x.FQDN, addr(Host{string(x.FQDN), x.Addresses}), "inner side", "")
	}
	return d
}

func first(a, b topology.FQDN) topology.FQDN {
	if a != "" {
		return a
	}
	return b
}

func (p *Plan) edgeCertificates() *Document {
	d := &Document{Kind: "certificates", Title: "Certificates", Columns: columns("subject_name", "alternative_names", "issuer", "extended_key_usage", "assigned_to", "comments")}
	for _, c := range p.Certificates() {
		usage, comment := "server authentication", ""
		switch c.Use {
		case cert.UseEdgeExternal:
			usage, comment = usage+", client authentication", "the same certificate and key on every member"
		case cert.UseEdgeInternal:
			usage += ", client authentication"
		case cert.UseProxy:
		default:
			continue
		}
		d.add(c.Request.Subject, strings.Join(c.Request.Names, ", "), c.Issuer, usage, fmt.Sprintf("%s, %s", c.Machine, c.Use), comment)
	}
	return d
}

// firewallColumns are those of the planning tool, with the boundary and the row of the port plan.
func firewallColumns() []Column {
	return columns("boundary", "role", "source_address", "source_port", "destination_address", "destination_port", "transport",
		"application_protocol", "direction", "row", "notes")
}

func (d *Document) addFlow(f Flow) {
	direction := "out"
	if f.Inward() {
		direction = "in"
	}
	side := func(p Party, text string) string {
		if text == "any" || p.Name == text {
			return p.Name
		}
		return p.Name + ": " + text
	}
	d.add(f.Boundary(), f.To.Role, side(f.From, source(f)), "any", side(f.To, f.To.Addresses()), f.Ports, f.Transport, f.Protocol, direction, f.Row, f.Note)
}

func (p *Plan) edgeFirewall() *Document {
	d := &Document{Kind: "edge-firewall", Title: "Firewall", Columns: firewallColumns()}
	for _, b := range []Boundary{PerimeterExternal, InternalPerimeter} {
		for _, f := range p.Flows {
			if f.Boundary() == b {
				d.addFlow(f)
			}
		}
	}
	return d
}

func (p *Plan) edgeDNS() *Document {
	d := &Document{Kind: "edge-dns", Title: "DNS", Columns: columns("zone", "record_type", "fqdn", "address", "comments")}
	for _, r := range p.Records() {
		value := r.Value
		if r.Port != 0 {
			value = fmt.Sprintf("%s, port %d", r.Value, r.Port)
		}
		d.add(r.View, r.Type, r.Name, value, strings.TrimSpace(r.Need+", "+r.Note))
	}
	return d
}

// SiteFirewalls are the firewall reports of the sites: the flows that begin or end there.
func (p *Plan) SiteFirewalls() []*Document {
	t := p.Topology.Topology()
	var out []*Document
	for i := range t.Sites {
		s := &t.Sites[i]
		d := &Document{Kind: "site-firewall", Title: s.Name, Columns: firewallColumns()}
		at := func(q Party) bool {
			return q.Site == s.Name || q.Site == "" && q.Zone != "" && (q.Zone == s.Zone || q.Zone == s.Perimeter)
		}
		for _, b := range Boundaries() {
			for _, f := range p.Flows {
				if f.Boundary() == b && (at(f.From) || at(f.To)) {
					d.addFlow(f)
				}
			}
		}
		out = append(out, d)
	}
	return out
}

// PortsInto lists what a router lets through to the machines of a party in short form, "tcp 443, 5061; udp 3478".
func (p *Plan) PortsInto(keep func(Flow) bool) string {
	ranges := map[string][]Range{}
	for _, f := range p.Flows {
		if keep(f) && !slices.Contains(ranges[f.Transport], f.Ports) {
			ranges[f.Transport] = append(ranges[f.Transport], f.Ports)
		}
	}
	var parts []string
	for _, t := range []string{"tcp", "udp"} {
		list := ranges[t]
		if len(list) == 0 {
			continue
		}
		slices.SortFunc(list, func(a, b Range) int { return int(a.First) - int(b.First) })
		words := make([]string, len(list))
		for i, r := range list {
			words[i] = r.String()
		}
		parts = append(parts, t+" "+strings.Join(words, ", "))
	}
	return strings.Join(parts, "; ")
}
