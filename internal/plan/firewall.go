package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/topology"
)

// Firewall is one device that filters: a router between zones, or a machine of the product itself.
type Firewall struct {
	Name  string // "outer-dmz", "inner-dmz", "branch-harbour", "site-inside", "host-fe01.example.test"
	Title string
	Host  *topology.Machine // of a host firewall
	// Near is the zone that a router protects. Of the zone names in its rules, Near is on one side and all
	// others are on the other.
	Near  string
	Rules []Rule
	// Missing lists flows that cannot be written down because a machine has no address in the topology.
	Missing []string
	// Translate maps public addresses to those behind them, on the outer router of an Edge behind NAT.
	Translate []Translation
}

// Translation is one address that a router translates, both ways.
type Translation struct {
	Public, Private netip.Addr
	Name            string
}

// Rule is something that a firewall must let through. Flows that need the same, or a part of the same, share a
// rule: taking a rule away takes away exactly the flows that it stands for.
type Rule struct {
	ID   string   // "r001", unique on its firewall
	Rows []string // of the tables; the addresses and ports are those of the first

	FromZone, ToZone string // empty when the topology has no zones
	From, To         string // in words
	// Sources and Destinations are sorted; none means any address.
	Sources, Destinations []netip.Prefix

	Transport string // "tcp" or "udp"
	Ports     Range
	Protocol  string
	Note      string
	Local     bool // from the machine to itself
}

// Label is the id with the rows, in at most max bytes.
func (r Rule) Label(max int) string {
	out := r.ID
	for i, row := range r.Rows {
		rest := len(r.Rows) - i - 1
		next := out + " " + row
		if len(next)+len(" +99") > max {
			return out + fmt.Sprintf(" +%d", rest+1)
		}
		out = next
	}
	return out
}

// Matches reports whether the rule lets a packet through.
func (r Rule) Matches(from, to netip.Addr, transport string, port uint16) bool {
	return r.Transport == transport && r.Ports.First <= port && port <= r.Ports.Last &&
		contain(r.Sources, from) && contain(r.Destinations, to)
}

func contain(networks []netip.Prefix, a netip.Addr) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Families splits a rule by address family. A side that is any address goes with both.
func (r Rule) Families() (v4, v6 *Rule) {
	pick := func(six bool) *Rule {
		keep := func(in []netip.Prefix) (out []netip.Prefix, ok bool) {
			for _, n := range in {
				if n.Addr().Is6() == six {
					out = append(out, n)
				}
			}
			return out, len(in) == 0 || len(out) > 0
		}
		c := r
		var a, b bool
		c.Sources, a = keep(r.Sources)
		c.Destinations, b = keep(r.Destinations)
		if !a || !b {
			return nil
		}
		return &c
	}
	return pick(false), pick(true)
}

// place is a router without its rules: the zone behind it, and which zones are on the other side.
type place struct {
	name, title string
	near        *topology.Zone
	far         func(topology.ZoneKind) bool
}

// layout lists the routers: for each perimeter one outside and one inside, for each branch its own, and for
// each internal zone its own when there are several.
func (p *Plan) layout() []place {
	zones := p.Topology.Topology().Zones
	internal, external := 0, false
	for i := range zones {
		switch zones[i].Kind {
		case topology.Internal:
			internal++
		case topology.External:
			external = true
		}
	}
	everything := func(topology.ZoneKind) bool { return true }
	var out []place
	for i := range zones {
		z := &zones[i]
		switch z.Kind {
		case topology.Perimeter:
			if external {
				out = append(out, place{"outer-" + z.Name, "Between " + z.Name + " and the outside", z,
					func(k topology.ZoneKind) bool { return k == topology.External }})
			}
			out = append(out, place{"inner-" + z.Name, "Between the inside and " + z.Name, z,
				func(k topology.ZoneKind) bool { return k != topology.External }})
		case topology.Branch:
			out = append(out, place{"branch-" + strings.TrimPrefix(z.Name, "branch-"), "Between " + z.Name + " and everything else", z, everything})
		case topology.Internal:
			if internal > 1 {
				out = append(out, place{"site-" + z.Name, "Between " + z.Name + " and everything else", z, everything})
			}
		}
	}
	return out
}

// Routers lists the firewalls between zones. Their rules are complete: nothing else has to pass for the plan to
// work, name lookups and time apart.
func (p *Plan) Routers() []*Firewall {
	var out []*Firewall
	for _, l := range p.layout() {
		out = append(out, p.router(l))
	}
	return out
}

// Path names the routers that a packet passes between two zones.
func (p *Plan) Path(from, to *topology.Zone) []string {
	if from == nil || to == nil || from == to {
		return nil
	}
	var out []string
	for _, l := range p.layout() {
		if l.near == from && l.far(to.Kind) || l.near == to && l.far(from.Kind) {
			out = append(out, fileName(l.name))
		}
	}
	return out
}

// side is the part of a party that lies in one zone.
type side struct {
	zone     *topology.Zone // nil when not known
	networks []netip.Prefix // none means any address of the zone
}

// sides splits a party by zone. It is not ok when a machine of it has no address.
func (p *Plan) sides(party Party) (out []side, ok bool) {
	zone, known := p.Topology.Zone(party.Zone)
	if party.Any() {
		return []side{{zone: zone}}, true
	}
	add := func(z *topology.Zone, n netip.Prefix) {
		for i := range out {
			if out[i].zone == z {
				out[i].networks = append(out[i].networks, n)
				return
			}
		}
		out = append(out, side{z, []netip.Prefix{n}})
	}
	where := func(a netip.Addr) *topology.Zone {
		if known {
			return zone
		}
		return p.Topology.ZoneOf(a)
	}
	for _, n := range party.Networks {
		add(where(n.Addr()), n.Masked())
	}
	for _, h := range party.Hosts {
		if len(h.Addresses) == 0 {
			return nil, false
		}
		for _, a := range h.Addresses {
			add(where(a), netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		}
	}
	return out, true
}

func (p *Plan) router(l place) *Firewall {
	near, far := l.near, l.far
	fw := &Firewall{Name: fileName(l.name), Title: l.title, Near: near.Name}
	beyond := func(parts []side) (z string, out []netip.Prefix, ok bool) {
		for _, s := range parts {
			if s.zone == nil || s.zone == near || !far(s.zone.Kind) {
				continue
			}
			if z == "" {
				z = s.zone.Name
			}
			if len(s.networks) == 0 {
				return s.zone.Name, nil, true
			}
			out, ok = append(out, s.networks...), true
		}
		return z, out, ok
	}
	within := func(parts []side) ([]netip.Prefix, bool) {
		for _, s := range parts {
			if s.zone == near {
				return s.networks, true
			}
		}
		return nil, false
	}
	for i, f := range p.Flows {
		if f.Local {
			continue
		}
		parts := p.split[i]
		if parts == nil {
			if f.Boundary() != Within && (f.From.Zone == near.Name || f.To.Zone == near.Name) {
				fw.Missing = append(fw.Missing, f.Row+": "+f.From.Name+" to "+f.To.Name)
			}
			continue
		}
		if src, ok := within(parts.from); ok {
			if zone, dst, ok := beyond(parts.to); ok {
				fw.Rules = append(fw.Rules, ruleOf(f, near.Name, zone, src, dst))
			}
		}
		if dst, ok := within(parts.to); ok {
			if zone, src, ok := beyond(parts.from); ok {
				fw.Rules = append(fw.Rules, ruleOf(f, zone, near.Name, src, dst))
			}
		}
	}
	fw.Rules = compact(fw.Rules)
	if far(topology.External) && near.Kind == topology.Perimeter {
		fw.Translate = p.translations(near)
	}
	return fw
}

// translations lists the public addresses of Edges in a zone that are behind NAT.
func (p *Plan) translations(zone *topology.Zone) []Translation {
	var out []Translation
	seen := map[netip.Addr]bool{}
	for _, m := range p.Topology.Machines() {
		if m.Server == nil || m.Zone != zone || m.Pool.Kind != topology.Edge || !m.Pool.EdgeSettings.NAT {
			continue
		}
		e := m.Server.External.Fill()
		pairs := func(service string, public, private []netip.Addr) {
			for i := range min(len(public), len(private)) {
				if !seen[public[i]] {
					seen[public[i]] = true
					out = append(out, Translation{public[i], private[i], string(m.FQDN) + " " + service})
				}
			}
		}
		pairs("access", e.PublicAccess, e.Access)
		pairs("web-conferencing", e.PublicWebConference, e.WebConference)
		pairs("a/v", e.PublicAV, e.AV)
	}
	return out
}

// HostFirewalls lists the firewalls of the machines of the product.
func (p *Plan) HostFirewalls() []*Firewall {
	index := map[string]*Firewall{}
	var out []*Firewall
	for _, m := range p.Topology.Machines() {
		if m.Pool == nil || index[string(m.FQDN)] != nil {
			continue
		}
		fw := &Firewall{Name: fileName("host-" + string(m.FQDN)), Title: string(m.FQDN), Host: m}
		index[string(m.FQDN)] = fw
		out = append(out, fw)
	}
	for i, f := range p.Flows {
		for _, h := range f.To.Hosts {
			fw := index[h.Name]
			if fw == nil {
				continue
			}
			if f.Local {
				fw.Rules = append(fw.Rules, Rule{Rows: []string{f.Row}, From: "itself", To: h.Name, FromZone: f.From.Zone, ToZone: f.To.Zone,
					Transport: f.Transport, Ports: f.Ports, Protocol: f.Protocol, Note: f.Note, Local: true})
				continue
			}
			parts := p.split[i]
			if parts == nil {
				fw.Missing = append(fw.Missing, f.Row+": "+f.From.Name)
				continue
			}
			var src, dst []netip.Prefix
			own := ownAddresses(fw.Host)
			for _, s := range parts.from {
				if len(s.networks) == 0 {
					src = nil
					break
				}
				src = append(src, s.networks...)
			}
			if len(src) > 0 {
				// What the machine sends to itself never leaves it.
				src = slices.DeleteFunc(src, func(n netip.Prefix) bool { return n.IsSingleIP() && slices.Contains(own, n.Addr()) })
				if len(src) == 0 {
					fw.Rules = append(fw.Rules, Rule{Rows: []string{f.Row}, From: "itself", To: h.Name, FromZone: f.From.Zone, ToZone: f.To.Zone,
						Transport: f.Transport, Ports: f.Ports, Protocol: f.Protocol, Note: f.Note, Local: true})
					continue
				}
			}
			for _, a := range h.Addresses {
				dst = append(dst, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			}
			fw.Rules = append(fw.Rules, ruleOf(f, f.From.Zone, f.To.Zone, src, dst))
		}
	}
	for _, fw := range out {
		fw.Rules = compact(fw.Rules)
	}
	return out
}

// ownAddresses are all addresses of a machine.
func ownAddresses(m *topology.Machine) []netip.Addr {
	out := slices.Clone(m.Addresses)
	if m.Server != nil {
		out = append(out, m.Server.External.All()...)
	}
	return out
}

func ruleOf(f Flow, fromZone, toZone string, src, dst []netip.Prefix) Rule {
	return Rule{Rows: []string{f.Row}, FromZone: fromZone, ToZone: toZone, From: f.From.Name, To: f.To.Name,
		Sources: normal(src), Destinations: normal(dst), Transport: f.Transport, Ports: f.Ports, Protocol: f.Protocol, Note: f.Note}
}

// normal sorts networks and drops those that lie in others.
func normal(in []netip.Prefix) []netip.Prefix {
	out := slices.Clone(in)
	slices.SortFunc(out, comparePrefix)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(n netip.Prefix) bool {
		return slices.ContainsFunc(in, func(w netip.Prefix) bool { return w.Bits() < n.Bits() && w.Contains(n.Addr()) })
	})
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// compact joins rules that differ only in their sources, or only in their destinations, leaves out what another
// rule lets through already, and numbers the rest.
func compact(rules []Rule) []Rule {
	service := func(r *Rule) string {
		return strings.Join([]string{r.Transport, r.Ports.String(), fmt.Sprint(r.Local)}, "|")
	}
	rows := func(r *Rule) string { return strings.Join(r.Rows, " ") + "|" + r.ToZone }
	// Equal matches: one rule with the rows of all.
	rules = join(rules, func(r *Rule) string { return service(r) + text(r.Sources) + ">" + text(r.Destinations) }, func(into, r *Rule) {
		into.Rows = addRows(into.Rows, r.Rows)
	})
	// The same conversation from several parties, or to several.
	rules = join(rules, func(r *Rule) string { return service(r) + rows(r) + ">" + text(r.Destinations) }, func(into, r *Rule) {
		into.Sources, into.From = union(into.Sources, r.Sources), and(into.From, r.From)
	})
	rules = join(rules, func(r *Rule) string { return service(r) + rows(r) + text(r.Sources) + ">" }, func(into, r *Rule) {
		into.Destinations, into.To = union(into.Destinations, r.Destinations), and(into.To, r.To)
	})
	out := absorb(rules)
	for i := range out {
		out[i].ID = fmt.Sprintf("r%03d", i+1)
	}
	return out
}

// absorb drops rules that a single other rule covers, which takes over their rows.
func absorb(rules []Rule) []Rule {
	gone := make([]bool, len(rules))
	for i := range rules {
		for j := range rules {
			if i == j || gone[j] || gone[i] || !covers(&rules[j], &rules[i]) {
				continue
			}
			gone[i] = true
			rules[j].Rows = addRows(rules[j].Rows, rules[i].Rows)
		}
	}
	var out []Rule
	for i, r := range rules {
		if !gone[i] {
			out = append(out, r)
		}
	}
	return out
}

func covers(wide, narrow *Rule) bool {
	return wide.Transport == narrow.Transport && wide.Local == narrow.Local &&
		wide.Ports.First <= narrow.Ports.First && narrow.Ports.Last <= wide.Ports.Last &&
		coverAll(wide.Sources, narrow.Sources) && coverAll(wide.Destinations, narrow.Destinations)
}

func coverAll(wide, narrow []netip.Prefix) bool {
	if len(wide) == 0 {
		return true
	}
	for _, n := range narrow {
		if !slices.ContainsFunc(wide, func(w netip.Prefix) bool { return w.Bits() <= n.Bits() && w.Contains(n.Addr()) }) {
			return false
		}
	}
	return len(narrow) > 0
}

// join merges the rules with the same key into the first of them.
func join(rules []Rule, key func(*Rule) string, merge func(into, r *Rule)) []Rule {
	index := map[string]int{}
	var out []Rule
	for i := range rules {
		k := key(&rules[i])
		if at, ok := index[k]; ok {
			merge(&out[at], &rules[i])
			continue
		}
		index[k] = len(out)
		out = append(out, rules[i])
	}
	return out
}

func addRows(into, more []string) []string {
	into = slices.Clip(into)
	for _, r := range more {
		if !slices.Contains(into, r) {
			into = append(into, r)
		}
	}
	return into
}

// union of two sets of networks; no networks at all is everything.
func union(a, b []netip.Prefix) []netip.Prefix {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return normal(slices.Concat(a, b))
}

func and(a, b string) string {
	if a == b || strings.HasSuffix(a, ", "+b) || strings.HasPrefix(a, b+", ") || strings.Contains(a, ", "+b+", ") {
		return a
	}
	return a + ", " + b
}

func text(networks []netip.Prefix) string {
	var b strings.Builder
	for _, n := range networks {
		b.WriteString(n.String())
		b.WriteByte(',')
	}
	return b.String()
}

// FlowsFrom lists the flows that a machine with an address in a zone may open, with the flows' own order.
func (p *Plan) FlowsFrom(zone *topology.Zone, a netip.Addr) []Flow {
	var out []Flow
	for i, f := range p.Flows {
		parts := p.split[i]
		if parts == nil || f.Local {
			continue
		}
		if slices.ContainsFunc(parts.from, func(s side) bool { return (s.zone == zone || s.zone == nil) && contain(s.networks, a) }) {
			out = append(out, f)
		}
	}
	return out
}

// Reaches reports whether a flow may end at an address in a zone.
func (p *Plan) Reaches(f Flow, zone *topology.Zone, a netip.Addr) bool {
	parts, ok := p.sides(f.To)
	return ok && slices.ContainsFunc(parts, func(s side) bool { return (s.zone == zone || s.zone == nil) && contain(s.networks, a) })
}
