package flow

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"

	"parley/internal/sip"
)

// subprotocol is what a WebSocket that carries SIP is opened with (RFC 7118 section 4).
const subprotocol = "sip"

// webSocket is the wire of a WebSocket flow. Its reader is the goroutine of the HTTP request that opened it; a
// writer goroutine exists while something is to be written.
type webSocket struct {
	flow  *Flow
	conn  *websocket.Conn
	bt    batch
	msg   sip.Message
	since atomic.Int64 // layer clock when the message being read began

	mu      sync.Mutex
	queue   []*buf
	size    int
	writing bool
	ended   bool
}

// wsAcceptor is a listener for WebSockets: our own accept loop, with net/http behind it.
type wsAcceptor struct {
	*tcpAcceptor
	conns  chan net.Conn
	closed chan struct{}
	server *http.Server
}

func (ln *Listener) listenWebSocket(ctx context.Context) error {
	l := ln.layer
	a := &wsAcceptor{conns: make(chan net.Conn), closed: make(chan struct{})}
	a.server = &http.Server{
		Handler:           l.webSocketHandler(ln),
		ReadHeaderTimeout: l.config.Limits.Handshake,
		IdleTimeout:       l.config.Limits.Handshake,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          quiet(l.config.Log),
		ConnState: func(c net.Conn, state http.ConnState) {
			if t, ok := c.(*tls.Conn); ok && state != http.StateNew {
				t.NetConn().(*gatedConn).shaken(state != http.StateClosed)
			}
		},
	}
	if err := ln.listenStream(ctx, func(c *net.TCPConn) { a.hand(ln, c) }); err != nil {
		return err
	}
	a.tcpAcceptor = ln.open.(*tcpAcceptor)
	ln.layer.mu.Lock()
	ln.open = a
	ln.layer.mu.Unlock()
	inner := net.Listener(a)
	if ln.spec.Transport == WSS {
		c := ln.spec.TLS.Clone()
		c.NextProtos = []string{"http/1.1"} // a WebSocket cannot be opened over HTTP/2 by net/http
		inner = tls.NewListener(a, c)
	}
	if !l.start(func() { a.server.Serve(inner) }) {
		a.close()
		return ErrLayerClosed
	}
	return nil
}

// quiet sends what net/http has to say of its peers to the debug log.
func quiet(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

// hand gives an accepted connection to the HTTP server.
func (a *wsAcceptor) hand(ln *Listener, c *net.TCPConn) {
	g := &gatedConn{TCPConn: c, gate: &ln.layer.gate, handshake: ln.spec.Transport == WSS}
	select {
	case a.conns <- g:
	case <-a.done:
		g.Close()
	}
}

// Accept, Close and Addr make it the listener of the HTTP server.
func (a *wsAcceptor) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.done:
		return nil, net.ErrClosed
	}
}

func (a *wsAcceptor) Close() error   { a.stopAccepting(); return nil }
func (a *wsAcceptor) Addr() net.Addr { return a.tcp.Addr() }

func (a *wsAcceptor) close() {
	a.stopAccepting()
	a.server.Close()
}

// gatedConn tells the gate about the life of a connection that net/http owns.
type gatedConn struct {
	*net.TCPConn
	gate      *gate
	handshake bool
	shook     sync.Once
	left      sync.Once
}

func (c *gatedConn) shaken(ok bool) {
	if !c.handshake {
		return
	}
	c.shook.Do(func() {
		var err error
		if !ok {
			err = net.ErrClosed
		}
		c.gate.shaken(addrPort(c.RemoteAddr()).Addr(), err)
	})
}

func (c *gatedConn) Close() error {
	c.shaken(false)
	c.left.Do(func() { c.gate.leave(addrPort(c.RemoteAddr()).Addr()) })
	return c.TCPConn.Close()
}

// WebSocketHandler returns a handler that makes a flow of every WebSocket opened with subprotocol "sip" (RFC 7118),
// for an HTTP front of somebody else. Its flows have no Listener.
func (l *Layer) WebSocketHandler() http.Handler { return l.webSocketHandler(nil) }

func (l *Layer) webSocketHandler(ln *Listener) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		if l.closing {
			l.mu.Unlock()
			http.Error(w, "server is stopping", http.StatusServiceUnavailable)
			return
		}
		l.wg.Add(1)
		l.mu.Unlock()
		defer l.wg.Done()
		l.serveWebSocket(ln, w, r)
	})
}

func (l *Layer) serveWebSocket(ln *Listener, w http.ResponseWriter, r *http.Request) {
	if !offers(r, subprotocol) {
		http.Error(w, `WebSocket subprotocol "sip" is required`, http.StatusBadRequest)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, OriginPatterns: l.config.Origins, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		l.stats.HandshakeFails.Add(1)
		l.config.Log.Debug("WebSocket handshake", "peer", r.RemoteAddr, "err", err)
		return
	}
	defer c.CloseNow()
	stop := context.AfterFunc(l.ctx, func() { c.CloseNow() })
	defer stop()
	ws := &webSocket{conn: c}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	var local netip.AddrPort
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		local = addrPort(a)
	}
	t := WS
	var state *tlsState
	if r.TLS != nil {
		t, state = WSS, &tlsState{serverName: r.TLS.ServerName, peer: r.TLS.PeerCertificates}
	}
	l.start(func() {}) // the janitor runs even if there is no listener of ours
	ws.flow = l.newFlow(t, local, remote, ws)
	ws.flow.listener, ws.flow.tls = ln, state
	if ln != nil {
		ws.flow.limits.Store(ln.spec.Limits)
	}
	if err := l.admit(ws.flow); err != nil {
		c.Close(websocket.StatusPolicyViolation, "")
		return
	}
	err = ws.read()
	ws.flow.closing(err)
	ws.discard()
	c.CloseNow()
	ws.flow.finish()
}

// offers reports whether the peer offers a subprotocol.
func offers(r *http.Request, name string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(p), name) {
				return true
			}
		}
	}
	return false
}

// read reads until the flow ends and says why it did.
func (ws *webSocket) read() error {
	f := ws.flow
	l := f.layer
	var dirty []*stream
	for !f.closed.Load() {
		lim := f.messageLimits()
		max := lim.MaxMessage
		if max <= 0 {
			max = sip.DefaultLimits.MaxMessage
		}
		ws.conn.SetReadLimit(int64(max))
		_, r, err := ws.conn.Reader(context.Background())
		if err != nil {
			return ended(err)
		}
		ws.since.Store(l.clock.Load())
		b, err := readAll(r)
		ws.since.Store(0)
		if err != nil {
			b.free()
			return ended(err)
		}
		f.lastIn.Store(l.clock.Load())
		l.stats.BytesIn.Add(uint64(b.len()))
		ws.bt.begin(dirty)
		err = ws.message(b.bytes(), lim)
		dirty = ws.bt.end()
		b.free()
		if err != nil {
			return err
		}
	}
	return ErrClosed
}

// readAll reads one WebSocket message into a pooled buffer.
func readAll(r io.Reader) (*buf, error) {
	b := newBuf(1 << 10)
	for {
		b = b.grow(1)
		n, err := r.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// ended turns the peer's closing into io.EOF.
func ended(err error) error {
	if websocket.CloseStatus(err) >= 0 || errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// message handles one WebSocket message, which is one SIP message or a keep-alive.
func (ws *webSocket) message(b []byte, lim *sip.Limits) (err error) {
	f := ws.flow
	l := f.layer
	defer func() {
		if p := recover(); p != nil {
			err = l.panicked(f, p, debug.Stack())
		}
	}()
	if isPadding(b) {
		if len(b) >= 4 { // some clients ping as RFC 5626 has it for TCP
			l.stats.KeepAlives.Add(1)
			return f.Send(crlf)
		}
		return nil
	}
	f.messages.Add(1)
	l.stats.MessagesIn.Add(1)
	l.deliver(f, &ws.msg, b, lim)
	return nil
}

func (ws *webSocket) send(f *Flow, _ *batch, b []byte) error {
	l := f.layer
	ws.mu.Lock()
	if ws.ended {
		ws.mu.Unlock()
		return ErrClosed
	}
	if p := f.filter.Load(); p != nil {
		b = (*p)(f, b)
	}
	if ws.size+len(b) > l.config.Limits.Outbox {
		ws.mu.Unlock()
		f.Close(ErrSlowPeer)
		return ErrSlowPeer
	}
	if trace := l.tracing(); trace != nil {
		trace(f, false, b)
	}
	ws.queue = append(ws.queue, (*buf)(nil).append(b))
	ws.size += len(b)
	start := !ws.writing
	ws.writing = true
	ws.mu.Unlock()
	f.lastOut.Store(l.clock.Load())
	l.stats.MessagesOut.Add(1)
	if start && !l.start(ws.write) {
		return ErrLayerClosed
	}
	return nil
}

// write is the writer goroutine: it ends when the queue is empty.
func (ws *webSocket) write() {
	l := ws.flow.layer
	for {
		ws.mu.Lock()
		if len(ws.queue) == 0 {
			ws.writing, ws.queue = false, nil
			ws.mu.Unlock()
			return
		}
		b := ws.queue[0]
		ws.queue[0] = nil
		ws.queue = ws.queue[1:]
		ws.mu.Unlock()
		typ := websocket.MessageText
		if !utf8.Valid(b.bytes()) {
			typ = websocket.MessageBinary
		}
		n := b.len()
		ctx, cancel := context.WithTimeout(context.Background(), l.config.Limits.WriteStall)
		err := ws.conn.Write(ctx, typ, b.bytes())
		late := ctx.Err() != nil
		cancel()
		b.free()
		ws.mu.Lock()
		ws.size -= n
		ws.mu.Unlock()
		if err != nil {
			if late {
				err = ErrStalled
			}
			ws.discard()
			ws.flow.Close(err)
			continue
		}
		l.stats.BytesOut.Add(uint64(n))
	}
}

// discard forgets what was not written.
func (ws *webSocket) discard() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ended = true
	for i, b := range ws.queue {
		ws.size -= b.len()
		b.free()
		ws.queue[i] = nil
	}
	ws.queue = ws.queue[:0]
}

func (ws *webSocket) batch() *batch { return &ws.bt }

func (ws *webSocket) backlog() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.size
}

// wake closes the WebSocket, with a word to peers that still listen.
func (ws *webSocket) wake(f *Flow) {
	switch f.Err() {
	case ErrSlowPeer, ErrStalled, ErrSlowMessage:
		ws.conn.CloseNow()
	default:
		f.layer.start(func() { ws.conn.Close(websocket.StatusGoingAway, "") })
	}
}

func (ws *webSocket) check(f *Flow, now int64) {
	lim := &f.layer.config.Limits
	since := ws.since.Load()
	switch {
	case since != 0 && now-since > int64(lim.Partial):
		f.Close(ErrSlowMessage)
	case f.messages.Load() == 0 && now-f.opened > int64(lim.FirstMessage):
		f.Close(ErrNoMessage)
	default:
		f.checkIdle(now, lim.Idle)
	}
}
