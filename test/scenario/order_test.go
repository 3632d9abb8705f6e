// Package scenario holds what phones do to a whole server that needs no foreign program: bursts, races, peers
// that are rude, and servers that nobody vouches for.
package scenario

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
)

func TestMain(m *testing.M) { parleytest.Main(m) }

// signIn registers a sample user.
func signIn(t *testing.T, s *server.Server, user, transport string) *phone.Phone {
	t.Helper()
	p := parleytest.Phone(t, s, user, transport)
	ctx, cancel := within(t)
	defer cancel()
	if err := p.Register(ctx, 600); err != nil {
		t.Fatal(err)
	}
	return p
}

// within bounds a step that must end: long enough for a slow machine.
func within(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Minute)
}

// One write holds 2,000 messages; they reach the other phone in the order in which they stand in it, and are
// answered in that order too.
func TestPipelinedRequestsStayInOrder(t *testing.T) {
	const n = 2000
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			alice, bob := signIn(t, s, "alice", transport), signIn(t, s, "bob", transport)
			defer alice.Close()
			defer bob.Close()
			ctx, cancel := within(t)
			defer cancel()
			// The first message may be challenged; the connection is alice's own from then on.
			received := make(chan []string, 1)
			go func() {
				var texts []string
				for len(texts) < n+1 {
					m, err := bob.Receive(ctx)
					if err != nil {
						break
					}
					if m.Method() == "MESSAGE" {
						texts = append(texts, m.Body)
						if bob.Send(m.Reply(200, "OK", "bob")) != nil {
							break
						}
					}
				}
				received <- texts
			}()
			if code, err := alice.Message(ctx, "bob@"+s.Domain, "first"); err != nil || code != 200 {
				t.Fatalf("status %d, %v", code, err)
			}
			var burst strings.Builder
			for i := range n {
				m := alice.Request("MESSAGE", "sip:bob@"+s.Domain, "sip:bob@"+s.Domain, phone.Header{Name: "Content-Type", Value: "text/plain"})
				m.Body = fmt.Sprintf("message %d", i)
				burst.WriteString(m.String())
			}
			go func() {
				_ = alice.Write(burst.String())
			}()
			last := 0
			for answers := 0; answers < n; {
				m, err := alice.Receive(ctx)
				if err != nil {
					t.Fatalf("after %d answers: %v", answers, err)
				}
				if m.Code() < 200 {
					continue
				}
				if m.Code() != 200 {
					t.Fatalf("%s to %s", m.Start, m.Get("CSeq"))
				}
				var seq int
				if _, err := fmt.Sscan(m.Get("CSeq"), &seq); err != nil {
					t.Fatal(err)
				}
				if seq <= last {
					t.Fatalf("the answer to request %d came after that to %d", seq, last)
				}
				last = seq
				answers++
			}
			texts := <-received
			for i := range n {
				if want := fmt.Sprintf("message %d", i); texts[i+1] != want {
					t.Fatalf("bob received %q as number %d, want %q", texts[i+1], i, want)
				}
			}
		})
	}
}

// A phone that takes nothing more costs what was queued for it, and nobody else notices.
func TestPeerThatNeverReads(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob", "carol", "dave"))
	ctx, cancel := within(t)
	defer cancel()
	alice, carol := signIn(t, s, "alice", "tcp"), signIn(t, s, "carol", "tcp")
	dave := signIn(t, s, "dave", "tcp")
	go answerAll(ctx, dave)
	bob := parleytest.Phone(t, s, "bob", "tcp")
	if err := bob.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if err := bob.Register(ctx, 600); err != nil {
		t.Fatal(err)
	}
	before := flows(t, s)
	text := strings.Repeat("x", 60_000)
	go func() {
		for range 400 { // 24 MB, more than the kernel's buffers and the outbox together
			m := alice.Request("MESSAGE", "sip:bob@"+s.Domain, "sip:bob@"+s.Domain, phone.Header{Name: "Content-Type", Value: "text/plain"})
			m.Body = text
			if alice.Send(m) != nil {
				return
			}
		}
	}()
	go func() {
		for {
			if _, err := alice.Receive(ctx); err != nil {
				return
			}
		}
	}()
	for flows(t, s) >= before {
		if code, err := carol.Message(ctx, "dave@"+s.Domain, "are you there?"); err != nil || code != 200 {
			t.Fatalf("while bob does not read, carol to dave: status %d, %v", code, err)
		}
	}
}

func answerAll(ctx context.Context, p *phone.Phone) {
	for {
		m, err := p.Receive(ctx)
		if err != nil {
			return
		}
		if m.Method() != "" && m.Method() != "ACK" {
			_ = p.Send(m.Reply(200, "OK", p.User))
		}
	}
}

// flows is the number of connections the server counts.
func flows(t *testing.T, s *server.Server) int {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Counts.Flows
}
