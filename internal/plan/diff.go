package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Change is one thing that somebody must do to get from one plan to another: on a firewall, a balancer, a name server.
type Change struct {
	Device string   `json:"device"` // "outer-dmz", "host-fe01.example.test", "balancer of pool01.example.test", "dns external"
	New    bool     `json:"newDevice,omitempty"`
	Gone   bool     `json:"deviceGone,omitempty"`
	Action string   `json:"change"` // "add", "remove", "change"
	Rows   []string `json:"rows,omitempty"`
	// Now and Was are the values: of a rule transport, ports, source and destination, of anything else those of its
	// document. Now is nil for what goes, Was for what comes.
	Now map[string]string `json:"now,omitempty"`
	Was map[string]string `json:"was,omitempty"`

	text string
}

// Changes lists what is different on each device, routers first. Rules that differ in one place only are one change, and
// what stays on one machine is none. Capacity is not part of it.
func Changes(before, after *Plan) ([]Change, error) {
	var out []Change
	old, now := before.firewalls(), after.firewalls()
	for i := range now {
		var was *Firewall
		if j := slices.IndexFunc(old, func(f *Firewall) bool { return f.Name == now[i].Name }); j >= 0 {
			was = old[j]
		}
		out = append(out, ruleChanges(was, now[i])...)
	}
	for i := range old {
		if !slices.ContainsFunc(now, func(f *Firewall) bool { return f.Name == old[i].Name }) {
			out = append(out, ruleChanges(old[i], nil)...)
		}
	}
	for _, d := range compared {
		a, err := before.Document(d.kind)
		if err != nil {
			return nil, err
		}
		b, err := after.Document(d.kind)
		if err != nil {
			return nil, err
		}
		out = append(out, d.changes(a, b)...)
	}
	return out, nil
}

func (p *Plan) firewalls() []*Firewall { return append(p.Routers(), p.HostFirewalls()...) }

// Diff is Changes as a document.
func Diff(before, after *Plan) (*Document, error) {
	changes, err := Changes(before, after)
	if err != nil {
		return nil, err
	}
	d := &Document{Kind: "diff", Title: "Changes", Columns: columns("device", "change", "rows", "what")}
	for _, c := range changes {
		name := c.Device
		switch {
		case c.New:
			name += " (new)"
		case c.Gone:
			name += " (no longer there)"
		}
		d.add(name, c.Action, strings.Join(c.Rows, " "), c.text)
	}
	if len(changes) == 0 {
		d.Notes = append(d.Notes, "Nothing has to change.")
	}
	for _, fw := range after.firewalls() {
		if n := len(fw.Missing); n > 0 {
			d.Notes = append(d.Notes, fmt.Sprintf("%s needs rules for %d flows of machines whose addresses the topology does not have.", fw.Name, n))
		}
	}
	return d, nil
}

// ruleChanges compares a firewall; nil is one that is not there.
func ruleChanges(old, now *Firewall) []Change {
	device := Change{New: old == nil, Gone: now == nil}
	rules := func(fw *Firewall) (out []Rule) {
		if fw == nil {
			return nil
		}
		device.Device = fw.Name
		for _, r := range fw.Rules {
			if !r.Local {
				out = append(out, r)
			}
		}
		return out
	}
	a, b := rules(old), rules(now)
	service := func(r Rule) string { return r.Transport + " " + r.Ports.String() }
	same := func(r Rule) string { return service(r) + text(r.Sources) + ">" + text(r.Destinations) }
	a, b, _ = pair(a, b, same, false)
	var out []Change
	add := func(was, r *Rule) {
		c := device
		switch {
		case was == nil:
			c.Action, c.Rows, c.Now, c.text = "add", r.Rows, r.values(), r.words(nil)
		case r == nil:
			c.Action, c.Rows, c.Was, c.text = "remove", was.Rows, was.values(), was.words(nil)
		default:
			c.Action, c.Rows, c.Now, c.Was, c.text = "change", r.Rows, r.values(), was.values(), r.words(was)
		}
		out = append(out, c)
	}
	for _, round := range []struct {
		key  func(Rule) string
		only bool // when there is just one on either side
	}{
		{func(r Rule) string { return r.Rows[0] + service(r) + ">" + text(r.Destinations) }, false},
		{func(r Rule) string { return r.Rows[0] + service(r) + text(r.Sources) + ">" }, false},
		{func(r Rule) string { return r.Rows[0] + r.Transport + text(r.Sources) + ">" + text(r.Destinations) }, false},
		{func(r Rule) string { return r.Rows[0] + service(r) }, true},
	} {
		var pairs [][2]Rule
		a, b, pairs = pair(a, b, round.key, round.only)
		for _, p := range pairs {
			add(&p[0], &p[1])
		}
	}
	for _, r := range a {
		add(&r, nil)
	}
	for _, r := range b {
		add(nil, &r)
	}
	for _, t := range translated(now, old) {
		c := device
		c.Action, c.Now = "add", t.values()
		c.text = fmt.Sprintf("translate %s to %s and back (%s)", t.Public, t.Private, t.Name)
		out = append(out, c)
	}
	for _, t := range translated(old, now) {
		c := device
		c.Action, c.Was = "remove", t.values()
		c.text = fmt.Sprintf("translate %s to %s and back (%s)", t.Public, t.Private, t.Name)
		out = append(out, c)
	}
	return out
}

// translated are the translations of one firewall that the other does not have.
func translated(fw, other *Firewall) (out []Translation) {
	if fw == nil {
		return nil
	}
	for _, t := range fw.Translate {
		if other == nil || !slices.ContainsFunc(other.Translate, func(o Translation) bool { return o.Public == t.Public && o.Private == t.Private }) {
			out = append(out, t)
		}
	}
	return out
}

func (t Translation) values() map[string]string {
	return map[string]string{"public": t.Public.String(), "private": t.Private.String()}
}

// pair takes those of a and b that have the same key out of both; only asks that there is no choice.
func pair[T any](a, b []T, key func(T) string, only bool) (restA, restB []T, pairs [][2]T) {
	count := map[string]int{}
	for _, list := range [][]T{a, b} {
		here := map[string]int{}
		for _, v := range list {
			here[key(v)]++
		}
		for k, n := range here {
			count[k] = max(count[k], n)
		}
	}
	waiting := map[string][]int{}
	for i, v := range b {
		if k := key(v); !only || count[k] == 1 {
			waiting[k] = append(waiting[k], i)
		}
	}
	taken := map[int]bool{}
	for _, v := range a {
		k := key(v)
		if list := waiting[k]; len(list) > 0 {
			waiting[k] = list[1:]
			taken[list[0]] = true
			pairs = append(pairs, [2]T{v, b[list[0]]})
			continue
		}
		restA = append(restA, v)
	}
	for i, v := range b {
		if !taken[i] {
			restB = append(restB, v)
		}
	}
	return restA, restB, pairs
}

func (r *Rule) values() map[string]string {
	return map[string]string{"transport": r.Transport, "ports": r.Ports.String(), "source": addresses(r.Sources), "destination": addresses(r.Destinations)}
}

func addresses(networks []netip.Prefix) string {
	if len(networks) == 0 {
		return "any"
	}
	var out []string
	for _, n := range networks {
		if n.IsSingleIP() {
			out = append(out, n.Addr().String())
		} else {
			out = append(out, n.String())
		}
	}
	return strings.Join(out, ", ")
}

// words says what a rule lets through, and what is different from an earlier one.
func (r *Rule) words(was *Rule) string {
	s := fmt.Sprintf("%s %s from %s to %s", r.Transport, r.Ports, addresses(r.Sources), addresses(r.Destinations))
	if was != nil {
		var parts []string
		if was.Ports != r.Ports {
			parts = append(parts, was.Ports.String())
		}
		if a := addresses(was.Sources); a != addresses(r.Sources) {
			parts = append(parts, "from "+a)
		}
		if a := addresses(was.Destinations); a != addresses(r.Destinations) {
			parts = append(parts, "to "+a)
		}
		s += "; was " + strings.Join(parts, " ")
	}
	return s + " (" + r.From + " to " + r.To + ")"
}

// comparison says which rows of two documents are about the same thing, and on which device it is.
type comparison struct {
	kind   string
	device func(row map[string]string) string
	key    []string // columns
}

func on(prefix, column string) func(map[string]string) string {
	return func(row map[string]string) string { return prefix + row[column] }
}

var compared = []comparison{
	{"lb", on("balancer of ", "pool"), []string{"pool", "service", "port", "transport"}},
	{"proxy", on("reverse proxy ", "proxy"), []string{"proxy", "names", "path", "from_port"}},
	{"ipsec", func(row map[string]string) string {
		if row["source"] != "any" {
			return "IPsec on " + row["source"]
		}
		return "IPsec on " + row["destination"]
	}, []string{"rule", "source", "destination", "transport"}},
	{"dns", on("dns ", "zone"), []string{"zone", "type", "name"}},
	{"certs", on("certificates of ", "server"), []string{"server", "use"}},
	{"qos", on("marks on ", "where"), []string{"scope", "where", "medium", "transport", "match"}},
}

func (c comparison) changes(before, after *Document) []Change {
	values := func(d *Document) (out []map[string]string) {
		for _, row := range d.Rows {
			v := map[string]string{}
			for i, col := range d.Columns {
				if col.Key != "notes" {
					v[col.Key] = row[i]
				}
			}
			out = append(out, v)
		}
		return out
	}
	all := func(row map[string]string) string {
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(row)) {
			b.WriteString(row[k] + "\x00")
		}
		return b.String()
	}
	same := func(row map[string]string) string {
		var b strings.Builder
		for _, k := range c.key {
			b.WriteString(row[k] + "\x00")
		}
		return b.String()
	}
	a, b, _ := pair(values(before), values(after), all, false)
	a, b, pairs := pair(a, b, same, false)
	var out []Change
	add := func(action string, was, now map[string]string) {
		row := now
		if now == nil {
			row = was
		}
		ch := Change{Device: c.device(row), Action: action, Now: now, Was: was, text: c.describe(after.Columns, row, was, now)}
		if id := row["row"]; id != "" {
			ch.Rows = []string{id}
		}
		out = append(out, ch)
	}
	for _, p := range pairs {
		add("change", p[0], p[1])
	}
	for _, row := range a {
		add("remove", row, nil)
	}
	for _, row := range b {
		add("add", nil, row)
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Compare(a.Device, b.Device) })
	return out
}

// describe prints a row in one line: the values that are set, with the names of their columns. Of a change it says what
// the row is about, what differs, and what that was.
func (c comparison) describe(cols []Column, row, was, now map[string]string) string {
	change := was != nil && now != nil
	var parts []string
	for _, col := range cols {
		v := row[col.Key]
		differs := change && was[col.Key] != v
		if col.Key == "row" || !differs && (v == "" || v == "any" || change && !slices.Contains(c.key, col.Key)) {
			continue
		}
		part := strings.ReplaceAll(col.Key, "_", " ") + " " + cmp.Or(v, "none")
		if differs {
			part += ", was " + cmp.Or(was[col.Key], "none")
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}
