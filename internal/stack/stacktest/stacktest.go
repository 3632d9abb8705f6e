// Package stacktest runs a stack on loopback sockets and plays the peers by script.
package stacktest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/siptest"
	"parley/internal/stack"
)

// wait is how long a message that has to come may take. It is never waited for in a test that passes.
const wait = 10 * time.Second

// Server is a stack with a UDP and a TCP listener on loopback.
type Server struct {
	Stack *stack.Stack
	Layer *flow.Layer
	UDP   netip.AddrPort
	TCP   netip.AddrPort
	Clock *Clock
	Log   *Log
}

// Clock is a clock that stands still until it is told to go on.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Start runs a stack of cfg, to which it adds log and clock, until the test ends.
func Start(t testing.TB, cfg stack.Config) *Server { return StartWith(t, cfg, flow.Config{}) }

// StartWith is Start with settings for the flow layer.
func StartWith(t testing.TB, cfg stack.Config, fc flow.Config) *Server {
	t.Helper()
	s := &Server{Clock: &Clock{now: time.Unix(1_800_000_000, 0)}, Log: &Log{}}
	log := s.Log.Logger()
	if cfg.Now == nil {
		cfg.Now = s.Clock.Now
	}
	cfg.Log, fc.Log = log, log
	s.Stack = stack.New(cfg)
	fc.Handler = s.Stack
	s.Layer = flow.New(fc)
	s.Stack.Start(s.Layer)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if err := s.Layer.Close(ctx); err != nil {
			t.Errorf("close flows: %v", err)
		}
		if err := s.Stack.Stop(ctx); err != nil {
			t.Errorf("stop stack: %v", err)
		}
	})
	s.UDP = s.listen(t, flow.UDP)
	s.TCP = s.listen(t, flow.TCP)
	return s
}

func (s *Server) listen(t testing.TB, tr flow.Transport) netip.AddrPort {
	t.Helper()
	l, err := s.Layer.Listen(t.Context(), flow.ListenSpec{Row: "test", Transport: tr, Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr()
}

// Advance moves the clock by d in steps of the stack's timers and waits each time until those that are due have
// run.
func (s *Server) Advance(t testing.TB, d time.Duration) {
	t.Helper()
	const step = 50 * time.Millisecond
	for d > 0 {
		n := min(d, step)
		d -= n
		s.Clock.mu.Lock()
		s.Clock.now = s.Clock.now.Add(n)
		s.Clock.mu.Unlock()
		s.Stack.Tick()
	}
}

// AdvanceOnce moves the clock by d in one step. Tests whose peers go on by themselves use it.
func (s *Server) AdvanceOnce(d time.Duration) {
	s.Clock.mu.Lock()
	s.Clock.now = s.Clock.now.Add(d)
	s.Clock.mu.Unlock()
	s.Stack.Tick()
}

// Log collects what was logged.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// Logger returns a logger that writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Peer is a SIP element played by the test.
type Peer struct {
	t      testing.TB
	udp    *net.UDPConn
	tcp    net.Conn
	server netip.AddrPort
	buf    []byte // of a stream, what was read and not used
}

// UDPPeer opens a UDP socket that talks to the server.
func (s *Server) UDPPeer(t testing.TB) *Peer {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Peer{t: t, udp: c, server: s.UDP}
}

// TCPPeer connects to the server.
func (s *Server) TCPPeer(t testing.TB) *Peer {
	t.Helper()
	c, err := net.Dial("tcp4", s.TCP.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Peer{t: t, tcp: c}
}

// Conn makes a peer of a stream that a test accepted.
func Conn(t testing.TB, c net.Conn) *Peer {
	t.Cleanup(func() { c.Close() })
	return &Peer{t: t, tcp: c}
}

// Close ends the peer's connection.
func (p *Peer) Close() {
	if p.tcp != nil {
		p.tcp.Close()
	} else {
		p.udp.Close()
	}
}

// Addr returns the peer's own address.
func (p *Peer) Addr() netip.AddrPort {
	a := net.Addr(nil)
	if p.tcp != nil {
		a = p.tcp.LocalAddr()
	} else {
		a = p.udp.LocalAddr()
	}
	return netip.MustParseAddrPort(a.String())
}

// Transport returns the peer's transport as a Via spells it.
func (p *Peer) Transport() string {
	if p.tcp != nil {
		return "TCP"
	}
	return "UDP"
}

// Send sends a message written as text; "$via" in it becomes the transport and address of the peer.
func (p *Peer) Send(text string) {
	p.t.Helper()
	text = strings.ReplaceAll(text, "$via", "SIP/2.0/"+p.Transport()+" "+p.Addr().String())
	p.SendRaw(siptest.Text(text))
}

// TrySend is Send for a connection that may end.
func (p *Peer) TrySend(text string) error {
	return p.write(siptest.Text(strings.ReplaceAll(text, "$via", "SIP/2.0/"+p.Transport()+" "+p.Addr().String())))
}

// SendRaw sends bytes as they are.
func (p *Peer) SendRaw(b []byte) {
	p.t.Helper()
	if err := p.write(b); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *Peer) write(b []byte) (err error) {
	if p.tcp != nil {
		_, err = p.tcp.Write(b)
	} else {
		_, err = p.udp.WriteToUDPAddrPort(b, p.server)
	}
	return err
}

// Request sends a request with branch and CSeq number; extra are further header lines. It has Call-ID "call", From
// tag "a" and, if totag is not empty, that To tag.
func (p *Peer) Request(method, uri, branch string, cseq int, totag string, extra ...string) {
	p.t.Helper()
	to := "<sip:bob@example.test>"
	if totag != "" {
		to += ";tag=" + totag
	}
	text := method + " " + uri + " SIP/2.0\nVia: $via;branch=" + branch + ";rport\nMax-Forwards: 70\nFrom: <sip:alice@example.test>;tag=a\nTo: " +
		to + "\nCall-ID: call\nCSeq: " + strconv.Itoa(cseq) + " " + method + "\n"
	for _, x := range extra {
		text += x + "\n"
	}
	p.Send(text + "Content-Length: 0\n\n")
}

// Reply answers a request that was received.
func (p *Peer) Reply(req *sip.Message, code int, extra ...sip.Header) {
	p.t.Helper()
	tag := ""
	if code > 100 {
		tag = "b"
	}
	r := sip.Response{Code: code, ToTag: tag, Headers: extra, RecordRoute: true}
	p.SendRaw(r.Append(nil, req))
}

// TryReply is Reply for a connection that may end.
func (p *Peer) TryReply(req *sip.Message, code int) error {
	r := sip.Response{Code: code, RecordRoute: true}
	if code > 100 {
		r.ToTag = "b"
	}
	return p.write(r.Append(nil, req))
}

// Play gives every message that comes to fn until stop is closed.
func (p *Peer) Play(stop <-chan struct{}, fn func(p *Peer, m *sip.Message)) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if m, err := p.receive(20 * time.Millisecond); err == nil {
			fn(p, m)
		}
	}
}

// ReceiveWithin returns the next message, or an error when none comes in time.
func (p *Peer) ReceiveWithin(d time.Duration) (*sip.Message, error) { return p.receive(d) }

// Receive returns the next message.
func (p *Peer) Receive() *sip.Message {
	p.t.Helper()
	m, err := p.receive(wait)
	if err != nil {
		p.t.Fatalf("nothing came: %v", err)
	}
	return m
}

// Expect receives a message and fails the test unless it is what is wanted: a method, or a status code.
func (p *Peer) Expect(want string) *sip.Message {
	p.t.Helper()
	m, err := p.receive(wait)
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", want, err)
	}
	if got := Name(m); got != want {
		p.t.Fatalf("got %s, want %s:\n%s", got, want, m.Raw())
	}
	return m
}

// Drain reads what was sent to the peer before and returns how many messages were of the kind wanted; all others
// fail the test.
func (p *Peer) Drain(want string) (n int) {
	p.t.Helper()
	for _, m := range p.before() {
		if Name(m) == want {
			n++
		} else {
			p.t.Errorf("got %s, want nothing but %s:\n%s", Name(m), want, m.Raw())
		}
	}
	return n
}

// Quiet fails the test if anything was sent to the peer before.
func (p *Peer) Quiet() {
	p.t.Helper()
	for _, m := range p.before() {
		p.t.Errorf("got %s, want nothing:\n%s", Name(m), m.Raw())
	}
}

// before returns what was sent to the peer before now. The server is made to answer something to know it, so that
// nothing is waited for.
func (p *Peer) before() (ms []*sip.Message) {
	p.t.Helper()
	id := fmt.Sprintf("z9hG4bKquiet%d", time.Now().UnixNano())
	// A CANCEL for nothing is answered 481 by the stack itself.
	p.Send("CANCEL sip:quiet@example.test SIP/2.0\nVia: $via;branch=" + id + "\nMax-Forwards: 1\nFrom: <sip:q@example.test>;tag=q\n" +
		"To: <sip:q@example.test>\nCall-ID: " + id + "\nCSeq: 1 CANCEL\nContent-Length: 0\n\n")
	for {
		m, err := p.receive(wait)
		if err != nil {
			p.t.Fatalf("no answer to the test of silence: %v", err)
		}
		if string(m.CallID()) == id {
			return ms
		}
		ms = append(ms, m)
	}
}

// Name returns a message's method or status code.
func Name(m *sip.Message) string {
	if m.IsRequest() {
		return string(m.MethodName())
	}
	return strconv.Itoa(m.StatusCode())
}

func (p *Peer) receive(d time.Duration) (*sip.Message, error) {
	m := new(sip.Message)
	if p.tcp == nil {
		p.udp.SetReadDeadline(time.Now().Add(d))
		b := make([]byte, 65536)
		n, from, err := p.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			return nil, err
		}
		err = m.Parse(b[:n], nil)
		m.Source = from
		return m, err
	}
	p.tcp.SetReadDeadline(time.Now().Add(d))
	for {
		n, kind, err := sip.Frame(p.buf, nil)
		if err != nil {
			return nil, err
		}
		switch kind {
		case sip.FrameMessage:
			raw := append([]byte(nil), p.buf[:n]...)
			p.buf = p.buf[n:]
			return m, m.Parse(raw, nil)
		case sip.NeedMore:
			b := make([]byte, 4096)
			n, err := p.tcp.Read(b)
			if err != nil {
				return nil, err
			}
			p.buf = append(p.buf, b[:n]...)
		default:
			p.buf = p.buf[n:]
		}
	}
}
