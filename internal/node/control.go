package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/flow"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/adminweb"
)

// The node is what the admin API shows and steers.
var _ adminapi.Control = (*Node)(nil)

// Status is part of adminapi.Control.
func (n *Node) Status() adminapi.Status {
	st := adminapi.Status{Node: n.fqdn(), Pool: n.pool(), Version: n.version, PID: os.Getpid(), Started: n.started.UTC(),
		State: n.phase().String(), Services: n.serviceStatus(), Listeners: n.listenerStatus(), Offset: n.offset(),
		Topology: n.topo.Current().Revision(), DataDir: n.opt.DataDir, AdminHTTP: n.adminAddr, AdminURL: n.urlOf(adminweb.Path, false), Domains: n.dir.Domains()}
	for _, r := range n.roles() {
		st.Roles = append(st.Roles, string(r))
	}
	st.Missing = n.health.Missing()
	st.Ready = len(st.Missing) == 0
	bindings, _ := n.bindings.Len()
	flows := n.layer.Stats()
	st.Counts = adminapi.Counts{Users: n.dir.Len(), Registrations: bindings, Calls: n.calls.len(),
		Flows: int(flows.OpenStreams.Load() + flows.OpenUDP.Load())}
	return st
}

// Calls is part of adminapi.Control.
func (n *Node) Calls() []adminapi.Call { return n.withMedia(n.calls.list()) }

// Trace is part of adminapi.Control.
func (n *Node) Trace() *obs.Trace { return n.trace }

// Registrations is part of adminapi.Control.
func (n *Node) Registrations() []adminapi.Registration {
	var out []adminapi.Registration
	for _, set := range n.bindings.Each {
		for _, b := range set {
			out = append(out, registration(b))
		}
	}
	slices.SortFunc(out, func(a, b adminapi.Registration) int {
		if c := strings.Compare(a.User, b.User); c != 0 {
			return c
		}
		return strings.Compare(a.Contact, b.Contact)
	})
	return out
}

func registration(b *binding.Binding) adminapi.Registration {
	r := adminapi.Registration{User: string(b.AOR), Contact: b.Contact, Instance: b.Instance, UserAgent: b.UserAgent,
		Node: b.Node, Expires: b.Expires.Time().UTC()}
	if b.Flow != nil {
		r.Flow, r.Transport, r.Remote = b.Flow.ID(), b.Flow.Transport().String(), b.Flow.Remote().String()
	}
	return r
}

// Flows is part of adminapi.Control.
func (n *Node) Flows() []adminapi.Flow {
	var out []adminapi.Flow
	for _, f := range n.layer.Flows() {
		id := f.Identity()
		a := adminapi.Flow{ID: f.ID(), Transport: f.Transport().String(), Local: f.Local().String(), Remote: f.Remote().String(),
			Class: id.Class.String()}
		if id.Known() {
			a.Identity = id.String()
		}
		out = append(out, a)
	}
	return out
}

// Drain is part of adminapi.Control: whoever runs the node takes the wish from
// DrainAsked.
func (n *Node) Drain(deadline time.Duration) {
	select {
	case n.drain <- deadline:
	default: // one is asked for already
	}
}

// DrainAsked delivers the deadline of a drain that an administrator asked for.
func (n *Node) DrainAsked() <-chan time.Duration { return n.drain }

// serveAdmin opens the admin socket. It is there before the services, so that
// a slow start can be watched.
func (n *Node) serveAdmin(ctx context.Context) error {
	n.api = adminapi.New(adminapi.Config{Services: n.asked, Path: filepath.Join(n.opt.DataDir, adminapi.SocketName),
		Log: n.log.With(obs.KeySvc, "admin"), Now: n.now, Control: n, Users: n.dir, Audit: n.audit})
	if err := n.api.Start(ctx); err != nil {
		return err
	}
	n.release("admin socket", n.api.Stop)
	return nil
}

// serveHealth opens the listener for health and metrics.
func (n *Node) serveHealth(ctx context.Context) error {
	n.health.Add("start", func() error {
		if p := n.phase(); p != running_ {
			return fmt.Errorf("the node is %s", p)
		}
		return nil
	})
	addr := n.file.Load().Admin.Listen.AddrPort
	if a, ok := n.opt.Listen["admin"]; ok {
		addr = a
	}
	if !addr.IsValid() {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return fmt.Errorf("%w; choose another address with admin.listen, or off", err)
	}
	n.adminAddr = l.Addr().String()
	srv := &http.Server{
		Handler:           obs.Handler(obs.HandlerOptions{Health: &n.health, Metrics: n.metrics, Pprof: n.opt.Pprof}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("health listener ended", obs.Err(err))
		}
	}()
	n.release("health listener", func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if err != nil {
			srv.Close()
		}
		<-done
		return err
	})
	return nil
}

// watchDependencies keeps what readiness knows of store and bus up to date,
// and does what has to be done now and then.
func (n *Node) watchDependencies() {
	for {
		n.checkDependencies(n.run, 3*time.Second)
		n.calls.sweep(n.now())
		n.sweepMedia(n.now())
		n.updateSelf()
		pause := time.Second
		if n.storeState.get() != nil || n.busState.get() != nil {
			pause = 50 * time.Millisecond // somebody waits for it
		}
		select {
		case <-time.After(pause):
		case <-n.run.Done():
			return
		}
	}
}

func (n *Node) checkDependencies(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n.storeState.set(n.store.Ping(ctx))
	n.busState.set(n.bus.Ready(ctx))
}

// dependency is the last known state of something that may be away.
type dependency struct{ err atomic.Pointer[error] }

func (d *dependency) set(err error) { d.err.Store(&err) }

// get returns nil when the dependency worked when last asked.
func (d *dependency) get() error {
	if p := d.err.Load(); p != nil {
		return *p
	}
	return errors.New("not asked yet")
}

func (n *Node) traceFlow(f *flow.Flow, in bool, b []byte) {
	n.trace.Add(obs.TraceMeta{Time: n.now(), Out: !in, Flow: f.ID(), Transport: f.Transport().String(),
		Local: f.Local(), Remote: f.Remote()}, b)
}

// asked finds a service of this node that administrators may ask.
func (n *Node) asked(name string) (adminapi.Ask, bool) {
	for _, r := range n.myServices() {
		if r.spec.Name != name || !r.up() {
			continue
		}
		if a, ok := r.svc.(service.Asked); ok {
			return a.Ask, true
		}
	}
	return nil, false
}
