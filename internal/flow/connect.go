package flow

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Target is somebody a request can be sent to, found by name resolution (RFC 3263) or named in the configuration.
// Two equal targets share connections.
type Target struct {
	Transport  Transport
	Addr       netip.AddrPort
	ServerName string    // the name resolution began with: SNI, and what the certificate must show (RFC 5922)
	Class      string    // passed to Config.ClientTLS, and kept apart from other classes: which certificate we show
	Listener   *Listener // UDP: which socket to send from; nil takes the first that fits
}

// String returns the target as "TLS 192.0.2.1:5061 (example.test)".
func (t Target) String() string {
	if t.ServerName == "" {
		return t.Transport.String() + " " + t.Addr.String()
	}
	return t.Transport.String() + " " + t.Addr.String() + " (" + t.ServerName + ")"
}

// retryDial is how long a target that could not be reached is not tried again.
const retryDial = 2 * time.Second

// dials finds and makes connections to targets.
type dials struct {
	layer *Layer
	mu    sync.Mutex
	peers map[Target]*peer
}

// peer is what is known of one target.
type peer struct {
	flows   []*Flow
	dialing bool
	waiters []func(*Flow, error)
	failed  time.Time // when dialling last failed
	err     error     // and why
}

func (d *dials) init(l *Layer) {
	d.layer = l
	d.peers = make(map[Target]*peer)
}

// Connect returns a flow to a target: an open connection to the same address, name and class, or a new one. It
// waits for it, so a reader must not call it; see ConnectFunc. When ctx ends, the attempt goes on for others.
func (l *Layer) Connect(ctx context.Context, t Target) (*Flow, error) {
	type result struct {
		f   *Flow
		err error
	}
	c := make(chan result, 1)
	l.ConnectFunc(t, func(f *Flow, err error) { c <- result{f, err} })
	select {
	case r := <-c:
		return r.f, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("flow: connect to %s: %w", t, context.Cause(ctx))
	}
}

// ConnectFunc calls fn with a flow to a target: at once when there is one, or when none can be had, else from the
// new flow's goroutine before its first message is read. fn must not block.
func (l *Layer) ConnectFunc(t Target, fn func(*Flow, error)) {
	switch {
	case t.Transport == UDP:
		fn(l.udpFlow(t))
	case !t.Transport.Stream():
		fn(nil, fmt.Errorf("flow: connect to %s: %w", t, ErrNoTransport))
	default:
		t.Listener = nil
		l.dials.get(t, fn)
	}
}

// Alias makes a flow that the peer opened a connection to a target, so that requests to it need no second one
// (RFC 5923). The caller has checked that the peer is who the target names.
func (l *Layer) Alias(f *Flow, t Target) {
	t.Listener = nil
	l.dials.add(t, f)
}

func (d *dials) get(t Target, fn func(*Flow, error)) {
	lim := &d.layer.config.Limits
	d.mu.Lock()
	p := d.peers[t]
	if p == nil {
		p = &peer{}
		d.peers[t] = p
	}
	best, backlog := p.best()
	// A connection that is busy is still the one to use, so that what belongs together stays in order; another
	// one is opened for what comes later.
	wanted := best == nil || backlog > flushAt && len(p.flows) < lim.ConnsPerPeer
	if best == nil {
		if !p.dialing && time.Since(p.failed) < retryDial {
			err := p.err
			d.mu.Unlock()
			fn(nil, err)
			return
		}
		p.waiters = append(p.waiters, fn)
	}
	dial := wanted && !p.dialing
	p.dialing = p.dialing || dial
	d.mu.Unlock()
	if dial && !d.layer.start(func() { d.dial(t) }) {
		d.done(t, nil, ErrLayerClosed)
	}
	if best != nil {
		fn(best, nil)
	}
}

// best returns the open flow with the least waiting.
func (p *peer) best() (best *Flow, backlog int) {
	for _, f := range p.flows {
		if f.Closed() {
			continue
		}
		if n := f.Backlog(); best == nil || n < backlog {
			best, backlog = f, n
		}
	}
	return best, backlog
}

// dial opens a connection and serves it until it ends.
func (d *dials) dial(t Target) {
	s, err := d.open(t)
	if err != nil {
		d.layer.stats.DialFailures.Add(1)
		d.done(t, nil, fmt.Errorf("flow: connect to %s: %w", t, err))
		return
	}
	d.layer.stats.Dialled.Add(1)
	d.add(t, s.flow)
	d.done(t, s.flow, nil)
	s.run()
}

func (d *dials) open(t Target) (*stream, error) {
	l := d.layer
	ctx, cancel := context.WithTimeout(l.ctx, l.config.Limits.Dial)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	dialer.SetMultipathTCP(false)
	c, err := dialer.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn)
	s, err := newStream(conn)
	if err == nil {
		err = d.secure(ctx, s, t)
	}
	if err != nil {
		conn.Close()
	}
	return s, err
}

// secure runs the TLS handshake, if there is to be one, and admits the flow.
func (d *dials) secure(ctx context.Context, s *stream, t Target) error {
	l := d.layer
	var state *tlsState
	if t.Transport == TLS {
		if l.config.ClientTLS == nil {
			return ErrNoTransport
		}
		c, err := l.config.ClientTLS(t)
		if err != nil {
			return err
		}
		state, err = s.handshake(ctx, tls.Client, clientConfig(c, t.ServerName), l.config.Limits.Dial)
		if err != nil {
			l.stats.HandshakeFails.Add(1)
			return err
		}
		l.stats.Handshakes.Add(1)
		state.serverName = t.ServerName
	}
	s.flow = l.newFlow(t.Transport, addrPort(s.conn.LocalAddr()), addrPort(s.conn.RemoteAddr()), s)
	s.flow.dialled, s.flow.tls = true, state
	return l.admit(s.flow)
}

// add makes f one of the connections to t until it closes.
func (d *dials) add(t Target, f *Flow) {
	d.mu.Lock()
	p := d.peers[t]
	if p == nil {
		p = &peer{}
		d.peers[t] = p
	}
	p.flows = append(p.flows, f)
	d.mu.Unlock()
	f.OnClose(func(error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		p.flows = slices.DeleteFunc(p.flows, func(o *Flow) bool { return o == f })
	})
}

// done tells everybody who waits for a dial how it went.
func (d *dials) done(t Target, f *Flow, err error) {
	d.mu.Lock()
	p := d.peers[t]
	p.dialing = false
	waiters := p.waiters
	p.waiters = nil
	if err != nil {
		p.failed, p.err = time.Now(), err
	}
	d.mu.Unlock()
	for _, fn := range waiters {
		fn(f, err)
	}
}

// failedLast moves targets that could not be reached a moment ago behind the others, keeping the order otherwise.
func (d *dials) failedLast(ts []Target) []Target {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := func(t Target) int {
		t.Listener = nil
		if p := d.peers[t]; p != nil && p.err != nil && len(p.flows) == 0 {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ts, func(a, b Target) int { return failed(a) - failed(b) })
	return ts
}

// expire forgets targets that nothing is known of any more.
func (d *dials) expire(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t, p := range d.peers {
		if p.err != nil && now.Sub(p.failed) > 30*time.Second {
			p.err = nil
		}
		if len(p.flows) == 0 && !p.dialing && p.err == nil {
			delete(d.peers, t)
		}
	}
}
