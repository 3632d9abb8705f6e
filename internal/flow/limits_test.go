package flow

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/internal/sip"
)

func TestKeepAliveOnStreams(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		l := newLayer(t, newEcho(), nil)
		c := dial(t, listen(t, l, tr, nil))
		c.write([]byte("\r\n\r\n"))
		if b := c.next(); string(b) != "\r\n" {
			t.Errorf("%v: got %q, want CRLF", tr, b)
		}
		c.write(request(tr, 1, ""))
		c.expect(200, 1)
		if n := l.Stats().KeepAlives.Load(); n != 1 {
			t.Errorf("%v: counted %d keep-alives", tr, n)
		}
	}
}

func TestKeepAliveOnUDP(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	c := dial(t, listen(t, l, UDP, nil))
	req, _ := hex.DecodeString("000100002112a442000102030405060708090a0b")
	c.write(req)
	b := c.next()
	if len(b) != 32 || !bytes.HasPrefix(b, []byte{1, 1, 0, 12}) {
		t.Errorf("got %x, want a Binding success response", b)
	}
	if n := len(l.Flows()); n != 0 {
		t.Errorf("a STUN request made %d flows", n)
	}
}

// TestNeverReadingPeer: a peer that does not read costs its outbox and is closed; others are served meanwhile.
func TestNeverReadingPeer(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, nil)
			ln := listen(t, l, tr, nil)
			deaf := dial(t, ln)
			deaf.write(request(tr, 1, ""))
			victim := receive(t, h.opened, "flow")
			other := dial(t, ln)
			other.write(request(tr, 1, ""))
			other.expect(200, 1)
			busy := receive(t, h.opened, "flow")

			msg := request(tr, 1, strings.Repeat("x", 8000))
			sent, seq := 0, 1
			for ; ; sent++ {
				if err := victim.SendWithin(busy, msg); err != nil {
					if !errors.Is(err, ErrSlowPeer) {
						t.Fatalf("Send failed with %v", err)
					}
					break
				}
				if n := victim.Backlog(); n > 256<<10+64<<10 { // sealed by TLS it is a little longer
					t.Fatalf("%d bytes wait", n)
				}
				if sent%100 == 0 {
					seq++
					other.write(request(tr, seq, ""))
					other.expect(200, seq)
				}
			}
			if err := receive(t, h.gone, "end"); !errors.Is(err, ErrSlowPeer) {
				t.Errorf("closed for %v", err)
			}
			if n := l.Stats().ClosedSlow.Load(); n != 1 {
				t.Errorf("counted %d slow peers", n)
			}
			seq++
			other.write(request(tr, seq, ""))
			other.expect(200, seq)
			t.Logf("%d messages were taken, of %d bytes each", sent, len(msg))
		})
	}
}

// TestPeerThatOnlyAsks: who sends requests and never reads the answers is not read from either, and closed when
// nothing moves any more.
func TestPeerThatOnlyAsks(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, func(c *Config) { c.Limits.WriteStall = 200 * time.Millisecond })
			c := dial(t, listen(t, l, tr, nil))
			req := bytes.Repeat(request(tr, 1, ""), 100)
			for {
				if _, err := c.Write(req); err != nil {
					break
				}
			}
			if err := receive(t, h.gone, "end"); !errors.Is(err, ErrStalled) {
				t.Errorf("closed for %v", err)
			}
		})
	}
}

// TestBigBacklogArrives: what the socket does not take at once arrives later, whole and in order.
func TestBigBacklogArrives(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, func(c *Config) { c.Limits.Outbox = 64 << 20 })
			c := dial(t, listen(t, l, tr, nil))
			c.write(request(tr, 1, ""))
			c.expect(200, 1)
			f := receive(t, h.opened, "flow")
			const n = 500
			for i := range n {
				if err := f.Send(request(tr, i, strings.Repeat("y", 20_000))); err != nil {
					t.Fatal(err)
				}
			}
			var m sip.Message
			for i := range n {
				if err := m.Parse(c.next(), nil); err != nil {
					t.Fatal(err)
				}
				if seq, _ := m.CSeq(); int(seq) != i {
					t.Fatalf("got CSeq %d, want %d", seq, i)
				}
			}
			eventually(t, "backlog is gone", func() bool { return f.Backlog() == 0 })
		})
	}
}

func TestSlowMessage(t *testing.T) {
	part := request(TCP, 1, "")[:40]
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, func(c *Config) { c.Limits.Partial = 100 * time.Millisecond })
			c := dial(t, listen(t, l, tr, nil))
			go func() {
				for _, b := range part {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond) // slower than allowed, but never silent
				}
			}()
			if err := receive(t, h.gone, "end"); err != ErrSlowMessage {
				t.Errorf("closed for %v", err)
			}
			if n := l.Stats().ClosedLate.Load(); n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
}

// TestSlowRecord: half a TLS record is half a message too.
func TestSlowRecord(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, func(c *Config) { c.Limits.Partial = 100 * time.Millisecond })
	ln := listen(t, l, TLS, nil)
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	tc := tls.Client(raw, clientTLS())
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	raw.Write([]byte{23, 3, 3, 1, 0, 1, 2, 3})
	if err := receive(t, h.gone, "end"); err != ErrSlowMessage {
		t.Errorf("closed for %v", err)
	}
}

func TestIdle(t *testing.T) {
	for _, tr := range datagramAndStreams {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, func(c *Config) {
				c.Limits.Idle, c.Limits.IdleUDP = 100*time.Millisecond, 100*time.Millisecond
			})
			ln := listen(t, l, tr, nil)
			held, idle := dial(t, ln), dial(t, ln)
			held.write(request(tr, 1, ""))
			f := receive(t, h.opened, "flow")
			f.Hold()
			idle.write(request(tr, 1, ""))
			idle.expect(200, 1)
			if err := receive(t, h.gone, "end"); err != ErrIdle {
				t.Errorf("closed for %v", err)
			}
			if f.Closed() {
				t.Error("a flow that is held was closed")
			}
			f.Release()
			if err := receive(t, h.gone, "end"); err != ErrIdle {
				t.Errorf("closed for %v", err)
			}
			if len(l.Flows()) != 0 || ln.Flows() != 0 {
				t.Error("flows are left")
			}
		})
	}
}

func TestNoMessageAfterConnecting(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, func(c *Config) { c.Limits.FirstMessage = 50 * time.Millisecond })
	c := dial(t, listen(t, l, TCP, nil))
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("got %q", b)
	}
	if err := receive(t, h.gone, "end"); err != ErrNoMessage {
		t.Errorf("closed for %v", err)
	}
}

func TestHandshakeDeadline(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, func(c *Config) { c.Limits.Handshake = 50 * time.Millisecond })
	for _, tr := range []Transport{TLS, WSS} {
		ln := listen(t, l, tr, nil)
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%v: got %d bytes", tr, n)
		}
	}
	eventually(t, "both failures counted", func() bool {
		return l.Stats().HandshakeFails.Load() == 2 && l.Stats().PendingTLS.Load() == 0
	})
	eventually(t, "gate is empty", func() bool { return gateConns(l) == 0 })
}

func gateConns(l *Layer) int {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	if l.gate.total.conns == 0 && len(l.gate.from) != 0 {
		return -1
	}
	return l.gate.total.conns
}

func TestConnectionBounds(t *testing.T) {
	tests := []struct {
		name    string
		tr      Transport
		change  func(*Limits)
		counter func(*Stats) uint64
	}{
		{"in all", TCP, func(l *Limits) { l.Conns = 2 }, func(s *Stats) uint64 { return s.RefusedConns.Load() }},
		{"from one address", TCP, func(l *Limits) { l.ConnsPerIP = 2 }, func(s *Stats) uint64 { return s.RefusedIP.Load() }},
		{"handshakes", TLS, func(l *Limits) { l.Handshakes = 2 }, func(s *Stats) uint64 { return s.RefusedHandshakes.Load() }},
		{"handshakes from one address", WSS, func(l *Limits) { l.HandshakesPerIP = 2 }, func(s *Stats) uint64 { return s.RefusedHandshakes.Load() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLayer(t, newEcho(), func(c *Config) {
				tt.change(&c.Limits)
				c.Exempt = func(netip.Addr) bool { return false }
			})
			ln := listen(t, l, tt.tr, nil)
			var conns []net.Conn
			for range 3 {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			conns[2].SetDeadline(time.Now().Add(20 * time.Second))
			if n, err := conns[2].Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("the third connection is served")
			}
			if n := tt.counter(l.Stats()); n != 1 {
				t.Errorf("counted %d", n)
			}
			for _, c := range conns {
				c.Close()
			}
			eventually(t, "all have left", func() bool { return gateConns(l) == 0 })
			c := dial(t, ln)
			if tt.tr != WSS {
				c.write(request(tt.tr, 1, ""))
				c.expect(200, 1)
			}
		})
	}
}

func TestUDPFlowsAreBounded(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, func(c *Config) { c.Limits.UDPFlows = 2 })
	ln := listen(t, l, UDP, nil)
	for range 2 {
		c := dial(t, ln)
		c.write(request(UDP, 1, ""))
		c.expect(200, 1)
		receive(t, h.opened, "flow").Hold()
	}
	dial(t, ln).write(request(UDP, 1, ""))
	eventually(t, "refused", func() bool { return l.Stats().RefusedUDP.Load() == 1 })
}

// TestUDPFloodMakesRoom: flows that nobody holds do not keep others out.
func TestUDPFloodMakesRoom(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, func(c *Config) { c.Limits.UDPFlows = 200 })
	ln := listen(t, l, UDP, nil)
	phone := dial(t, ln)
	phone.write(request(UDP, 1, ""))
	phone.expect(200, 1)
	f := receive(t, h.opened, "flow")
	f.Hold()
	for range 1000 {
		c, err := net.Dial("udp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(request(UDP, 1, ""))
		c.Close()
	}
	phone.write(request(UDP, 2, ""))
	phone.expect(200, 2)
	if f.Closed() {
		t.Error("a flow that is held was closed")
	}
	// Each socket's reader may be one ahead of the count.
	eventually(t, "bounded", func() bool { return ln.Flows() <= 200+runtime.GOMAXPROCS(0) })
}

func TestPanicCostsItsFlow(t *testing.T) {
	for _, tr := range datagramAndStreams {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			h.on(func(f *Flow, m *sip.Message) {
				if len(m.Body()) > 0 {
					panic("boom")
				}
				answer(f, m, 200)
			})
			l := newLayer(t, h, nil)
			ln := listen(t, l, tr, nil)
			c, other := dial(t, ln), dial(t, ln)
			c.write(request(tr, 1, "x"))
			if err := receive(t, h.gone, "end"); err != ErrPanic {
				t.Errorf("closed for %v", err)
			}
			other.write(request(tr, 2, ""))
			other.expect(200, 2)
			if n := l.Stats().Panics.Load(); n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
}

func TestDatagramTooLong(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	c := dial(t, listen(t, l, UDP, nil))
	c.write(request(UDP, 1, ""))
	f := receive(t, h.opened, "flow")
	if err := f.Send(make([]byte, 65508)); err != ErrTooLong {
		t.Errorf("got %v", err)
	}
	c.expect(200, 1)
	big := request(UDP, 2, strings.Repeat("z", 60_000))
	if err := f.Send(big); err != nil {
		t.Fatal(err)
	}
	if b := c.next(); !bytes.Equal(b, big) {
		t.Errorf("got %d bytes, want %d", len(b), len(big))
	}
}

func TestCloseWaitsForNobody(t *testing.T) {
	for _, tr := range datagramAndStreams {
		h := newEcho()
		l := newLayer(t, h, nil)
		c := dial(t, listen(t, l, tr, nil))
		c.write(request(tr, 1, ""))
		c.expect(200, 1)
		f := receive(t, h.opened, "flow")
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := receive(t, h.gone, "end"); err != ErrLayerClosed {
			t.Errorf("%v: closed for %v", tr, err)
		}
		<-f.Done()
		if _, err := l.Listen(t.Context(), ListenSpec{Transport: TCP, Addr: netip.MustParseAddrPort("127.0.0.1:0")}); err == nil {
			t.Error("Listen works after Close")
		}
	}
}

func TestStopAcceptingAndCloseFlows(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	ln := listen(t, l, TCP, nil)
	c := dial(t, ln)
	c.write(request(TCP, 1, ""))
	c.expect(200, 1)
	l.StopAccepting()
	if n, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		n.Close()
		t.Error("still accepting")
	}
	c.write(request(TCP, 2, ""))
	c.expect(200, 2)
	drain := errors.New("draining")
	l.CloseFlows(t.Context(), time.Millisecond, drain)
	if err := receive(t, h.gone, "end"); err != drain {
		t.Errorf("closed for %v", err)
	}
}

// TestSecondServerIsRefused: ports shared among our own sockets are not shared with another process.
func TestSecondServerIsRefused(t *testing.T) {
	l := newLayer(t, newEcho(), nil)
	for _, tr := range []Transport{UDP, TCP} {
		ln := listen(t, l, tr, nil)
		if _, err := l.Listen(t.Context(), ListenSpec{Transport: tr, Addr: ln.Addr()}); err == nil {
			t.Errorf("%v: listening twice on %v", tr, ln.Addr())
		}
	}
}

func TestOutFilterAndTrace(t *testing.T) {
	for _, tr := range datagramAndStreams {
		h := newEcho()
		l := newLayer(t, h, nil)
		h.open = func(f *Flow) error {
			f.SetOutFilter(func(_ *Flow, b []byte) []byte { return bytes.Replace(b, []byte(" OK"), []byte(" Filtered"), 1) })
			return nil
		}
		type seen struct {
			in bool
			b  string
		}
		got := make(chan seen, 10)
		l.SetTrace(func(_ *Flow, in bool, b []byte) { got <- seen{in, string(b)} })
		c := dial(t, listen(t, l, tr, nil))
		c.write(request(tr, 1, ""))
		if b := c.next(); !bytes.HasPrefix(b, []byte("SIP/2.0 200 Filtered\r\n")) {
			t.Errorf("%v: got %q", tr, b)
		}
		if s := receive(t, got, "trace"); !s.in || s.b != string(request(tr, 1, "")) {
			t.Errorf("%v: traced %+v", tr, s)
		}
		if s := receive(t, got, "trace"); s.in || !strings.HasPrefix(s.b, "SIP/2.0 200 Filtered") {
			t.Errorf("%v: traced %+v", tr, s)
		}
	}
}
