// Package probe proves a plan: from where it runs it tries the flows that the plan allows from there, and samples some
// that it does not allow. What fails is reported with the firewall rule that should have let it through.
//
// A probe knows three ends. It is answered, it is refused (the way is open and nobody listens), or nothing comes back.
package probe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/plan"
	"parley/internal/porttable"
	"parley/internal/topology"
)

// Method is how a port is asked.
type Method string

// The methods. Those of services are tried in place of a mere connection unless only ways are of interest.
const (
	Connect Method = "connect" // TCP connection, or a UDP packet that any server may answer
	TLS     Method = "tls"     // handshake, name and expiry of the certificate
	SIP     Method = "sip"     // OPTIONS over TCP
	SIPS    Method = "sips"    // OPTIONS over TLS
	HTTP    Method = "http"    // HEAD
	HTTPS   Method = "https"   // HEAD over TLS
	STUN    Method = "stun"    // binding request (RFC 8489)
	SSRP    Method = "ssrp"    // instance of a database server
	DHCP    Method = "dhcp"    // DHCPINFORM (RFC 2131)
)

// Probe is one thing to try.
type Probe struct {
	Rows      []string   `json:"rows,omitempty"` // of the plan; none when it is not allowed
	Host      string     `json:"host"`
	Address   netip.Addr `json:"address"`
	Transport string     `json:"transport"`
	Port      uint16     `json:"port"`
	Method    Method     `json:"method"`
	Allowed   bool       `json:"allowed"`
	// WayOnly takes a refusal for success, since it proves the way: media ports have a listener during a call only.
	WayOnly bool `json:"wayOnly,omitempty"`
	// NotYet takes a refusal for success too: this version has nothing that listens there.
	NotYet bool `json:"notYet,omitempty"`
	// Rules lets the probe through, by firewall on the way; for what is not allowed, the firewalls that must stop it.
	Rules []Crossing `json:"rules,omitempty"`
}

// Crossing is a firewall on the way of a probe.
type Crossing struct {
	Firewall string   `json:"firewall"`
	Rules    []string `json:"rules,omitempty"` // ids of the rules that match, none when nothing matches
	Label    string   `json:"label,omitempty"` // the first of them with its rows
}

// Names reports whether a rule of a firewall is the only one there that lets the probe through.
func (p Probe) Names(firewall, rule string) bool {
	return slices.ContainsFunc(p.Rules, func(c Crossing) bool {
		return c.Firewall == firewall && len(c.Rules) == 1 && c.Rules[0] == rule
	})
}

// Vantage is where probes run.
type Vantage struct {
	Zone    *topology.Zone
	Address netip.Addr
}

// Options say what is tried.
type Options struct {
	Hosts  []string // only these; none is all
	Denied int      // ports for each address that must not be reachable
	// HostFirewalls expects machines to filter too, so that what no rule of a machine allows is sampled also within
	// its zone.
	HostFirewalls bool
	WayOnly       bool // ask no service, only find out whether packets pass
	Itself        bool // a server also asks its own services, as a client beside it would
	// Peers stand for clients and for the outside, of which a plan knows networks only.
	Peers []Peer
}

// Peer is a machine that stands for all others in its zone.
type Peer struct {
	Name    string
	Zone    *topology.Zone
	Address netip.Addr
}

// Select lists the probes of a plan from a place, the allowed ones first.
func Select(p *plan.Plan, from Vantage, opt Options) []Probe {
	s := &selector{p: p, from: from, opt: opt, firewalls: map[string]*plan.Firewall{}, index: map[string]int{}}
	for _, fw := range p.Routers() {
		s.firewalls[fw.Name] = fw
	}
	for _, fw := range p.HostFirewalls() {
		s.firewalls[fw.Name] = fw
	}
	// What a machine sends to itself meets no firewall.
	if !opt.Itself {
		s.own = []netip.Addr{from.Address}
		for _, m := range p.Topology.Machines() {
			if all := addressesOf(m); slices.Contains(all, from.Address) {
				s.own = append(s.own, all...)
			}
		}
	}
	for _, f := range p.FlowsFrom(from.Zone, from.Address) {
		for _, h := range f.To.Hosts {
			for _, a := range h.Addresses {
				for _, port := range ends(f.Ports) {
					s.allow(f, h.Name, f.To.Zone, a, port)
				}
			}
		}
		for _, peer := range opt.Peers {
			if len(f.To.Hosts) == 0 && p.Reaches(f, peer.Zone, peer.Address) {
				for _, port := range ends(f.Ports) {
					s.allow(f, peer.Name, peer.Zone.Name, peer.Address, port)
				}
			}
		}
	}
	s.deny()
	return s.out
}

type selector struct {
	p         *plan.Plan
	from      Vantage
	opt       Options
	own       []netip.Addr
	firewalls map[string]*plan.Firewall
	index     map[string]int
	out       []Probe
}

// ends are the first and the last port of a range.
func ends(r plan.Range) []uint16 {
	if r.First == r.Last {
		return []uint16{r.First}
	}
	return []uint16{r.First, r.Last}
}

func (s *selector) wanted(host string) bool {
	return len(s.opt.Hosts) == 0 || slices.Contains(s.opt.Hosts, host)
}

func key(a netip.Addr, transport string, port uint16) string {
	return fmt.Sprint(a, " ", transport, " ", port)
}

func (s *selector) allow(f plan.Flow, host, zone string, a netip.Addr, port uint16) {
	if !s.wanted(host) || slices.Contains(s.own, a) || a.Is4() != s.from.Address.Is4() {
		return
	}
	k := key(a, f.Transport, port)
	if i, ok := s.index[k]; ok {
		if !slices.Contains(s.out[i].Rows, f.Row) {
			s.out[i].Rows = append(s.out[i].Rows, f.Row)
		}
		return
	}
	s.index[k] = len(s.out)
	way := s.opt.WayOnly || f.Ports.First != f.Ports.Last && f.Ports.Last-f.Ports.First > 10
	method := Connect
	if !way {
		method = methodOf(f)
	}
	s.out = append(s.out, Probe{Rows: []string{f.Row}, Host: host, Address: a, Transport: f.Transport, Port: port, Method: method, Allowed: true,
		WayOnly: way, Rules: s.crossings(zone, host, a, f.Transport, port)})
}

// crossings lists the firewalls on the way to an address, with the rules there that match.
func (s *selector) crossings(zone, host string, a netip.Addr, transport string, port uint16) []Crossing {
	to, ok := s.p.Topology.Zone(zone)
	if !ok {
		to = s.p.Topology.ZoneOf(a)
	}
	names := s.p.Path(s.from.Zone, to)
	if s.firewalls["host-"+host] != nil {
		names = append(names, "host-"+host)
	}
	var out []Crossing
	for _, n := range names {
		c := Crossing{Firewall: n}
		for _, r := range s.firewalls[n].Rules {
			if !r.Local && r.Matches(s.from.Address, a, transport, port) {
				if c.Rules = append(c.Rules, r.ID); c.Label == "" {
					c.Label = r.Label(200)
				}
			}
		}
		out = append(out, c)
	}
	return out
}

// addressesOf are the addresses of a machine on all sides.
func addressesOf(m *topology.Machine) []netip.Addr {
	out := slices.Clone(m.Addresses)
	if m.Server != nil {
		out = append(out, m.Server.External.All()...)
	}
	return out
}

// deny adds ports that some firewall on the way must stop: ports of the plan that are for others, and ports that
// people forget.
func (s *selector) deny() {
	if s.opt.Denied <= 0 {
		return
	}
	ports := []uint16{22, 23, 80, 111, 135, 139, 389, 443, 445, 636, 1433, 2049, 3306, 3389, 4222, 5432, 5985, 6222, 8443}
	for _, r := range porttable.All() {
		if r.Single() && r.Transports.Has(porttable.TCP) {
			ports = append(ports, r.PortFirst)
		}
	}
	slices.Sort(ports)
	ports = slices.Compact(ports)
	for n, m := range s.p.Topology.Machines() {
		if m.Pool == nil || !s.wanted(string(m.FQDN)) {
			continue
		}
		zone := ""
		if m.Zone != nil {
			zone = m.Zone.Name
		}
		for _, a := range addressesOf(m) {
			left := s.opt.Denied
			// Begin elsewhere for each machine, so that together they cover the list.
			for i := range ports {
				port := ports[(i*7+n*5)%len(ports)]
				if left == 0 {
					break
				}
				if slices.Contains(s.own, a) || a.Is4() != s.from.Address.Is4() {
					break
				}
				if _, taken := s.index[key(a, "tcp", port)]; taken {
					continue
				}
				var stops []Crossing
				for _, c := range s.crossings(zone, string(m.FQDN), a, "tcp", port) {
					if len(c.Rules) == 0 && (s.opt.HostFirewalls || !strings.HasPrefix(c.Firewall, "host-")) {
						stops = append(stops, c)
					}
				}
				if len(stops) == 0 {
					continue
				}
				s.index[key(a, "tcp", port)] = len(s.out)
				s.out = append(s.out, Probe{Host: string(m.FQDN), Address: a, Transport: "tcp", Port: port, Method: Connect, Rules: stops})
				left--
			}
		}
	}
}

// methodOf is how the service of a flow is asked.
func methodOf(f plan.Flow) Method {
	row, known := porttable.ByID(f.Row)
	secure := strings.Contains(f.Protocol, "TLS") || strings.Contains(f.Protocol, "HTTPS")
	if known && row.PortFirst == f.Ports.First {
		secure = row.TLS.Has(porttable.TLS) || row.TLS.Has(porttable.MutualTLS)
	}
	sip := strings.Contains(f.Protocol, "SIP") || known && (strings.Contains(row.Purpose, "SIP") || strings.Contains(f.Row, "-sip-"))
	web := strings.Contains(f.Protocol, "HTTP") && f.Ports.First != 444
	switch {
	case f.Transport == "udp":
		switch f.Ports.First {
		case 3478:
			return STUN
		case 1434:
			return SSRP
		case 67:
			return DHCP
		}
		return Connect
	case web && secure:
		return HTTPS
	case web:
		return HTTP
	case sip && secure:
		return SIPS
	case sip:
		return SIP
	case secure && !strings.Contains(f.Protocol, "STUN"):
		return TLS
	}
	return Connect
}

// Sort orders results for people: what failed first, then by host and port.
func Sort(results []Result) {
	rank := func(r Result) int {
		if r.Failed() {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(results, func(a, b Result) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Port, b.Port))
	})
}
