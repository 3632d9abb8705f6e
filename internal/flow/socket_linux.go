package flow

import (
	"encoding/binary"
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls on sockets that never wait are made without telling the scheduler, which costs more than it gains
// for a call of a few microseconds.

// streamRead is what one read from a TCP socket needs. With TCP_INQ the kernel tells with the bytes whether there
// are more, or the end of the stream, so that the read which would only find the socket empty is saved.
type streamRead struct {
	hdr     unix.Msghdr
	iov     unix.Iovec
	control [32]byte // one cmsghdr with an int
}

// tcpInq is TCP_INQ and TCP_CM_INQ of linux/tcp.h.
const tcpInq = 36

// announceQueue has the kernel say with every read how much is left. Where it cannot, every read is followed by
// another one.
func announceQueue(c syscall.RawConn) {
	c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, tcpInq, 1) })
}

// read reads into b, which is on the heap. more is false when the socket is known to be empty: the next arrival,
// or the end of the stream, will be signalled. The end itself is io.EOF, an empty socket EAGAIN.
func (r *streamRead) read(fd uintptr, b []byte) (n int, more bool, err error) {
	r.iov.Base = unsafe.SliceData(b)
	r.iov.SetLen(len(b))
	r.hdr.Iov = &r.iov
	r.hdr.SetIovlen(1)
	r.hdr.Control = &r.control[0]
	for {
		r.hdr.SetControllen(len(r.control))
		got, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.hdr)), 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, false, errno
		case got == 0:
			return 0, false, io.EOF
		default:
			return int(got), r.queued(), nil
		}
	}
}

// queued reports whether the kernel did not say that nothing is left.
func (r *streamRead) queued() bool {
	if int(r.hdr.Controllen) < unix.CmsgLen(4) {
		return true
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&r.control[0]))
	if h.Level != unix.IPPROTO_TCP || h.Type != tcpInq {
		return true
	}
	return binary.NativeEndian.Uint32(r.control[unix.CmsgLen(0):]) != 0
}

// writeSocket writes to a socket that does not block.
func writeSocket(fd uintptr, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, syscall.EAGAIN
		default:
			return 0, errno
		}
	}
}
