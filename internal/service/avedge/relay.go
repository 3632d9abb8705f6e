package avedge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"parley/internal/media/turn"
)

// relay is the whole of the media relay of a node.
type relay struct {
	log     *slog.Logger
	pool    *pool
	users   *turn.Users
	workers []*worker
	// v4 and v6 are where relay ports are bound, and how peers see them.
	v4, v6 struct{ bind, shown netip.Addr }

	next    atomic.Uint64
	mu      sync.Mutex
	conns   map[netip.Addr]int // by who connects
	all     map[*conn]struct{}
	closed  bool
	refused atomic.Uint64 // connections beyond the bounds

	running sync.WaitGroup
	readers sync.WaitGroup
}

// Bounds on connections.
const (
	maxConns        = 20000
	maxConnsPerHost = 256
)

type relayConfig struct {
	log     *slog.Logger
	machine turn.Config // without Net
	pool    *pool
	workers int // 0: one for two cores
}

func newRelay(c relayConfig) (*relay, error) {
	r := &relay{log: c.log, pool: c.pool, users: c.machine.Users, conns: make(map[netip.Addr]int), all: make(map[*conn]struct{})}
	if c.workers == 0 {
		c.workers = (runtime.GOMAXPROCS(0) + 1) / 2 // one serves some tens of thousands of packets a second
	}
	c.machine.NonceKey = make([]byte, 32)
	rand.Read(c.machine.NonceKey)
	for range c.workers {
		w, err := newWorker(r, c.machine)
		if err != nil {
			r.close(context.Background())
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	for _, w := range r.workers {
		r.running.Go(w.run)
	}
	return r, nil
}

// address is where relay ports of a family are bound, and what peers and clients are told.
func (r *relay) address(v6 bool) (bind, shown netip.Addr) {
	if v6 {
		return r.v6.bind, r.v6.shown
	}
	return r.v4.bind, r.v4.shown
}

// listen takes datagrams of clients at an address.
func (r *relay) listen(at netip.AddrPort) (netip.AddrPort, error) {
	// A first socket that does not share its port shows whether another process has it.
	alone, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if errors.Is(err, syscall.EAFNOSUPPORT) && at.Addr() == netip.IPv6Unspecified() {
		return r.listen(netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())) // a machine without IPv6
	}
	if err != nil {
		return at, err
	}
	at = netip.AddrPortFrom(at.Addr(), alone.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	alone.Close()
	for _, w := range r.workers {
		if err := w.listen(at); err != nil {
			return at, err
		}
	}
	return at, nil
}

// serve takes a connection of a client and returns when it has ended.
func (r *relay) serve(nc net.Conn) {
	defer nc.Close()
	remote, ok := addrPort(nc.RemoteAddr())
	if !ok {
		return
	}
	local, _ := addrPort(nc.LocalAddr())
	id := r.next.Add(1)
	w := r.workers[id%uint64(len(r.workers))]
	c := &conn{w: w, c: nc, tuple: turn.Tuple{Remote: remote, Local: local.Addr(), Conn: id}}
	c.run = c.flush
	_, c.secure = nc.(interface{ ConnectionState() tls.ConnectionState })
	host := remote.Addr()
	r.mu.Lock()
	if r.closed || len(r.all) >= maxConns || r.conns[host] >= maxConnsPerHost {
		r.mu.Unlock()
		r.refused.Add(1)
		return
	}
	r.all[c] = struct{}{}
	r.conns[host]++
	r.readers.Add(1)
	r.mu.Unlock()
	defer r.readers.Done()
	w.mu.Lock()
	w.conns[id] = c
	w.mu.Unlock()

	nc.SetReadDeadline(time.Now().Add(introduction))
	if err := c.read(); err != nil && !errors.Is(err, io.EOF) {
		r.log.Debug("relay connection ends", "addr", remote, "err", err)
	}

	w.mu.Lock()
	w.server.Gone(c.tuple)
	delete(w.conns, id)
	w.mu.Unlock()
	c.mu.Lock()
	c.dead, c.queue = true, nil
	c.mu.Unlock()
	r.mu.Lock()
	delete(r.all, c)
	if r.conns[host]--; r.conns[host] == 0 {
		delete(r.conns, host)
	}
	r.mu.Unlock()
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
}

// close ends all allocations and connections, and returns when nothing of it runs.
func (r *relay) close(context.Context) error {
	r.mu.Lock()
	r.closed = true
	for c := range r.all {
		c.c.Close()
	}
	r.mu.Unlock()
	for _, w := range r.workers {
		w.stop()
	}
	r.running.Wait()
	r.readers.Wait()
	for _, w := range r.workers {
		w.close()
	}
	return nil
}

// stats adds up what the workers have counted.
func (r *relay) stats() (sum turn.Stats, cut, failed uint64) {
	for _, w := range r.workers {
		w.mu.Lock()
		s := w.server.Stats()
		cut += w.cut
		failed += w.failed
		for _, e := range w.ears {
			failed += e.out.dropped
		}
		w.mu.Unlock()
		sum.Add(s)
	}
	return sum, cut, failed
}
