package plan

import (
	"net/netip"
	"strings"
	"testing"

	"parley/internal/topology"
)

func wish(users int, features ...topology.Feature) Wish {
	return Wish{Name: "Test", Domains: []topology.FQDN{"example.test", "example.org"}, Site: "main", Users: users, RemoteUsers: users / 4, Features: features,
		Inside: netip.MustParsePrefix("10.0.0.0/16"), Perimeter: netip.MustParsePrefix("172.16.0.0/24"), Public: netip.MustParsePrefix("198.51.100.0/25")}
}

// TestDesignIsSound designs many deployments: each must pass the checks, be written and read back, and be planned.
func TestDesignIsSound(t *testing.T) {
	all := topology.Features{}
	for _, f := range topology.AllFeatures() {
		if f != topology.AdmissionControl { // needs a network model, which nobody is asked for
			all = append(all, f)
		}
	}
	for name, features := range map[string]topology.Features{
		"messages": {}, "meetings": {topology.Conferencing, topology.AudioVideo}, "telephone": {topology.Voice},
		"outside": {topology.Conferencing, topology.RemoteAccess, topology.Mobility}, "all": all,
	} {
		for _, users := range []int{1, 150, 2500, 2501, 20_000, 80_000} {
			for _, variant := range []int{0, 1, 2, 3} {
				w := wish(users, features...)
				w.Available, w.Translated = variant&1 != 0, variant&2 != 0
				if variant == 3 {
					w.Branches = []BranchWish{{"harbour", 100, netip.MustParsePrefix("10.2.0.0/24")}, {"Air port", 1500, netip.MustParsePrefix("10.3.0.0/24")}}
				}
				topo, err := Design(w)
				if err != nil {
					t.Fatalf("%s, %d users: %v", name, users, err)
				}
				text := topology.Format(topo)
				s, err := topology.Parse("designed", text)
				if err != nil {
					t.Fatalf("%s, %d users: %v\n%s", name, users, err, text)
				}
				if problems := s.Validate(); topology.Failed(problems) {
					t.Errorf("%s, %d users, variant %d: %v", name, users, variant, problems)
				}
				p := Resolve(s)
				for _, fw := range append(p.Routers(), p.HostFirewalls()...) {
					if len(fw.Missing) > 0 {
						t.Errorf("%s, %d users: %s: %v", name, users, fw.Name, fw.Missing)
					}
				}
				for _, f := range p.Figures() {
					if f.Verdict == "too much" && f.Item != "users with one Front End lost" {
						t.Errorf("%s, %d users: %s: %s %s of %s", name, users, f.Subject, f.Item, f.Value, f.Limit)
					}
				}
			}
		}
	}
}

func TestDesignRefuses(t *testing.T) {
	for want, change := range map[string]func(*Wish){
		"SIP domain":     func(w *Wish) { w.Domains = nil },
		"how many users": func(w *Wish) { w.Users = 0 },
		"several sites":  func(w *Wish) { w.Users = 80_001 },
		"overlap":        func(w *Wish) { w.Perimeter = netip.MustParsePrefix("10.0.3.0/24") },
		"too small":      func(w *Wish) { w.Public = netip.MustParsePrefix("198.51.100.0/30") },
		"needs a perime": func(w *Wish) { w.Perimeter = netip.Prefix{} },
		"branch carries": func(w *Wish) {
			w.Branches = []BranchWish{{"b", 6000, netip.MustParsePrefix("10.9.0.0/24")}}
		},
		"needs a network": func(w *Wish) { w.Branches = []BranchWish{{"b", 60, netip.Prefix{}}} },
	} {
		w := wish(100, topology.RemoteAccess)
		change(&w)
		if _, err := Design(w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a refusal that says %q, got %v", want, err)
		}
	}
}
