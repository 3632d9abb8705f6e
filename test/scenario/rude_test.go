package scenario

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
)

// While somebody is rude in one of many ways, a good phone signs in again and again over every transport.
func TestNobodySuffersFromRudePeers(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice"))
	for _, r := range []struct {
		name string
		rude func(ctx context.Context, s *server.Server) error
	}{
		{"connections that say nothing", silent},
		{"connections that say one byte at a time", slow},
		{"TLS handshakes that never end", halfOpen},
		{"bytes that are no SIP", garbage},
		{"headers without end", endlessHeaders},
		{"a body that is announced and never comes", announcedBody},
		{"datagrams of any content", noise},
		{"a flood of requests from one source", flood},
	} {
		t.Run(r.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := r.rude(ctx, s); err != nil {
					t.Errorf("the rude peer itself failed: %v", err)
				}
			})
			for range 20 {
				for _, transport := range []string{"tls", "tcp", "udp"} {
					p := parleytest.Phone(t, s, "alice", transport)
					step, done := within(t)
					if err := p.Register(step, 600); err != nil {
						t.Errorf("over %s: %v", transport, err)
					}
					if err := p.Register(step, 0); err != nil {
						t.Errorf("signing out over %s: %v", transport, err)
					}
					done()
					p.Close()
				}
			}
			cancel()
			wg.Wait()
		})
	}
	if !s.Running() {
		t.Fatal("the server is gone")
	}
}

// open makes n connections and keeps them until ctx ends.
func open(ctx context.Context, addr string, n int, each func(net.Conn)) error {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range n {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		conns = append(conns, c)
		if each != nil {
			each(c)
		}
	}
	<-ctx.Done()
	return nil
}

func silent(ctx context.Context, s *server.Server) error {
	return open(ctx, s.At("tcp").String(), 500, nil)
}

func halfOpen(ctx context.Context, s *server.Server) error {
	return open(ctx, s.At("tls").String(), 500, func(c net.Conn) {
		// The first bytes of a client hello, and nothing more.
		_, _ = c.Write([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00})
	})
}

func slow(ctx context.Context, s *server.Server) error {
	const line = "REGISTER sip:example.test SIP/2.0\r\nX-Slow: "
	var conns []net.Conn
	return open(ctx, s.At("tcp").String(), 200, func(c net.Conn) {
		conns = append(conns, c)
		for i, old := range conns {
			_, _ = old.Write([]byte{line[(len(conns)-1-i)%len(line)]})
		}
	})
}

// repeat connects, writes and reads to the end, until ctx ends.
func repeat(ctx context.Context, addr string, write func(io.Writer)) error {
	for ctx.Err() == nil {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		write(c)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		stop()
		c.Close()
	}
	return nil
}

func garbage(ctx context.Context, s *server.Server) error {
	return repeat(ctx, s.At("tcp").String(), func(w io.Writer) {
		_, _ = io.WriteString(w, strings.Repeat("\x00\xff GET / HTTP/1.1 \x16\x03\x01", 500))
	})
}

func endlessHeaders(ctx context.Context, s *server.Server) error {
	return repeat(ctx, s.At("tcp").String(), func(w io.Writer) {
		if _, err := io.WriteString(w, "REGISTER sip:example.test SIP/2.0\r\n"); err != nil {
			return
		}
		for i := range 100_000 {
			if _, err := fmt.Fprintf(w, "X-Header-%d: %s\r\n", i, strings.Repeat("y", 100)); err != nil {
				return // refused, as it should be
			}
		}
	})
}

func announcedBody(ctx context.Context, s *server.Server) error {
	return repeat(ctx, s.At("tcp").String(), func(w io.Writer) {
		_, _ = io.WriteString(w, "MESSAGE sip:alice@example.test SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKbig\r\nMax-Forwards: 70\r\n"+
			"From: <sip:x@example.test>;tag=1\r\nTo: <sip:alice@example.test>\r\nCall-ID: big\r\nCSeq: 1 MESSAGE\r\nContent-Length: 2000000000\r\n\r\n")
	})
}

func datagrams(ctx context.Context, s *server.Server, next func(i int, from string) string) error {
	c, err := net.Dial("udp", s.At("udp").String())
	if err != nil {
		return err
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, bufio.NewReaderSize(c, 65536)) }()
	for i := 0; ctx.Err() == nil; i++ {
		_, _ = c.Write([]byte(next(i, c.LocalAddr().String())))
		if i%100 == 99 {
			time.Sleep(time.Millisecond) // leave the phone its half of a small machine
		}
	}
	return nil
}

func noise(ctx context.Context, s *server.Server) error {
	return datagrams(ctx, s, func(i int, _ string) string {
		return strings.Repeat(string([]byte{byte(i), byte(i >> 8), '\r', '\n', ':'}), i%200)
	})
}

func flood(ctx context.Context, s *server.Server) error {
	return datagrams(ctx, s, func(i int, from string) string {
		return fmt.Sprintf("REGISTER sip:example.test SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKf%[1]d\r\nMax-Forwards: 70\r\n"+
			"From: <sip:u%[1]d@example.test>;tag=1\r\nTo: <sip:u%[1]d@example.test>\r\nCall-ID: f%[1]d\r\nCSeq: 1 REGISTER\r\n"+
			"Contact: <sip:x@%[2]s>\r\nContent-Length: 0\r\n\r\n", i, from)
	})
}

// Every refusal is the one the protocol has.
func TestRefusals(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	alice, bob := signIn(t, s, "alice", "tcp"), signIn(t, s, "bob", "tcp")
	go answerAll(t.Context(), bob)
	request := func(change func(*phone.Message)) *phone.Message {
		m := alice.Request("MESSAGE", "sip:bob@"+s.Domain, "sip:bob@"+s.Domain, phone.Header{Name: "Content-Type", Value: "text/plain"})
		m.Body = "hello"
		change(m)
		return m
	}
	uri := func(u string) func(*phone.Message) {
		return func(m *phone.Message) { m.Start = "MESSAGE " + u + " SIP/2.0"; m.Set("To", "<"+u+">") }
	}
	for _, c := range []struct {
		name   string
		change func(*phone.Message)
		want   int
	}{
		{"no hops left", func(m *phone.Message) { m.Set("Max-Forwards", "0") }, 483},
		{"unknown user", uri("sip:nobody@" + s.Domain), 404},
		{"another domain", uri("sip:someone@elsewhere.test"), 403},
		{"unknown scheme", func(m *phone.Message) { m.Start = "MESSAGE mailto:bob@" + s.Domain + " SIP/2.0" }, 416},
		{"required extension nobody knows", func(m *phone.Message) { m.Set("Proxy-Require", "teleport") }, 420},
		{"in somebody else's name, with one's own password", func(m *phone.Message) { m.Set("From", "<sip:bob@"+s.Domain+">;tag=x") }, 403},
		{"CSeq of another method", func(m *phone.Message) { m.Set("CSeq", "77 INVITE") }, 400},
		{"another version", func(m *phone.Message) { m.Start = strings.Replace(m.Start, "SIP/2.0", "SIP/7.0", 1) }, 505},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := within(t)
			defer cancel()
			p := alice
			m := request(c.change)
			if c.want == 400 || c.want == 505 {
				// The connection of a peer that cannot be understood may be closed behind the answer.
				p = signIn(t, s, "alice", "tcp")
				m.Set("Via", strings.Replace(m.Get("Via"), alice.Local(), p.Local(), 1))
			}
			got, err := p.Do(ctx, m)
			if err != nil {
				t.Fatal(err)
			}
			if got.Code() != c.want {
				t.Errorf("%s, want %d", got.Start, c.want)
			}
		})
	}
}

// Connections that never say a whole message are closed by the server in the end.
func TestServerEndsConnectionsThatSayNothing(t *testing.T) {
	s := parleytest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var closed atomic.Int32
	var wg sync.WaitGroup
	for _, c := range []struct{ transport, say string }{
		{"tcp", ""}, {"tcp", "REGISTER sip:example.test SIP/2.0\r\nVia: "}, {"tls", ""}, {"tls", "\x16\x03\x01\x02\x00\x01\x00"},
	} {
		wg.Go(func() {
			conn, err := net.Dial("tcp", s.At(c.transport).String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			deadline, _ := ctx.Deadline()
			_ = conn.SetReadDeadline(deadline)
			_, _ = io.WriteString(conn, c.say)
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s, having said %q: still open after three minutes", c.transport, c.say)
				return
			}
			closed.Add(1)
		})
	}
	wg.Wait()
	t.Logf("%d of 4 were closed", closed.Load())
}
