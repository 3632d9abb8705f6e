package avedge

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"parley/internal/media/turn"
)

// Datagrams are read and written many at a time, and nothing is allocated for one. The calls never wait, so they are made
// without telling the scheduler.

const (
	batch    = 32
	slotSize = turn.Headroom + maxDatagram + turn.Tailroom
	// maxDatagram is the longest datagram that is relayed. A longer one, which no network carries in one piece, is dropped.
	maxDatagram = 8 << 10
	controlSize = 64 // room for one IPV6_PKTINFO or IP_PKTINFO
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// inbox is where datagrams are read to. Each has room around it, so that a machine can write in front and behind.
type inbox struct {
	hdrs    [batch]mmsghdr
	iovs    [batch]unix.Iovec
	names   [batch]unix.RawSockaddrInet6
	control [batch][controlSize]byte
	data    []byte
	used    int
}

func newInbox() *inbox {
	r := &inbox{data: make([]byte, batch*slotSize), used: batch}
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		r.iovs[i].Base = &r.data[i*slotSize+turn.Headroom]
		r.iovs[i].SetLen(maxDatagram)
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.control[i][0]
	}
	return r
}

// receive reads what is there, at most batch datagrams.
func (r *inbox) receive(fd int) int {
	for i := range r.hdrs[:r.used] { // the others are as they were
		h := &r.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.hdrs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			n = 0
		}
		r.used = max(int(n), 1)
		return int(n)
	}
}

// slot is the buffer of a datagram, with its room, and where the datagram ends in it. It is 0 for one that was cut.
func (r *inbox) slot(i int) (buf []byte, end int) {
	if r.hdrs[i].hdr.Flags&unix.MSG_TRUNC != 0 {
		return nil, 0
	}
	return r.data[i*slotSize : (i+1)*slotSize], turn.Headroom + int(r.hdrs[i].len)
}

func (r *inbox) from(i int) netip.AddrPort {
	n := &r.names[i]
	if n.Family == unix.AF_INET {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		return netip.AddrPortFrom(netip.AddrFrom4(n4.Addr), port(&n4.Port))
	}
	a := netip.AddrFrom16(n.Addr).Unmap()
	if n.Scope_id != 0 && a.Is6() {
		a = a.WithZone(strconv.FormatUint(uint64(n.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, port(&n.Port))
}

// local returns the address that a datagram was sent to.
func (r *inbox) local(i int) netip.Addr {
	c := r.control[i][:r.hdrs[i].hdr.Controllen]
	for len(c) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(c) {
			break
		}
		data := c[unix.CmsgLen(0):n]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
		c = c[min(len(c), unix.CmsgSpace(n-unix.CmsgLen(0))):]
	}
	return netip.Addr{}
}

// port reads a port in network byte order.
func port(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}

// setName writes a socket address and returns its length.
func setName(n *unix.RawSockaddrInet6, to netip.AddrPort, v6 bool) uint32 {
	if v6 {
		*n = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
		if zone := to.Addr().Zone(); zone != "" {
			scope, _ := strconv.ParseUint(zone, 10, 32)
			n.Scope_id = uint32(scope)
		}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&n.Port))[:], to.Port())
		return unix.SizeofSockaddrInet6
	}
	n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
	*n4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&n4.Port))[:], to.Port())
	return unix.SizeofSockaddrInet4
}

// outbox holds datagrams until one call sends them.
type outbox struct {
	fd      int
	v6, any bool
	n       int
	hdrs    [2 * batch]mmsghdr
	iovs    [2 * batch]unix.Iovec
	names   [2 * batch]unix.RawSockaddrInet6
	control [2 * batch][controlSize]byte
	data    []byte // never grows, since datagrams point into it
	dropped uint64
}

func newOutbox(fd int, v6, any bool) *outbox {
	r := &outbox{fd: fd, v6: v6, any: any, data: make([]byte, 0, 2*batch*2048)}
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	}
	return r
}

// add takes a copy of b, and sends first what is there already if it does not fit.
func (r *outbox) add(b []byte, to netip.AddrPort, from netip.Addr) {
	if r.n == len(r.hdrs) || len(r.data)+len(b) > cap(r.data) {
		r.flush()
	}
	at := len(r.data)
	r.data = append(r.data, b...)
	i := r.n
	r.n++
	h := &r.hdrs[i].hdr
	r.iovs[i].Base = unsafe.SliceData(r.data[at:])
	r.iovs[i].SetLen(len(b))
	h.Namelen = setName(&r.names[i], to, r.v6)
	h.Control = nil
	h.SetControllen(0)
	if r.any && from.IsValid() {
		r.setSource(i, from)
	}
}

// setSource has datagram i leave from the address its peer knows us by.
func (r *outbox) setSource(i int, from netip.Addr) {
	c := &r.control[i]
	clear(c[:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	data := c[unix.CmsgLen(0):]
	size := unix.SizeofInet4Pktinfo
	if r.v6 {
		size = unix.SizeofInet6Pktinfo
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		a := from.As16()
		copy(data, a[:])
	} else {
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		a := from.As4()
		copy(data[4:8], a[:])
	}
	h.SetLen(unix.CmsgLen(size))
	r.hdrs[i].hdr.Control = &c[0]
	r.hdrs[i].hdr.SetControllen(unix.CmsgSpace(size))
}

// flush sends everything. What the kernel does not take is dropped, as a network does.
func (r *outbox) flush() {
	for at := 0; at < r.n; {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.hdrs[at])), uintptr(r.n-at), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			at += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			r.dropped += uint64(r.n - at)
			at = r.n
		default: // this one cannot be sent; the next may
			r.dropped++
			at++
		}
	}
	r.n = 0
	r.data = r.data[:0]
}
