package plan

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/internal/porttable"
	"parley/internal/topology"
)

var update = flag.Bool("update", false, "rewrite golden files")

func load(t testing.TB, name string) *Plan {
	t.Helper()
	s, err := topology.Load("../../examples/" + name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	if problems := s.Validate(); topology.Failed(problems) {
		t.Fatal(problems)
	}
	return Resolve(s)
}

func samples(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".toml"))
	}
	return names
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Fatalf("%s differs at line %d (go test ./internal/plan -update rewrites it)\ngot  %s\nwant %s", file, i+1,
					at(a, i), at(b, i))
			}
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// TestEveryRowIsReached lists in which outputs of which sample each of the 106 rows appears, and fails for a
// row that appears in none.
func TestEveryRowIsReached(t *testing.T) {
	found := map[string][]string{}
	for _, name := range samples(t) {
		p := load(t, name)
		for _, kind := range Kinds() {
			d, err := p.Document(kind)
			if err != nil {
				t.Fatal(err)
			}
			column := slices.IndexFunc(d.Columns, func(c Column) bool { return c.Key == "row" })
			if column < 0 {
				continue
			}
			for _, row := range d.Rows {
				where := name + " " + kind
				if id := row[column]; !slices.Contains(found[id], where) {
					found[id] = append(found[id], where)
				}
			}
		}
	}
	var b strings.Builder
	for _, row := range porttable.All() {
		if len(found[row.ID]) == 0 {
			t.Errorf("row %s appears in no output of any sample", row.ID)
		}
		fmt.Fprintf(&b, "%s: %s\n", row.ID, strings.Join(found[row.ID], ", "))
		delete(found, row.ID)
	}
	for _, id := range FactIDs() {
		if len(found[id]) == 0 {
			t.Errorf("row %s appears in no output of any sample", id)
		}
		fmt.Fprintf(&b, "%s: %s\n", id, strings.Join(found[id], ", "))
		delete(found, id)
	}
	for id, where := range found {
		t.Errorf("%v name row %q, which no table has", where, id)
	}
	golden(t, "rows.golden", b.String())
}

// TestFlowsAreSound checks what must hold of every flow of every sample.
func TestFlowsAreSound(t *testing.T) {
	for _, name := range samples(t) {
		p := load(t, name)
		for _, f := range p.Flows {
			where := fmt.Sprintf("%s: %s from %s to %s", name, f.Row, f.From.Name, f.To.Name)
			if f.From.Name == "" || f.To.Name == "" || f.Note == "" || f.Protocol == "" {
				t.Errorf("%s: incomplete: %+v", where, f)
			}
			if f.Ports.First == 0 || f.Ports.Last < f.Ports.First || f.Transport != "tcp" && f.Transport != "udp" {
				t.Errorf("%s: %s %v", where, f.Transport, f.Ports)
			}
			for _, party := range []Party{f.From, f.To} {
				if party.Kind == "" || party.Zone == "" {
					t.Errorf("%s: %s is nowhere", where, party.Name)
				}
				for _, h := range party.Hosts {
					if len(h.Addresses) == 0 {
						t.Errorf("%s: %s has no address", where, h.Name)
					}
					for _, a := range h.Addresses {
						z := p.Topology.ZoneOf(a)
						if z != nil && z.Name != party.Zone && !party.Outer && party.Role != "dns" {
							t.Errorf("%s: %s of %s is in zone %s, not %s", where, a, h.Name, z.Name, party.Zone)
						}
					}
				}
			}
			// Nothing but Edges and proxies talks to the outside.
			if b := f.Boundary(); b == InternalExternal {
				t.Errorf("%s crosses from outside to inside", where)
			}
			// The outside reaches outer interfaces only, and they reach nobody inside.
			if f.From.Kind == topology.External && !f.To.Outer || f.To.Kind == topology.External && !f.From.Outer {
				t.Errorf("%s: the outside meets an inner interface", where)
			}
			if f.From.Outer && f.To.Kind != topology.External {
				t.Errorf("%s: an outer interface opens a connection inside", where)
			}
		}
	}
}

// flows prints the flows that cross a boundary in short form, for comparison with the planning tables.
func flows(p *Plan, keep func(Flow) bool) []string {
	var out []string
	for _, f := range p.Flows {
		if keep(f) {
			out = append(out, fmt.Sprintf("%s %s %s: %s > %s", f.Row, f.Transport, f.Ports, f.From.Name, f.To.Name))
		}
	}
	slices.Sort(out)
	return out
}

// TestOuterFirewall compares the outer boundary with the Edge tables: an Edge with three translated
// addresses, an Edge that shares one and has old partners, and an Edge behind a balancer.
func TestOuterFirewall(t *testing.T) {
	outer := func(f Flow) bool { return f.Boundary() == PerimeterExternal }
	var b strings.Builder
	for _, name := range []string{"enterprise", "remote", "hardware"} {
		fmt.Fprintf(&b, "## %s\n%s\n\n", name, strings.Join(flows(load(t, name), outer), "\n"))
	}
	golden(t, "outer.golden", b.String())
	if strings.Count(b.String(), "edge-ext-av-range-in") != 2 {
		t.Error("the relay range is open inward for others than old partners")
	}
}

func TestInnerFirewall(t *testing.T) {
	golden(t, "inner.golden", strings.Join(flows(load(t, "enterprise"), func(f Flow) bool { return f.Boundary() == InternalPerimeter }), "\n")+"\n")
}

// TestDocuments keeps every document of the two small samples, as an administrator sees them.
func TestDocuments(t *testing.T) {
	for _, name := range []string{"small", "remote"} {
		p := load(t, name)
		var b strings.Builder
		for _, kind := range Kinds() {
			d, err := p.Document(kind)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "# %s: %s\n", kind, d.Title)
			for _, row := range d.Rows {
				fmt.Fprintf(&b, "%s\n", strings.Join(row, " | "))
			}
			for _, n := range d.Notes {
				fmt.Fprintf(&b, "note: %s\n", n)
			}
			b.WriteString("\n")
		}
		golden(t, name+".golden", b.String())
	}
	if _, err := load(t, "small").Document("fireworks"); err == nil || !strings.Contains(err.Error(), "firewall") {
		t.Errorf("got %v", err)
	}
}

func TestVirtuals(t *testing.T) {
	var got []string
	for _, name := range []string{"enterprise", "hardware"} {
		for _, v := range load(t, name).Virtuals() {
			if len(v.Addresses) == 0 || len(v.Members) == 0 {
				t.Errorf("%s: %+v", name, v)
			}
			got = append(got, fmt.Sprintf("%s %s %s %d>%d health %d persistence %s members %d", v.Pool, v.Name, v.Row, v.Port, v.NodePort, v.Health, v.Persistence, len(v.Members)))
		}
	}
	golden(t, "virtuals.golden", strings.Join(got, "\n")+"\n")
}

// TestWithoutZones plans a topology that says nothing about its network.
func TestWithoutZones(t *testing.T) {
	s := topology.NewSnapshot(topology.Single("example.test", "server.example.test", netip.MustParseAddr("10.0.0.5")), 1)
	p := Resolve(s)
	for _, f := range p.Flows {
		if f.Boundary() != Within {
			t.Errorf("%s crosses %s", f.Row, f.Boundary())
		}
	}
	if !slices.Contains(p.Rows(), porttable.SrvFeFrontend5061) {
		t.Error("clients do not sign in")
	}
}

func TestQuorum(t *testing.T) {
	want := map[int][2]int{2: {1, 1}, 3: {3, 2}, 4: {3, 2}, 5: {4, 3}, 6: {5, 3}, 7: {5, 4}, 8: {6, 4}, 9: {7, 4}, 10: {8, 5}, 11: {9, 5}, 12: {10, 5}}
	for n, w := range want {
		if first, keep := Quorum(n); first != w[0] || keep != w[1] {
			t.Errorf("%d members: %d and %d, want %v", n, first, keep, w)
		}
	}
}

func TestDiff(t *testing.T) {
	text, err := os.ReadFile("../../examples/small.toml")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("192.168.10.5", "192.168.10.7", `transport = "tcp"`, `transport = "tls"`).Replace(string(text))
	s, err := topology.Parse("other", []byte(other))
	if err != nil {
		t.Fatal(err)
	}
	before := load(t, "small")
	d, err := Diff(before, Resolve(s))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, row := range d.Rows {
		fmt.Fprintln(&b, strings.Join(row, " | "))
	}
	golden(t, "diff.golden", b.String())
	if d, err := Diff(before, before); err != nil || len(d.Rows) > 0 {
		t.Errorf("no difference gives %v, %v", d.Rows, err)
	}
}

// TestChangesAreComplete makes the changes to the rules of one plan and must get those of the other, on every firewall.
func TestChangesAreComplete(t *testing.T) {
	name := func(device, transport, ports, source, destination string) string {
		return strings.Join([]string{device, transport, ports, source, destination}, " | ")
	}
	rules := func(p *Plan) map[string]int {
		out := map[string]int{}
		for _, fw := range p.firewalls() {
			for _, r := range fw.Rules {
				if !r.Local {
					out[name(fw.Name, r.Transport, r.Ports.String(), addresses(r.Sources), addresses(r.Destinations))]++
				}
			}
		}
		return out
	}
	names := samples(t)
	for i, from := range names {
		before := load(t, from)
		for _, to := range []string{from, names[(i+1)%len(names)]} { // itself, and the next
			after := load(t, to)
			changes, err := Changes(before, after)
			if err != nil {
				t.Fatal(err)
			}
			have := rules(before)
			for _, c := range changes {
				for sign, v := range map[int]map[string]string{-1: c.Was, 1: c.Now} {
					if v["ports"] == "" || v["destination"] == "" || c.Device == "" {
						continue // a document, not a firewall
					}
					have[name(c.Device, v["transport"], v["ports"], v["source"], v["destination"])] += sign
				}
			}
			want := rules(after)
			maps.DeleteFunc(have, func(_ string, n int) bool { return n == 0 })
			if !maps.Equal(have, want) {
				t.Errorf("%s to %s: the changes make %d rules, want %d", from, to, len(have), len(want))
				for k := range want {
					if have[k] != want[k] {
						t.Fatalf("%d times: %s", have[k], k)
					}
				}
			}
			if from == to && len(changes) > 0 {
				t.Errorf("%s differs from itself: %v", from, changes)
			}
		}
	}
}

// TestDiffNamesTheDevice moves the reverse proxy outside, which concerns the outer router, its clients inside and names.
func TestDiffNamesTheDevice(t *testing.T) {
	text, err := os.ReadFile("../../examples/remote.toml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Parse("other", []byte(strings.ReplaceAll(string(text), "192.0.2.3", "192.0.2.9")))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Changes(load(t, "remote"), Resolve(s))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		if c.Action != "change" {
			t.Errorf("not a change: %+v", c)
		}
		if !slices.Contains(got, c.Device) {
			got = append(got, c.Device)
		}
	}
	if want := []string{"outer-perimeter", "inner-perimeter", "dns external", "dns internal"}; !slices.Equal(got, want) {
		t.Errorf("changes on %q, want %q", got, want)
	}
}

// FuzzResolve plans whatever reads as a topology: broken references must not make planning panic.
func FuzzResolve(f *testing.F) {
	for _, name := range []string{"small", "remote"} {
		text, err := os.ReadFile("../../examples/" + name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("[[pool]]\nfqdn='a.b'\nkind='edge'\nnext-hop='c.d'\n[[trunk]]\nmediation='a.b'\n[[trusted-application-pool]]\nfqdn='x.y'\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := topology.Parse("f", []byte(text))
		if err != nil {
			return
		}
		p := Resolve(s)
		for _, kind := range Kinds() {
			if _, err := p.Document(kind); err != nil {
				t.Fatal(err)
			}
		}
		p.Routers()
		p.HostFirewalls()
		for _, view := range Views() {
			p.Zones(view)
		}
	})
}

func BenchmarkResolveLarge(b *testing.B) {
	s, err := topology.Load("../../examples/large.toml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p := Resolve(s)
		if _, err := p.Document("firewall"); err != nil {
			b.Fatal(err)
		}
	}
}
