package servicetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/node/nodetest"
	"parley/test/phone"
)

// patience is how long a message that has to come may take.
const patience = 15 * time.Second

// Phone is a phone of a test: every failure ends the test.
type Phone struct {
	*phone.Phone
	t testing.TB
}

// Dial connects a phone of a user of nodetest to n, over "tcp" or "udp".
func Dial(t testing.TB, n *nodetest.Node, transport, user string) *Phone {
	t.Helper()
	row := config.RowSIPTCP
	if transport == "udp" {
		row = config.RowSIPUDP
	}
	a := phone.Account{User: user, Password: nodetest.Password, Domain: nodetest.Domain}
	p, err := phone.Dial(t.Context(), a, transport, n.Addr(row).String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &Phone{p, t}
}

// Register signs the phone in, or out with 0 seconds.
func (p *Phone) Register(seconds int, extra ...phone.Header) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.Phone.Register(ctx, seconds, extra...); err != nil {
		p.t.Fatal(err)
	}
}

// Ask sends a request, answers a challenge, and returns the final response,
// which must have the code.
func (p *Phone) Ask(code int, m *phone.Message) *phone.Message {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	got, err := p.Do(ctx, m)
	if err != nil {
		p.t.Fatal(err)
	}
	if got.Code() != code {
		p.t.Fatalf("%s: got %s, want %d\n%s", m.Start, got.Start, code, got)
	}
	return got
}

// Text sends a message to a user and wants the code.
func (p *Phone) Text(code int, to, text string, extra ...phone.Header) *phone.Message {
	p.t.Helper()
	uri := "sip:" + to + "@" + nodetest.Domain
	m := p.Request("MESSAGE", uri, uri, append([]phone.Header{{Name: "Content-Type", Value: "text/plain"}}, extra...)...)
	m.Body = text
	return p.Ask(code, m)
}

// Expect receives a request of the method and answers it with the code, 0 for
// no answer.
func (p *Phone) Expect(method string, code int, extra ...phone.Header) *phone.Message {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	m, err := p.Receive(ctx)
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", method, err)
	}
	if m.Method() != method {
		p.t.Fatalf("got %s, want %s\n%s", m.Start, method, m)
	}
	if code != 0 {
		p.Answer(m, code, extra...)
	}
	return m
}

// Answer answers a request.
func (p *Phone) Answer(m *phone.Message, code int, extra ...phone.Header) {
	p.t.Helper()
	if err := p.Send(m.Reply(code, "Answer", "phone", extra...)); err != nil {
		p.t.Fatal(err)
	}
}

// Quiet fails the test when a request was sent to the phone. It asks the node
// something, whose answer comes after what was sent before.
func (p *Phone) Quiet() {
	p.t.Helper()
	p.Ask(200, p.Request("OPTIONS", "sip:"+nodetest.Domain, "sip:"+nodetest.Domain))
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Millisecond)
	defer cancel()
	if m, err := p.Receive(ctx); err == nil {
		p.t.Fatalf("got %s, want nothing\n%s", strings.TrimSpace(m.Start), m)
	}
}
