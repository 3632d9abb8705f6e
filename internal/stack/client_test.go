package stack_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/siptest"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
	"parley/internal/uc"
)

// result is what a request's user heard.
type result struct {
	code int
	err  error
	tx   *stack.ClientTxn
}

// ask sends a request to a destination and returns what its user hears.
func ask(s *stacktest.Server, method string, dst stack.Destination) (*stack.ClientTxn, chan result) {
	c := make(chan result, 16)
	msg := siptest.Text(method + " " + bob + " SIP/2.0\nMax-Forwards: 70\nRoute: <sip:r.example.test;lr>\nFrom: <sip:alice@example.test>;tag=a\n" +
		"To: <sip:bob@example.test>\nCall-ID: out\nCSeq: 7 " + method + "\n\n")
	tx := s.Stack.Request(msg, dst, func(tx *stack.ClientTxn, m *sip.Message, err error) {
		r := result{err: err, tx: tx}
		if m != nil {
			r.code = m.StatusCode()
		}
		c <- r
	})
	return tx, c
}

func (r result) want(t *testing.T, code int, err error) {
	t.Helper()
	if r.code != code || !errors.Is(r.err, err) {
		t.Fatalf("heard %d, %v, want %d, %v", r.code, r.err, code, err)
	}
}

func target(p *stacktest.Peer) flow.Target {
	tr, _ := flow.ParseTransport(p.Transport())
	return flow.Target{Transport: tr, Addr: p.Addr()}
}

func to(ps ...*stacktest.Peer) (d stack.Destination) {
	for _, p := range ps {
		d.Targets = append(d.Targets, target(p))
	}
	return d
}

func route(*stack.ServerTxn) {}

// RFC 3261 17.1.2.2: repetition until an answer comes, then absorption of its repetitions.
func TestRequestOverUDPIsRepeated(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	_, heard := ask(s, "MESSAGE", to(p))
	first := p.Expect("MESSAGE")
	p.Quiet()
	s.Advance(t, 500*time.Millisecond)
	if again := p.Expect("MESSAGE"); string(again.Raw()) != string(first.Raw()) {
		t.Errorf("repeated as\n%s\nfirst was\n%s", again.Raw(), first.Raw())
	}
	p.Reply(first, 200)
	(<-heard).want(t, 200, nil)
	p.Reply(first, 200)
	s.Advance(t, 10*time.Second)
	p.Quiet()
	st := s.Stack.Stats()
	if len(heard) != 0 || st.Table != 0 || st.Retransmits != 1 {
		t.Errorf("%d more heard, %d transactions left, %d repeated", len(heard), st.Table, st.Retransmits)
	}
}

func TestNobodyAnswers(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	_, heard := ask(s, "MESSAGE", to(p))
	s.Advance(t, 33*time.Second)
	(<-heard).want(t, 0, stack.ErrTimeout)
	for range 11 { // 0, 0.5, 1.5, 3.5, 7.5, then every 4 s to 31.5
		p.Expect("MESSAGE")
	}
	p.Quiet()
	if st := s.Stack.Stats(); st.Timeouts != 1 || st.Table != 0 {
		t.Errorf("%d timeouts, %d transactions left", st.Timeouts, st.Table)
	}
}

// RFC 3261 17.1.1.3: the ACK to a failure repeats the Via, Route, From, Call-ID and CSeq number of the INVITE and the
// To of the response.
func TestFailureIsAcknowledged(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	_, heard := ask(s, "INVITE", to(p))
	inv := p.Expect("INVITE")
	p.Reply(inv, 100)
	(<-heard).want(t, 100, nil)
	p.Reply(inv, 486)
	(<-heard).want(t, 486, nil)
	ack := p.Expect("ACK")
	v1, _ := inv.TopVia()
	v2, _ := ack.TopVia()
	if string(v1.Branch) != string(v2.Branch) || string(ack.ToTag()) != "b" || !ack.Has(sip.HRoute) || ack.Count(sip.HVia) != 1 {
		t.Errorf("wrong ACK\n%s\nto\n%s", ack.Raw(), inv.Raw())
	}
	if n, m := ack.CSeq(); n != 7 || m != sip.ACK {
		t.Errorf("CSeq %d %v", n, m)
	}
	p.Reply(inv, 486)
	p.Expect("ACK")
	if len(heard) != 0 {
		t.Error("a repeated response was delivered")
	}
	s.Advance(t, 33*time.Second)
	if st := s.Stack.Stats(); st.Table != 0 {
		t.Errorf("%d transactions left after timer D", st.Table)
	}
}

func TestEvery2xxIsDelivered(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	_, heard := ask(s, "INVITE", to(p))
	inv := p.Expect("INVITE")
	for range 3 {
		p.Reply(inv, 200)
		(<-heard).want(t, 200, nil)
	}
	p.Quiet()
	s.Advance(t, 33*time.Second)
	p.Reply(inv, 200)
	p.Quiet()
	if st := s.Stack.Stats(); st.Stray != 1 || len(heard) != 0 {
		t.Errorf("%d stray responses, %d heard, want 1 and none", st.Stray, len(heard))
	}
}

// RFC 3261 9.1: the CANCEL waits for a provisional response, has the branch of the INVITE, and is repeated by itself.
func TestCancelWaitsForProvisional(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	tx, heard := ask(s, "INVITE", to(p))
	inv := p.Expect("INVITE")
	tx.Cancel(sip.Header{Name: "Reason", Value: "SIP;cause=200"})
	p.Quiet()
	p.Reply(inv, 180)
	(<-heard).want(t, 180, nil)
	cancel := p.Expect("CANCEL")
	v1, _ := inv.TopVia()
	v2, _ := cancel.TopVia()
	if string(v1.Branch) != string(v2.Branch) || string(cancel.Header(sip.HReason)) != "SIP;cause=200" {
		t.Errorf("wrong CANCEL\n%s", cancel.Raw())
	}
	s.Advance(t, 500*time.Millisecond)
	p.Expect("CANCEL")
	p.Reply(cancel, 200)
	p.Reply(inv, 487)
	p.Expect("ACK")
	(<-heard).want(t, 487, nil)
	tx.Cancel()
	s.Advance(t, 40*time.Second)
	p.Quiet()
	if st := s.Stack.Stats(); st.Table != 0 {
		t.Errorf("%d transactions left", st.Table)
	}
}

func TestCancelThatNobodyHonours(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	tx, heard := ask(s, "INVITE", to(p))
	p.Reply(p.Expect("INVITE"), 180)
	(<-heard).want(t, 180, nil)
	tx.Cancel()
	p.Reply(p.Expect("CANCEL"), 200)
	s.Advance(t, 33*time.Second)
	(<-heard).want(t, 0, stack.ErrTimeout)
}

// RFC 3263 4.3: the next target is tried after a 503, a timeout or a transport error, with another branch.
func TestFailover(t *testing.T) {
	for _, method := range []string{"MESSAGE", "INVITE"} {
		t.Run(method, func(t *testing.T) {
			s := stacktest.Start(t, stack.Config{Route: route})
			silent, busy, good := s.UDPPeer(t), s.UDPPeer(t), s.UDPPeer(t)
			dst := to(silent, busy)
			dst.Targets = append(dst.Targets, flow.Target{Transport: flow.TCP, Addr: closedPort(t)}, target(good))
			_, heard := ask(s, method, dst)
			first := silent.Expect(method)
			s.Advance(t, 32*time.Second+100*time.Millisecond)
			second := busy.Expect(method)
			busy.Reply(second, 503)
			if method == "INVITE" {
				busy.Expect("ACK")
			}
			third := good.Expect(method)
			branches := map[string]bool{}
			for _, m := range []*sip.Message{first, second, third} {
				v, _ := m.TopVia()
				branches[string(v.Branch)] = true
			}
			if len(branches) != 3 {
				t.Errorf("branches %v, want three", branches)
			}
			good.Reply(third, 200)
			(<-heard).want(t, 200, nil)
			if st := s.Stack.Stats(); st.Failovers != 3 || len(heard) != 0 {
				t.Errorf("%d failovers, %d more heard", st.Failovers, len(heard))
			}
		})
	}
}

func TestLast503IsDelivered(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	_, heard := ask(s, "MESSAGE", to(p))
	p.Reply(p.Expect("MESSAGE"), 503)
	(<-heard).want(t, 503, nil)
}

// closedPort returns an address nobody listens on.
func closedPort(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestNothingToSendTo(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	_, heard := ask(s, "MESSAGE", stack.Destination{})
	(<-heard).want(t, 0, stack.ErrNoTarget)
	_, heard = ask(s, "MESSAGE", stack.Destination{Targets: []flow.Target{{Transport: flow.TCP, Addr: closedPort(t)}}})
	if r := <-heard; r.err == nil {
		t.Error("no error for a port nobody listens on")
	}
	_, heard = ask(s, "MESSAGE", stack.Destination{URI: []byte("sip:nobody.example.test")})
	(<-heard).want(t, 0, flow.ErrUnresolvable) // no resolver is set
}

func TestLostFlowEndsItsRequests(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.TCPPeer(t)
	p.Quiet() // so that the flow is there
	f := s.Layer.Flows()
	_, heard := ask(s, "INVITE", stack.Destination{Flow: f[len(f)-1]})
	p.Reply(p.Expect("INVITE"), 180)
	(<-heard).want(t, 180, nil)
	p.Close()
	if r := <-heard; r.err == nil {
		t.Errorf("heard %d, want an error", r.code)
	}
	_, heard = ask(s, "MESSAGE", stack.Destination{Flow: f[len(f)-1]})
	(<-heard).want(t, 0, flow.ErrClosed)
}

func TestResponsesThatBelongToNothing(t *testing.T) {
	s := stacktest.Start(t, stack.Config{Route: route})
	p := s.UDPPeer(t)
	_, heard := ask(s, "MESSAGE", to(p))
	req := p.Expect("MESSAGE")
	reply := string(sip.AppendResponse(nil, req, 200, "", "b"))
	v, _ := req.TopVia()
	for _, branch := range []string{"z9hG4bK1", "z9hG4bKp.", "z9hG4bKp.0000000000000", string(v.Branch[:len(v.Branch)-1]) + "!"} {
		p.SendRaw([]byte(strings.Replace(reply, string(v.Branch), branch, 1)))
	}
	p.SendRaw([]byte(strings.Replace(reply, "7 MESSAGE", "7 INVITE", 1)))
	p.SendRaw([]byte(strings.Replace(reply, "7 MESSAGE", "7 CANCEL", 1)))
	p.Quiet()
	if st := s.Stack.Stats(); st.Stray+st.Malformed != 6 || len(heard) != 0 {
		t.Errorf("%d stray, %d malformed, %d heard, want 6 that belong to nothing", st.Stray, st.Malformed, len(heard))
	}
	p.SendRaw([]byte(reply))
	(<-heard).want(t, 200, nil)
}

// When the connection of a request is gone, the response goes to where its Via says over a new one, if it came from
// another server (RFC 3261 18.2.2), and never to where a client was.
func TestResponseAfterConnectionLoss(t *testing.T) {
	txs := make(chan *stack.ServerTxn, 1)
	closed := make(chan bool, 1)
	var server atomic.Bool
	s := stacktest.Start(t, stack.Config{
		Route:  func(tx *stack.ServerTxn) { txs <- tx },
		Closed: func(*flow.Flow, error) { closed <- true },
		Open: func(f *flow.Flow) error {
			if server.Load() {
				f.SetIdentity(uc.Identity{Class: uc.TrustedServer, Name: "pbx.example.test"})
			}
			return nil
		},
	})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lost := func() *stack.ServerTxn {
		p := s.TCPPeer(t)
		p.Send("MESSAGE " + bob + " SIP/2.0\nVia: SIP/2.0/TCP " + l.Addr().String() + ";branch=z9hG4bK1\nMax-Forwards: 70\n" +
			"From: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\nCSeq: 1 MESSAGE\n\n")
		tx := <-txs
		p.Close()
		<-closed
		return tx
	}
	tx := lost()
	if err := tx.Respond(200, ""); !errors.Is(err, flow.ErrClosed) {
		t.Errorf("answer to a client that is gone: %v, want %v", err, flow.ErrClosed)
	}
	if st := s.Stack.Stats(); st.Table != 0 {
		t.Errorf("%d transactions left", st.Table)
	}
	server.Store(true)
	if err := lost().Respond(200, ""); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stacktest.Conn(t, c).Expect("200")
}
