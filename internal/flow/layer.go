package flow

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/sip"
)

// Layer holds all listeners and flows of a process.
type Layer struct {
	config Config
	stats  Stats
	flows  table
	nextID atomic.Uint64
	clock  atomic.Int64 // Unix nanoseconds, refreshed by the janitor
	trace  atomic.Pointer[TraceFunc]
	gate   gate
	dials  dials

	ctx    context.Context // ends when the layer closes; for dials and handshakes only
	cancel context.CancelFunc
	wg     sync.WaitGroup
	reaped chan struct{} // wakes the janitor for datagram flows that were closed

	mu        sync.Mutex // guards what follows
	started   bool
	stopping  bool // accepts nothing more
	closing   bool // starts nothing more
	listeners []*Listener
	reap      []*Flow
}

// New returns a layer without listeners. It starts nothing.
func New(c Config) *Layer {
	c.Limits = c.Limits.withDefaults()
	if c.Exempt == nil {
		c.Exempt = netip.Addr.IsLoopback
	}
	l := &Layer{config: c, reaped: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	now := time.Now().UnixNano()
	// Flow numbers start at the time in nanoseconds: no process opens flows faster than one each nanosecond, so
	// a number from before a restart never means a flow of today.
	l.nextID.Store(uint64(now))
	l.clock.Store(now)
	l.flows.init()
	l.gate.init(&l.config, &l.stats)
	l.dials.init(l)
	return l
}

// Stats returns the layer's counters.
func (l *Layer) Stats() *Stats { return &l.stats }

// SetTrace has fn see every message; nil ends it.
func (l *Layer) SetTrace(fn TraceFunc) {
	if fn == nil {
		l.trace.Store(nil)
		return
	}
	l.trace.Store(&fn)
}

// FlowByID finds an open flow by its number.
func (l *Layer) FlowByID(id uint64) (*Flow, bool) { return l.flows.get(id) }

// Flows returns the open flows in the order of their opening, as a snapshot for status and tests.
func (l *Layer) Flows() []*Flow {
	all := l.flows.all()
	slices.SortFunc(all, func(a, b *Flow) int { return cmp.Compare(a.id, b.id) })
	return all
}

// Listeners returns the open listeners in the order of their opening.
func (l *Layer) Listeners() []*Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.listeners)
}

// Resolve finds where a request for uri goes, in the order to try (RFC 3263). Targets that could not be reached a
// moment ago come last. It may wait for DNS, so a reader must not call it.
func (l *Layer) Resolve(ctx context.Context, uri sip.URI) ([]Target, error) {
	if l.config.Resolver == nil {
		return nil, ErrUnresolvable
	}
	ts, err := l.config.Resolver.Resolve(ctx, uri)
	if err != nil {
		return nil, err
	}
	return l.dials.failedLast(ts), nil
}

// StopAccepting closes the listening sockets of TCP, TLS and WebSocket. Flows stay, and so do UDP sockets, since
// theirs need them.
func (l *Layer) StopAccepting() {
	l.mu.Lock()
	l.stopping = true
	ls := slices.Clone(l.listeners)
	l.mu.Unlock()
	for _, ln := range ls {
		ln.stopAccepting()
	}
}

// CloseFlows closes all stream and WebSocket flows with err, evenly over the time spread, so that the peers do not
// come back elsewhere all at once. It returns when all are asked to close or ctx ends.
func (l *Layer) CloseFlows(ctx context.Context, spread time.Duration, err error) {
	flows := slices.DeleteFunc(l.Flows(), func(f *Flow) bool { return f.transport == UDP })
	start := time.Now()
	for i, f := range flows {
		due := spread * time.Duration(i) / time.Duration(len(flows))
		if wait := due - time.Since(start); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		}
		f.Close(err)
	}
}

// Close closes all listeners and flows and waits for every goroutine of the layer, or for ctx.
func (l *Layer) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closing, l.stopping = true, true
	ls := slices.Clone(l.listeners)
	l.mu.Unlock()
	for _, f := range l.Flows() {
		f.Close(ErrLayerClosed)
	}
	for _, ln := range ls {
		ln.close()
	}
	l.cancel()
	done := make(chan struct{})
	go func() { l.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flow: close: %w", context.Cause(ctx))
	}
}

// start runs fn in a goroutine that Close waits for, unless the layer is closing. The first call starts the
// janitor too.
func (l *Layer) start(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	if !l.started {
		l.started = true
		l.wg.Go(l.janitor)
	}
	l.wg.Go(fn)
	return true
}

// admit registers a new flow and offers it to the handler. On an error the flow is over, and its socket is the
// caller's to close.
func (l *Layer) admit(f *Flow) error {
	l.flows.add(f)
	// A layer that closes takes its snapshot of flows after it set closing: either it sees this flow or the flow
	// sees that.
	l.mu.Lock()
	closing := l.closing
	l.mu.Unlock()
	err := error(ErrLayerClosed)
	if !closing {
		if err = l.offer(f); err == nil {
			l.opened(f, 1)
			return nil
		}
		l.stats.RefusedHandler.Add(1)
	}
	l.flows.remove(f)
	f.closing(err)
	f.over()
	return err
}

// offer asks the handler whether it wants a flow. A panic is no.
func (l *Layer) offer(f *Flow) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = l.panicked(f, p, debug.Stack())
		}
	}()
	return l.config.Handler.Open(f)
}

// opened counts a flow that opens or closes.
func (l *Layer) opened(f *Flow, n int64) {
	if f.transport == UDP {
		l.stats.OpenUDP.Add(n)
	} else {
		l.stats.OpenStreams.Add(n)
	}
	if f.listener != nil {
		f.listener.flows.Add(n)
	}
}

// countClosed counts a flow by the reason for which it was closed.
func (l *Layer) countClosed(err error) {
	switch err {
	case ErrSlowPeer, ErrStalled:
		l.stats.ClosedSlow.Add(1)
	case ErrIdle:
		l.stats.ClosedIdle.Add(1)
	case ErrSlowMessage, ErrNoMessage:
		l.stats.ClosedLate.Add(1)
	}
}

// deliver hands one framed message to the handler.
func (l *Layer) deliver(f *Flow, m *sip.Message, raw []byte, lim *sip.Limits) {
	if trace := l.tracing(); trace != nil {
		trace(f, true, raw)
	}
	err := m.Parse(raw, lim)
	m.Source = f.remote
	if err != nil {
		l.malformed(f, m, err)
		return
	}
	l.config.Handler.Message(f, m)
}

// malformed reports bytes that are not a message, to the handler too where an answer is possible or framing was lost.
func (l *Layer) malformed(f *Flow, m *sip.Message, err error) {
	l.stats.ParseErrors.Add(1)
	if m != nil && !m.Answerable() {
		m = nil
	}
	l.config.Handler.Malformed(f, m, err)
}

// panicked reports a handler that panicked. Its flow ends, the server does not.
func (l *Layer) panicked(f *Flow, p any, stack []byte) error {
	l.stats.Panics.Add(1)
	l.config.Log.Error("handler panicked", "flow", f.id, "peer", f.remote, "err", fmt.Sprint(p), "stack", string(stack))
	return ErrPanic
}

// newFlow makes a flow with the next number.
func (l *Layer) newFlow(t Transport, local, remote netip.AddrPort, w wire) *Flow {
	f := &Flow{}
	l.initFlow(f, t, local, remote, w)
	return f
}

func (l *Layer) initFlow(f *Flow, t Transport, local, remote netip.AddrPort, w wire) {
	f.id, f.layer, f.transport, f.local, f.remote, f.wire = l.nextID.Add(1), l, t, local, remote, w
	f.opened = time.Now().UnixNano()
	now := l.clock.Load()
	f.lastIn.Store(now)
	f.lastOut.Store(now)
}

// tracing returns the trace function, or nil.
func (l *Layer) tracing() TraceFunc {
	if p := l.trace.Load(); p != nil {
		return *p
	}
	return nil
}
