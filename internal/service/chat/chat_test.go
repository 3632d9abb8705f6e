package chat_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/chat"
	"parley/internal/service/message"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, chat.Spec) }

func h(name, value string) phone.Header { return phone.Header{Name: name, Value: value} }

func start(t *testing.T) *nodetest.Node {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{chat.Spec, message.Spec, registrar.Spec}})
	n.AddUsers("alice", "bob", "carol")
	return n
}

// signIn registers a client that has sessions.
func signIn(t *testing.T, n *nodetest.Node, user string) *servicetest.Phone {
	t.Helper()
	p := servicetest.Dial(t, n, "tcp", user)
	m := p.Request("REGISTER", "sip:example.test", "sip:"+user+"@example.test", h("Contact", "<"+p.Contact()+`>;methods="INVITE, MESSAGE, BENOTIFY";proxy=replace`), h("Expires", "600"))
	p.Ask(200, m)
	return p
}

const offer = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5061 sip null\r\na=accept-types:text/plain text/html\r\n"

func invite(p *servicetest.Phone, to string) *phone.Message {
	uri := "sip:" + to + "@example.test"
	m := p.Request("INVITE", uri, uri, h("Contact", "<"+p.Contact()+">"), h("ms-text-format", "text/plain; charset=UTF-8;ms-body=aGVsbG8="),
		h("Ms-Conversation-ID", "123456789"), h("Content-Type", "application/sdp"))
	m.Body = offer
	return m
}

// inside makes a request within the session that resp opened.
func inside(p *servicetest.Phone, method string, inv, resp *phone.Message, extra ...phone.Header) *phone.Message {
	_, uri, _ := strings.Cut(resp.Get("Contact"), "<")
	uri, _, _ = strings.Cut(uri, ">")
	for _, r := range resp.All("Record-Route") {
		for _, v := range strings.Split(r, ",") {
			extra = append([]phone.Header{h("Route", strings.TrimSpace(v))}, extra...)
		}
	}
	m := p.Request(method, uri, uri, extra...)
	for i, x := range m.Headers {
		switch x.Name {
		case "From", "Call-ID":
			m.Headers[i].Value = inv.Get(x.Name)
		case "To":
			m.Headers[i].Value = resp.Get("To")
		}
	}
	return m
}

func ack(t *testing.T, p *servicetest.Phone, inv, resp *phone.Message) {
	t.Helper()
	m := inside(p, "ACK", inv, resp)
	for i, x := range m.Headers {
		if x.Name == "CSeq" {
			n, _, _ := strings.Cut(resp.Get("CSeq"), " ")
			m.Headers[i].Value = n + " ACK"
		}
	}
	if err := p.Send(m); err != nil {
		t.Fatal(err)
	}
}

// A session with somebody who has a phone: each message becomes a pager message.
func TestPhone(t *testing.T) {
	n := start(t)
	a, p := signIn(t, n, "alice"), servicetest.Dial(t, n, "tcp", "bob")
	p.Register(600)
	inv := invite(a, "bob")
	ok := a.Ask(200, inv)
	if !strings.Contains(ok.Body, "m=message ") || strings.Contains(ok.String(), "ms-text-format") || !strings.Contains(ok.Get("Contact"), "<sip:chat@") {
		t.Fatalf("answer\n%s", ok)
	}
	ack(t, a, inv, ok)
	say := func(text string, code, want int) *phone.Message {
		t.Helper()
		m := inside(a, "MESSAGE", inv, ok, h("Content-Type", "text/plain; charset=UTF-8;msgr=WAAtAE0A"))
		m.Body = text
		if err := a.Send(m); err != nil {
			t.Fatal(err)
		}
		var got *phone.Message
		if code > 0 {
			got = p.Expect("MESSAGE", code)
			if got.Body != text || got.Get("To") != "<sip:bob@example.test>" || !strings.HasPrefix(got.Get("From"), "<sip:alice@example.test>;tag=") ||
				got.Get("Content-Type") != "text/plain;charset=UTF-8" {
				t.Errorf("got\n%s", got)
			}
		}
		r, err := a.Receive(t.Context())
		if err != nil || r.Code() != want {
			t.Fatalf("%v: answer\n%s\nwant %d", err, r, want)
		}
		return got
	}
	first := say("hello", 200, 200)
	if second := say("again", 200, 200); second.Get("Call-ID") == first.Get("Call-ID") {
		t.Error("two messages with one Call-ID")
	}
	say("no", 488, 488)
	typing := inside(a, "INFO", inv, ok, h("Content-Type", "application/xml"))
	typing.Body = `<KeyboardActivity><status status="type"/></KeyboardActivity>`
	a.Ask(200, typing)
	html := inside(a, "MESSAGE", inv, ok, h("Content-Type", "text/html"))
	html.Body = "<b>x</b>"
	a.Ask(415, html)
	other := signIn(t, n, "carol")
	other.Ask(403, inside(other, "BYE", inv, ok)) // in somebody else's name
	p.Quiet()
	p.Register(0)
	say("gone", 0, 481)
	a.Ask(481, inside(a, "BYE", inv, ok))
	a.Ask(480, invite(a, "bob"))
	a.Ask(404, invite(a, "mallory"))
}

// A phone's message reaches a client with sessions as it is.
func TestFromPhone(t *testing.T) {
	n := start(t)
	a, p := signIn(t, n, "alice"), servicetest.Dial(t, n, "tcp", "bob")
	p.Register(600)
	m := p.Request("MESSAGE", "sip:alice@example.test", "sip:alice@example.test", h("Content-Type", "text/plain"))
	m.Body = "hi"
	done := make(chan *phone.Message, 1)
	go func() { done <- p.Ask(200, m) }()
	if got := a.Expect("MESSAGE", 200); got.Body != "hi" {
		t.Errorf("got\n%s", got)
	}
	<-done
}

// Between two clients the session is forwarded, and only to endpoints that have
// sessions; the routes are loose.
func TestForwarded(t *testing.T) {
	n := start(t)
	a, b, p := signIn(t, n, "alice"), signIn(t, n, "bob"), servicetest.Dial(t, n, "tcp", "bob")
	p.Register(600)
	inv := invite(a, "bob")
	if err := a.Send(inv); err != nil {
		t.Fatal(err)
	}
	if r, err := a.Receive(t.Context()); err != nil || r.Code() != 100 {
		t.Fatalf("%v\n%s", err, r)
	}
	got := b.Expect("INVITE", 0)
	if got.Get("Ms-Conversation-ID") != "123456789" || got.Get("ms-text-format") == "" || len(got.All("Record-Route")) == 0 {
		t.Errorf("got\n%s", got)
	}
	for _, r := range got.All("Record-Route") {
		if !strings.Contains(r, ";lr") {
			t.Errorf("strict route %s", r)
		}
	}
	b.Answer(got, 200, h("Contact", "<sip:bob@example.test;opaque=user:epid:QJJYwWDmT1mos0tV81jLwQAA;gruu>"))
	var ok *phone.Message
	for ok == nil || ok.Code() < 200 {
		var err error
		if ok, err = a.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ack(t, a, inv, ok)
	b.Expect("ACK", 0)
	m := inside(a, "MESSAGE", inv, ok, h("Content-Type", "text/plain"))
	m.Body = "hello"
	if err := a.Send(m); err != nil {
		t.Fatal(err)
	}
	if got := b.Expect("MESSAGE", 200); got.Body != "hello" {
		t.Errorf("got\n%s", got)
	}
	p.Quiet()
}
