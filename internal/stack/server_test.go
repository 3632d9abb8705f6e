package stack_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bob = "sip:bob@example.test"

// peers runs a test over UDP and over TCP.
func peers(t *testing.T, cfg func() stack.Config, test func(t *testing.T, s *stacktest.Server, p *stacktest.Peer)) {
	t.Run("UDP", func(t *testing.T) {
		s := stacktest.Start(t, cfg())
		test(t, s, s.UDPPeer(t))
	})
	t.Run("TCP", func(t *testing.T) {
		s := stacktest.Start(t, cfg())
		test(t, s, s.TCPPeer(t))
	})
}

// answer is a stack whose handler answers with code and counts its calls.
func answer(code int, calls *atomic.Int32) func() stack.Config {
	return func() stack.Config {
		return stack.Config{Route: func(tx *stack.ServerTxn) {
			calls.Add(1)
			tx.Respond(code, "")
		}}
	}
}

func TestRequestIsAnsweredByItsHandler(t *testing.T) {
	var calls atomic.Int32
	peers(t, answer(200, &calls), func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		p.Request("OPTIONS", bob, "z9hG4bK1", 1, "")
		m := p.Expect("200")
		if m.ToTag() == nil || string(m.CallID()) != "call" {
			t.Errorf("answer without To tag or with a wrong Call-ID:\n%s", m.Raw())
		}
		v, _ := m.TopVia()
		if v.RPort != p.Addr().Port() {
			t.Errorf("rport is %d, want %d (RFC 3581)", v.RPort, p.Addr().Port())
		}
	})
}

// RFC 3261 17.2.2: a repetition over UDP is answered with the same response and does not reach the handler.
func TestRepetitionIsAbsorbed(t *testing.T) {
	var calls atomic.Int32
	s := stacktest.Start(t, answer(200, &calls)())
	p := s.UDPPeer(t)
	var first string
	for range 3 {
		p.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
		m := p.Expect("200")
		if first == "" {
			first = string(m.Raw())
		} else if string(m.Raw()) != first {
			t.Errorf("repetition answered with\n%s\nwant\n%s", m.Raw(), first)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("handler called %d times, want once", n)
	}
	s.Advance(t, 33*time.Second) // timer J
	if st := s.Stack.Stats(); st.Table != 0 {
		t.Errorf("%d transactions left after timer J", st.Table)
	}
	p.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
	p.Expect("200")
	if n := calls.Load(); n != 2 {
		t.Errorf("handler called %d times, want a second time after timer J", n)
	}
}

// RFC 3261 17.2.3: the same branch from another sent-by, or with another method, is another transaction.
func TestTransactionsAreToldApart(t *testing.T) {
	var calls atomic.Int32
	s := stacktest.Start(t, answer(200, &calls)())
	p := s.UDPPeer(t)
	p.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
	p.Expect("200")
	p.Request("INFO", bob, "z9hG4bK1", 1, "")
	p.Expect("200")
	p.Send("MESSAGE " + bob + " SIP/2.0\nVia: SIP/2.0/UDP elsewhere.example.test:5060;branch=z9hG4bK1;rport\nMax-Forwards: 70\n" +
		"From: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\nCSeq: 1 MESSAGE\n\n")
	p.Expect("200")
	if n := calls.Load(); n != 3 {
		t.Errorf("handler called %d times, want 3", n)
	}
}

// RFC 3261 17.2.1: 100 after 200 ms, repetition of a failure until the ACK, which is not passed on.
func TestInviteServerTimers(t *testing.T) {
	var tx atomic.Pointer[stack.ServerTxn]
	var acks atomic.Int32
	s := stacktest.Start(t, stack.Config{Route: func(t *stack.ServerTxn) {
		if t.Method() == sip.ACK {
			acks.Add(1)
			return
		}
		tx.Store(t)
	}})
	p := s.UDPPeer(t)
	p.Request("INVITE", bob, "z9hG4bK1", 1, "")
	p.Quiet()
	s.Advance(t, 200*time.Millisecond)
	p.Expect("100")
	p.Request("INVITE", bob, "z9hG4bK1", 1, "")
	p.Expect("100")
	if err := tx.Load().Respond(486, ""); err != nil { // from another goroutine, after the handler
		t.Fatal(err)
	}
	m := p.Expect("486")
	s.Advance(t, 500*time.Millisecond)
	p.Expect("486")
	s.Advance(t, time.Second)
	p.Expect("486")
	p.Request("ACK", bob, "z9hG4bK1", 1, string(m.ToTag()))
	p.Quiet()
	s.Advance(t, 4*time.Second)
	p.Quiet()
	if err := tx.Load().Respond(200, ""); !errors.Is(err, stack.ErrAnswered) {
		t.Errorf("second answer: %v, want %v", err, stack.ErrAnswered)
	}
	s.Advance(t, 2*time.Second)
	if st := s.Stack.Stats(); st.Table != 0 || acks.Load() != 0 {
		t.Errorf("%d transactions left, %d ACKs passed on, want none", st.Table, acks.Load())
	}
}

func TestRepeatedInviteBeforeAnyAnswerGets100(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: func(*stack.ServerTxn) {}})
	p := s.UDPPeer(t)
	p.Request("INVITE", bob, "z9hG4bK1", 1, "")
	p.Request("INVITE", bob, "z9hG4bK1", 1, "")
	p.Expect("100")
}

// RFC 6026 7.1: after a 2xx repeated INVITEs are absorbed and ACKs are passed on.
func TestInviteAcceptedPassesAcks(t *testing.T) {
	acks := make(chan string, 8)
	peers(t, func() stack.Config {
		return stack.Config{Route: func(tx *stack.ServerTxn) {
			if tx.Method() == sip.ACK {
				if err := tx.Respond(200, ""); !errors.Is(err, stack.ErrNoAnswer) {
					t.Errorf("answer to ACK: %v, want %v", err, stack.ErrNoAnswer)
				}
				acks <- string(tx.Request().ToTag())
				return
			}
			tx.Respond(200, "", sip.Header{Name: "Contact", Value: "<sip:bob@192.0.2.1>"})
		}}
	}, func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		p.Request("INVITE", bob, "z9hG4bK1", 1, "", "Record-Route: <sip:proxy.example.test;lr>")
		m := p.Expect("200")
		if !m.Has(sip.HRecordRoute) {
			t.Error("Record-Route is not in the answer (RFC 3261 12.1.1)")
		}
		p.Request("INVITE", bob, "z9hG4bK1", 1, "")
		p.Quiet()
		p.Request("ACK", bob, "z9hG4bK2", 1, string(m.ToTag())) // the ACK to a 2xx has a branch of its own
		p.Request("ACK", bob, "z9hG4bK1", 1, "other")           // an old element uses that of the INVITE
		p.Quiet()
		if a, b := <-acks, <-acks; a != string(m.ToTag()) || b != "other" {
			t.Errorf("ACKs with tags %s, %s", a, b)
		}
	})
}

// RFC 3261 9.2.
func TestCancel(t *testing.T) {
	peers(t, func() stack.Config {
		return stack.Config{Route: func(tx *stack.ServerTxn) {
			tx.OnCancel(func() {
				if got := string(tx.CancelReason()); got != `SIP;cause=200` {
					t.Errorf("Reason %q", got)
				}
				tx.Respond(487, "")
			})
			tx.Respond(180, "")
		}}
	}, func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		p.Request("CANCEL", bob, "z9hG4bK1", 1, "")
		p.Expect("481")
		p.Request("INVITE", bob, "z9hG4bK1", 1, "")
		ringing := p.Expect("180")
		p.Request("CANCEL", bob, "z9hG4bK1", 1, "", "Reason: SIP;cause=200")
		if ok := p.Expect("200"); string(ok.ToTag()) != string(ringing.ToTag()) {
			t.Error("the answers to INVITE and CANCEL have different To tags")
		}
		p.Expect("487")
		p.Request("CANCEL", bob, "z9hG4bK1", 1, "")
		p.Expect("200") // and nothing else
		p.Request("ACK", bob, "z9hG4bK1", 1, string(ringing.ToTag()))
		p.Quiet()
	})
}

func TestCancelBeforeOnCancelIsNotLost(t *testing.T) {
	txs := make(chan *stack.ServerTxn, 1)
	s := stacktest.Start(t, stack.Config{Route: func(tx *stack.ServerTxn) { txs <- tx }})
	p := s.UDPPeer(t)
	p.Request("INVITE", bob, "z9hG4bK1", 1, "")
	tx := <-txs
	p.Request("CANCEL", bob, "z9hG4bK1", 1, "")
	p.Expect("200")
	tx.OnCancel(func() { tx.Respond(487, "") })
	p.Expect("487")
}

func TestLostConnectionCancels(t *testing.T) {
	cancelled := make(chan bool)
	ringing := make(chan bool)
	s := stacktest.Start(t, stack.Config{Route: func(tx *stack.ServerTxn) {
		tx.OnCancel(func() { close(cancelled) })
		close(ringing)
	}, Closed: func(*flow.Flow, error) {}})
	p := s.TCPPeer(t)
	p.Request("INVITE", bob, "z9hG4bK1", 1, "")
	<-ringing
	p.Close()
	<-cancelled // the clock's own goroutine sees to it
}

func TestRefusalKeepsNoState(t *testing.T) {
	var routed atomic.Int32
	peers(t, func() stack.Config {
		return stack.Config{
			Admit: func(tx *stack.ServerTxn) error {
				switch string(tx.Request().RequestURI()) {
				case "sip:drop@example.test":
					return stack.ErrDrop
				case "sip:broken@example.test":
					return errors.New("something secret")
				case "sip:fine@example.test":
					tx.SetIdentity(uc.Identity{AOR: "alice@example.test", Class: uc.Client})
					return nil
				}
				return &sip.Error{Code: 407, Headers: []sip.Header{{Name: "Proxy-Authenticate", Value: `Digest realm="r"`}}}
			},
			Route: func(tx *stack.ServerTxn) {
				routed.Add(1)
				if tx.Identity().AOR != "alice@example.test" {
					t.Errorf("identity %v", tx.Identity())
				}
				tx.Respond(200, "")
			},
		}
	}, func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		routed.Store(0)
		p.Request("INVITE", bob, "z9hG4bK1", 1, "")
		m := p.Expect("407")
		if !m.Has(sip.HProxyAuthenticate) || m.ToTag() == nil {
			t.Errorf("challenge or To tag missing:\n%s", m.Raw())
		}
		p.Request("ACK", bob, "z9hG4bK1", 1, string(m.ToTag()))
		p.Request("MESSAGE", "sip:drop@example.test", "z9hG4bK2", 2, "")
		p.Quiet()
		p.Request("MESSAGE", "sip:broken@example.test", "z9hG4bK3", 3, "")
		if m := p.Expect("500"); strings.Contains(string(m.Raw()), "secret") {
			t.Errorf("the cause went to the peer:\n%s", m.Raw())
		}
		st := s.Stack.Stats()
		if st.Table != 0 || st.StrayAcks != 1 || st.Dropped != 1 || routed.Load() != 0 {
			t.Errorf("%d transactions, %d ACKs absorbed, %d dropped, %d routed", st.Table, st.StrayAcks, st.Dropped, routed.Load())
		}
		p.Request("OPTIONS", "sip:fine@example.test", "z9hG4bK4", 4, "")
		p.Expect("200")
		if !strings.Contains(s.Log.String(), "something secret") {
			t.Error("the cause is not in the log")
		}
	})
}

func TestFailAnswersAndLogs(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: func(tx *stack.ServerTxn) {
		if tx.Method() == sip.MESSAGE {
			tx.Fail(&sip.Error{Code: 404, Diagnostic: "nobody of that name"})
			return
		}
		tx.Fail(errors.New("disk on fire"))
	}})
	p := s.UDPPeer(t)
	p.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
	p.Expect("404")
	p.Request("INFO", bob, "z9hG4bK2", 2, "")
	if m := p.Expect("500"); strings.Contains(string(m.Raw()), "fire") {
		t.Errorf("the cause went to the peer:\n%s", m.Raw())
	}
	if !strings.Contains(s.Log.String(), "disk on fire") {
		t.Error("the cause is not in the log")
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	peers(t, func() stack.Config {
		return stack.Config{Route: func(tx *stack.ServerTxn) {
			if tx.Method() == sip.INFO {
				panic("boom")
			}
			tx.Respond(200, "")
		}}
	}, func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		p.Request("INFO", bob, "z9hG4bK1", 1, "")
		p.Expect("500")
		p.Request("MESSAGE", bob, "z9hG4bK2", 2, "")
		p.Expect("200")
		if st := s.Stack.Stats(); st.Panics != 1 || !strings.Contains(s.Log.String(), "boom") {
			t.Errorf("%d panics counted, log:\n%s", st.Panics, s.Log)
		}
	})
}

func TestOverloadRefusesNewRequestsOnly(t *testing.T) {
	block := atomic.Bool{}
	block.Store(true)
	peers(t, func() stack.Config {
		return stack.Config{Limits: stack.Limits{Open: 2, RetryAfter: 7 * time.Second}, Route: func(tx *stack.ServerTxn) {
			if tx.Method() == sip.MESSAGE && block.Load() {
				return // stays open
			}
			tx.Respond(200, "")
		}}
	}, func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		p.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
		p.Request("MESSAGE", bob, "z9hG4bK2", 2, "")
		p.Quiet()
		s.Advance(t, 50*time.Millisecond)
		p.Request("OPTIONS", bob, "z9hG4bK3", 3, "")
		if m := p.Expect("503"); string(m.Header(sip.HRetryAfter)) != "7" {
			t.Errorf("Retry-After is %q, want 7", m.Header(sip.HRetryAfter))
		}
		p.Request("BYE", bob, "z9hG4bK4", 4, "x")
		p.Expect("200")
		p.Request("INFO", bob, "z9hG4bK5", 5, "x")
		p.Expect("200")
		if st := s.Stack.Stats(); st.Overload != 1 || st.OpenServer != 2 {
			t.Errorf("%d refused, %d open, want 1 and 2", st.Overload, st.OpenServer)
		}
	})
}

func TestLingeringTransactionsAreBounded(t *testing.T) {
	var calls atomic.Int32
	cfg := answer(200, &calls)()
	cfg.Limits.Linger = 64 // one for each shard and one more
	s := stacktest.Start(t, cfg)
	p := s.UDPPeer(t)
	for i := range 1000 {
		p.Request("MESSAGE", bob, "z9hG4bK"+strings.Repeat("x", i/26)+string(rune('a'+i%26)), i, "")
		p.Expect("200")
	}
	if st := s.Stack.Stats(); st.Table > 128 {
		t.Errorf("%d transactions kept, want at most 128", st.Table)
	}
}

func TestMalformedRequestIsAnswered(t *testing.T) {
	var calls atomic.Int32
	peers(t, answer(200, &calls), func(t *testing.T, s *stacktest.Server, p *stacktest.Peer) {
		p.Send("OPTIONS " + bob + " SIP/2.0\nVia: $via;branch=z9hG4bK1;rport\nFrom: <sip:a@example.test>;tag=a\nTo: <sip:b@example.test>\nCall-ID: c\nCSeq: 1 INVITE\n\n")
		p.Expect("400")
		if st := s.Stack.Stats(); st.Malformed != 1 {
			t.Errorf("%d counted, want 1", st.Malformed)
		}
	})
}

// A connection that pipelines requests sees them handled in the order they were sent in, and answered in it.
func TestPipelinedRequestsAreHandledInOrder(t *testing.T) {
	const n = 2000
	var mu sync.Mutex
	var order []uint32
	s := stacktest.Start(t, stack.Config{Route: func(tx *stack.ServerTxn) {
		cseq, _ := tx.Request().CSeq()
		mu.Lock()
		order = append(order, cseq)
		mu.Unlock()
		tx.Respond(200, "")
	}})
	p := s.TCPPeer(t)
	go func() {
		for i := range n {
			p.Request("MESSAGE", bob, "z9hG4bK"+string(rune('a'+i%26))+strings.Repeat("y", i/26), i, "")
		}
	}()
	for i := range n {
		if cseq, _ := p.Expect("200").CSeq(); int(cseq) != i {
			t.Fatalf("answer %d has CSeq %d", i, cseq)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i, cseq := range order {
		if int(cseq) != i {
			t.Fatalf("request %d was handled at place %d", cseq, i)
		}
	}
}

// A peer that never reads costs its outbox and its connection; the handlers and other peers go on.
func TestPeerThatNeverReads(t *testing.T) {
	closed := make(chan error, 1)
	big := strings.Repeat("x", 8<<10)
	s := stacktest.StartWith(t, stack.Config{
		Closed: func(_ *flow.Flow, err error) { closed <- err },
		Route:  func(tx *stack.ServerTxn) { tx.RespondBody(200, "", "text/plain", []byte(big)) },
	}, flow.Config{Limits: flow.Limits{Outbox: 64 << 10}})
	deaf, other := s.TCPPeer(t), s.TCPPeer(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			if deaf.TrySend("MESSAGE "+bob+" SIP/2.0\nVia: $via;branch=z9hG4bK"+strings.Repeat("z", i%50)+string(rune('a'+i%26))+
				"\nMax-Forwards: 70\nFrom: <sip:a@example.test>;tag=a\nTo: <sip:b@example.test>\nCall-ID: c\nCSeq: 1 MESSAGE\n\n") != nil {
				return
			}
		}
	}()
	if err := <-closed; !errors.Is(err, flow.ErrSlowPeer) {
		t.Errorf("closed because of %v, want %v", err, flow.ErrSlowPeer)
	}
	other.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
	other.Expect("200")
	<-done
}

// RFC 3261 18.2.2: without rport the answer goes to the port that the Via names.
func TestAnswerGoesToThePortOfTheVia(t *testing.T) {
	var calls atomic.Int32
	s := stacktest.Start(t, answer(200, &calls)())
	p, listening := s.UDPPeer(t), s.UDPPeer(t)
	for i, want := range []*stacktest.Peer{listening, p} {
		rport := ""
		if want == p {
			rport = ";rport"
		}
		for range 2 { // and so does the answer to a repetition
			p.Send("MESSAGE " + bob + " SIP/2.0\nVia: SIP/2.0/UDP " + listening.Addr().String() + rport + ";branch=z9hG4bK" + string(rune('a'+i)) +
				"\nMax-Forwards: 70\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\nCSeq: 1 MESSAGE\n\n")
			want.Expect("200")
		}
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("handler called %d times, want 2", n)
	}
}

func TestRequestNeverAnsweredIsForgotten(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: func(*stack.ServerTxn) {}})
	p := s.UDPPeer(t)
	p.Request("MESSAGE", bob, "z9hG4bK1", 1, "")
	p.Quiet()
	s.Advance(t, 65*time.Second)
	if st := s.Stack.Stats(); st.Table != 0 || st.OpenServer != 0 || st.Unanswered != 1 {
		t.Errorf("%d transactions left, %d open, %d counted", st.Table, st.OpenServer, st.Unanswered)
	}
	if !strings.Contains(s.Log.String(), "never answered") {
		t.Error("the log says nothing of it")
	}
}

// [MS-SIP]: a BENOTIFY has no answer.
func TestBenotify(t *testing.T) {
	got := make(chan sip.Method, 1)
	s := stacktest.Start(t, stack.Config{Route: func(tx *stack.ServerTxn) {
		got <- tx.Method()
		if err := tx.Respond(200, ""); !errors.Is(err, stack.ErrNoAnswer) {
			t.Errorf("answer: %v, want %v", err, stack.ErrNoAnswer)
		}
	}})
	p := s.TCPPeer(t)
	p.Request("BENOTIFY", bob, "z9hG4bK1", 1, "x")
	p.Quiet()
	if m := <-got; m != sip.BENOTIFY {
		t.Errorf("handler got %v", m)
	}
}

// RFC 2543 elements have no branch that can be relied on; their requests are told apart by what they have.
func TestOldBranches(t *testing.T) {
	var calls atomic.Int32
	s := stacktest.Start(t, answer(486, &calls)())
	p := s.UDPPeer(t)
	p.Request("INVITE", bob, "1", 1, "")
	m := p.Expect("486")
	p.Request("INVITE", bob, "1", 1, "")
	p.Expect("486")
	p.Request("ACK", bob, "1", 1, string(m.ToTag()))
	p.Quiet()
	s.Advance(t, 2*time.Second)
	p.Quiet()
	p.Request("INVITE", bob, "1", 2, "")
	p.Expect("486")
	if n := calls.Load(); n != 2 {
		t.Errorf("handler called %d times, want 2", n)
	}
}
