package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many datagrams are read at a time. A voice has one in 20 ms; a picture comes as a burst. That a read of
// fewer is known to have emptied the socket saves the second read, which is half of all.
const batch = 8

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// ring is where datagrams are read to.
type ring struct {
	hdrs  [batch]mmsghdr
	iovs  [batch]unix.Iovec
	names [batch]unix.RawSockaddrInet6
	data  [batch][maxPacket]byte
}

func newRing() *ring {
	r := &ring{}
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		r.iovs[i].Base = &r.data[i][0]
		r.iovs[i].SetLen(maxPacket)
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
	}
	return r
}

// receive reads what is there, at most batch datagrams, without waiting.
func (r *ring) receive(fd uintptr) (int, syscall.Errno) {
	for i := range r.hdrs {
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// packet is datagram i; ok is false when it was larger than a packet may be.
func (r *ring) packet(i int) (b []byte, from netip.AddrPort, ok bool) {
	return r.data[i][:r.hdrs[i].len], address(&r.names[i]), r.hdrs[i].hdr.Flags&unix.MSG_TRUNC == 0
}

func address(n *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&n.Port))[:])
	if n.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(n)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(n.Addr).Unmap(), port)
}

// sender sends datagrams to one address after another. Whoever uses it holds a lock.
type sender struct {
	raw   syscall.RawConn
	v6    bool
	to    netip.AddrPort
	name  unix.RawSockaddrInet6
	len   uintptr
	buf   []byte
	errno syscall.Errno
	write func(fd uintptr) bool // transmit, made once
}

func newSender(conn *net.UDPConn) (*sender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &sender{raw: raw, v6: conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().Is6()}
	s.write = s.transmit
	return s, nil
}

// send sends b. What the system does not take at once is dropped, as a network does: to wait would hold up others.
func (s *sender) send(b []byte, to netip.AddrPort) error {
	if to != s.to {
		s.address(to)
	}
	s.buf = b
	err := s.raw.Write(s.write)
	s.buf = nil
	if err == nil && s.errno != 0 {
		return s.errno
	}
	return err
}

func (s *sender) address(to netip.AddrPort) {
	s.to = to
	port := (*[2]byte)(unsafe.Pointer(&s.name.Port))[:]
	if s.v6 {
		s.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
		s.len = unix.SizeofSockaddrInet6
	} else {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().Unmap().As4()}
		s.len = unix.SizeofSockaddrInet4
	}
	binary.BigEndian.PutUint16(port, to.Port())
}

// transmit is called by RawConn.Write. It always returns true: the socket is not waited for.
func (s *sender) transmit(fd uintptr) bool {
	for {
		_, _, s.errno = syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.buf))), uintptr(len(s.buf)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&s.name)), s.len)
		if s.errno != unix.EINTR {
			return true
		}
	}
}

// mark sets the code point of what a socket sends.
func mark(conn *net.UDPConn, dscp uint8) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	v6 := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().Is6()
	cerr := raw.Control(func(fd uintptr) {
		if v6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(dscp)<<2)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, int(dscp)<<2)
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}
