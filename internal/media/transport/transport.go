package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/media/ice"
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
// Locks: mu before the mutexes of a component, and those before the mutex of a protection; none is held while a Handler
// or OnState runs.
type Transport struct {
	config      Config
	certificate *tls.Certificate
	pair        *ports.Pair
	comps       []*component // RTP, and RTCP unless Config.Mux
	handler     atomic.Pointer[Handler]
	mux         atomic.Bool // RTCP goes to the port of RTP
	counters    counters
	readers     sync.WaitGroup // every goroutine of the transport

	mu      sync.Mutex
	state   State
	told    []State // what OnState has to be told
	telling bool
	remote  *Remote // what was described last
	keying  sdp.Keying
	sdes    sdes
	dtls    handshakes
	agent   *ice.Agent // nil without ICE
	timer   *time.Timer
}

// New binds the sockets of a transport from its pool. It reads from the start, since packets may overtake the answer
// that allows them.
func New(c Config) (*Transport, error) {
	if c.Ports == nil || !c.Listen.IsValid() || c.Listen.IsUnspecified() {
		return nil, errors.New("media transport: ports and an address to listen on are needed")
	}
	c.Listen = c.Listen.Unmap()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !c.Advertise.IsValid() {
		c.Advertise = c.Listen
	}
	t := &Transport{config: c, keying: c.Security}
	switch c.Security {
	case sdp.SDES:
		t.sdes = newSDES(c.Dialect)
	case sdp.DTLS:
		if c.Certificate == nil {
			return nil, errors.New("media transport: DTLS needs a certificate")
		}
		var err error
		if t.certificate, err = c.Certificate(time.Now()); err != nil {
			return nil, err
		}
	}
	var err error
	if t.pair, err = c.Ports.Listen(c.Listen, c.Mux, time.Now()); err != nil {
		return nil, fmt.Errorf("media transport: %w", err)
	}
	t.mux.Store(c.Mux)
	if err := t.open(); err != nil {
		return nil, errors.Join(err, t.pair.Close(time.Now()))
	}
	if c.ICE != None {
		t.agent = ice.NewAgent(ice.Config{Lite: c.ICE == Lite, Controlling: true, Lync: c.Dialect == Lync, Bases: t.bases(), Advertise: c.Advertise})
		t.timer = time.AfterFunc(time.Hour, t.tick)
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
		k.rx.ice = t.config.ICE != None // what comes before the description has to prove itself
		k.secure(t.config.Security != sdp.Plain)
		t.comps = append(t.comps, k)
	}
	return nil
}

func (t *Transport) bases() []netip.AddrPort {
	var bases []netip.AddrPort
	for i := range t.comps {
		bases = append(bases, netip.AddrPortFrom(t.config.Listen, t.pair.Port+uint16(i)))
	}
	return bases
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
	keys, hands, err := t.agree(r)
	if err != nil {
		return err
	}
	t.mux.Store(r.Mux)
	t.keying, t.remote = r.Keying, &r
	t.sdes = keys
	for _, k := range t.comps {
		k.secure(r.Keying != sdp.Plain)
		if r.Keying == sdp.SDES {
			k.protect(keys.tx, keys.rx)
		}
	}
	anew := hands.setup != t.dtls.setup || !sameFingerprints(hands.peer, t.dtls.peer)
	t.dtls = hands
	t.address(r)
	for i, k := range t.comps {
		switch inUse := r.Keying == sdp.DTLS && (i == rtp || !r.Mux); {
		case !inUse:
			t.dissociate(k)
		case anew || k.dtls == nil:
			t.associate(k)
		default:
			t.shake(k)
		}
	}
	t.settle()
	return nil
}

// agree finds what both sides protect media with, and changes nothing.
func (t *Transport) agree(r Remote) (keys sdes, hands handshakes, err error) {
	keys, hands = t.sdes, handshakes{}
	if r.Keying != t.config.Security && !(r.Keying == sdp.Plain && t.config.AllowPlain) {
		return keys, hands, fmt.Errorf("media transport: the peer wants %v, and %v was agreed", r.Keying, t.config.Security)
	}
	if t.config.Mux && !r.Mux {
		return keys, hands, errors.New("media transport: the peer has a port of its own for RTCP, and here there is none")
	}
	switch r.Keying {
	case sdp.SDES:
		keys, err = t.sdes.agree(r.Crypto, r.Answer)
	case sdp.DTLS:
		if hands.peer = supported(r.Fingerprints); len(hands.peer) == 0 {
			return keys, hands, errors.New("media transport: no fingerprint that can be checked")
		}
		before := t.dtls.setup
		if !sameFingerprints(hands.peer, t.dtls.peer) {
			before = ""
		}
		hands.setup, err = setupOf(r.Setup, r.Answer, t.agent != nil && r.ICE != nil, before)
		hands.failed = t.dtls.failed && hands.setup == before
	}
	return keys, hands, err
}

// address takes where the peer is.
func (t *Transport) address(r Remote) {
	if t.agent != nil && r.ICE != nil {
		components := len(t.comps)
		if r.Mux {
			components = 1
		}
		for _, k := range t.comps {
			k.rx.Lock()
			k.rx.ice = true
			k.rx.Unlock()
		}
		t.apply(t.agent.SetRemote(time.Now(), *r.ICE, r.Candidates, components, r.Answer))
		return
	}
	for i, k := range t.comps {
		named := t.acceptable(r.address(i))
		k.rx.Lock()
		changed := k.rx.describe(named, r.Source.Unmap())
		k.rx.Unlock()
		if changed {
			k.sendTo(named)
		}
	}
}

// acceptable is an address, or the zero one when nothing may be sent there: a description must not make this machine
// speak to itself, or to many.
func (t *Transport) acceptable(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsValid() || a.Port() == 0 || !ice.Reachable(t.config.Listen, a.Addr()) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// RestartICE has the next Local ask for a restart: new credentials, with the old path in use until there is a new one.
// It does nothing without ICE.
func (t *Transport) RestartICE() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.withICE() {
		t.agent.Restart()
	}
}

// checked gives a check to the agent.
func (t *Transport) checked(component int, from netip.AddrPort, b []byte, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.withICE() {
		t.apply(t.agent.Input(now, component, from, b))
		t.settle()
	}
}

// withICE reports whether ICE is spoken, or may yet be.
func (t *Transport) withICE() bool {
	return t.agent != nil && t.state != Closed && (t.remote == nil || t.remote.ICE != nil)
}

func (t *Transport) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.withICE() {
		t.apply(t.agent.Tick(time.Now()))
		t.settle()
	}
}

// apply does what the agent wants. The caller holds mu.
func (t *Transport) apply(e *ice.Effects) {
	for _, d := range e.Send {
		t.comps[d.Component].check(d.Packet, d.To)
	}
	for _, s := range e.Sources {
		k := t.comps[s.Component]
		k.rx.Lock()
		k.rx.prove(s.To)
		k.rx.Unlock()
	}
	for _, p := range e.Paths {
		t.comps[p.Component].sendTo(p.To)
		t.shake(t.comps[p.Component])
	}
	if !e.Wake.IsZero() {
		t.timer.Reset(max(time.Until(e.Wake), time.Millisecond))
	}
}

// settle finds the state, and has it told if it is another. The caller holds mu.
func (t *Transport) settle() {
	next := t.condition()
	if next == t.state || t.state == Closed {
		return
	}
	t.state = next
	if t.config.OnState == nil {
		return
	}
	t.told = append(t.told, next)
	if !t.telling {
		t.telling = true
		t.readers.Go(t.tell)
	}
}

func (t *Transport) condition() State {
	if t.remote == nil {
		return Waiting
	}
	withICE := t.withICE()
	if t.dtls.failed || withICE && t.agent.State() == ice.Failed {
		return Failed
	}
	if withICE && t.agent.State() != ice.Connected {
		return Connecting
	}
	for i, k := range t.comps {
		if _, ok := k.keyed(); !ok && t.keying != sdp.Plain && (i == rtp || !t.remote.Mux) {
			return Connecting
		}
	}
	return Connected
}

// tell calls OnState until it has been told everything.
func (t *Transport) tell() {
	for {
		t.mu.Lock()
		if len(t.told) == 0 || t.state == Closed {
			t.telling = false
			t.mu.Unlock()
			return
		}
		next := t.told[0]
		t.told = t.told[1:]
		t.mu.Unlock()
		t.config.OnState(next)
	}
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
	if t.timer != nil {
		t.timer.Stop()
	}
	for _, k := range t.comps {
		t.dissociate(k)
	}
	t.mu.Unlock()
	err := t.pair.Close(time.Now())
	t.readers.Wait()
	return err
}
