package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// component is one socket of a transport: that of RTP, which may take RTCP too, or that of RTCP.
type component struct {
	t    *Transport
	id   int // rtp or rtcp
	conn syscall.RawConn
	dtls *association // guarded by Transport.mu

	rx struct {
		sync.Mutex
		source
		secure bool
		keys   *protection
		former *protection // until the first packet under keys: what was on its way when they changed
		pipe   *pipe
		plain  []byte // what was decrypted
	}
	tx struct {
		sync.Mutex
		*sender
		to     netip.AddrPort // where media goes; the zero one: nowhere yet
		secure bool
		keys   *protection
		sealed []byte
	}
}

func newComponent(t *Transport, id int, conn *net.UDPConn) (*component, error) {
	s, err := newSender(conn)
	if err != nil {
		return nil, err
	}
	k := &component{t: t, id: id, conn: s.raw}
	k.tx.sender = s
	k.tx.sealed = make([]byte, 0, maxPacket+maxTrailer)
	k.rx.plain = make([]byte, 0, maxPacket)
	return k, nil
}

// secure says whether packets are protected. Without keys none passes.
func (k *component) secure(yes bool) {
	k.rx.Lock()
	if k.rx.secure = yes; !yes {
		k.rx.keys, k.rx.former = nil, nil
	}
	k.rx.Unlock()
	k.tx.Lock()
	if k.tx.secure = yes; !yes {
		k.tx.keys = nil
	}
	k.tx.Unlock()
}

// protect has packets protected by new keys, or dropped until there are some.
func (k *component) protect(tx, rx *protection) {
	k.rx.Lock()
	if k.rx.keys != rx {
		k.rx.keys, k.rx.former = rx, k.rx.keys
	}
	if rx == nil {
		k.rx.former = nil
	}
	k.rx.Unlock()
	k.tx.Lock()
	k.tx.keys = tx
	k.tx.Unlock()
}

func (k *component) sendTo(a netip.AddrPort) {
	k.tx.Lock()
	k.tx.to = a
	k.tx.Unlock()
}

// path is where media goes to.
func (k *component) path() netip.AddrPort {
	k.tx.Lock()
	defer k.tx.Unlock()
	return k.tx.to
}

// keyed reports whether there are keys to send with, and what they are.
func (k *component) keyed() (name string, ok bool) {
	k.tx.Lock()
	defer k.tx.Unlock()
	if k.tx.keys == nil {
		return "none", false
	}
	return k.tx.keys.name, true
}

// send protects a packet and sends it.
func (k *component) send(pkt []byte, kind int) error {
	n := &k.t.counters
	if len(pkt) > maxPacket || !wellFormed(pkt, kind) {
		return ErrPacket
	}
	k.tx.Lock()
	defer k.tx.Unlock()
	if !k.tx.to.IsValid() || k.tx.secure && k.tx.keys == nil {
		n.notReady.Add(1)
		return ErrNotReady
	}
	b := pkt
	if k.tx.secure {
		var err error
		if b, err = k.tx.keys.seal(k.tx.sealed, pkt, kind); err != nil {
			n.sendFailed.Add(1)
			return err
		}
	}
	if err := k.transmit(b, k.tx.to); err != nil {
		return err
	}
	n.out[kind].add(len(pkt))
	return nil
}

// raw sends what is no media to where media goes, or to another address while that is not known.
func (k *component) raw(b []byte, otherwise netip.AddrPort) error {
	k.tx.Lock()
	defer k.tx.Unlock()
	to := k.tx.to
	if !to.IsValid() {
		to = otherwise
	}
	if !to.IsValid() {
		return nil // it will be repeated
	}
	return k.transmit(b, to)
}

// check sends a check to an address.
func (k *component) check(b []byte, to netip.AddrPort) {
	k.tx.Lock()
	defer k.tx.Unlock()
	_ = k.transmit(b, to) // counted, and repeated
}

// transmit is called with tx locked.
func (k *component) transmit(b []byte, to netip.AddrPort) error {
	err := k.tx.send(b, to)
	if err != nil {
		k.t.counters.sendFailed.Add(1)
		if errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
	}
	return err
}

// read takes datagrams until the socket is closed. It stays within one RawConn.Read, so that no readiness is lost and
// a read that took all there was need not be followed by one that finds nothing.
func (k *component) read() {
	r := newRing()
	for {
		err := k.conn.Read(func(fd uintptr) bool {
			for {
				n, errno := r.receive(fd)
				switch {
				case errno == unix.EAGAIN:
					return false
				case errno != 0:
					return true // an ICMP error of something sent: it is of no use here
				}
				now := time.Now()
				for i := range n {
					b, from, whole := r.packet(i)
					if !whole {
						b = nil
					}
					k.datagram(b, from, now)
				}
				if n < batch {
					return false
				}
			}
		})
		if err != nil {
			return // net.ErrClosed
		}
	}
}

// datagram tells by its first octet what arrived (RFC 7983 7).
func (k *component) datagram(b []byte, from netip.AddrPort, now time.Time) {
	n := &k.t.counters
	switch {
	case len(b) == 0:
		n.malformed.Add(1)
	case b[0] >= 128 && b[0] < 192:
		k.media(b, from, now)
	case b[0] < 4:
		n.checks.Add(1)
		k.t.checked(k.id, from, b, now)
	case b[0] >= 20 && b[0] < 64:
		k.handshake(b, from)
	default:
		n.malformed.Add(1)
	}
}

// handshake gives a DTLS record to the association.
func (k *component) handshake(b []byte, from netip.AddrPort) {
	k.rx.Lock()
	defer k.rx.Unlock()
	switch {
	case !k.rx.allowed(from):
		k.t.counters.unknown.Add(1)
	case k.rx.pipe == nil:
		k.t.counters.unkeyed.Add(1)
	default:
		k.t.counters.dtls.Add(1)
		k.rx.pipe.put(b, from)
	}
}

// media takes RTP or RTCP.
func (k *component) media(b []byte, from netip.AddrPort, now time.Time) {
	n := &k.t.counters
	kind := kindOf(b)
	if !wellFormed(b, kind) || kind == rtp && k.id == rtcp {
		n.malformed.Add(1)
		return
	}
	k.rx.Lock()
	b, verdict := k.accept(b, from, kind)
	k.rx.Unlock()
	if b == nil {
		return
	}
	if verdict == moved {
		k.sendTo(from)
	}
	n.in[kind].add(len(b))
	h := k.t.handler.Load()
	switch {
	case h == nil:
		n.unkeyed.Add(1)
	case kind == rtp:
		(*h).RTP(b, now)
	default:
		(*h).RTCP(b, now)
	}
}

// accept returns the plain packet if it is the peer's, and nil after it has counted what it is otherwise. The caller
// holds rx.
func (k *component) accept(b []byte, from netip.AddrPort, kind int) ([]byte, verdict) {
	n := &k.t.counters
	if !k.rx.secure {
		v := k.rx.unproven(b, from, kind)
		if v == foreign {
			n.unknown.Add(1)
			return nil, v
		}
		return b, v
	}
	if !k.rx.allowed(from) {
		n.unknown.Add(1)
		return nil, foreign
	}
	if k.rx.keys == nil {
		n.unkeyed.Add(1)
		return nil, foreign
	}
	out, err := k.rx.keys.open(k.rx.plain, b, kind)
	switch {
	case err == nil:
		k.rx.former = nil
	case k.rx.former != nil:
		out, err = k.rx.former.open(k.rx.plain, b, kind)
	}
	switch {
	case err == nil:
		return out, k.rx.proven(from)
	case errors.Is(err, errReplay):
		n.replay.Add(1)
	case errors.Is(err, ErrPacket):
		n.malformed.Add(1)
	default:
		n.auth.Add(1)
	}
	return nil, foreign
}
