package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/media/ports"
	"parley/internal/sdp"
)

// Kinds of packets, and the sockets they have when they do not share one.
const (
	rtp  = 0
	rtcp = 1
)

// Transport is the network side of one medium. Its methods are safe for concurrent use.
//
// Locks: mu before the mutexes of a component; none is held while a Handler or OnState runs.
type Transport struct {
	config   Config
	pair     *ports.Pair
	comps    []*component // RTP, and RTCP unless Config.Mux
	handler  atomic.Pointer[Handler]
	mux      atomic.Bool // RTCP goes to the port of RTP
	counters counters
	readers  sync.WaitGroup

	mu     sync.Mutex
	state  State
	remote *Remote // what was described last
	keying sdp.Keying
}

// New binds the sockets of a transport from its pool. It reads from the start, since packets may overtake the answer
// that allows them.
func New(c Config) (*Transport, error) {
	if c.Ports == nil || !c.Listen.IsValid() || c.Listen.IsUnspecified() {
		return nil, errors.New("media transport: ports and an address to listen on are needed")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !c.Advertise.IsValid() {
		c.Advertise = c.Listen
	}
	pair, err := c.Ports.Listen(c.Listen, c.Mux, time.Now())
	if err != nil {
		return nil, fmt.Errorf("media transport: %w", err)
	}
	t := &Transport{config: c, pair: pair, keying: c.Security}
	t.mux.Store(c.Mux)
	if err := t.open(); err != nil {
		return nil, errors.Join(err, pair.Close(time.Now()))
	}
	for _, k := range t.comps {
		t.readers.Go(k.read)
	}
	return t, nil
}

func (t *Transport) open() error {
	conns := []*net.UDPConn{t.pair.RTP}
	if t.pair.RTCP != nil {
		conns = append(conns, t.pair.RTCP)
	}
	for i, conn := range conns {
		k, err := newComponent(t, i, conn)
		if err != nil {
			return err
		}
		if t.config.DSCP != 0 {
			if err := mark(conn, t.config.DSCP); err != nil {
				return fmt.Errorf("media transport: mark packets: %w", err)
			}
		}
		t.comps = append(t.comps, k)
	}
	return nil
}

// Handle sets who takes what arrives; nil drops it. It may be called at any time.
func (t *Transport) Handle(h Handler) {
	if h == nil {
		t.handler.Store(nil)
		return
	}
	t.handler.Store(&h)
}

// WriteRTP protects a plain RTP packet and sends it. The packet is not kept and not changed. Errors are those of this
// package and of the system; a stream goes on after them.
func (t *Transport) WriteRTP(pkt []byte) error { return t.comps[rtp].send(pkt, rtp) }

// WriteRTCP does the same for a (compound) RTCP packet.
func (t *Transport) WriteRTCP(pkt []byte) error {
	if t.mux.Load() {
		return t.comps[rtp].send(pkt, rtcp)
	}
	return t.comps[rtcp].send(pkt, rtcp)
}

// SetRemote tells what the peer's description said. It is called for the first one and for each that follows: what did
// not change goes on undisturbed, and the rest is taken over: another address, new keys, a restart of ICE, more
// candidates. An error means that the description cannot be agreed to (488), and that nothing was changed.
func (t *Transport) SetRemote(r Remote) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == Closed {
		return ErrClosed
	}
	if r.Keying != t.config.Security && !(r.Keying == sdp.Plain && t.config.AllowPlain) {
		return fmt.Errorf("media transport: the peer wants %v, and %v was agreed", r.Keying, t.config.Security)
	}
	if t.config.Mux && !r.Mux {
		return errors.New("media transport: the peer has a port of its own for RTCP, and here there is none")
	}
	t.mux.Store(r.Mux)
	t.keying = r.Keying
	for i, k := range t.comps {
		k.describe(t.acceptable(r.address(i)), r.Source.Unmap())
	}
	t.remote = &r
	t.state = Connected
	return nil
}

// acceptable is an address, or the zero one when nothing may be sent there: a description must not make this machine
// speak to itself, or to many.
func (t *Transport) acceptable(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || a.Port() == 0 ||
		ip.Is4() != t.config.Listen.Unmap().Is4() || ip.IsLoopback() && !t.config.Listen.IsLoopback() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, a.Port())
}

// Close closes the sockets and gives the ports back. It returns when the last call of the Handler has returned, and so
// must not be called by it.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.state == Closed {
		t.mu.Unlock()
		return nil
	}
	t.state = Closed
	t.mu.Unlock()
	err := t.pair.Close(time.Now())
	t.readers.Wait()
	return err
}
