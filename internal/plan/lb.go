package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/porttable"
	"parley/internal/topology"
)

// Virtual is one service that a load balancer must offer.
type Virtual struct {
	Pool        topology.FQDN
	Name        string // what it is for: "internal web", "external web", "SIP", "edge access"
	Addresses   []netip.Addr
	Port        uint16
	NodePort    uint16
	Members     []Host
	Row         string
	Health      uint16 // port that tells whether a member works
	Persistence string // "source" or "none"
	Note        string
}

// IdleTimeout is how long, in seconds, a balancer must keep a silent TCP connection.
const IdleTimeout = 1800

// Virtuals lists what load balancers must offer, by pool in the order of the document.
func (p *Plan) Virtuals() []Virtual {
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	var out []Virtual
	for i := range r.t.Pools {
		pool := &r.t.Pools[i]
		switch {
		case pool.Kind == topology.Edge && pool.ExternalBalancing() == topology.BalanceHardware:
			out = append(out, r.edgeVirtuals(pool)...)
		case (pool.Kind.FrontEnd() || pool.Kind == topology.Director) && balancedWeb(pool):
			out = append(out, r.webVirtuals(pool)...)
			if balancedSIP(pool) {
				out = append(out, r.sipVirtuals(pool)...)
			}
		case pool.Kind == topology.Mediation && balancedSIP(pool):
			out = append(out, r.virtualOn(pool, "SIP", porttable.HlbMed5070, pool.Virtual, 5070))
		}
	}
	return out
}

func (r *resolver) virtualOn(p *topology.Pool, name, row string, addrs []netip.Addr, health uint16) Virtual {
	port := porttable.MustByID(row).PortFirst
	return Virtual{Pool: p.FQDN, Name: name, Addresses: addrs, Port: port, NodePort: port, Members: r.pool(p).Hosts, Row: row,
		Health: health, Persistence: "none"}
}

// webService is one of the web services of a pool: its row when SIP is balanced by DNS, and when everything
// goes through the balancer.
type webService struct {
	name        string
	port        uint16
	dns, hlb    string
	persistence string
}

var frontEndWeb = []webService{
	{"internal web", 443, porttable.DnslbFe443, porttable.HlbFe443, "source"},
	{"internal web", 80, porttable.DnslbFe80, porttable.HlbFe80, "source"},
	{"external web", 443, porttable.DnslbFe4443, porttable.HlbFe4443, "none"},
	{"external web", 80, porttable.DnslbFe8080, porttable.HlbFe8080, "none"},
}

var directorWeb = []webService{
	{"internal web", 443, porttable.DnslbDir443, porttable.HlbDir443, "source"},
	{"external web", 443, porttable.DnslbDir4443, porttable.HlbDir4443, "none"},
}

// webVirtuals are the web services: internal ones with affinity by source, external ones without any.
func (r *resolver) webVirtuals(p *topology.Pool) []Virtual {
	services := frontEndWeb
	if p.Kind == topology.Director {
		services = directorWeb
	}
	var out []Virtual
	for _, w := range services {
		row := w.dns
		if balancedSIP(p) {
			row = w.hlb
		}
		v := r.virtualOn(p, w.name, row, webAddresses(p), 5061)
		v.Port, v.Persistence = w.port, w.persistence
		if w.name == "external web" {
			// The table has 443 and 80 here. On the address of the internal services these are taken, so external
			// ones are where reverse proxies send to.
			v.Port = v.NodePort
			v.Note = fmt.Sprintf("Listens on %d when it has an address of its own. Keep the host name of the request; balance each request of a connection by itself.", w.port)
		}
		out = append(out, v)
	}
	return out
}

// sipVirtuals are what only the design without DNS balancing puts behind the balancer.
func (r *resolver) sipVirtuals(p *topology.Pool) []Virtual {
	var out []Virtual
	if p.Kind == topology.Director {
		for _, row := range []string{porttable.HlbDir5061, porttable.HlbDir444} {
			out = append(out, r.virtualOn(p, "SIP", row, p.Virtual, 5061))
		}
		return out
	}
	for _, b := range hardwareOnly {
		if b.need == "" || r.has(p, b.need) {
			out = append(out, r.virtualOn(p, "SIP", b.row, p.Virtual, 5061))
		}
	}
	if p.Has(topology.RoleMediation) {
		out = append(out, r.virtualOn(p, "Mediation", porttable.HlbFemed5070, p.Virtual, 5070))
	}
	return out
}

// edgeVirtuals are the outer services of an Edge pool behind a balancer. Only Access and A/V may be balanced
// inside as well, and servers of this product do not need that.
func (r *resolver) edgeVirtuals(p *topology.Pool) []Virtual {
	e := p.EdgeSettings
	_, members := r.outer(p)
	one := func(name, row string, port uint16, s topology.EdgeService, hosts []Host) Virtual {
		return Virtual{Pool: p.FQDN, Name: name, Addresses: s.Virtual, Port: port, NodePort: port, Members: hosts, Row: row, Health: port,
			Persistence: "none", Note: "No address translation; keep the source address; do not coalesce packets."}
	}
	out := []Virtual{
		one("edge access", porttable.CliSip443, e.AccessPort(), e.Access, members.access.Hosts),
		one("edge access", "edge-ext-access-5061-in", 5061, e.Access, members.access.Hosts),
		one("edge web conferencing", porttable.CliPsom443, e.WebConferencePort(), e.WebConference, members.web.Hosts),
		one("edge a/v", porttable.CliTurn443, e.AVPort(), e.AV, members.av.Hosts),
		one("edge a/v", porttable.CliTurn3478, 3478, e.AV, members.av.Hosts),
	}
	if e.AccessPort() == 5061 {
		out = slices.Delete(out, 1, 2)
	}
	return out
}

func (p *Plan) lb() *Document {
	d := &Document{
		Title: "Load balancers",
		Columns: columns("pool", "service", "virtual_address", "port", "node_port", "transport", "members", "health_check", "persistence",
			"row", "notes"),
		Notes: []string{
			"Keep silent TCP connections for 1800 seconds. Direct server return is not supported.",
			"External web names need no affinity; one planning page for mobility asks for affinity by source there and contradicts the page on load balancing, which is followed here.",
		},
	}
	for _, v := range p.Virtuals() {
		var members []string
		for _, h := range v.Members {
			members = append(members, Party{Hosts: []Host{h}}.Addresses())
		}
		virtual := Party{Hosts: []Host{{"not set", v.Addresses}}}.Addresses()
		d.add(v.Pool, v.Name, virtual, v.Port, v.NodePort, v.Transport(), strings.Join(members, ", "), v.Health, v.Persistence, v.Row, v.Note)
	}
	for i := range p.Topology.Topology().Pools {
		pool := &p.Topology.Topology().Pools[i]
		if pool.Balancing == topology.BalanceDNS && len(pool.Servers) > 1 {
			d.Notes = append(d.Notes, "SIP to "+string(pool.FQDN)+" is balanced by DNS: to block a member, remove its address from the pool name and its own record.")
		}
	}
	return d
}

// ipsec resolves the fifteen exceptions: media must not wait for negotiation.
func (p *Plan) ipsec() *Document {
	d := &Document{
		Title:   "IPsec exceptions",
		Columns: columns("rule", "row", "source", "source_address", "source_port", "destination", "destination_address", "destination_port", "transport", "action"),
		Notes: []string{
			"All rules: do not authenticate. Negotiation would delay the opening of media ports.",
			"For application sharing one planning page says UDP as well; the port tables say TCP and are followed.",
			"A rule whose machines are not in the topology is left out.",
		},
	}
	for _, x := range p.Exceptions() {
		for _, t := range x.Transports {
			d.add(x.Rule, x.Row, x.From.Name, x.From.Addresses(), x.SourceText(), x.To.Name, x.To.Addresses(), "any", t, "do not authenticate")
		}
	}
	return d
}

// Exception is one IPsec exception for machines of the topology.
type Exception struct {
	Row, Rule   string
	From, To    Party
	SourcePorts []Range // media ranges of clients; none means any
	Transports  []string
}

// SourceText prints the source ports for people.
func (x Exception) SourceText() string {
	if len(x.SourcePorts) == 0 {
		return "any"
	}
	var parts []string
	for _, r := range x.SourcePorts {
		parts = append(parts, r.String())
	}
	return strings.Join(parts, ", ")
}

// self is the end that the exception is for.
func (x Exception) self() Party {
	if x.From.Name == "any" {
		return x.To
	}
	return x.From
}

// Local lists the addresses of the machines that the exception is for, as seen by themselves.
func (x Exception) Local() []netip.Prefix {
	p := x.self()
	out := slices.Clone(p.Networks)
	for _, h := range p.Hosts {
		for _, a := range h.Addresses {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		}
	}
	return normal(out)
}

// LocalPorts lists the ports of those machines that are exempt; the zero Range is any.
func (x Exception) LocalPorts() []Range {
	if len(x.SourcePorts) == 0 {
		return []Range{{}}
	}
	return x.SourcePorts
}

// ExceptionGroup is the exceptions of one pool, of a host outside the product, or of the clients of a zone.
type ExceptionGroup struct {
	Where      string
	File       string // name for a file without its ending
	Exceptions []Exception
}

// ExceptionsByPlace groups exceptions by the machines that they are for.
func ExceptionsByPlace(all []Exception) []ExceptionGroup {
	index := map[string]int{}
	var out []ExceptionGroup
	for _, x := range all {
		where := strings.TrimSuffix(x.self().Name, " a/v") // the outer side of an Edge is the same machines
		i, ok := index[where]
		if !ok {
			i = len(out)
			index[where] = i
			out = append(out, ExceptionGroup{Where: where, File: fileName("ipsec-" + where)})
		}
		out[i].Exceptions = append(out[i].Exceptions, x)
	}
	return out
}

// Exceptions lists the exceptions that the topology needs, in table order.
func (p *Plan) Exceptions() []Exception {
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	any := Party{Name: "any"}
	var out []Exception
	for _, row := range porttable.InTable(porttable.IPsec) {
		for _, self := range r.exempt(row.ID) {
			x := Exception{Row: row.ID, Rule: row.ServiceText, From: any, To: self, Transports: row.Transports.List()}
			switch {
			case row.ID == porttable.IpsecClients:
				x.From, x.To, x.SourcePorts = self, any, r.clientSource(self)
			case row.Direction == porttable.Outbound:
				x.From, x.To = self, any
			}
			out = append(out, x)
		}
	}
	return out
}

// exempt lists the machines that a row of the IPsec table speaks of.
func (r *resolver) exempt(row string) []Party {
	pools := func(keep func(*topology.Pool) bool) []Party {
		var out []Party
		for _, p := range r.pools(keep) {
			out = append(out, r.pool(p))
		}
		return out
	}
	front := func(f topology.Feature) []Party {
		return pools(func(p *topology.Pool) bool { return p.Kind.FrontEnd() && r.has(p, f) })
	}
	switch row {
	case porttable.IpsecAvEdgeIntIn, porttable.IpsecAvEdgeIntOut:
		return pools(func(p *topology.Pool) bool { return p.Kind == topology.Edge })
	case porttable.IpsecAvEdgeExtIn, porttable.IpsecAvEdgeExtOut:
		var out []Party
		for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind == topology.Edge }) {
			_, members := r.outer(p)
			out = append(out, members.av)
		}
		return out
	case porttable.IpsecMediationIn, porttable.IpsecMediationOut:
		return pools(func(p *topology.Pool) bool { return p.Has(topology.RoleMediation) })
	case porttable.IpsecAttendantIn, porttable.IpsecAttendantOut:
		return front(topology.DialIn)
	case porttable.IpsecAvconfIn, porttable.IpsecAvconfOut:
		return front(topology.AudioVideo)
	case porttable.IpsecAppshareIn, porttable.IpsecAppshareOut:
		return front(topology.AppSharing)
	case porttable.IpsecExchangeIn, porttable.IpsecExchangeOut:
		return r.hosts(topology.UnifiedMessagingHost)
	case porttable.IpsecClients:
		return r.clientZones()
	}
	return nil
}

// clientSource is the ranges of all media of the clients in a zone.
func (r *resolver) clientSource(c Party) []Range {
	var out []Range
	for _, m := range r.clientMedia(c) {
		if !slices.Contains(out, m.ports) {
			out = append(out, m.ports)
		}
	}
	return out
}

// Transport is "tcp", or "udp" for the media relay.
func (v Virtual) Transport() string {
	if v.Row == porttable.CliTurn3478 {
		return "udp"
	}
	return "tcp"
}

// KeepSource reports whether members must see the address of the client: those of an Edge pool must.
func (v Virtual) KeepSource() bool { return strings.HasPrefix(v.Name, "edge") }
