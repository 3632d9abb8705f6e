package proxy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
)

// writer puts a text of its own into everything that carries a description, and writes down what it was told.
type writer struct {
	again int   // how many refusals lead to another attempt
	fail  error // of Attempt

	mu   sync.Mutex
	told []string
}

func (w *writer) Request(tx *stack.ServerTxn) proxy.Exchange {
	return &exchange{w: w, method: tx.Method().String()}
}

func (w *writer) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

func (w *writer) heard(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.told, ", "); got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}
	w.told = nil
}

type exchange struct {
	w      *writer
	method string
	n      int
}

func (x *exchange) Attempt(i int, _ *proxy.Branch) (*sip.Body, error) {
	x.n++
	x.w.say("%s %d attempt %d", x.method, i, x.n)
	return &sip.Body{Type: "text/plain", Data: fmt.Appendf(nil, "%s to %d, attempt %d", x.method, i, x.n)}, x.w.fail
}

func (x *exchange) Again(i int, _ *proxy.Branch, m *sip.Message) bool {
	x.w.say("again %d", m.StatusCode())
	x.w.again--
	return x.w.again >= 0
}

func (x *exchange) Response(i int, _ *proxy.Branch, m *sip.Message) *sip.Body {
	x.w.say("%d of %d", m.StatusCode(), i)
	return &sip.Body{Type: "text/plain", Data: fmt.Appendf(nil, "%d of %d", m.StatusCode(), i)}
}

func (x *exchange) Failed(i int, _ *proxy.Branch, code int) { x.w.say("%d failed %d", i, code) }
func (x *exchange) Rewrites(int) bool                       { return true }

func says(t *testing.T, m *sip.Message, want string) {
	t.Helper()
	if got := string(m.Body()); got != want || string(m.Header(sip.HContentType)) != "text/plain" {
		t.Errorf("the body is %q, want %q", got, want)
	}
}

func TestBodiesAreReplaced(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		media := &writer{}
		w := startWith(t, media)
		alice, phone := w.TCPPeer(t), w.UDPPeer(t)
		if tcp {
			alice, phone = phone, alice
		}
		w.to(phone)
		alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
		inv := phone.Expect("INVITE")
		says(t, inv, "INVITE to 0, attempt 1")
		phone.Reply(inv, 183)
		says(t, alice.Expect("183"), "183 of 0")
		contact := sip.Header{Name: "Contact", Value: "<sip:phone0@" + phone.Addr().String() + ">"}
		phone.Reply(inv, 200, contact)
		ok := alice.Expect("200")
		says(t, ok, "200 of 0")
		phone.Reply(inv, 200, contact) // repeated, since no ACK came
		says(t, alice.Expect("200"), "200 of 0")
		to := "sip:phone0@" + phone.Addr().String()
		alice.Request("ACK", to, "z9hG4bKa2", 1, "b", routes(ok)...)
		says(t, phone.Expect("ACK"), "ACK to 0, attempt 1")
		alice.Request("INFO", to, "z9hG4bKa3", 2, "b", routes(ok)...)
		info := phone.Expect("INFO")
		if len(info.Body()) != 0 {
			t.Error("an INFO was rewritten")
		}
		phone.Reply(info, 200)
		alice.Expect("200")
		alice.Request("BYE", to, "z9hG4bKa4", 3, "b", routes(ok)...)
		phone.Reply(phone.Expect("BYE"), 200)
		alice.Expect("200")
		media.heard(t, "INVITE 0 attempt 1, 183 of 0, 200 of 0, 200 of 0, ACK 0 attempt 1, BYE 0 attempt 1, 200 of 0")
	}
}

// A refusal leads to another attempt at the same phone, in a transaction of its own, which can be cancelled.
func TestAnotherAttempt(t *testing.T) {
	media := &writer{again: 1}
	w := startWith(t, media)
	alice, p, q := w.UDPPeer(t), w.UDPPeer(t), w.TCPPeer(t)
	w.to(p, q)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	first := p.Expect("INVITE")
	iq := q.Expect("INVITE")
	p.Reply(first, 488)
	p.Expect("ACK")
	q.Reply(iq, 180)
	alice.Expect("180")
	p.Quiet() // it would take the second for a copy of the first by another way, and refuse it
	w.Advance(t, 5400*time.Millisecond)
	second := p.Expect("INVITE")
	says(t, second, "INVITE to 0, attempt 3")
	v1, _ := first.TopVia()
	v2, _ := second.TopVia()
	if string(v1.Branch) == string(v2.Branch) {
		t.Error("the second attempt has the branch of the first")
	}
	alice.Quiet()
	p.Reply(second, 180)
	alice.Expect("180")
	q.Reply(iq, 486)
	q.Expect("ACK")
	alice.Request("CANCEL", bob, "z9hG4bKa1", 1, "")
	alice.Expect("200")
	cancel := p.Expect("CANCEL")
	if v, _ := cancel.TopVia(); string(v.Branch) != string(v2.Branch) {
		t.Error("the first attempt was cancelled")
	}
	p.Reply(cancel, 200)
	p.Reply(second, 487)
	p.Expect("ACK")
	alice.Expect("487")
	media.heard(t, "INVITE 0 attempt 1, INVITE 1 attempt 2, again 488, 180 of 1, INVITE 0 attempt 3, 180 of 0, again 486, 486 of 1, 487 of 0")
}

// While an attempt waits for the end of the one before, the caller may give up.
func TestGivesUpBeforeAnotherAttempt(t *testing.T) {
	media := &writer{again: 1}
	w := startWith(t, media)
	alice, phone := w.TCPPeer(t), w.UDPPeer(t)
	w.to(phone)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	phone.Reply(phone.Expect("INVITE"), 415)
	phone.Expect("ACK")
	alice.Request("CANCEL", bob, "z9hG4bKa1", 1, "")
	alice.Expect("200")
	alice.Expect("487")
	w.Advance(t, 10*time.Second)
	phone.Quiet()
	media.heard(t, "INVITE 0 attempt 1, again 415, 0 failed 487")
}

func TestAnotherAttemptByTCP(t *testing.T) {
	media := &writer{again: 1}
	w := startWith(t, media)
	alice, phone := w.UDPPeer(t), w.TCPPeer(t)
	w.to(phone)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	phone.Reply(phone.Expect("INVITE"), 606)
	phone.Expect("ACK")
	phone.Reply(phone.Expect("INVITE"), 200)
	alice.Expect("200")
}

func TestAnAttemptThatCannotBeMade(t *testing.T) {
	media := &writer{fail: &sip.Error{Code: 488}}
	w := startWith(t, media)
	alice, phone := w.UDPPeer(t), w.UDPPeer(t)
	w.to(phone)
	alice.Request("INVITE", bob, "z9hG4bKa1", 1, "")
	alice.Expect("488")
	phone.Quiet()
	media.heard(t, "INVITE 0 attempt 1, 0 failed 488")
}
