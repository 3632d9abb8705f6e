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
	t   *Transport
	id  int // rtp or rtcp
	raw syscall.RawConn

	rx struct {
		sync.Mutex
		source
	}
	tx struct {
		sync.Mutex
		*sender
		to netip.AddrPort // where media goes; the zero one: nowhere yet
	}
}

func newComponent(t *Transport, id int, conn *net.UDPConn) (*component, error) {
	s, err := newSender(conn)
	if err != nil {
		return nil, err
	}
	k := &component{t: t, id: id, raw: s.raw}
	k.tx.sender = s
	return k, nil
}

// describe takes the address of a description.
func (k *component) describe(named netip.AddrPort, signalling netip.Addr) {
	k.rx.Lock()
	changed := k.rx.describe(named, signalling)
	k.rx.Unlock()
	if changed {
		k.sendTo(named)
	}
}

func (k *component) sendTo(a netip.AddrPort) {
	k.tx.Lock()
	k.tx.to = a
	k.tx.Unlock()
}

// profile names what protects the packets.
func (k *component) profile() string { return "none" }

// send protects a packet and sends it.
func (k *component) send(pkt []byte, kind int) error {
	n := &k.t.counters
	if len(pkt) > maxPacket || !wellFormed(pkt, kind) {
		return ErrPacket
	}
	k.tx.Lock()
	defer k.tx.Unlock()
	if !k.tx.to.IsValid() {
		n.notReady.Add(1)
		return ErrNotReady
	}
	if err := k.tx.send(pkt, k.tx.to); err != nil {
		n.sendFailed.Add(1)
		if errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
		return err
	}
	n.out[kind].add(len(pkt))
	return nil
}

// read takes datagrams until the socket is closed. It stays within one RawConn.Read, so that no readiness is lost and
// a read that took all there was need not be followed by one that finds nothing.
func (k *component) read() {
	r := newRing()
	for {
		err := k.raw.Read(func(fd uintptr) bool {
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
					k.datagram(r, i, now)
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
func (k *component) datagram(r *ring, i int, now time.Time) {
	b, from, whole := r.packet(i)
	switch {
	case whole && len(b) > 0 && b[0] >= 128 && b[0] < 192:
		k.media(b, from, now)
	default:
		k.t.counters.malformed.Add(1)
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
	verdict := k.rx.plain(b, from, kind)
	k.rx.Unlock()
	switch verdict {
	case foreign:
		n.unknown.Add(1)
		return
	case moved:
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
