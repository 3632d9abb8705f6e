package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/bus"
	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/contract/binding"
	"parley/internal/contract/member"
	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/gate"
	"parley/internal/httpd"
	"parley/internal/interwork"
	"parley/internal/keyring"
	"parley/internal/media/engine"
	"parley/internal/obs"
	"parley/internal/proxy"
	"parley/internal/route"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/all"
	"parley/internal/sip"
	"parley/internal/sip/sigauth"
	"parley/internal/stack"
	"parley/internal/store"
	"parley/internal/topology"
)

// Options choose what a node runs on. Only DataDir must be set.
type Options struct {
	DataDir string
	Version string         // shown by status and metrics
	Specs   []service.Spec // the services there are; nil takes all.Specs
	Stderr  io.Writer      // for logs and the ready line; nil takes os.Stderr

	// Listen replaces addresses of listeners, by row: "127.0.0.1:0" takes a
	// free port, which Status tells. "admin" stands for the health listener.
	Listen map[string]netip.AddrPort
	// LogLevel replaces the level of the node file when it is not empty.
	LogLevel string
	// DrainDeadline replaces the deadline of the node file when it is not 0.
	DrainDeadline time.Duration
	Pprof         bool // offer profiles on the health listener
}

// Node is one running node. Start, Drain and Stop are called by its owner, one
// after the other; the rest may be called from any goroutine.
type Node struct {
	opt     Options
	specs   []service.Spec
	version string
	started time.Time
	now     func() time.Time

	file  atomic.Pointer[config.File] // the node file in force
	state atomic.Int32                // a phase
	lims  atomic.Pointer[sizeLimits]

	log      *slog.Logger
	logLevel slog.LevelVar
	metrics  *obs.Metrics
	health   obs.Health
	trace    *obs.Trace
	calls    *calls

	topo      *topology.Store // the topology in force, and its history
	keys      *keyring.Keyring
	certs     *cert.Keeper
	store     *store.DB
	bus       *bus.Bus
	members   *member.Table // of the pool
	dir       *directory.Directory
	audit     *adminapi.Audit
	api       *adminapi.Server
	bindings  *binding.Table
	gruu      *binding.Coder
	layer     *flow.Layer
	stack     *stack.Stack
	proxy     *proxy.Proxy
	interwork *interwork.Gateway // nil when turned off
	engine    atomic.Pointer[engine.Engine]
	gate      *gate.Gate
	front     *httpd.Front
	web       *service.Web
	inner     func() (*sigauth.Certificate, error) // of TLS-DSK
	router    *route.Router
	self      atomic.Pointer[self]
	listeners listeners
	doors     doors
	services  atomic.Pointer[[]*running]
	handlers  atomic.Pointer[handlers]
	adminAddr string

	storeState, busState dependency

	undo       []step          // what Stop does, in reverse
	background sync.WaitGroup  // goroutines of the node itself
	run        context.Context // ends when Stop begins
	endRun     context.CancelFunc

	reloading sync.Mutex         // one reload at a time
	drain     chan time.Duration // a drain asked for over the API
}

// step is something to release.
type step struct {
	name string
	do   func(context.Context) error
}

// phase is where a node is in its life.
type phase int32

const (
	starting phase = iota
	running_
	draining
	stopped
)

func (p phase) String() string { return [...]string{"starting", "running", "draining", "stopped"}[p] }

func (n *Node) phase() phase { return phase(n.state.Load()) }

// sizeLimits are the message limits of the trust classes, as flows want them.
type sizeLimits struct{ client, server sip.Limits }

// New makes a node. It touches nothing; see Start.
func New(opt Options) *Node {
	if opt.Stderr == nil {
		opt.Stderr = os.Stderr
	}
	if dir, err := filepath.Abs(opt.DataDir); err == nil {
		opt.DataDir = dir
	}
	n := &Node{opt: opt, specs: opt.Specs, version: opt.Version, now: time.Now, drain: make(chan time.Duration, 1)}
	if n.specs == nil {
		n.specs = all.Specs()
	}
	return n
}

// Start brings the node up: everything is open and every service runs when it
// returns nil. After an error everything is released again. ctx bounds the
// start and does not outlive it.
func (n *Node) Start(ctx context.Context) (err error) {
	n.started = n.now()
	n.run, n.endRun = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			// What was built is taken down even if ctx is what ended the start.
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			err = errors.Join(err, n.Stop(stop))
		}
	}()
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"lock the data directory", n.takeLock},
		{"read the node file", n.loadConfig},
		{"read the topology", n.loadTopology},
		{"open the store", n.openStore},
		{"load certificates", n.openCertificates},
		{"open the bus", n.openBus},
		{"load the directory", n.openDirectory},
		{"build the web front", n.buildWeb},
		{"build the SIP core", n.buildSIP},
		{"serve health and metrics", n.serveHealth},
		{"serve the admin socket", n.serveAdmin},
		{"start services", n.startServices},
		{"offer ways to sign in", func(context.Context) error { return n.setSigning(auth(n.file.Load())) }},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin := n.now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if n.log != nil {
			n.log.Debug("started", "step", s.name, obs.KeyDur, n.now().Sub(begin))
		}
	}
	// Asked once here, so that a node that is alone is ready at once; a pool
	// that is still forming is not waited for.
	n.checkDependencies(ctx, 300*time.Millisecond)
	n.background.Go(n.watchDependencies)
	n.state.CompareAndSwap(int32(starting), int32(running_))
	n.background.Go(func() { n.members.Run(n.run) })
	if acme := n.front.ACME; acme != nil { // the authority looks at ports that are open now
		n.background.Go(func() { acme.Run(n.run) })
	}
	return nil
}

// stopTime is how long an undo or a stop may take before its goroutines are
// given up.
const stopTime = 10 * time.Second

// Stop releases everything, in the reverse of the order in which it was
// acquired, and returns when it is gone.
func (n *Node) Stop(ctx context.Context) error {
	n.state.Store(int32(stopped))
	if n.endRun != nil {
		n.endRun()
	}
	n.background.Wait()
	var errs []error
	for i := len(n.undo) - 1; i >= 0; i-- {
		if err := n.undo[i].do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", n.undo[i].name, err))
		}
	}
	n.undo = nil
	return errors.Join(errs...)
}

// release adds what Stop has to do for something that was just acquired.
func (n *Node) release(name string, do func(context.Context) error) {
	n.undo = append(n.undo, step{name, do})
}

func (n *Node) takeLock(context.Context) error {
	unlock, err := lockData(n.opt.DataDir)
	if err != nil {
		return err
	}
	n.release("lock", func(context.Context) error { unlock(); return nil })
	return nil
}

// lockData takes the lock of a data directory and says what to do when it
// cannot.
func lockData(dir string) (func(), error) {
	if _, err := os.Stat(filepath.Join(dir, config.FileName)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s is not the directory of a node; make one with: parley init --data %s --domain example.test --address 127.0.0.1", dir, dir)
		}
		return nil, err
	}
	unlock, err := lock(dir)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another parley process works on %s; parley status --data %s shows it", dir, dir)
	}
	return unlock, err
}

// sections are the parts of the node file beside the node's own: those of the
// services, and that of the gate.
func sections(specs []service.Spec) []config.Section {
	out := []config.Section{authSection, mediaSection, acmeSection}
	for _, s := range specs {
		if s.Settings != nil {
			out = append(out, config.Section{Name: s.Name, New: s.Settings, Doc: s.Doc})
		}
	}
	return out
}

func (n *Node) loadConfig(context.Context) error {
	file, err := config.Load(n.opt.DataDir, sections(n.specs)...)
	if err != nil {
		return err
	}
	n.file.Store(file)
	n.setLimits(file.Limits)
	format := "text"
	if file.Log.JSON {
		format = "json"
	}
	if err := n.setLogLevel(file); err != nil {
		return err
	}
	log, err := obs.NewLogger(n.opt.Stderr, format, &n.logLevel)
	if err != nil {
		return err
	}
	n.log = log.With(obs.KeyNode, string(file.Node.FQDN))
	return nil
}

func (n *Node) setLogLevel(file *config.File) error {
	text := string(file.Log.Level)
	if n.opt.LogLevel != "" {
		text = n.opt.LogLevel
	}
	level, err := obs.ParseLevel(text)
	if err == nil {
		n.logLevel.Set(level)
	}
	return err
}

func (n *Node) setLimits(l config.Limits) {
	client, server := sip.DefaultLimits, sip.DefaultLimits
	client.MaxMessage, server.MaxMessage = int(l.ClientMessage), int(l.ServerMessage)
	client.MaxBody, server.MaxBody = client.MaxMessage, server.MaxMessage
	n.lims.Store(&sizeLimits{client, server})
}
