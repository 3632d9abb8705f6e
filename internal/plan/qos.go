package plan

import (
	"parley/internal/porttable"
	"parley/internal/topology"
)

// Mark is one rule that marks packets.
type Mark struct {
	Where     string // whose packets
	Scope     string // "servers", "edge" or "clients"
	Medium    string
	DSCP      int
	Match     string // "source" or "destination": which port of the packet is in the range
	Ports     Range
	Transport []string
	Row       string
}

// The marks of the product (decimal code points).
const (
	DSCPAudio      = 46
	DSCPVideo      = 34
	DSCPAppSharing = 24
	DSCPFile       = 14
	DSCPPhone      = 40
)

// Marks lists the rules that mark packets: on servers by source port, on the inner side of Edges by
// destination port, on clients by source port when they keep to ranges.
func (p *Plan) Marks() []Mark {
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	both, stream := []string{"udp", "tcp"}, []string{"tcp"}
	var out []Mark
	servers := func(where, scope, match string, m topology.Media, conference bool) {
		out = append(out, Mark{where, scope, "audio", DSCPAudio, match, ports(m.Audio), both, porttable.SrvInternalAudioRange})
		if conference {
			out = append(out, Mark{where, scope, "video", DSCPVideo, match, ports(m.Video), both, porttable.SrvFeAvVideoRange},
				Mark{where, scope, "application sharing", DSCPAppSharing, match, ports(m.AppSharing), stream, porttable.SrvFeAsRange})
		}
	}
	for i := range r.t.Pools {
		pool := &r.t.Pools[i]
		m := r.media(pool)
		switch {
		case pool.Kind.FrontEnd():
			servers(string(pool.FQDN), "servers", "source", m, true)
		case pool.Has(topology.RoleMediation):
			servers(string(pool.FQDN), "servers", "source", m, false)
		case pool.Kind == topology.Edge:
			servers(string(pool.FQDN), "edge", "destination", m, true)
		}
	}
	for _, c := range r.clientZones() {
		m := r.s.ClientMedia(r.siteOf(c.Zone))
		if !m.ClientRangesOn() {
			continue
		}
		out = append(out,
			Mark{c.Name, "clients", "audio", DSCPAudio, "source", ports(m.ClientAudio), both, porttable.CliAudioRange},
			Mark{c.Name, "clients", "video", DSCPVideo, "source", ports(m.ClientVideo), both, porttable.CliVideoRange},
			Mark{c.Name, "clients", "application sharing", DSCPAppSharing, "source", ports(m.ClientAppSharing), stream, porttable.CliAppshareRange},
			Mark{c.Name, "clients", "file transfer", DSCPFile, "source", ports(m.ClientFile), stream, porttable.CliP2pfileRange})
	}
	return out
}

func (p *Plan) qos() *Document {
	d := &Document{
		Title:   "Quality of service",
		Columns: columns("scope", "where", "medium", "dscp", "match", "ports", "transport", "row"),
		Notes:   []string{"Desk phones mark voice themselves, with code point 40 unless their configuration says otherwise."},
	}
	clients := false
	for _, m := range p.Marks() {
		clients = clients || m.Scope == "clients"
		for _, t := range m.Transport {
			d.add(m.Scope, m.Where, m.Medium, m.DSCP, m.Match, m.Ports, t, m.Row)
		}
	}
	if !clients {
		d.Notes = append(d.Notes, "Clients use any port from 1024 up, so their packets cannot be told apart: set client-ranges in [media]. They take a change up when they sign in again.")
	}
	return d
}

// MarkGroup is the marks of one pool, or of the clients of one zone.
type MarkGroup struct {
	Where string
	File  string // name for a file without its ending
	Marks []Mark
}

// MarksByPlace groups marks by whose packets they concern, in their order.
func MarksByPlace(marks []Mark) []MarkGroup {
	var out []MarkGroup
	for _, m := range marks {
		if len(out) == 0 || out[len(out)-1].Where != m.Where {
			out = append(out, MarkGroup{Where: m.Where, File: fileName("qos-" + m.Where)})
		}
		last := &out[len(out)-1]
		last.Marks = append(last.Marks, m)
	}
	return out
}
