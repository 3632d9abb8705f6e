package avedge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"parley/internal/media/turn"
)

// worker is one shard of the relay: a machine, the sockets of its clients and their relay addresses, and one goroutine that
// waits for all of them. The sockets of clients share their port with those of the other workers, and the kernel leads a
// client always to the same one, so that workers share no state for a packet.
type worker struct {
	relay *relay
	poll  int      // epoll
	file  *os.File // the same
	wake  int      // eventfd: ends run

	mu     sync.Mutex // guards all below: run and the readers of connections take turns
	server *turn.Server
	ears   []*ear
	socks  map[int32]*sock
	conns  map[uint64]*conn
	in     *inbox
	ticked time.Time
	name   unix.RawSockaddrInet6 // of what is being sent
	cut    uint64                // datagrams longer than maxDatagram
	failed uint64                // datagrams that the kernel did not take
}

// ear is a socket that clients speak to.
type ear struct {
	fd  int
	at  netip.AddrPort
	out *outbox
}

// sock is a relay address.
type sock struct {
	w     *worker
	fd    int
	at    netip.AddrPort // as peers see it
	v6    bool
	alloc *turn.Allocation
}

func newWorker(r *relay, c turn.Config) (*worker, error) {
	w := &worker{relay: r, poll: -1, wake: -1, socks: make(map[int32]*sock), conns: make(map[uint64]*conn), in: newInbox()}
	c.Net = w
	w.server = turn.New(c)
	var err error
	if w.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	unix.SetNonblock(w.poll, true) // so that the runtime watches it
	w.file = os.NewFile(uintptr(w.poll), "relay epoll")
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = w.watch(w.wake)
	}
	if err != nil {
		w.close()
	}
	return w, err
}

func (w *worker) watch(fd int) error {
	return unix.EpollCtl(w.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// udp opens a socket on an address. Sharing lets the workers have the same port.
func udp(at netip.AddrPort, share bool) (fd int, bound netip.AddrPort, err error) {
	family, v6 := unix.AF_INET, at.Addr().Is6()
	if v6 {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return -1, at, err
	}
	fail := func(err error) (int, netip.AddrPort, error) {
		unix.Close(fd)
		return -1, at, fmt.Errorf("udp %v: %w", at, err)
	}
	if share {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fail(err)
		}
	}
	var name unix.Sockaddr
	if v6 {
		only := 1
		if at.Addr().IsUnspecified() {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return fail(err)
		}
		name = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	} else {
		name = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	if err := unix.Bind(fd, name); err != nil {
		return fail(err)
	}
	if at.Port() == 0 {
		got, err := unix.Getsockname(fd)
		if err != nil {
			return fail(err)
		}
		switch got := got.(type) {
		case *unix.SockaddrInet4:
			at = netip.AddrPortFrom(at.Addr(), uint16(got.Port))
		case *unix.SockaddrInet6:
			at = netip.AddrPortFrom(at.Addr(), uint16(got.Port))
		}
	}
	return fd, at, nil
}

// Buffers that the kernel keeps while a worker is busy.
const (
	earBuffer   = 4 << 20
	relayBuffer = 512 << 10
)

// listen opens the worker's socket for clients.
func (w *worker) listen(at netip.AddrPort) error {
	fd, at, err := udp(at, true)
	if err != nil {
		return err
	}
	for _, o := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, earBuffer)
	}
	for _, o := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} { // beyond the system's bound, if this process may
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, earBuffer)
	}
	any := at.Addr().IsUnspecified()
	if any {
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	if err := w.watch(fd); err != nil {
		unix.Close(fd)
		return err
	}
	w.mu.Lock()
	w.ears = append(w.ears, &ear{fd: fd, at: at, out: newOutbox(fd, at.Addr().Is6(), any)})
	w.mu.Unlock()
	return nil
}

// run serves until stop. The worker's epoll is itself watched by the poller of the runtime: a goroutine that waits so costs no
// thread, and one that wakes up handles all that is ready without asking the scheduler again.
func (w *worker) run() {
	raw, err := w.file.SyscallConn()
	if err != nil {
		w.relay.log.Error("relay ends", "err", err)
		return
	}
	events := make([]unix.EpollEvent, 64)
	going := true
	for going {
		w.file.SetReadDeadline(time.Now().Add(time.Second))
		err := raw.Read(func(fd uintptr) bool {
			for {
				n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
				switch {
				case errno == unix.EINTR:
				case errno != 0:
					w.relay.log.Error("relay ends", "err", errno)
					going = false
					return true
				case n == 0:
					return false
				default:
					if going = w.serve(events[:n], time.Now()); !going {
						return true
					}
				}
			}
		})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.serve(nil, time.Now())
		}
	}
}

// serve handles what is ready, and reports false at the end.
func (w *worker) serve(events []unix.EpollEvent, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range events {
		fd := events[i].Fd
		if int(fd) == w.wake {
			return false
		}
		if s := w.socks[fd]; s != nil {
			w.fromPeers(s, now)
			continue
		}
		for _, e := range w.ears {
			if int32(e.fd) == fd {
				w.fromClients(e, now)
			}
		}
	}
	if now.Sub(w.ticked) >= time.Second {
		w.ticked = now
		w.server.Tick(now)
	}
	w.flush()
	return true
}

func (w *worker) flush() {
	for _, e := range w.ears {
		if e.out.n > 0 {
			e.out.flush()
		}
	}
}

// rounds bounds how often one socket is read before the others get their turn.
const rounds = 4

func (w *worker) fromClients(e *ear, now time.Time) {
	for range rounds {
		n := w.in.receive(e.fd)
		for i := range n {
			buf, end := w.in.slot(i)
			if end == 0 {
				w.cut++
				continue
			}
			from := turn.Tuple{Remote: w.in.from(i), Local: e.at.Addr()}
			if e.out.any {
				from.Local = w.in.local(i)
			}
			w.server.Input(from, buf[turn.Headroom:end], now)
		}
		if n < batch {
			return
		}
	}
}

func (w *worker) fromPeers(s *sock, now time.Time) {
	for range rounds {
		n := w.in.receive(s.fd)
		for i := range n {
			buf, end := w.in.slot(i)
			if end == 0 {
				w.cut++
				continue
			}
			w.server.Peer(s.alloc, w.in.from(i), buf, end, now)
		}
		if n < batch {
			return
		}
	}
}

// Reply implements turn.Net.
func (w *worker) Reply(to turn.Tuple, b []byte, raw bool) {
	if to.Conn != 0 {
		if c := w.conns[to.Conn]; c != nil {
			c.send(b, raw)
		}
		return
	}
	for _, e := range w.ears {
		if e.at.Addr() == to.Local || e.out.any && (e.at.Addr().Is6() || to.Remote.Addr().Is4()) {
			e.out.add(b, to.Remote, to.Local)
			return
		}
	}
}

// Attach implements turn.Net.
func (w *worker) Attach(r turn.Relay, a *turn.Allocation) {
	s := r.(*sock)
	s.alloc = a
	w.socks[int32(s.fd)] = s
}

// attempts is how many ports are tried that another program of the machine has.
const attempts = 16

// Open implements turn.Net.
func (w *worker) Open(want turn.Want) (turn.Relay, [8]byte, error) {
	r := w.relay
	now := time.Now()
	if want.Token != [8]byte{} {
		port, ok := r.pool.redeem(want.Token, now)
		if !ok {
			return nil, [8]byte{}, turn.ErrNoToken
		}
		s, err := w.openAt(false, port)
		if err != nil {
			r.pool.release(port, now)
			return nil, [8]byte{}, err
		}
		return s, [8]byte{}, nil
	}
	for range attempts {
		port, token, ok := r.pool.take(want.Even, want.Reserve, now)
		if !ok {
			return nil, token, turn.ErrNoPort
		}
		s, err := w.openAt(want.V6, port)
		if err == nil {
			return s, token, nil
		}
		r.pool.release(port, now)
		if want.Reserve {
			r.pool.redeem(token, now)
			r.pool.release(port+1, now)
		}
		if err == turn.ErrNoFamily {
			return nil, token, err
		}
	}
	return nil, [8]byte{}, turn.ErrNoPort
}

func (w *worker) openAt(v6 bool, port uint16) (*sock, error) {
	bind, shown := w.relay.address(v6)
	if !bind.IsValid() {
		return nil, turn.ErrNoFamily
	}
	fd, _, err := udp(netip.AddrPortFrom(bind, port), false)
	if err != nil {
		return nil, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, relayBuffer)
	if err := w.watch(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &sock{w: w, fd: fd, at: netip.AddrPortFrom(shown, port), v6: v6}, nil
}

// Addr implements turn.Relay.
func (s *sock) Addr() netip.AddrPort { return s.at }

// Send implements turn.Relay.
func (s *sock) Send(to netip.AddrPort, b []byte) {
	w := s.w
	size := setName(&w.name, to, s.v6)
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&w.name)), uintptr(size))
	if errno != 0 {
		w.failed++
	}
}

// Close implements turn.Relay.
func (s *sock) Close() {
	delete(s.w.socks, int32(s.fd))
	unix.Close(s.fd) // takes it out of epoll too
	s.w.relay.pool.release(s.at.Port(), time.Now())
}

// stop ends run; close follows once run has returned.
func (w *worker) stop() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(w.wake, one[:])
}

// close releases everything.
func (w *worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server.Close()
	for _, e := range w.ears {
		unix.Close(e.fd)
	}
	w.ears = nil
	if w.wake >= 0 {
		unix.Close(w.wake)
	}
	if w.file != nil {
		w.file.Close()
	}
	w.wake, w.poll, w.file = -1, -1, nil
}
