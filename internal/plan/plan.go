// Package plan turns a topology and the port table into everything a network team needs: who talks to whom
// on which port and across which boundary, what stands behind which balancer, which names and certificates
// must exist, how packets are marked, and how much the deployment can carry.
//
// One resolver makes the flows; documents are views of them, and printers (render/...) know documents only.
// What is printed, what is opened and what is probed therefore cannot differ. The package is pure: no
// sockets, no clock, no files.
package plan

import (
	"net/netip"
	"slices"
	"strings"

	"parley/internal/porttable"
	"parley/internal/topology"
)

// Plan is a resolved topology. It is immutable.
type Plan struct {
	Topology *topology.Snapshot
	Flows    []Flow

	split []*flowSides // of the flow at the same place, nil when a machine has no address
}

type flowSides struct{ from, to []side }

// Flow is one allowed conversation: who opens it, to whom, on which ports.
type Flow struct {
	Row       string // of the port table, or of the Edge and proxy tables (see Fact)
	From, To  Party
	Transport string // "tcp" or "udp"
	Ports     Range  // of the destination
	Protocol  string // what is spoken
	Note      string // what it is for, or what is special about it
	Local     bool   // stays on one machine: for information
}

// Range is a run of ports.
type Range struct{ First, Last uint16 }

// String is "443" or "50000-59999".
func (r Range) String() string {
	if r.First == r.Last {
		return itoa(r.First)
	}
	return itoa(r.First) + "-" + itoa(r.Last)
}

// Party is one end of a flow: some machines, the addresses in a zone, or anybody.
type Party struct {
	Name  string // "pool01.example.test", "clients in inside", "anyone outside"
	Role  string
	Site  string
	Zone  string
	Kind  topology.ZoneKind
	Hosts []Host // none for a party that is whole networks
	// Networks are the addresses of a party without hosts; none and no hosts means any address.
	Networks []netip.Prefix
	// Outer marks an interface in the perimeter that faces the outside.
	Outer bool
}

// Host is a machine with its addresses in one network.
type Host struct {
	Name      string
	Addresses []netip.Addr
}

// Any reports whether the party is any address of its zone.
func (p Party) Any() bool { return len(p.Hosts) == 0 && len(p.Networks) == 0 }

// Addresses prints the addresses for a rule: hosts, networks, or "any".
func (p Party) Addresses() string {
	var out []string
	for _, h := range p.Hosts {
		for _, a := range h.Addresses {
			out = append(out, a.String())
		}
		if len(h.Addresses) == 0 {
			out = append(out, h.Name)
		}
	}
	for _, n := range p.Networks {
		out = append(out, n.String())
	}
	if len(out) == 0 {
		return "any"
	}
	return strings.Join(out, ", ")
}

// Boundary is what a flow crosses.
type Boundary string

// The boundaries of the firewall report. Within a zone only the firewalls of the hosts themselves matter.
const (
	Within            Boundary = "host"
	BetweenSites      Boundary = "between sites"
	BranchToInternal  Boundary = "branch"
	InternalPerimeter Boundary = "internal to perimeter"
	PerimeterExternal Boundary = "perimeter to external"
	InternalExternal  Boundary = "internal to external"
)

// Boundaries lists them in the order of the report.
func Boundaries() []Boundary {
	return []Boundary{PerimeterExternal, InternalPerimeter, BranchToInternal, BetweenSites, InternalExternal, Within}
}

// Boundary says which firewall a flow crosses.
func (f Flow) Boundary() Boundary {
	a, b := f.From, f.To
	if f.Local || a.Kind == b.Kind && a.Zone == b.Zone {
		return Within
	}
	has := func(k topology.ZoneKind) bool { return a.Kind == k || b.Kind == k }
	switch {
	case has(topology.External) && has(topology.Perimeter):
		return PerimeterExternal
	case has(topology.External):
		return InternalExternal
	case has(topology.Perimeter):
		return InternalPerimeter
	case has(topology.Branch):
		return BranchToInternal
	}
	return BetweenSites
}

// Inward reports whether a flow goes toward the better protected side of its boundary.
func (f Flow) Inward() bool {
	rank := map[topology.ZoneKind]int{topology.External: 0, topology.Perimeter: 1, topology.Branch: 2, topology.Internal: 3}
	return rank[f.To.Kind] >= rank[f.From.Kind]
}

// Resolve makes the plan of a topology. It does not check it: see topology.Snapshot.Validate.
func Resolve(s *topology.Snapshot) *Plan {
	r := &resolver{s: s, t: s.Topology(), seen: map[string]bool{}, parties: map[*topology.Pool]Party{}}
	r.servers()
	r.frontEnds()
	r.directors()
	r.mediation()
	r.branches()
	r.chat()
	r.webApps()
	r.trusted()
	r.edges()
	r.relays()
	r.proxies()
	r.clients()
	p := &Plan{Topology: s, Flows: r.flows, split: make([]*flowSides, len(r.flows))}
	for i, f := range p.Flows {
		from, ok := p.sides(f.From)
		to, ok2 := p.sides(f.To)
		if ok && ok2 {
			p.split[i] = &flowSides{from, to}
		}
	}
	return p
}

// Rows lists the ids that the flows of the plan come from, without repeating one.
func (p *Plan) Rows() []string {
	var out []string
	for _, f := range p.Flows {
		out = append(out, f.Row)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// To lists the flows that end at a machine, in plan order.
func (p *Plan) To(host string) []Flow {
	var out []Flow
	for _, f := range p.Flows {
		if slices.ContainsFunc(f.To.Hosts, func(h Host) bool { return h.Name == host }) {
			out = append(out, f)
		}
	}
	return out
}

// resolver collects flows.
type resolver struct {
	s     *topology.Snapshot
	t     *topology.Topology
	flows []Flow
	seen  map[string]bool

	parties map[*topology.Pool]Party // of pools, made once
}

// flow adds the flows of a row between two parties: one for each transport, on the row's ports.
func (r *resolver) flow(row string, from, to Party, note string) {
	p := porttable.MustByID(row)
	r.on(row, from, to, Range{p.PortFirst, p.PortLast}, note)
}

// on is flow with other ports than those the row prints: a configured range, or a shared address.
func (r *resolver) on(row string, from, to Party, ports Range, note string) {
	p := porttable.MustByID(row)
	if note == "" {
		note = p.Purpose
	}
	protocol := p.Protocol
	if protocol == "" {
		protocol = "HTTPS" // one row leaves the cell empty
	}
	for _, t := range p.Transports.List() {
		r.add(Flow{Row: row, From: from, To: to, Transport: t, Ports: ports, Protocol: protocol, Note: note})
	}
}

// fact adds the flow of a row of the Edge or proxy tables.
func (r *resolver) fact(id string, from, to Party) {
	f := facts[id]
	for _, t := range f.Transports {
		r.add(Flow{Row: id, From: from, To: to, Transport: t, Ports: f.Ports, Protocol: f.Protocol, Note: f.Purpose})
	}
}

// factOn is fact on other ports.
func (r *resolver) factOn(id string, from, to Party, ports Range) {
	f := facts[id]
	for _, t := range f.Transports {
		r.add(Flow{Row: id, From: from, To: to, Transport: t, Ports: ports, Protocol: f.Protocol, Note: f.Purpose})
	}
}

func (r *resolver) add(f Flow) {
	key := strings.Join([]string{f.Row, f.From.Name, f.From.Zone, f.To.Name, f.To.Zone, f.Transport, f.Ports.String()}, "|")
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	r.flows = append(r.flows, f)
}
