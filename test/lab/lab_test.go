package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/plan"
	"parley/internal/plan/render/nftables"
	"parley/internal/probe"
	"parley/internal/topology"
	"parley/test/parleytest"
)

// childEnv makes the test program a prober: one job on each line of standard input, one answer on each of output.
const childEnv = "PARLEY_LAB_PROBER"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		prober()
		return
	}
	parleytest.Main(m)
}

type job struct {
	Local   netip.Addr
	Timeout time.Duration
	Probes  []probe.Probe
}

func prober() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var j job
		if in.Decode(&j) != nil {
			return
		}
		r := probe.Runner{Local: j.Local, Timeout: j.Timeout, Parallel: 64, Strict: true}
		if out.Encode(r.Run(context.Background(), j.Probes, nil)) != nil {
			return
		}
	}
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	stop := t.Skipf
	if os.Getenv("PARLEY_CI") == "1" {
		stop = t.Fatalf
	}
	for _, name := range append(tools, "ip", "nft") {
		if _, err := exec.LookPath(name); err != nil {
			stop("%s is missing", name)
		}
	}
	if out, err := exec.Command("unshare", "-n", "nft", "list", "ruleset").CombinedOutput(); err != nil {
		stop("no network namespaces: %v %s", err, out)
	}
}

// vantage is a place from which is probed.
type vantage struct {
	machine string
	addr    string
	probes  []probe.Probe
	in      *json.Encoder
	out     *json.Decoder
}

func (v *vantage) run(t *testing.T, probes []probe.Probe, timeout time.Duration) []probe.Result {
	t.Helper()
	if err := v.in.Encode(job{netip.MustParseAddr(v.addr), timeout, probes}); err != nil {
		t.Fatal(err)
	}
	var results []probe.Result
	if err := v.out.Decode(&results); err != nil {
		t.Fatalf("prober in %s: %v", v.machine, err)
	}
	return results
}

// world is the lab with the plan that is proved in it.
type world struct {
	*Net
	plan      *plan.Plan
	firewalls map[string]*plan.Firewall // by name
	at        map[string]string         // machine of a firewall
	vantages  []*vantage
}

var addresses = map[string]string{
	"ext": "198.51.100.10", "client": "10.80.0.50", "client2": "10.80.0.51", "far": "10.81.0.50", "far2": "10.81.0.51",
	"fe": "10.80.0.11", "gw": "10.80.0.21", "dhcp": "10.80.0.2", "admin": "10.80.0.3", "sba": "10.81.0.11", "fargw": "10.81.0.21",
}

func build(t *testing.T) *world {
	t.Helper()
	text, err := os.ReadFile("lab.toml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Parse("lab.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if problems := s.Validate(); topology.Failed(problems) {
		t.Fatal(problems)
	}
	n, err := New("inside", "branch", "dmz-in", "dmz-out", "world")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Net: n, plan: plan.Resolve(s), firewalls: map[string]*plan.Firewall{}, at: map[string]string{
		"outer-perimeter": "outer", "inner-perimeter": "inner", "branch-harbour": "wan",
		"host-fe.example.test": "fe", "host-sba.example.test": "sba", "host-edge.example.test": "edge",
	}}
	machine := func(name string, ports []Port, routes ...string) {
		t.Helper()
		if err := n.Machine(name, ports, routes...); err != nil {
			t.Fatal(err)
		}
	}
	const toInside, toBranch = "10.80.0.0/24 via 10.82.0.1", "10.81.0.0/24 via 10.82.0.1"
	machine("outer", []Port{{"world", "198.51.100.1/24"}, {"dmz-out", "203.0.113.1/28"}}, "10.80.0.0/14 via 203.0.113.2")
	machine("inner", []Port{{"inside", "10.80.0.1/24"}, {"dmz-in", "10.82.0.1/24"}}, "10.81.0.0/24 via 10.80.0.254", "203.0.113.5/32 via 10.82.0.5", "203.0.113.0/28 via 10.82.0.2", "198.51.100.0/24 via 10.82.0.2")
	machine("wan", []Port{{"inside", "10.80.0.254/24"}, {"branch", "10.81.0.1/24"}}, "default via 10.80.0.1")
	machine("edge", []Port{{"dmz-in", "10.82.0.2/24"}, {"dmz-out", "203.0.113.2/28 203.0.113.3/28 203.0.113.4/28"}}, "default via 203.0.113.1", toInside, toBranch)
	machine("proxy", []Port{{"dmz-in", "10.82.0.5/24"}, {"dmz-out", "203.0.113.5/28"}}, "default via 203.0.113.1", toInside, toBranch)
	// Whoever is outside knows a way to everything, and everything knows the way back: only rules keep it out.
	machine("ext", []Port{{"world", addresses["ext"] + "/24"}}, "default via 198.51.100.1")
	for _, name := range []string{"fe", "gw", "dhcp", "admin", "client", "client2"} {
		machine(name, []Port{{"inside", addresses[name] + "/24"}}, "default via 10.80.0.1", "10.81.0.0/24 via 10.80.0.254")
	}
	for _, name := range []string{"sba", "fargw", "far", "far2"} {
		machine(name, []Port{{"branch", addresses[name] + "/24"}}, "default via 10.81.0.1")
	}
	for _, fw := range append(w.plan.Routers(), w.plan.HostFirewalls()...) {
		w.firewalls[fw.Name] = fw
		w.load(t, fw)
	}
	if len(w.firewalls) != len(w.at) {
		t.Fatalf("the plan has firewalls %v", slices.Sorted(maps.Keys(w.firewalls)))
	}
	return w
}

func (w *world) load(t *testing.T, fw *plan.Firewall) {
	t.Helper()
	rules := nftables.Router(fw)
	if fw.Host != nil {
		rules = nftables.Host(fw)
	}
	if err := w.Load(w.at[fw.Name], rules); err != nil {
		t.Fatal(err)
	}
}

// places are all addresses from which something may be opened, by machine.
func places() map[string][]string {
	out := map[string][]string{"edge": {"10.82.0.2", "203.0.113.2", "203.0.113.4"}, "proxy": {"10.82.0.5"}}
	for machine, a := range addresses {
		out[machine] = []string{a}
	}
	return out
}

// probers starts a prober for each address of places. peers are machines that stand for the clients of a zone.
func (w *world) probers(t *testing.T, places map[string][]string, peers map[string]string, opt probe.Options) {
	t.Helper()
	for zone, a := range peers {
		z, _ := w.plan.Topology.Zone(zone)
		opt.Peers = append(opt.Peers, probe.Peer{Name: "a machine in " + zone, Zone: z, Address: netip.MustParseAddr(a)})
	}
	for machine, list := range places {
		for _, a := range list {
			w.vantages = append(w.vantages, &vantage{machine: machine, addr: a})
		}
	}
	slices.SortFunc(w.vantages, func(a, b *vantage) int { return strings.Compare(a.machine+a.addr, b.machine+b.addr) })
	for _, v := range w.vantages {
		a := netip.MustParseAddr(v.addr)
		v.probes = probe.Select(w.plan, probe.Vantage{Zone: w.plan.Topology.ZoneOf(a), Address: a}, opt)
		cmd := w.Command(v.machine, os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=1")
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		v.in, v.out = json.NewEncoder(in), json.NewDecoder(out)
		t.Cleanup(func() {
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("prober in %s: %v", v.machine, err)
			}
		})
	}
}

// failures runs all probes from all places, and once more, slowly, what failed and should not: the machine may be busy.
func (w *world) failures(t *testing.T, keep func(probe.Probe) bool, expected map[string]bool) []probe.Result {
	t.Helper()
	lists := make([][]probe.Result, len(w.vantages))
	var wg sync.WaitGroup
	for i, v := range w.vantages {
		wg.Go(func() {
			var mine, again []probe.Probe
			for _, p := range v.probes {
				if keep(p) {
					mine = append(mine, p)
				}
			}
			for _, r := range v.run(t, mine, 400*time.Millisecond) {
				switch {
				case !r.Failed():
				case expected[key(v.machine+" "+v.addr, r.Probe)]:
					lists[i] = append(lists[i], r)
				default:
					again = append(again, r.Probe)
				}
			}
			if len(again) > 0 {
				lists[i] = append(lists[i], v.run(t, again, 10*time.Second)...)
			}
		})
	}
	wg.Wait()
	var out []probe.Result
	for i, list := range lists {
		for _, r := range list {
			if r.Failed() {
				r.Detail = w.vantages[i].machine + " " + w.vantages[i].addr
				out = append(out, r)
			}
		}
	}
	return out
}

func describe(r probe.Result) string {
	return fmt.Sprintf("from %s to %s %s %s %d (%s): %s: %s", r.Detail, r.Host, r.Address, r.Transport, r.Port, strings.Join(r.Rows, " "), r.Outcome, r.Reason())
}

func allowed(p probe.Probe) bool { return p.Allowed }

// TestPlanInTheLab proves the rules of the plan: what it allows passes, samples of what it does not allow do not, and
// without any one rule exactly those probes fail that name it.
func TestPlanInTheLab(t *testing.T) {
	need(t)
	w := build(t)
	w.probers(t, places(), map[string]string{"outside": addresses["ext"], "inside": addresses["client2"], "harbour": addresses["far2"]},
		probe.Options{WayOnly: true, Denied: 6, HostFirewalls: true})
	total, rules := 0, 0
	for _, v := range w.vantages {
		total += len(v.probes)
	}
	for _, r := range w.failures(t, func(probe.Probe) bool { return true }, nil) {
		t.Error(describe(r))
	}
	if t.Failed() {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(w.firewalls)) {
		fw := w.firewalls[name]
		for _, r := range fw.Rules {
			if r.Local {
				continue
			}
			rules++
			w.remove(t, fw, r.ID)
			want := map[string]bool{}
			for _, v := range w.vantages {
				for _, p := range v.probes {
					if p.Allowed && p.Names(name, r.ID) {
						want[key(v.machine+" "+v.addr, p)] = true
					}
				}
			}
			if len(want) == 0 {
				t.Errorf("%s: no probe needs %s", name, r.Label(100))
			}
			for _, f := range w.failures(t, allowed, want) {
				k := key(f.Detail, f.Probe)
				if !want[k] {
					t.Errorf("%s without %s: also fails: %s", name, r.Label(100), describe(f))
				}
				delete(want, k)
			}
			for k := range want {
				t.Errorf("%s without %s: still passes: %s", name, r.Label(100), k)
			}
			w.load(t, fw)
		}
	}
	t.Logf("%d probes from %d places, %d rules", total, len(w.vantages), rules)
}

func key(from string, p probe.Probe) string {
	return fmt.Sprintf("%s > %s %s %d", from, p.Address, p.Transport, p.Port)
}

var handle = regexp.MustCompile(`comment "(r\d+) .*# handle (\d+)`)

// remove deletes a rule from a loaded firewall.
func (w *world) remove(t *testing.T, fw *plan.Firewall, id string) {
	t.Helper()
	machine, chain := w.at[fw.Name], "forward"
	if fw.Host != nil {
		chain = "input"
	}
	out, err := w.Command(machine, "nft", "-a", "list", "chain", "inet", "parley", chain).Output()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range handle.FindAllStringSubmatch(string(out), -1) {
		if m[1] == id {
			found = true
			if err := w.In(machine, "nft delete rule inet parley "+chain+" handle "+m[2]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !found {
		t.Fatalf("%s is not loaded on %s:\n%s", id, fw.Name, out)
	}
}

// TestScan lets nmap look at every machine from every zone: it must find no way that the plan does not name.
func TestScan(t *testing.T) {
	need(t, "nmap")
	w := build(t)
	targets := map[string]string{"10.80.0.11": "fe.example.test", "10.81.0.11": "sba.example.test", "10.82.0.2": "edge.example.test",
		"203.0.113.2": "edge.example.test", "203.0.113.3": "edge.example.test", "203.0.113.4": "edge.example.test", "203.0.113.5": ""}
	// Two zones at the same time: most of a scan is waiting. More would lose packets on a small machine.
	var wg sync.WaitGroup
	free := make(chan struct{}, 2)
	for _, from := range []string{"client", "ext", "far", "proxy"} {
		source := netip.MustParseAddr("10.82.0.5")
		if from != "proxy" {
			source = netip.MustParseAddr(addresses[from])
		}
		list := slices.Sorted(maps.Keys(targets))
		if from == "proxy" {
			list = slices.DeleteFunc(list, func(s string) bool { return s == "203.0.113.5" })
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			for _, transport := range []string{"tcp", "udp"} {
				all, err := scan(w, from, transport, list)
				if err != nil {
					t.Errorf("nmap from %s: %v", from, err)
					return
				}
				for _, target := range list {
					w.judge(t, from, source, target, targets[target], transport, all[target])
				}
			}
		})
	}
	wg.Wait()
}

// judge compares what a scan found with the rules of the firewalls on the way.
func (w *world) judge(t *testing.T, from string, source netip.Addr, target, host, transport string, found map[uint16]string) {
	to, src := netip.MustParseAddr(target), source
	if from == "proxy" && strings.HasPrefix(target, "203.") {
		src = netip.MustParseAddr("203.0.113.5") // the leg on the same segment
	}
	path := w.plan.Path(w.plan.Topology.ZoneOf(source), w.plan.Topology.ZoneOf(to))
	if host != "" {
		path = append(path, "host-"+host)
	}
	for port, state := range found {
		for _, fw := range path {
			if !slices.ContainsFunc(w.firewalls[fw].Rules, func(r plan.Rule) bool { return !r.Local && r.Matches(src, to, transport, port) }) {
				t.Errorf("from %s: %s %s %d is %s, and %s has no rule for it", from, target, transport, port, state, fw)
				break
			}
		}
	}
	t.Logf("from %s to %s: %d %s ports pass", from, target, len(found), transport)
}

// scan returns for each target the ports from which something came back, with their state: all of TCP, and those of UDP
// on which something usually is, because silence takes long to tell from silence.
func scan(w *world, from, transport string, targets []string) (map[string]map[uint16]string, error) {
	args := []string{"nmap", "-n", "-Pn", "--max-retries", "0", "--min-rate", "20000", "-oX", "-"}
	if transport == "tcp" {
		args = append(args, "-sS", "-p-")
	} else {
		args = append(args, "-sU", "--top-ports", "200")
	}
	out, err := w.Command(from, append(args, targets...)...).Output()
	if err != nil {
		return nil, err
	}
	var doc struct {
		Hosts []struct {
			Addresses []struct {
				Addr string `xml:"addr,attr"`
				Type string `xml:"addrtype,attr"`
			} `xml:"address"`
			Extra []struct {
				State   string `xml:"state,attr"`
				Reasons []struct {
					Ports string `xml:"ports,attr"`
				} `xml:"extrareasons"`
			} `xml:"ports>extraports"`
			Ports []struct {
				ID    uint16 `xml:"portid,attr"`
				State struct {
					State string `xml:"state,attr"`
				} `xml:"state"`
			} `xml:"ports>port"`
		} `xml:"host"`
	}
	if err := xml.NewDecoder(bytes.NewReader(out)).Decode(&doc); err != nil {
		return nil, err
	}
	if len(doc.Hosts) != len(targets) {
		return nil, fmt.Errorf("saw %d of %d hosts:\n%s", len(doc.Hosts), len(targets), out)
	}
	came := func(state string) bool { return state == "open" || state == "closed" || state == "unfiltered" }
	all := map[string]map[uint16]string{}
	for _, h := range doc.Hosts {
		found := map[uint16]string{}
		for _, a := range h.Addresses {
			if a.Type == "ipv4" {
				all[a.Addr] = found
			}
		}
		for _, p := range h.Ports {
			if came(p.State.State) {
				found[p.ID] = p.State.State
			}
		}
		for _, e := range h.Extra {
			for _, r := range e.Reasons {
				if came(e.State) {
					if err := eachPort(r.Ports, func(port uint16) { found[port] = e.State }); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return all, nil
}

// eachPort calls f with the ports of a list such as "1-79,81".
func eachPort(list string, f func(uint16)) error {
	for part := range strings.SplitSeq(list, ",") {
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("list of ports %q: %w", list, err)
		}
		for p := a; p <= b; p++ {
			f(uint16(p))
		}
	}
	return nil
}
