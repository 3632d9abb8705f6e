package message_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/message"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/store"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, message.Spec) }

func run(t *testing.T, dir string, s *message.Settings) *nodetest.Node {
	spec := message.Spec
	if s != nil {
		spec.Settings = func() any { c := *s; return &c }
	}
	return nodetest.Start(t, dir, node.Options{Specs: []service.Spec{spec, registrar.Spec}})
}

func start(t *testing.T, s *message.Settings) *nodetest.Node {
	n := run(t, nodetest.Dir(t), s)
	n.AddUsers("alice", "bob")
	return n
}

func TestToEveryEndpoint(t *testing.T) {
	n := start(t, nil)
	a := servicetest.Dial(t, n, "tcp", "alice")
	one, two := servicetest.Dial(t, n, "tcp", "bob"), servicetest.Dial(t, n, "udp", "bob")
	one.Register(600)
	two.Register(600, phone.Header{Name: "X-Order", Value: "second"})
	a.Register(600)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Text(200, "bob", "hello")
	}()
	for _, p := range []*servicetest.Phone{one, two} {
		m := p.Expect("MESSAGE", 200)
		if m.Body != "hello" || m.Get("Proxy-Authorization") != "" || m.Get("Record-Route") != "" {
			t.Errorf("got\n%s", m)
		}
	}
	<-done
}

func TestAnswersOfEndpoints(t *testing.T) {
	n := start(t, nil)
	a, b := servicetest.Dial(t, n, "tcp", "alice"), servicetest.Dial(t, n, "tcp", "bob")
	a.Register(600)
	b.Register(600)
	for endpoint, sender := range map[int]int{200: 200, 202: 202, 415: 415, 486: 486, 603: 603, 480: 202, 503: 202} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.Text(sender, "bob", fmt.Sprint(endpoint))
		}()
		b.Expect("MESSAGE", endpoint)
		<-done
		if sender == 202 && endpoint != 202 { // it was stored, and is tried at once
			b.Expect("MESSAGE", 200)
		}
	}
}

func TestStoredUntilSignIn(t *testing.T) {
	n := start(t, nil)
	a := servicetest.Dial(t, n, "tcp", "alice")
	a.Register(600)
	ids := map[string]string{}
	for i := range 40 {
		text := fmt.Sprint("message ", i)
		m := a.Request("MESSAGE", "sip:bob@example.test", "sip:bob@example.test", phone.Header{Name: "Content-Type", Value: "text/plain"},
			phone.Header{Name: "Subject", Value: "greetings"}, phone.Header{Name: "P-Asserted-Identity", Value: "<sip:boss@example.test>"})
		m.Body = text
		ids[text] = m.Get("Call-ID")
		a.Ask(202, m)
	}
	b := servicetest.Dial(t, n, "udp", "bob")
	b.Register(600)
	for i := range 40 {
		m := b.Expect("MESSAGE", 200)
		if want := fmt.Sprint("message ", i); m.Body != want || m.Get("Call-ID") != ids[want] {
			t.Fatalf("got %q with Call-ID %s, want %q with %s", m.Body, m.Get("Call-ID"), want, ids[want])
		}
		if m.Get("Subject") != "greetings" || m.Get("P-Asserted-Identity") != "" || !strings.Contains(m.Get("From"), "alice@example.test") {
			t.Errorf("fields changed:\n%s", m)
		}
		if d, err := time.Parse(time.RFC1123, m.Get("Date")); err != nil || time.Since(d) > time.Hour {
			t.Errorf("Date %q", m.Get("Date"))
		}
	}
	empty(t, n)
	b.Register(600)
	servicetest.Dial(t, n, "tcp", "bob").Register(600)
	b.Quiet()
}

// empty waits until no message is stored any more.
func empty(t *testing.T, n *nodetest.Node) {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(n.Dir, "parley.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for {
		c, err := message.Count(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if c == 0 {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%d messages left", c)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// What one endpoint does not take stays for the next sign-in, with the same
// Call-ID.
func TestFailedDeliveryIsRepeated(t *testing.T) {
	n := start(t, nil)
	a, b := servicetest.Dial(t, n, "tcp", "alice"), servicetest.Dial(t, n, "tcp", "bob")
	a.Text(202, "bob", "one")
	a.Text(202, "bob", "two")
	b.Register(600)
	first := b.Expect("MESSAGE", 480)
	b2 := servicetest.Dial(t, n, "tcp", "bob")
	b.Close()
	b2.Register(600)
	again := b2.Expect("MESSAGE", 200)
	if again.Body != "one" || again.Get("Call-ID") != first.Get("Call-ID") || again.Get("CSeq") != first.Get("CSeq") {
		t.Errorf("first\n%s\nthen\n%s", first, again)
	}
	if m := b2.Expect("MESSAGE", 200); m.Body != "two" {
		t.Errorf("then %q", m.Body)
	}
	empty(t, n)
}

func TestSurvivesRestart(t *testing.T) {
	dir := nodetest.Dir(t)
	n := run(t, dir, nil)
	n.AddUsers("alice", "bob")
	a := servicetest.Dial(t, n, "tcp", "alice")
	a.Text(202, "bob", "before")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	n = run(t, dir, nil)
	b := servicetest.Dial(t, n, "tcp", "bob")
	b.Register(600)
	if m := b.Expect("MESSAGE", 200); m.Body != "before" {
		t.Errorf("got %q", m.Body)
	}
}

func TestNotStored(t *testing.T) {
	small := message.DefaultSettings
	small.Quota, small.PerSender, small.MaxBody = 3, 2, 20
	n := start(t, &small)
	n.AddUsers("carol")
	a := servicetest.Dial(t, n, "tcp", "alice")
	a.Text(404, "mallory", "x")
	a.Text(413, "bob", strings.Repeat("x", 21))
	a.Text(480, "bob", "x", phone.Header{Name: "Expires", Value: "0"})
	m := a.Request("MESSAGE", "sip:bob@example.test", "sip:bob@example.test", phone.Header{Name: "Content-Type", Value: "application/im-iscomposing+xml"})
	m.Body = "<isComposing/>"
	a.Ask(480, m)
	a.Text(202, "bob", "1")
	a.Text(202, "bob", "2")
	a.Text(480, "bob", "over his share")
	c := servicetest.Dial(t, n, "tcp", "carol")
	c.Text(202, "bob", "3")
	c.Text(480, "bob", "full")
}

func TestRemovedUserLosesMessages(t *testing.T) {
	n := start(t, nil)
	a := servicetest.Dial(t, n, "tcp", "alice")
	a.Text(202, "bob", "x")
	if _, err := n.Client().Do(t.Context(), http.MethodDelete, "/users/bob@example.test", "*", nil, nil); err != nil {
		t.Fatal(err)
	}
	empty(t, n)
	a.Text(404, "bob", "y")
}
