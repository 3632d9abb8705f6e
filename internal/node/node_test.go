package node_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/stack"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// probe is a service whose behaviour a test chooses.
type probe struct {
	host                      service.Host
	start, drain, stop, ready func(context.Context) error
	reload                    func(any) error
	served                    atomic.Int64
}

func (p *probe) Start(ctx context.Context) error {
	if err := p.host.ListenAll(ctx); err != nil {
		return err
	}
	return call(p.start, ctx)
}
func (p *probe) Drain(ctx context.Context) error { return call(p.drain, ctx) }
func (p *probe) Stop(ctx context.Context) error  { return call(p.stop, ctx) }
func (p *probe) Ready() error                    { return call(p.ready, context.Background()) }
func (p *probe) Reload(_ context.Context, settings any) error {
	if p.reload == nil {
		return nil
	}
	return p.reload(settings)
}
func (p *probe) ServeSIP(tx *stack.ServerTxn) { p.served.Add(1); tx.Respond(200, "") }

func call(f func(context.Context) error, ctx context.Context) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

// spec declares p as a service called name on row.
func (p *probe) spec(name, row string) service.Spec {
	return service.Spec{
		Name:    name,
		Needs:   service.NeedSIP | service.NeedStore | service.NeedBus | service.NeedDirectory,
		Ports:   []service.Port{{Row: row, Transport: service.TCP}},
		Handles: []string{"MESSAGE " + name},
		Build:   func(h service.Host) (service.Service, error) { p.host = h; return p, nil },
	}
}

const (
	rowA = porttable.SrvFeFrontend5060
	rowB = porttable.SrvFeFrontend5061
)

func TestServicesStartInOrderAndStopInReverse(t *testing.T) {
	var order []string
	note := func(what string) func(context.Context) error {
		return func(context.Context) error { order = append(order, what); return nil }
	}
	a := &probe{start: note("start a"), drain: note("drain a"), stop: note("stop a")}
	b := &probe{start: note("start b"), drain: note("drain b"), stop: note("stop b")}
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{a.spec("a", rowA), b.spec("b", rowB)}})
	if st := n.Status(); !st.Ready || st.State != "running" || len(st.Missing) != 0 {
		t.Fatalf("status: %+v", st)
	}
	if err := n.Quiesce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := n.Status(); st.Ready || st.State != "draining" {
		t.Errorf("status while draining: %+v", st)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, ", "), "start a, start b, drain b, drain a, stop b, stop a"; got != want {
		t.Errorf("order: %s; want %s", got, want)
	}
}

func TestCriticalServiceThatFailsUndoesTheStart(t *testing.T) {
	dir := nodetest.Dir(t)
	stopped := false
	a := &probe{stop: func(context.Context) error { stopped = true; return nil }}
	b := &probe{start: func(context.Context) error { return errors.New("no licence to fail") }}
	sa, sb := a.spec("a", rowA), b.spec("b", rowB)
	sb.Critical = true
	if _, err := nodetest.TryStart(t, dir, node.Options{Specs: []service.Spec{sa, sb}}); err == nil || !strings.Contains(err.Error(), "no licence to fail") {
		t.Fatalf("start: %v", err)
	}
	if !stopped {
		t.Error("the service before it was not stopped")
	}
	// Nothing is held: the same directory starts at once.
	b.start = nil
	nodetest.Start(t, dir, node.Options{Specs: []service.Spec{sa, sb}})
}

func TestServiceThatFailsAndIsNotCriticalIsShown(t *testing.T) {
	a, b := &probe{}, &probe{start: func(context.Context) error { return errors.New("out of paper") }}
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{a.spec("a", rowA), b.spec("b", rowB)}})
	st := n.Status()
	if !st.Ready || st.Services[0].State != "running" || st.Services[1].State != "failed" || st.Services[1].Error != "out of paper" {
		t.Fatalf("status: %+v", st)
	}
}

func TestReadinessNamesTheServiceThatIsNot(t *testing.T) {
	var missing atomic.Bool
	a := &probe{ready: func(context.Context) error {
		if missing.Load() {
			return errors.New("the moon is not full")
		}
		return nil
	}}
	spec := a.spec("a", rowA)
	spec.Critical = true
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{spec}})
	missing.Store(true)
	st := n.Status()
	if st.Ready || len(st.Missing) != 1 || st.Missing[0].Reason != "a: the moon is not full" {
		t.Fatalf("status: %+v", st)
	}
}

func TestDeclarationsThatDoNotFitAreStartErrors(t *testing.T) {
	for want, spoil := range map[string]func(a, b *service.Spec, pa *probe){
		"not among the ports it declares": func(a, b *service.Spec, pa *probe) {
			pa.start = func(ctx context.Context) error { _, err := pa.host.Listen(ctx, porttable.SrvFeWeb4443); return err }
		},
		"already open for service a": func(a, b *service.Spec, pa *probe) { b.Ports = a.Ports },
		"both handle MESSAGE x": func(a, b *service.Spec, pa *probe) {
			a.Handles, b.Handles = []string{"MESSAGE x"}, []string{"MESSAGE x"}
		},
		"two services are called a":    func(a, b *service.Spec, pa *probe) { b.Name = "a" },
		"serves paths without NeedWeb": func(a, b *service.Spec, pa *probe) { a.Paths = []string{"/x"} },
		"the service does not (service.HTTPHandler)": func(a, b *service.Spec, pa *probe) {
			a.Needs, a.Paths = a.Needs|service.NeedWeb, []string{"/x"}
		},
		"both serve /x": func(a, b *service.Spec, pa *probe) {
			a.Needs, a.Paths, b.Needs, b.Paths = a.Needs|service.NeedWeb, []string{"/x"}, b.Needs|service.NeedWeb, []string{"/x"}
		},
	} {
		t.Run(want, func(t *testing.T) {
			pa, pb := &probe{}, &probe{}
			a, b := pa.spec("a", rowA), pb.spec("b", rowB)
			a.Critical, b.Critical = true, true
			spoil(&a, &b, pa)
			_, err := nodetest.TryStart(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{a, b}})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestHostCarriesOnlyWhatTheSpecNeeds(t *testing.T) {
	p := &probe{}
	s := p.spec("a", rowA)
	s.Needs, s.Handles, s.Ports = service.NeedDirectory, nil, nil
	nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{s}})
	h := p.host
	if h.Directory == nil || h.SIP != nil || h.Proxy != nil || h.Store != nil || h.Bus != nil || h.Bindings != nil {
		t.Errorf("host: %+v", h)
	}
	if h.Node.FQDN != nodetest.FQDN || h.Topology().DefaultDomain() != nodetest.Domain || h.Limits().Endpoints != 8 {
		t.Errorf("host: %+v", h.Node)
	}
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	p := &probe{drain: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{p.spec("a", rowA)}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Quiesce(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "service a") {
		t.Fatalf("drain: %v", err)
	}
}

func TestDataDirectoryIsUsedByOneProcess(t *testing.T) {
	dir := nodetest.Dir(t)
	nodetest.Start(t, dir, node.Options{Specs: []service.Spec{}})
	if _, err := nodetest.TryStart(t, dir, node.Options{Specs: []service.Spec{}}); err == nil || !strings.Contains(err.Error(), "another parley process") {
		t.Errorf("second node: %v", err)
	}
	if _, err := node.OpenOffline(t.Context(), dir); err == nil {
		t.Error("a tool opened the directory of a running node")
	}
	if _, err := node.OpenOffline(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "parley init --data") {
		t.Errorf("empty directory: %v", err)
	}
}

func TestAdminSocketIsPrivate(t *testing.T) {
	dir := nodetest.Dir(t)
	nodetest.Start(t, dir, node.Options{Specs: []service.Spec{}})
	st, err := os.Stat(filepath.Join(dir, adminapi.SocketName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("socket: %v %v", st, err)
	}
}

// settings is a section of the node file for tests.
type settings struct {
	Level int `toml:"level" doc:"A number." reload:"live"`
}

func edit(t *testing.T, dir, section, key, value string) {
	t.Helper()
	path := filepath.Join(dir, config.FileName)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := config.Set(old, section, key, value)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.WriteFile(path, text); err != nil {
		t.Fatal(err)
	}
}

func TestReloadAppliesAsAWholeOrNotAtAll(t *testing.T) {
	dir := nodetest.Dir(t)
	var a, b []int
	refuse := false
	pa := &probe{reload: func(s any) error { a = append(a, s.(*settings).Level); return nil }}
	pb := &probe{reload: func(s any) error {
		if refuse {
			return errors.New("not with me")
		}
		b = append(b, s.(*settings).Level)
		return nil
	}}
	sa, sb := pa.spec("a", rowA), pb.spec("b", rowB)
	sa.Settings = func() any { return &settings{Level: 1} }
	sb.Settings = sa.Settings
	n := nodetest.Start(t, dir, node.Options{Specs: []service.Spec{sa, sb}})
	before := n.Status().Listeners

	edit(t, dir, "a", "level", "2")
	edit(t, dir, "b", "level", "3")
	edit(t, dir, "drain", "deadline", `"7s"`)
	edit(t, dir, "listen", "offset", "20000")
	changes, err := n.Reload(t.Context(), true)
	if err != nil || len(changes) != 4 || len(a)+len(b) != 0 {
		t.Fatalf("dry run: %v %v, told %v %v", changes, err, a, b)
	}
	if changes, err = n.Reload(t.Context(), false); err != nil || len(changes) != 4 {
		t.Fatalf("reload: %v %v", changes, err)
	}
	for _, c := range changes {
		if want := c.Section != "listen"; c.Live != want {
			t.Errorf("%s: live %v", c.Text, c.Live)
		}
	}
	if len(a) != 1 || a[0] != 2 || len(b) != 1 || b[0] != 3 {
		t.Errorf("services were told %v and %v", a, b)
	}
	// What needs a restart is still pending, and named again.
	if changes, err = n.Reload(t.Context(), true); err != nil || len(changes) != 1 || changes[0].Section != "listen" {
		t.Errorf("what is pending: %v %v", changes, err)
	}

	refuse = true
	edit(t, dir, "a", "level", "4")
	edit(t, dir, "b", "level", "5")
	if _, err := n.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "service b refuses its new settings: not with me") {
		t.Fatalf("reload: %v", err)
	}
	if len(a) != 3 || a[1] != 4 || a[2] != 2 {
		t.Errorf("service a was told %v, want 4 and then 2 again", a)
	}
	after := n.Status().Listeners
	if len(before) != 2 || len(after) != 2 || before[0] != after[0] || before[1] != after[1] {
		t.Errorf("listeners changed from %v to %v", before, after)
	}
	c, err := net.Dial("tcp", n.Addr(rowA).String())
	if err != nil {
		t.Fatalf("the listener does not answer any more: %v", err)
	}
	c.Close()
}

func TestBadFilesDoNotStopARunningServer(t *testing.T) {
	dir := nodetest.Dir(t)
	n := nodetest.Start(t, dir, node.Options{Specs: []service.Spec{(&probe{}).spec("a", rowA)}})
	for _, file := range []string{config.FileName, "topology.toml"} {
		path := filepath.Join(dir, file)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"[[[", "unknown-key = 1\n", ""} {
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Reload(t.Context(), false); err == nil {
				t.Errorf("%s %q: taken", file, bad)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if changes, err := n.Reload(t.Context(), false); err != nil || len(changes) != 0 {
			t.Errorf("%s is as it was: %v %v", file, changes, err)
		}
	}
	if st := n.Status(); !st.Ready {
		t.Errorf("status: %+v", st)
	}
}

func TestEveryAddressOfTheMachine(t *testing.T) {
	dir := nodetest.Dir(t)
	edit(t, dir, "listen", "addresses", "[]")
	p := &probe{}
	spec := p.spec("a", rowA)
	opt := node.Options{Specs: []service.Spec{spec}, Listen: map[string]netip.AddrPort{
		"admin": netip.MustParseAddrPort("127.0.0.1:0"), rowA: netip.MustParseAddrPort("[::]:0")}}
	n := nodetest.Start(t, dir, opt)
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, netip.MustParseAddrPort(n.Status().Listeners[0].Address).String()[len("[::]:"):]))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		c.Close()
	}
}
