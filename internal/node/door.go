package node

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/service"
	"parley/internal/topology"
)

// alpnTURN is how a client says that TURN follows (RFC 7443).
const alpnTURN = "stun.turn"

// A door is a TCP listener that the web site and the media relay share: what a connection begins with says whose it is.
//
//	a Lync client's imitation of TLS, and then its frames     relay
//	TLS, and in it stun.turn (RFC 7443) or a STUN message     relay
//	TLS with anything else in it                              web site, if there is one
//	a STUN message, or a frame of a Lync client               relay
//	anything else                                             closed
type door struct {
	net.Listener
	tls *tls.Config
	log *slog.Logger

	relay   atomic.Pointer[func(net.Conn)]
	site    chan net.Conn // nil: no web site here
	end     chan struct{}
	close   sync.Once
	closing error
	waiting atomic.Int64
	running sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]struct{} // whose kind is not known yet
}

// Bounds on connections that have not said what they are.
const (
	introduction = 15 * time.Second
	maxStrangers = 4096
)

// newDoor makes a door of a plain listener. A client that asks for TURN in TLS gets it.
func newDoor(l net.Listener, conf *tls.Config, log *slog.Logger) *door {
	conf = conf.Clone()
	current := conf.GetConfigForClient
	conf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := current(hello)
		if err == nil && slices.Contains(hello.SupportedProtos, alpnTURN) {
			c = c.Clone()
			c.NextProtos = []string{alpnTURN}
		}
		return c, err
	}
	return &door{Listener: l, tls: conf, log: log, end: make(chan struct{}), open: make(map[net.Conn]struct{})}
}

// openDoor puts TLS before a web site, and a door where the relay of this node may want the address too.
func (n *Node) openDoor(l net.Listener, p service.Port) net.Listener {
	conf := n.webTLS(p)
	if p.External || p.ClientCert == service.RequireClientCert || !n.has(topology.RoleMediaRelay) {
		return tls.NewListener(l, conf)
	}
	d := newDoor(l, conf, n.log)
	n.doors.add(d, l.Addr().(*net.TCPAddr).AddrPort())
	return d.web()
}

// web returns the door as the listener of the web site.
func (d *door) web() net.Listener {
	d.site = make(chan net.Conn)
	d.run()
	return d
}

func (d *door) run() {
	d.running.Go(func() {
		for {
			c, err := d.Listener.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				d.log.Warn("accept", "err", err)
				select {
				case <-d.end:
					return
				case <-time.After(50 * time.Millisecond): // no descriptors: others must go first
				}
				continue
			}
			if d.waiting.Add(1) > maxStrangers {
				d.waiting.Add(-1)
				c.Close()
				continue
			}
			d.running.Go(func() { d.enter(c) })
		}
	})
}

// Accept waits for the next connection of the web site.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.site:
		return c, nil
	case <-d.end:
		return nil, net.ErrClosed
	}
}

// Close ends listening and the connections that have not said what they are.
func (d *door) Close() error {
	d.close.Do(func() {
		close(d.end)
		d.closing = d.Listener.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		for c := range d.open {
			c.Close()
		}
	})
	return d.closing
}

// enter finds out what a connection is and leads it on.
func (d *door) enter(c net.Conn) {
	d.mu.Lock()
	d.open[c] = struct{}{}
	d.mu.Unlock()
	c.SetDeadline(time.Now().Add(introduction))
	known, toRelay := d.ask(c)
	d.waiting.Add(-1)
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	if known == nil {
		c.Close()
		return
	}
	known.SetDeadline(time.Time{})
	if toRelay {
		if serve := d.relay.Load(); serve != nil {
			(*serve)(known)
		} else {
			known.Close()
		}
		return
	}
	select {
	case d.site <- known:
	case <-d.end:
		known.Close()
	}
}

// ask returns the connection to go on with, nil for none, and whether it is the relay's.
func (d *door) ask(c net.Conn) (known net.Conn, relay bool) {
	var head [helloLen]byte
	if _, err := io.ReadFull(c, head[:1]); err != nil {
		return nil, false
	}
	if head[0] != recordHandshake {
		if !beginsTURN(head[0]) {
			return nil, false
		}
		return &prefixed{c, head[:1]}, true
	}
	if _, err := io.ReadFull(c, head[1:5]); err != nil {
		return nil, false
	}
	read := 5
	if int(binary.BigEndian.Uint16(head[3:])) == helloLen-5 {
		// The length of a Lync client's hello, and too short for one of TLS with a name of the server in it.
		n, err := io.ReadFull(c, head[5:])
		if err != nil {
			return nil, false
		}
		if read += n; isPseudoHello(head[:]) {
			if _, err := c.Write(pseudoAnswer()); err != nil {
				return nil, false
			}
			return c, true
		}
	}
	t := tls.Server(&prefixed{c, head[:read]}, d.tls)
	ctx, cancel := context.WithTimeout(context.Background(), introduction)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		d.log.Debug("TLS handshake", "addr", c.RemoteAddr(), "err", err)
		return nil, false
	}
	switch t.ConnectionState().NegotiatedProtocol {
	case alpnTURN:
		return t, true
	case "":
	default:
		if d.site == nil {
			return nil, false
		}
		return t, false
	}
	// No protocol was agreed on, as with most clients of TURN and with simple ones of HTTP.
	var first [1]byte
	if _, err := io.ReadFull(t, first[:]); err != nil {
		return nil, false
	}
	if beginsTURN(first[0]) {
		return &prefixedTLS{prefixed{t, first[:]}, t}, true
	}
	if d.site == nil {
		return nil, false
	}
	return &prefixedTLS{prefixed{t, first[:]}, t}, false
}

// beginsTURN reports whether a connection that begins with b is one of TURN: the first octet of a STUN request of the
// methods there are, or of a frame of [MS-TURN].
func beginsTURN(b byte) bool { return b <= 3 }

// recordHandshake is the first octet of TLS.
const recordHandshake = 0x16

// The imitation of TLS that Lync clients begin with: hello messages of TLS 1.0 of fixed length with a suite nobody uses, after
// which there is no TLS. What is random in them does not matter.
const (
	helloLen    = 50
	answerLen   = 83
	pseudoSuite = 0x18
)

func isPseudoHello(b []byte) bool {
	// Handshake record 3.1; ClientHello of 41 octets, 3.1; after 32 random octets no session, one suite, no compression.
	return string(b[:11]) == "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01" && string(b[43:]) == "\x00\x00\x02\x00\x18\x01\x00"
}

// pseudoAnswer is ServerHello with a session of 32 octets, and ServerHelloDone.
func pseudoAnswer() []byte {
	b := append(make([]byte, 0, answerLen), "\x16\x03\x01\x00\x4e\x02\x00\x00\x46\x03\x01"...)
	b = append(b, make([]byte, 32)...)
	b = append(b, 32)
	b = append(b, make([]byte, 32)...)
	return append(b, 0, pseudoSuite, 0, 0x0e, 0, 0, 0)
}

// prefixed is a connection of which something was read already.
type prefixed struct {
	net.Conn
	head []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// prefixedTLS says of its TLS what httpd and the relay ask for.
type prefixedTLS struct {
	prefixed
	tls *tls.Conn
}

func (p *prefixedTLS) ConnectionState() tls.ConnectionState { return p.tls.ConnectionState() }

// doors are those of a node.
type doors struct {
	mu  sync.Mutex
	all []placedDoor
}

type placedDoor struct {
	*door
	at netip.AddrPort
}

func (ds *doors) add(d *door, at netip.AddrPort) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.all = append(ds.all, placedDoor{d, at})
}

// wait returns when nothing runs behind the doors, which are closed with the web sites.
func (ds *doors) wait(context.Context) error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.all {
		d.Close()
		d.running.Wait()
	}
	return nil
}

func (ds *doors) at(addr netip.AddrPort) *door {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.all {
		if d.at == addr {
			return d.door
		}
	}
	return nil
}

// has reports whether the node has a role.
func (n *Node) has(role topology.Role) bool {
	return slices.Contains(n.roles(), role)
}

// raw is what a service gets that reads its listeners itself.
func (n *Node) raw(svc string) *service.Raw {
	return &service.Raw{
		Packets: func(_ context.Context, p service.Port, open func(netip.AddrPort) (netip.AddrPort, error)) ([]netip.AddrPort, error) {
			return n.listenEach(svc, p, func(addr netip.AddrPort) (l openListener, err error) {
				l.addr, err = bindShifted(n, addr, open)
				return l, err
			})
		},
		Streams: func(ctx context.Context, p service.Port, serve func(net.Conn)) ([]netip.AddrPort, error) {
			return n.listenEach(svc, p, func(addr netip.AddrPort) (openListener, error) { return n.bindStreams(addr, serve) })
		},
		Secret:    func(ctx context.Context, name string) ([]byte, error) { return secret(ctx, n.store, n.keys, name) },
		Addresses: func() []netip.Addr { return n.file.Load().Listen.Addresses },
	}
}

// bindStreams has the relay take its connections at an address, together with the web site when that is there too.
func (n *Node) bindStreams(addr netip.AddrPort, serve func(net.Conn)) (openListener, error) {
	at := addr
	if offset := n.offset(); offset != 0 && at.Port() != 0 && at.Port() < 1024 {
		at = shift(at, offset)
	}
	if d := n.doors.at(at); d != nil {
		d.relay.Store(&serve)
		return openListener{addr: at}, nil
	}
	l, err := n.listenTCP(addr)
	if err != nil {
		return openListener{}, err
	}
	d := newDoor(l, n.certs.Server(clientAuth(service.NoClientCert)), n.log)
	d.relay.Store(&serve)
	d.run()
	n.release("relay listener", func(context.Context) error { d.Close(); d.running.Wait(); return nil })
	return openListener{addr: l.Addr().(*net.TCPAddr).AddrPort()}, nil
}
