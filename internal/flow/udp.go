package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"parley/internal/sip"
	"parley/internal/stun"
)

// udpWire is a flow over UDP: a listener's socket and a remote address. It costs no goroutine, no timer and no
// buffer.
type udpWire struct {
	Flow
	home atomic.Pointer[udpSocket] // the socket that last heard from the peer; all share the port
	key  udpKey
}

// udpKey identifies a flow within its listener.
type udpKey struct {
	remote, local [16]byte // local is zero where the listener has only one address
	port          uint16
	scope         uint32
}

// udpGroup is the sockets of one UDP listener, and its flows.
type udpGroup struct {
	ln      *Listener
	sockets []*udpSocket
	closed  atomic.Bool
	any     bool // bound to the unspecified address: which local address is a matter of each datagram
	count   atomic.Int64
	shards  [tableShards]struct {
		sync.Mutex
		m map[udpKey]*udpWire
		_ [48]byte
	}
}

// udpSocket is one of a listener's sockets, with its reader.
type udpSocket struct {
	group *udpGroup
	conn  *net.UDPConn
	raw   syscall.RawConn
	bt    batch
	msg   sip.Message

	directMu sync.Mutex // guards direct
	direct   *sendRing  // for what is sent from outside the reader
}

// udpBuffer is what the kernel is asked to hold for a socket while its reader is busy.
const udpBuffer = 4 << 20

// maxDatagram is the longest payload of a UDP datagram over IPv4.
const maxDatagram = 65507

func (ln *Listener) listenUDP(ctx context.Context) error {
	n := ln.spec.Sockets
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	addr := ln.spec.Addr
	g := &udpGroup{ln: ln, any: addr.Addr().IsUnspecified()}
	for i := range g.shards {
		g.shards[i].m = make(map[udpKey]*udpWire)
	}
	network := "udp"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	// A first socket that does not share its port shows whether another process has it: with sharing alone, the
	// two would each get half of the traffic and nobody would notice.
	alone, err := (&net.ListenConfig{}).ListenPacket(ctx, network, addr.String())
	if err != nil {
		return err
	}
	addr = addrPort(alone.LocalAddr())
	if g.any {
		addr = netip.AddrPortFrom(ln.spec.Addr.Addr(), addr.Port())
	}
	alone.Close()
	lc := net.ListenConfig{Control: shareUDP}
	for range n {
		c, err := lc.ListenPacket(ctx, network, addr.String())
		if err != nil {
			g.closeSockets()
			return err
		}
		k := &udpSocket{group: g, conn: c.(*net.UDPConn)}
		g.sockets = append(g.sockets, k)
		if err := k.setUp(); err != nil {
			g.closeSockets()
			return err
		}
	}
	ln.addr = addr
	if err := ln.register(g); err != nil {
		g.closeSockets()
		return err
	}
	for _, k := range g.sockets {
		if !ln.layer.start(k.run) {
			g.closeSockets()
			return ErrLayerClosed
		}
	}
	return nil
}

func (k *udpSocket) setUp() error {
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return err
	}
	k.raw = raw
	k.conn.SetReadBuffer(udpBuffer) // as much of it as the system allows
	k.conn.SetWriteBuffer(udpBuffer)
	forceBuffers(raw)
	k.direct = newSendRing(k, 1)
	k.bt.ring = newSendRing(k, 64)
	if k.group.any {
		return wantLocalAddr(raw)
	}
	return nil
}

func (g *udpGroup) closeSockets() {
	g.closed.Store(true)
	for _, k := range g.sockets {
		k.conn.Close()
	}
}

func (g *udpGroup) stopAccepting() {}

// close ends the sockets, and with them their flows.
func (g *udpGroup) close() {
	g.closeSockets()
	for i := range g.shards {
		s := &g.shards[i]
		s.Lock()
		ws := make([]*udpWire, 0, len(s.m))
		for _, w := range s.m {
			ws = append(ws, w)
		}
		s.Unlock()
		for _, w := range ws {
			w.Close(ErrLayerClosed)
		}
	}
}

// datagram handles one datagram. A panic of the handler costs its flow only.
func (k *udpSocket) datagram(b []byte, remote netip.AddrPort, local netip.Addr) {
	l := k.group.ln.layer
	var w *udpWire
	defer func() {
		if p := recover(); p != nil && w != nil {
			w.Close(l.panicked(&w.Flow, p, debug.Stack()))
		} else if p != nil {
			panic(p)
		}
	}()
	key := k.group.key(remote, local)
	w = k.group.find(key)
	if w != nil {
		w.lastIn.Store(l.clock.Load())
	}
	switch {
	case stun.Is(b):
		k.stun(b, remote, local)
		return
	case isPadding(b):
		return // some phones keep their NAT open so
	}
	lim := &l.config.Limits.Message
	if w != nil {
		lim = w.messageLimits()
	} else if k.group.ln.spec.Limits != nil {
		lim = k.group.ln.spec.Limits
	}
	perr := k.msg.Parse(b, lim)
	if perr != nil && (w == nil && !k.msg.Answerable()) {
		l.stats.ParseErrors.Add(1)
		return // not SIP: it does not make a flow
	}
	if w == nil {
		if w = k.open(key, remote, local); w == nil {
			return
		}
	} else if w.home.Load() != k {
		w.home.Store(k)
	}
	if trace := l.tracing(); trace != nil {
		trace(&w.Flow, true, b)
	}
	k.msg.Source = remote
	if perr != nil {
		l.malformed(&w.Flow, &k.msg, perr)
		return
	}
	w.messages.Add(1)
	l.config.Handler.Message(&w.Flow, &k.msg)
}

// isPadding reports a datagram without content.
func isPadding(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 && c != ' ' {
			return false
		}
	}
	return true
}

// stun answers a STUN Binding request (RFC 5626 section 4.4.2).
func (k *udpSocket) stun(b []byte, remote netip.AddrPort, local netip.Addr) {
	l := k.group.ln.layer
	var scratch [128]byte
	if answer, ok := stun.Answer(scratch[:0], b, remote); ok {
		l.stats.KeepAlives.Add(1)
		k.bt.mu.Lock()
		k.bt.ring.add(answer, remote, local)
		k.bt.mu.Unlock()
	}
}

func (g *udpGroup) key(remote netip.AddrPort, local netip.Addr) udpKey {
	key := udpKey{remote: remote.Addr().As16(), port: remote.Port()}
	if g.any {
		key.local = local.As16()
	}
	if zone := remote.Addr().Zone(); zone != "" {
		n, _ := strconv.ParseUint(zone, 10, 32)
		key.scope = uint32(n)
	}
	return key
}

// shard spreads flows by port and the last bytes of the address.
func (g *udpGroup) shard(k udpKey) *struct {
	sync.Mutex
	m map[udpKey]*udpWire
	_ [48]byte
} {
	h := uint32(k.port) ^ binary.LittleEndian.Uint32(k.remote[12:])
	return &g.shards[h*0x9e3779b1>>26]
}

func (g *udpGroup) find(key udpKey) *udpWire {
	s := g.shard(key)
	s.Lock()
	w := s.m[key]
	s.Unlock()
	return w
}

// open makes a flow, or returns the one that another socket made at the same moment. It returns nil when there may
// be no more flows or the handler refuses it.
func (k *udpSocket) open(key udpKey, remote netip.AddrPort, local netip.Addr) *udpWire {
	g := k.group
	l := g.ln.layer
	if g.count.Load() >= int64(l.config.Limits.UDPFlows) && !g.makeRoom(key) {
		l.stats.RefusedUDP.Add(1)
		return nil
	}
	w := &udpWire{key: key}
	at := g.ln.addr
	if g.any {
		at = netip.AddrPortFrom(local, at.Port())
	}
	l.initFlow(&w.Flow, UDP, at, remote, w)
	w.listener = g.ln
	w.limits.Store(g.ln.spec.Limits)
	w.home.Store(k)
	if l.admit(&w.Flow) != nil {
		return nil
	}
	s := g.shard(key)
	s.Lock()
	had := s.m[key]
	if had == nil {
		s.m[key] = w
		g.count.Add(1)
	}
	s.Unlock()
	if had != nil {
		w.Close(ErrClosed)
		return had
	}
	return w
}

// makeRoom closes the stalest of a few flows that nobody holds, so that a flood from invented addresses cannot keep
// everybody else out. It reports whether it found one.
func (g *udpGroup) makeRoom(key udpKey) bool {
	const few = 8
	s := g.shard(key)
	var stalest *udpWire
	s.Lock()
	n := 0
	for _, w := range s.m { // in random order
		if w.holds.Load() == 0 && (stalest == nil || w.lastIn.Load() < stalest.lastIn.Load()) {
			stalest = w
		}
		if n++; n == few {
			break
		}
	}
	s.Unlock()
	if stalest == nil {
		return false
	}
	stalest.Close(ErrFlowsFull)
	return true
}

// remove takes w out of the map, if it is the one there.
func (g *udpGroup) remove(w *udpWire) {
	s := g.shard(w.key)
	s.Lock()
	if s.m[w.key] == w {
		delete(s.m, w.key)
		g.count.Add(-1)
	}
	s.Unlock()
}

// udpFlow returns the flow to a target over a listener, which it makes if there is none.
func (l *Layer) udpFlow(t Target) (*Flow, error) {
	ln := t.Listener
	if ln == nil {
		for _, o := range l.Listeners() {
			if a := o.addr.Addr(); o.spec.Transport == UDP && (a.Is4() == t.Addr.Addr().Is4() || a == netip.IPv6Unspecified()) {
				ln = o
				break
			}
		}
	}
	if ln == nil {
		return nil, fmt.Errorf("flow: send to %s: %w", t, ErrNoTransport)
	}
	g, ok := ln.open.(*udpGroup)
	if !ok {
		return nil, fmt.Errorf("flow: send to %s: %w", t, ErrNoTransport)
	}
	local := ln.addr.Addr()
	if g.any {
		local = sourceFor(t.Addr)
	}
	remote := netip.AddrPortFrom(t.Addr.Addr().Unmap(), t.Addr.Port())
	key := g.key(remote, local)
	if w := g.find(key); w != nil {
		return &w.Flow, nil
	}
	k := g.sockets[int(remote.Port())%len(g.sockets)]
	if w := k.open(key, remote, local); w != nil {
		return &w.Flow, nil
	}
	return nil, ErrFlowsFull
}

// sourceFor returns the local address that the system would send from. It sends nothing.
func sourceFor(to netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr()
}

func (w *udpWire) send(f *Flow, in *batch, b []byte) error {
	l := f.layer
	if len(b) > maxDatagram {
		return ErrTooLong
	}
	home := w.home.Load()
	filter := f.filter.Load()
	if filter != nil {
		// Filtered bytes must leave in the order in which they were filtered.
		f.mu.Lock()
		defer f.mu.Unlock()
		b = (*filter)(f, b)
	}
	if trace := l.tracing(); trace != nil {
		trace(f, false, b)
	}
	f.lastOut.Store(l.clock.Load())
	l.stats.MessagesOut.Add(1)
	if in != nil && in.ring != nil && in.ring.socket.group == home.group {
		in.mu.Lock()
		if in.open {
			in.ring.add(b, f.remote, f.local.Addr())
			in.mu.Unlock()
			return nil
		}
		in.mu.Unlock()
	}
	home.directMu.Lock()
	home.direct.add(b, f.remote, f.local.Addr())
	home.direct.flush()
	home.directMu.Unlock()
	return nil
}

func (w *udpWire) batch() *batch { return &w.home.Load().bt }

func (w *udpWire) backlog() int { return 0 }

func (w *udpWire) wake(f *Flow) {
	w.home.Load().group.remove(w)
	f.layer.reapLater(f)
}

func (w *udpWire) check(f *Flow, now int64) { f.checkIdle(now, f.layer.config.Limits.IdleUDP) }

// closedSocket reports whether a socket's error means that it was closed; after others, reading goes on.
func closedSocket(err error) bool { return errors.Is(err, net.ErrClosed) }

// pauseAfter keeps a socket that fails again and again from taking a whole processor.
func pauseAfter(error) { time.Sleep(time.Millisecond) }
