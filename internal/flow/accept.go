package flow

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// keepAlive finds peers that are gone without a word in about two minutes.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 3}

// tcpAcceptor accepts connections and hands each to serve in a goroutine of its own, so that nothing a peer does
// or fails to do holds up the next.
type tcpAcceptor struct {
	ln    *Listener
	tcp   *net.TCPListener
	serve func(conn *net.TCPConn)
	once  sync.Once
	done  chan struct{}
}

func (ln *Listener) listenStream(ctx context.Context, serve func(*net.TCPConn)) error {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	lc.SetMultipathTCP(false)
	tcp, err := lc.Listen(ctx, "tcp", ln.spec.Addr.String())
	if err != nil {
		return err
	}
	ln.addr = addrPort(tcp.Addr())
	a := &tcpAcceptor{ln: ln, tcp: tcp.(*net.TCPListener), serve: serve, done: make(chan struct{})}
	if err := ln.register(a); err != nil || !ln.layer.start(a.loop) {
		tcp.Close()
		return errors.Join(ErrLayerClosed, err)
	}
	return nil
}

func (a *tcpAcceptor) stopAccepting() {
	a.once.Do(func() {
		close(a.done)
		a.tcp.Close()
	})
}

func (a *tcpAcceptor) close() { a.stopAccepting() }

// loop accepts until the listener is closed. Running out of descriptors or memory only makes it slower: what was
// accepted goes on, and new peers wait in the kernel's queue.
func (a *tcpAcceptor) loop() {
	l := a.ln.layer
	pause := time.Duration(0)
	for {
		conn, err := a.tcp.AcceptTCP()
		if err == nil {
			pause = 0
			a.accepted(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		l.stats.AcceptErrors.Add(1)
		if pause == 0 {
			l.config.Log.Warn("cannot accept connections", "svc", "flow", "listener", a.ln.addr, "err", err)
		}
		pause = min(max(5*time.Millisecond, 2*pause), time.Second)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-a.done:
			t.Stop()
			return
		}
	}
}

func (a *tcpAcceptor) accepted(conn *net.TCPConn) {
	l := a.ln.layer
	from := addrPort(conn.RemoteAddr()).Addr()
	if !l.gate.enter(from, a.ln.spec.Transport.Secure()) {
		conn.Close()
		return
	}
	if !l.start(func() { a.serve(conn) }) {
		conn.Close()
		l.gate.leave(from)
	}
}

// serveStream is the life of an accepted TCP or TLS connection.
func (ln *Listener) serveStream(conn *net.TCPConn) {
	s, err := ln.openStream(conn)
	if err != nil {
		conn.Close()
		ln.layer.gate.leave(addrPort(conn.RemoteAddr()).Addr())
		return
	}
	s.run()
}

func (ln *Listener) openStream(conn *net.TCPConn) (*stream, error) {
	l := ln.layer
	local, remote := addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	s, err := newStream(conn)
	if err != nil {
		return nil, err
	}
	var state *tlsState
	if ln.spec.Transport == TLS {
		state, err = s.handshake(l.ctx, tls.Server, ln.spec.TLS, l.config.Limits.Handshake)
		l.gate.shaken(remote.Addr(), err)
		if err != nil {
			l.config.Log.Debug("TLS handshake", "peer", remote, "listener", ln.addr, "err", err)
			return nil, err
		}
	}
	s.flow = l.newFlow(ln.spec.Transport, local, remote, s)
	s.flow.listener, s.flow.tls = ln, state
	s.flow.limits.Store(ln.spec.Limits)
	return s, l.admit(s.flow)
}

// addrPort converts an address of the net package, IPv4 to its four-byte form.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
