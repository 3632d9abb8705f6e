package flow

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The x/net packages can read and write many datagrams at a time too, but allocate two objects for the address of
// each one. Here nothing is allocated.

// rxBatch is how many datagrams are read at a time.
const rxBatch = 32

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// controlSize has room for one IPV6_PKTINFO or IP_PKTINFO.
const controlSize = 64

// recvRing is where a reader's datagrams go.
type recvRing struct {
	hdrs    [rxBatch]mmsghdr
	iovs    [rxBatch]unix.Iovec
	names   [rxBatch]unix.RawSockaddrInet6
	control [rxBatch][controlSize]byte
	data    []byte // 64 KiB each
	n       int    // how many were read last
}

const rxSize = 64 << 10

func newRecvRing() *recvRing {
	r := &recvRing{data: make([]byte, rxBatch*rxSize)}
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		r.iovs[i].Base = &r.data[i*rxSize]
		r.iovs[i].SetLen(rxSize)
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.control[i][0]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	return r
}

// receive reads what is there, at most rxBatch datagrams.
func (r *recvRing) receive(fd uintptr) (int, syscall.Errno) {
	for i := range r.hdrs[:max(r.n, 1)] { // the others are as they were
		h := &r.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0])), rxBatch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		n = 0
	}
	r.n = int(n)
	return r.n, errno
}

// run reads datagrams until the socket is closed. It stays within one RawConn.Read, so that no readiness is lost
// and a read that took all there was need not be followed by one that finds nothing.
func (k *udpSocket) run() {
	r := newRecvRing()
	var dirty []*stream
	for {
		err := k.raw.Read(func(fd uintptr) bool {
			for {
				n, errno := r.receive(fd)
				switch {
				case errno == unix.EAGAIN:
					return false
				case errno == unix.EINTR:
					continue
				case errno != 0:
					return true
				}
				dirty = k.handle(r, dirty)
				if n < rxBatch {
					return false
				}
				if k.group.closed.Load() {
					return true
				}
			}
		})
		if err != nil && closedSocket(err) {
			return
		}
		pauseAfter(err)
	}
}

// handle handles what was read.
func (k *udpSocket) handle(r *recvRing, dirty []*stream) []*stream {
	k.bt.begin(dirty)
	bytes := 0
	for i := range r.n {
		b := r.data[i*rxSize:][:r.hdrs[i].len]
		bytes += len(b)
		if r.hdrs[i].hdr.Flags&unix.MSG_TRUNC == 0 {
			k.datagram(b, parseName(&r.names[i]), k.localAddr(r, i))
		}
	}
	stats := &k.group.ln.layer.stats
	stats.BytesIn.Add(uint64(bytes))
	stats.MessagesIn.Add(uint64(r.n))
	return k.bt.end()
}

func parseName(n *unix.RawSockaddrInet6) netip.AddrPort {
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

// port reads a port in network byte order.
func port(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}

// localAddr returns the address that a datagram was sent to.
func (k *udpSocket) localAddr(r *recvRing, i int) netip.Addr {
	if !k.group.any {
		return k.group.ln.addr.Addr()
	}
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
			return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst: an address of ours, though it was a broadcast
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
		c = c[min(len(c), unix.CmsgSpace(n-unix.CmsgLen(0))):]
	}
	return netip.Addr{}
}

// sendRing holds datagrams until they are sent by one system call.
type sendRing struct {
	socket  *udpSocket
	v6      bool
	n       int
	hdrs    []mmsghdr
	iovs    []unix.Iovec
	names   []unix.RawSockaddrInet6
	control [][controlSize]byte
	data    []byte // grows to what a batch needs; never while datagrams point into it

	transmit func(fd uintptr) bool
	sent     int
	errno    syscall.Errno
}

func newSendRing(k *udpSocket, size int) *sendRing {
	r := &sendRing{
		socket: k, v6: addrPort(k.conn.LocalAddr()).Addr().Is6(),
		hdrs: make([]mmsghdr, size), iovs: make([]unix.Iovec, size),
		names: make([]unix.RawSockaddrInet6, size), control: make([][controlSize]byte, size),
		data: make([]byte, 0, max(size*2048, 64<<10)),
	}
	r.transmit = r.sendSome
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	}
	return r
}

// add takes a copy of b, to be sent to an address and from a local one, and sends first what is there already if it
// does not fit.
func (r *sendRing) add(b []byte, to netip.AddrPort, from netip.Addr) {
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
	n := &r.names[i]
	if r.v6 {
		*n = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
		if zone := to.Addr().Zone(); zone != "" {
			scope, _ := strconv.ParseUint(zone, 10, 32)
			n.Scope_id = uint32(scope)
		}
		setPort(&n.Port, to.Port())
		h.Namelen = unix.SizeofSockaddrInet6
	} else {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		*n4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
		setPort(&n4.Port, to.Port())
		h.Namelen = unix.SizeofSockaddrInet4
	}
	h.Control = nil
	h.SetControllen(0)
	if r.socket.group.any && from.IsValid() && !from.IsUnspecified() {
		r.setSource(i, from)
	}
}

func setPort(p *uint16, v uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], v)
}

// setSource has datagram i leave from the address its peer knows us by.
func (r *sendRing) setSource(i int, from netip.Addr) {
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

// flush sends everything. What the kernel does not take is dropped, as a network does: to wait would hold up all
// other peers.
func (r *sendRing) flush() {
	stats := &r.socket.group.ln.layer.stats
	for from := 0; from < r.n; {
		r.sent = from
		err := r.socket.raw.Write(r.transmit)
		for _, iov := range r.iovs[from:r.sent] {
			stats.BytesOut.Add(uint64(iov.Len))
		}
		from = r.sent
		if err != nil || r.errno == unix.EAGAIN {
			stats.SendDropped.Add(uint64(r.n - from))
			break
		}
		if r.errno != 0 { // this one cannot be sent; the next may
			stats.SendDropped.Add(1)
			from++
		}
	}
	r.n = 0
	r.data = r.data[:0]
}

// sendSome is called by RawConn.Write. It always returns true: the socket is not waited for.
func (r *sendRing) sendSome(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[r.sent])), uintptr(r.n-r.sent), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		r.errno = errno
		if errno == 0 {
			r.sent += int(n)
		}
		return true
	}
}

// shareUDP lets several sockets have the same port.
func shareUDP(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// forceBuffers goes beyond net.core.rmem_max, if this process may.
func forceBuffers(c syscall.RawConn) {
	c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer)
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, udpBuffer)
	})
}

// wantLocalAddr has the kernel tell for each datagram which address it was sent to.
func wantLocalAddr(c syscall.RawConn) error {
	var err4, err6 error
	cerr := c.Control(func(fd uintptr) {
		err4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		err6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if cerr != nil {
		return cerr
	}
	if err4 != nil && err6 != nil {
		return err4
	}
	return nil
}
