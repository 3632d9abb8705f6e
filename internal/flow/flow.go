package flow

import (
	"crypto/x509"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/sip"
	"parley/internal/uc"
)

// Slot names a place on a flow where one owner keeps one value.
type Slot uint8

// The slots.
const (
	SlotStack       Slot = iota // the stack's own
	SlotAssociation             // security association: message signatures
	SlotBindings                // what is registered over this flow
	SlotProxy                   // route tokens of the proxy
	SlotPeer                    // whatever the composition root finds useful

	numSlots
)

// wire is the transport half of a flow.
type wire interface {
	// send takes a copy of b, to be written at the end of batch in, if that is open, else at once.
	send(f *Flow, in *batch, b []byte) error
	// batch returns the batch of the flow's own reader.
	batch() *batch
	// wake makes the owner of the flow notice that it is closing. It is called once.
	wake(f *Flow)
	// backlog returns the bytes that wait for the peer.
	backlog() int
	// check is called by the janitor.
	check(f *Flow, now int64)
}

// Flow is one way to reach one peer. Its methods may be called from any goroutine.
type Flow struct {
	id        uint64
	layer     *Layer
	listener  *Listener
	wire      wire
	local     netip.AddrPort
	remote    netip.AddrPort
	tls       *tlsState
	opened    int64 // Unix nanoseconds
	transport Transport
	dialled   bool

	closed   atomic.Bool
	holds    atomic.Int32
	lastIn   atomic.Int64 // layer clock, when bytes last came
	lastOut  atomic.Int64 // layer clock, when bytes were last sent
	messages atomic.Uint64
	identity atomic.Pointer[uc.Identity]
	limits   atomic.Pointer[sip.Limits]
	filter   atomic.Pointer[OutFilter]
	slots    [numSlots]atomic.Pointer[any]

	mu       sync.Mutex // guards what follows; never held while calling out
	err      error      // why it closed
	finished bool       // Closed was called, hooks ran
	done     chan struct{}
	hooks    []*closeHook
}

// tlsState is what is kept of a TLS handshake.
type tlsState struct {
	serverName string
	peer       []*x509.Certificate
}

type closeHook struct{ fn func(error) }

// ID returns the flow's number. It is never used again, not even by a later process on this machine unless its
// clock was set back.
func (f *Flow) ID() uint64 { return f.id }

// Transport returns how messages travel on the flow.
func (f *Flow) Transport() Transport { return f.transport }

// Local returns the local address: for UDP on an unspecified address, the one that the peer sent to.
func (f *Flow) Local() netip.AddrPort { return f.local }

// Remote returns the peer's address, an IPv4 address always in its four-byte form.
func (f *Flow) Remote() netip.AddrPort { return f.remote }

// Listener returns the listener the flow came in by, or nil for a connection that was dialled. A UDP flow always
// has one.
func (f *Flow) Listener() *Listener { return f.listener }

// Dialled reports whether we opened the connection.
func (f *Flow) Dialled() bool { return f.dialled }

// Opened returns when the flow began.
func (f *Flow) Opened() time.Time { return time.Unix(0, f.opened) }

// LastIn returns when bytes last came from the peer, to about a second.
func (f *Flow) LastIn() time.Time { return time.Unix(0, f.lastIn.Load()) }

// Messages returns how many messages were received.
func (f *Flow) Messages() uint64 { return f.messages.Load() }

// Backlog returns how many bytes wait for the peer.
func (f *Flow) Backlog() int { return f.wire.backlog() }

// PeerCertificates returns the certificates the peer presented, its own first, or nil. Those of a dialled flow and
// of a listener that verifies are verified.
func (f *Flow) PeerCertificates() []*x509.Certificate {
	if f.tls == nil {
		return nil
	}
	return f.tls.peer
}

// ServerName returns the name the peer asked for (SNI), or that we dialled and verified.
func (f *Flow) ServerName() string {
	if f.tls == nil {
		return ""
	}
	return f.tls.serverName
}

// Identity returns who the peer has proved to be; the zero value, Anonymous, until somebody sets it.
func (f *Flow) Identity() uc.Identity {
	if p := f.identity.Load(); p != nil {
		return *p
	}
	return uc.Identity{}
}

// SetIdentity records who the peer has proved to be.
func (f *Flow) SetIdentity(id uc.Identity) { f.identity.Store(&id) }

// SetLimits changes the size limits of the messages that are read from now on, when the peer turns out to be
// trusted with more; nil goes back to those of the layer. lim must not change afterwards.
func (f *Flow) SetLimits(lim *sip.Limits) { f.limits.Store(complete(lim)) }

// SetOutFilter sets what the bytes of every later message pass last; nil ends it.
func (f *Flow) SetOutFilter(fn OutFilter) {
	if fn == nil {
		f.filter.Store(nil)
		return
	}
	f.filter.Store(&fn)
}

// Value returns what was stored in a slot, or nil.
func (f *Flow) Value(s Slot) any {
	if p := f.slots[s].Load(); p != nil {
		return *p
	}
	return nil
}

// SetValue stores a value in a slot; nil empties it.
func (f *Flow) SetValue(s Slot, v any) {
	if v == nil {
		f.slots[s].Store(nil)
		return
	}
	f.slots[s].Store(&v)
}

// Hold keeps the flow from being closed for idleness, as long as something depends on it: a registration, a
// subscription, a dialog. Every Hold is undone by one Release.
func (f *Flow) Hold() { f.holds.Add(1) }

// Release undoes one Hold.
func (f *Flow) Release() { f.holds.Add(-1) }

// Send copies b and sends it. Inside the flow's own reader it is written when that has handled everything it read,
// otherwise at once. It never waits for the peer. An error means that nothing of b is sent; nil does not mean that
// it arrived.
func (f *Flow) Send(b []byte) error { return f.SendWithin(f, b) }

// SendWithin is Send for a message that follows from one that in is handling: while in's reader is busy with what
// it read, the bytes wait for its end and share a system call with whatever else was sent there. in may be any
// flow or nil; it is an optimisation and changes no order between messages of one flow.
func (f *Flow) SendWithin(in *Flow, b []byte) error {
	if f.closed.Load() {
		return ErrClosed
	}
	var bt *batch
	if in != nil {
		bt = in.wire.batch()
	}
	return f.wire.send(f, bt, b)
}

// Close ends the flow: Send fails from now on; what can be written without waiting is; the flow's goroutine then
// closes the socket and reports to the Handler. Only the first call's err counts; nil stands for ErrClosed.
// Close does not wait, see Done.
func (f *Flow) Close(err error) {
	if f.closing(err) {
		f.wire.wake(f)
	}
}

// closing marks the flow as closed and reports whether it was open.
func (f *Flow) closing(err error) bool {
	if err == nil {
		err = ErrClosed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false
	}
	f.err = err
	f.closed.Store(true)
	return true
}

// Closed reports whether the flow is closed or about to be.
func (f *Flow) Closed() bool { return f.closed.Load() }

// Err returns why the flow was closed, nil while it is open.
func (f *Flow) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Done returns a channel that is closed when the flow is gone.
func (f *Flow) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
		if f.finished {
			close(f.done)
		}
	}
	return f.done
}

// OnClose has fn called once when the flow is gone, after Handler.Closed, in a goroutine of the layer; if it is
// gone already, in a new one. fn must not block. stop takes it back, and reports whether it did so before fn was
// started.
func (f *Flow) OnClose(fn func(error)) (stop func() bool) {
	h := &closeHook{fn}
	f.mu.Lock()
	if f.finished {
		err := f.err
		f.mu.Unlock()
		if !f.layer.start(func() { fn(err) }) {
			go fn(err) // the layer is closed and waits for nobody any more
		}
		return func() bool { return false }
	}
	f.hooks = append(f.hooks, h)
	f.mu.Unlock()
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, have := range f.hooks {
			if have == h {
				last := len(f.hooks) - 1
				f.hooks[i] = f.hooks[last]
				f.hooks[last] = nil
				f.hooks = f.hooks[:last]
				return true
			}
		}
		return false
	}
}

// finish reports the end of an admitted flow. The caller has closed whatever there was to close.
func (f *Flow) finish() {
	l := f.layer
	l.flows.remove(f)
	l.opened(f, -1)
	l.countClosed(f.Err())
	func() {
		defer func() {
			if p := recover(); p != nil {
				l.panicked(f, p, debug.Stack())
			}
		}()
		l.config.Handler.Closed(f, f.Err())
	}()
	f.over()
}

// over ends the flow for those who wait for it.
func (f *Flow) over() {
	f.closing(nil)
	f.mu.Lock()
	f.finished = true
	hooks, err := f.hooks, f.err
	f.hooks = nil
	if f.done != nil {
		close(f.done)
	}
	f.mu.Unlock()
	for _, h := range hooks {
		h.fn(err)
	}
}

// checkIdle closes the flow when nothing came for the time that is allowed.
func (f *Flow) checkIdle(now int64, idle time.Duration) {
	last := f.lastIn.Load()
	if f.holds.Load() > 0 {
		idle = f.layer.config.Limits.IdleHeld
	} else if f.dialled || f.transport == UDP {
		last = max(last, f.lastOut.Load())
	}
	if idle > 0 && now-last > int64(idle) {
		f.Close(ErrIdle)
	}
}

// messageLimits returns the limits that hold for the next message.
func (f *Flow) messageLimits() *sip.Limits {
	if l := f.limits.Load(); l != nil {
		return l
	}
	return &f.layer.config.Limits.Message
}
