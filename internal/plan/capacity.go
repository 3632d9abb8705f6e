package plan

import (
	"fmt"

	"parley/internal/topology"
)

// The planning figures of the product.
const (
	usersPerFrontEnd = 6660
	usersPerPool     = 80_000
	usersPerStandard = 2500
	remotePerEdge    = 12_000
	callsMediation   = 1500 // stand-alone, no bypass, with hyper-threading
	callsCollocated  = 150
	signedInPercent  = 80
	voicePercent     = 60 // of users
	pstnPercent      = 60 // of voice users
	bypassPercent    = 65 // of their calls
	remotePercent    = 30
	callsPerBusyHour = 4
	minutesPerCall   = 3
	imKbpsPerUser    = 1.3

	conferencePercent = 5
)

// Figure is one line of the capacity plan.
type Figure struct {
	Subject string // site or pool
	Item    string
	Value   string
	Limit   string
	Verdict string // "ok", "too much", or empty
	Note    string
}

// Figures lists what the deployment has to carry and what it can.
func (p *Plan) Figures() []Figure {
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	var out []Figure
	for i := range r.t.Sites {
		out = append(out, r.siteFigures(&r.t.Sites[i])...)
	}
	for i := range r.t.Pools {
		out = append(out, r.poolFigures(&r.t.Pools[i])...)
	}
	return out
}

func verdict(value, limit int) string {
	if value > limit {
		return "too much"
	}
	return "ok"
}

func ceil(a, b int) int { return (a + b - 1) / b }

func (r *resolver) siteFigures(s *topology.Site) []Figure {
	if s.Users == 0 {
		return nil
	}
	f := r.s.FeaturesAt(s)
	subject := "site " + s.Name
	figure := func(item, value, note string) Figure {
		return Figure{Subject: subject, Item: item, Value: value, Note: note}
	}
	n := func(v int) string { return fmt.Sprint(v) }
	signedIn := s.Users * signedInPercent / 100
	out := []Figure{
		figure("users", n(s.Users), ""),
		figure("users signed in", n(signedIn), "80 % of the accounts"),
		figure("messages and presence, Mbit/s", fmt.Sprintf("%.1f", imKbpsPerUser*float64(signedIn)/1000), "1.3 kbit/s for each"),
	}
	if s.Kind == topology.CentralSite && s.Users > usersPerStandard {
		need := ceil(s.Users, usersPerFrontEnd) + 1
		out = append(out, figure("Front Ends wanted", n(need), "6,660 users for each, and one in reserve"))
	}
	if f.Has(topology.Voice) {
		voice := s.Users * voicePercent / 100
		calls := voice * pstnPercent / 100 * callsPerBusyHour * minutesPerCall / 60
		out = append(out,
			figure("voice users", n(voice), "60 % of the accounts"),
			figure("telephone calls at once", n(calls), "60 % of voice users, 4 calls of 3 minutes in the busy hour"),
			figure("of them through Mediation", n(ceil(calls*(100-bypassPercent), 100)), "65 % bypass it where bypass is on"),
			figure("gateway ports", n(ceil(s.Users, 10)), "one for 10 users at medium load; 15 at low, 5 at high"))
	}
	if f.Has(topology.Conferencing) {
		out = append(out, figure("people in meetings at once", n(s.Users*conferencePercent/100), "5 % of the users"))
	}
	if f.Has(topology.RemoteAccess) {
		remote, note := s.RemoteUsers, "as planned"
		if remote == 0 {
			remote, note = signedIn*remotePercent/100, "30 % of those signed in"
		}
		out = append(out, figure("users outside", n(remote), note))
		if s.Kind == topology.CentralSite {
			out = append(out, figure("Edges wanted", n(max(2, ceil(remote, remotePerEdge)+1)), "12,000 users outside for each, and one in reserve"))
		}
	}
	if f.Has(topology.Monitor) {
		out = append(out, figure("records, MB a day", n(s.Users*(49+28)/1024), "49 KB call detail and 28 KB quality for each user"))
	}
	if f.Has(topology.Archiving) {
		out = append(out, figure("archive, MB a day", n(s.Users*57/1024), "57 KB for each user"))
	}
	return out
}

func (r *resolver) poolFigures(p *topology.Pool) []Figure {
	subject := "pool " + string(p.FQDN)
	users := r.s.UsersOf(p)
	n := func(v int) string { return fmt.Sprint(v) }
	var out []Figure
	limit := func(item string, value, max int, note string) {
		out = append(out, Figure{subject, item, n(value), n(max), verdict(value, max), note})
	}
	members := len(p.Servers)
	switch p.Kind {
	case topology.Enterprise:
		most := members * usersPerFrontEnd
		if members >= 12 {
			most = usersPerPool // 80 more than twelve times 6,660: the guide rounds
		}
		limit("users", users, most, "6,660 for each Front End, 80,000 in all")
		if members > 1 {
			limit("users with one Front End lost", users, (members-1)*usersPerFrontEnd, "")
		}
		if q, ok := r.s.Pool(p.Pair); ok {
			limit("users with the partner lost", users+r.s.UsersOf(q), members*usersPerFrontEnd, "both populations on this pool")
		}
		first, keep := Quorum(members)
		out = append(out, Figure{Subject: subject, Item: "Front Ends for the first start", Value: n(first), Limit: n(members)},
			Figure{Subject: subject, Item: "Front Ends to keep working", Value: n(keep), Limit: n(members), Note: quorumNote(members)})
	case topology.Standard:
		limit("users", users, usersPerStandard, "and as many again while its partner is lost")
	case topology.Edge:
		remote := 0
		for i := range r.t.Sites {
			if s := &r.t.Sites[i]; s.Edge == p.FQDN || s.Edge == "" && s.Name == p.Site {
				remote += s.RemoteUsers
			}
		}
		limit("users outside", remote, members*remotePerEdge, "12,000 for each Edge")
	case topology.Mediation:
		out = append(out, Figure{Subject: subject, Item: "calls at once", Limit: n(members * callsMediation), Note: "1,500 for each server with hyper-threading, 1,100 without"})
	case topology.PersistentChat:
		limit("servers", members, 8, "4 of them active, 20,000 users for each")
	case topology.BranchAppliance:
		limit("users", users, 1000, "")
	case topology.BranchServer:
		limit("users", users, 2000, "above that a Standard pool, up to 5,000")
	}
	if p.Kind.FrontEnd() && p.Has(topology.RoleMediation) {
		out = append(out, Figure{Subject: subject, Item: "calls at once through collocated Mediation", Limit: n(members * callsCollocated), Note: "150 for each Front End, without bypass"})
	}
	return out
}

// Quorum says how many Front Ends of a pool must run for its very first start, and for it to keep working.
func Quorum(members int) (first, keep int) {
	table := [][2]int{{0, 0}, {1, 1}, {1, 1}, {3, 2}, {3, 2}, {4, 3}, {5, 3}, {5, 4}, {6, 4}, {7, 4}, {8, 5}, {9, 5}, {10, 5}}
	if members < 0 || members >= len(table) {
		return 0, 0
	}
	return table[members][0], table[members][1]
}

func quorumNote(members int) string {
	switch {
	case members == 2:
		return "two-server pools are discouraged"
	case members == 8 || members == 9:
		return "of the first 7"
	case members >= 10:
		return "of the first 9"
	}
	return ""
}

func (p *Plan) capacity() *Document {
	d := &Document{
		Title:   "Capacity",
		Columns: columns("subject", "item", "value", "limit", "verdict", "notes"),
		Notes:   []string{"The figures are those of the planning guide, for machines with two processors of six cores, 32 GB and 1 Gbit/s."},
	}
	for _, f := range p.Figures() {
		d.add(f.Subject, f.Item, f.Value, f.Limit, f.Verdict, f.Note)
	}
	return d
}
