package flow

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/sip"
)

// pair is a layer that dials and one that listens.
func pair(t *testing.T, tr Transport, change func(*Config)) (client *Layer, ch *echo, server *Layer, sh *echo, target Target) {
	sh = newEcho()
	server = newLayer(t, sh, nil)
	ln := listen(t, server, tr, nil)
	ch = newEcho()
	client = newLayer(t, ch, func(c *Config) {
		c.ClientTLS = func(Target) (*tls.Config, error) { return &tls.Config{RootCAs: testCA().pool}, nil }
		if change != nil {
			change(c)
		}
	})
	return client, ch, server, sh, Target{Transport: tr, Addr: ln.Addr(), ServerName: "proxy.example.test"}
}

func TestConnect(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			l, h, server, sh, target := pair(t, tr, nil)
			got := make(chan int, 1)
			h.on(func(_ *Flow, m *sip.Message) { got <- m.StatusCode() })
			f, err := l.Connect(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if !f.Dialled() || f.Listener() != nil || f.Remote() != target.Addr {
				t.Errorf("flow is dialled %v, of %v, to %v", f.Dialled(), f.Listener(), f.Remote())
			}
			if tr == TLS && (f.ServerName() != "proxy.example.test" || len(f.PeerCertificates()) != 1) {
				t.Errorf("server name %q, %d certificates", f.ServerName(), len(f.PeerCertificates()))
			}
			if err := f.Send(request(tr, 1, "")); err != nil {
				t.Fatal(err)
			}
			if code := receive(t, got, "answer"); code != 200 {
				t.Errorf("got %d", code)
			}
			again, err := l.Connect(t.Context(), target)
			if again != f || err != nil {
				t.Errorf("a second Connect gives another flow, %v", err)
			}
			other := target
			other.Class = "partner"
			if third, err := l.Connect(t.Context(), other); third == f || err != nil {
				t.Errorf("another class shares the connection, %v", err)
			}
			// When the peer is gone, the flow ends and a new Connect dials.
			receive(t, sh.opened, "flow").Close(nil)
			receive(t, h.gone, "end")
			if next, err := l.Connect(t.Context(), target); next == f || err != nil {
				t.Errorf("got the dead flow, %v", err)
			}
			eventually(t, "three connections", func() bool { return server.Stats().Accepted.Load() == 3 })
		})
	}
}

func TestConcurrentDialsAreOne(t *testing.T) {
	l, _, server, _, target := pair(t, TLS, nil)
	flows := make([]*Flow, 50)
	var wg sync.WaitGroup
	for i := range flows {
		wg.Go(func() { flows[i], _ = l.Connect(t.Context(), target) })
	}
	wg.Wait()
	for _, f := range flows {
		if f == nil || f != flows[0] {
			t.Fatal("not all got the same flow")
		}
	}
	if n := server.Stats().Accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestConnectVerifiesTheName(t *testing.T) {
	tests := []struct {
		name  string
		names []string // in the certificate
		want  string   // what we dial
		err   string
	}{
		{"DNS name", []string{"a.example.test"}, "a.example.test", ""},
		{"case does not matter", []string{"A.Example.test"}, "a.example.TEST", ""},
		{"another name", []string{"a.example.test"}, "b.example.test", "is not for"},
		{"a wildcard is no SIP identity", []string{"*.example.test"}, "a.example.test", "is not for"},
		{"SIP URI", []string{"sip:example.test"}, "example.test", ""},
		{"a SIP URI takes the place of DNS names", []string{"sip:example.test", "a.example.test"}, "a.example.test", "is not for"},
		{"a person's URI is no domain", []string{"sip:alice@example.test"}, "example.test", "is not for"},
		{"a common name where there is nothing else", nil, "cn.example.test", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := newLayer(t, newEcho(), nil)
			ln := listen(t, server, TLS, func(s *ListenSpec) {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{testCA().issue("cn.example.test", tt.names...)}}
			})
			l := newLayer(t, newEcho(), func(c *Config) {
				c.ClientTLS = func(Target) (*tls.Config, error) { return &tls.Config{RootCAs: testCA().pool}, nil }
			})
			_, err := l.Connect(t.Context(), Target{Transport: TLS, Addr: ln.Addr(), ServerName: tt.want})
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func TestConnectRefusesUnknownCA(t *testing.T) {
	l, h, _, _, target := pair(t, TLS, func(c *Config) {
		c.ClientTLS = func(Target) (*tls.Config, error) { return &tls.Config{}, nil }
	})
	if _, err := l.Connect(t.Context(), target); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("got %v", err)
	}
	if len(h.opened) != 0 || l.Stats().DialFailures.Load() != 1 || l.Stats().HandshakeFails.Load() != 1 {
		t.Error("the failure is not counted, or the handler was told of a flow")
	}
}

func TestClientCertificateIsSeen(t *testing.T) {
	cert := testCA().issue("fe.example.test", "fe.example.test")
	l, _, _, sh, target := pair(t, TLS, func(c *Config) {
		c.ClientTLS = func(t Target) (*tls.Config, error) {
			return &tls.Config{RootCAs: testCA().pool, Certificates: []tls.Certificate{cert}}, nil
		}
	})
	if _, err := l.Connect(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	f := receive(t, sh.opened, "flow")
	certs := f.PeerCertificates()
	if len(certs) != 1 || certs[0].Subject.CommonName != "fe.example.test" || f.ServerName() != "proxy.example.test" {
		t.Errorf("server sees %d certificates, server name %q", len(certs), f.ServerName())
	}
}

// TestFailedDialIsNotRepeatedAtOnce: who cannot be reached is not tried for each request, and comes last.
func TestFailedDialIsNotRepeatedAtOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := Target{Transport: TCP, Addr: addrPort(ln.Addr())}
	ln.Close()
	alive := Target{Transport: TCP, Addr: netip.MustParseAddrPort("192.0.2.1:5060")}
	l := newLayer(t, newEcho(), func(c *Config) { c.Resolver = fixed{dead, alive} })
	for range 3 {
		if _, err := l.Connect(t.Context(), dead); err == nil {
			t.Fatal("connected")
		}
	}
	if n := l.Stats().DialFailures.Load(); n != 1 {
		t.Errorf("dialled %d times", n)
	}
	ts, err := l.Resolve(t.Context(), sip.URI{})
	if err != nil || len(ts) != 2 || ts[0] != alive || ts[1] != dead {
		t.Errorf("got %v, %v", ts, err)
	}
}

type fixed []Target

func (f fixed) Resolve(context.Context, sip.URI) ([]Target, error) {
	return append([]Target{}, f...), nil
}

// TestConnectOpensMoreToABusyPeer: a connection with a backlog is still used, and a second one opened for what
// comes later.
func TestConnectOpensMoreToABusyPeer(t *testing.T) {
	var stop atomic.Bool
	block := make(chan struct{})
	l, _, server, sh, target := pair(t, TCP, func(c *Config) { c.Limits.Outbox = 64 << 20 })
	sh.on(func(f *Flow, m *sip.Message) {
		if !stop.Swap(true) {
			<-block
		}
	})
	first, err := l.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for first.Backlog() <= flushAt {
		first.Send(request(TCP, 1, strings.Repeat("x", 60_000)))
	}
	if f, err := l.Connect(t.Context(), target); f != first || err != nil {
		t.Errorf("the busy connection is not used: %v", err)
	}
	eventually(t, "second connection", func() bool { return server.Stats().Accepted.Load() == 2 })
	eventually(t, "second connection used", func() bool {
		f, err := l.Connect(t.Context(), target)
		return err == nil && f != first
	})
	close(block)
}

func TestAlias(t *testing.T) {
	l, h, server, sh, target := pair(t, TLS, nil)
	if _, err := l.Connect(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	in := receive(t, sh.opened, "flow")
	back := Target{Transport: TLS, Addr: netip.MustParseAddrPort("192.0.2.1:5061"), ServerName: "fe.example.test"}
	server.Alias(in, back)
	if f, err := server.Connect(t.Context(), back); f != in || err != nil {
		t.Errorf("the peer's connection is not used: %v", err)
	}
	in.Close(nil)
	receive(t, h.gone, "end")
	receive(t, sh.gone, "end")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if f, err := server.Connect(ctx, back); err == nil {
		t.Errorf("got a flow to %v", f.Remote())
	}
}

func TestConnectWithout(t *testing.T) {
	l := newLayer(t, newEcho(), nil)
	for _, target := range []Target{
		{Transport: UDP, Addr: netip.MustParseAddrPort("127.0.0.1:5060")},
		{Transport: TLS, Addr: listen(t, newLayer(t, newEcho(), nil), TLS, nil).Addr()},
		{Transport: WS, Addr: netip.MustParseAddrPort("127.0.0.1:80")},
	} {
		if _, err := l.Connect(t.Context(), target); !errors.Is(err, ErrNoTransport) {
			t.Errorf("%v: got %v", target, err)
		}
	}
	if _, err := l.Resolve(t.Context(), sip.URI{}); err != ErrUnresolvable {
		t.Errorf("got %v", err)
	}
}

func TestConnectUDP(t *testing.T) {
	h, sh := newEcho(), newEcho()
	got := make(chan *Flow, 1)
	h.on(func(f *Flow, m *sip.Message) { got <- f })
	l, server := newLayer(t, h, nil), newLayer(t, sh, nil)
	ln := listen(t, l, UDP, nil)
	f, err := l.Connect(t.Context(), Target{Transport: UDP, Addr: listen(t, server, UDP, nil).Addr()})
	if err != nil {
		t.Fatal(err)
	}
	f.Send(request(UDP, 1, ""))
	if from := receive(t, got, "answer"); from != f {
		t.Error("the answer came by another flow")
	}
	if in := receive(t, sh.opened, "flow"); in.Remote() != ln.Addr() {
		t.Errorf("sent from %v, want %v", in.Remote(), ln.Addr())
	}
}

// TestSendWithinOneBatch: what one read leads to is written when all of it is handled, on other flows too.
func TestSendWithinOneBatch(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			var callees atomic.Pointer[Flow]
			var most atomic.Int64
			h.on(func(f *Flow, m *sip.Message) {
				to := callees.Load()
				if to == nil {
					callees.Store(f)
					answer(f, m, 200)
					return
				}
				to.SendWithin(f, m.Raw())
				answer(f, m, 100)
				most.Store(max(most.Load(), int64(min(to.Backlog()/len(m.Raw()), f.Backlog()/100))))
			})
			l := newLayer(t, h, nil)
			ln := listen(t, l, tr, nil)
			callee, caller := dial(t, ln), dial(t, ln)
			callee.write(request(tr, 1, ""))
			callee.expect(200, 1)
			const n = 50
			var all []byte
			for i := range n {
				all = append(all, request(tr, i, "")...)
			}
			caller.write(all)
			for i := range n {
				caller.expect(100, i)
				var m sip.Message
				if err := m.Parse(callee.next(), nil); err != nil {
					t.Fatal(err)
				}
				if seq, _ := m.CSeq(); int(seq) != i {
					t.Fatalf("got CSeq %d, want %d", seq, i)
				}
			}
			if most.Load() < 2 { // how much one read brings is the network's affair
				t.Errorf("at most %d messages waited for the end of the batch", most.Load())
			}
		})
	}
}
