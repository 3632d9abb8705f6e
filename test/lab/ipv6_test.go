package lab

import (
	"net/netip"
	"testing"

	"parley/internal/plan"
	"parley/internal/probe"
	"parley/internal/topology"
)

// TestIPv6 proves the IPv6 rules of the sample with branches between a branch and the centre, from its clients and its
// gateway, and of the server's own firewall.
func TestIPv6(t *testing.T) {
	need(t)
	s, err := topology.Load("../../examples/branches.toml")
	if err != nil {
		t.Fatal(err)
	}
	n, err := New("inside", "mill")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Net: n, plan: plan.Resolve(s), firewalls: map[string]*plan.Firewall{},
		at: map[string]string{"branch-mill": "router", "host-fe.example.test": "fe"}}
	where := map[string][]string{}
	here := map[string]bool{}
	for name, m := range map[string]struct{ segment, addr, via string }{
		"fe": {"inside", "2001:db8:70::11", "2001:db8:70::1"}, "client": {"inside", "2001:db8:70::50", "2001:db8:70::1"}, "client2": {"inside", "2001:db8:70::51", "2001:db8:70::1"},
		"gw": {"mill", "2001:db8:71::21", "2001:db8:71::1"}, "far": {"mill", "2001:db8:71::50", "2001:db8:71::1"}, "far2": {"mill", "2001:db8:71::51", "2001:db8:71::1"},
	} {
		if err := n.Machine(name, []Port{{m.segment, m.addr + "/64"}}, "default via "+m.via); err != nil {
			t.Fatal(err)
		}
		where[name] = []string{m.addr}
		here[netip.MustParseAddr(m.addr).String()] = true
	}
	if err := n.Machine("router", []Port{{"inside", "2001:db8:70::1/64"}, {"mill", "2001:db8:71::1/64"}}); err != nil {
		t.Fatal(err)
	}
	for _, fw := range append(w.plan.Routers(), w.plan.HostFirewalls()...) {
		if w.at[fw.Name] != "" {
			w.firewalls[fw.Name] = fw
			w.load(t, fw)
		}
	}
	w.probers(t, where, map[string]string{"inside": "2001:db8:70::51", "mill": "2001:db8:71::51"}, probe.Options{WayOnly: true, Denied: 6, HostFirewalls: true})
	built := func(p probe.Probe) bool { return here[p.Address.String()] }
	allow, deny := 0, 0
	for _, v := range w.vantages {
		for _, p := range v.probes {
			switch {
			case !built(p):
			case p.Allowed:
				allow++
			default:
				deny++
			}
		}
	}
	if allow < 40 || deny < 10 {
		t.Errorf("only %d ways that are allowed and %d that are not", allow, deny)
	}
	for _, r := range w.failures(t, built, nil) {
		t.Error(describe(r))
	}
	// Without the router's rules nothing passes between the zones.
	if err := n.In("router", "nft flush chain inet parley forward"); err != nil {
		t.Fatal(err)
	}
	between := func(p probe.Probe) bool {
		return built(p) && p.Allowed && len(p.Rules) > 0 && p.Rules[0].Firewall == "branch-mill"
	}
	want := map[string]bool{}
	for _, v := range w.vantages {
		for _, p := range v.probes {
			if between(p) {
				want[key(v.machine+" "+v.addr, p)] = true
			}
		}
	}
	for _, r := range w.failures(t, between, want) {
		delete(want, key(r.Detail, r.Probe))
	}
	for k := range want {
		t.Errorf("passes without a rule: %s", k)
	}
}
