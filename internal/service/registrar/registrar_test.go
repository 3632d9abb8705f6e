package registrar_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, registrar.Spec) }

func start(t *testing.T) *nodetest.Node {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{registrar.Spec}})
	n.AddUsers("alice", "bob")
	return n
}

func register(p *servicetest.Phone, extra ...phone.Header) *phone.Message {
	return p.Request("REGISTER", "sip:example.test", "sip:"+p.AOR(), extra...)
}

func contact(s string) phone.Header { return phone.Header{Name: "Contact", Value: s} }

func TestRegister(t *testing.T) {
	n := start(t)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			p := servicetest.Dial(t, n, transport, "alice")
			m := p.Ask(200, register(p, contact("<"+p.Contact()+">;q=0.7"), phone.Header{Name: "Expires", Value: "3600"}))
			if got, want := m.Get("Contact"), "<"+p.Contact()+">;expires=900;q=0.7"; got != want {
				t.Errorf("Contact: %s, want %s", got, want)
			}
			if _, err := time.Parse(time.RFC1123, m.Get("Date")); err != nil {
				t.Errorf("Date: %v", err)
			}
			m = p.Ask(200, register(p))
			if !strings.Contains(m.Get("Contact"), p.Contact()) {
				t.Errorf("a query lists %q", m.Get("Contact"))
			}
			p.Register(0)
			if m = p.Ask(200, register(p)); m.Get("Contact") != "" {
				t.Errorf("after signing out: %q", m.Get("Contact"))
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	n := start(t)
	p := servicetest.Dial(t, n, "tcp", "alice")
	m := p.Ask(423, register(p, contact("<"+p.Contact()+">"), phone.Header{Name: "Expires", Value: "60"}))
	if m.Get("Min-Expires") != "300" {
		t.Errorf("Min-Expires: %q", m.Get("Min-Expires"))
	}
	m = p.Ask(420, register(p, phone.Header{Name: "Require", Value: "gruu, magic"}))
	if m.Get("Unsupported") != "magic" {
		t.Errorf("Unsupported: %q", m.Get("Unsupported"))
	}
	p.Ask(400, register(p, contact("<sip:a@b"), phone.Header{Name: "Expires", Value: "600"}))
	p.Ask(400, register(p, contact("*")))
	p.Ask(403, p.Request("REGISTER", "sip:example.test", "sip:bob@example.test", contact("<"+p.Contact()+">")))
}

// RFC 5626 and RFC 5627: what a client with these extensions is told.
func TestOutboundAndGRUU(t *testing.T) {
	n := start(t)
	p := servicetest.Dial(t, n, "tcp", "alice")
	const instance = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	m := p.Ask(200, register(p, contact("<"+p.Contact()+`;ob>;reg-id=1;+sip.instance="<`+instance+`>"`),
		phone.Header{Name: "Supported", Value: "path, outbound, gruu"}))
	c := m.Get("Contact")
	for _, want := range []string{`pub-gruu="sip:alice@example.test;gr=` + instance + `"`, `temp-gruu="sip:tgruu.`, "reg-id=1", "expires=600"} {
		if !strings.Contains(c, want) {
			t.Errorf("no %s in %s", want, c)
		}
	}
	if m.Get("Require") != "outbound" || m.Get("Flow-Timer") != "120" {
		t.Errorf("Require %q, Flow-Timer %q", m.Get("Require"), m.Get("Flow-Timer"))
	}
	_, rest, _ := strings.Cut(c, `temp-gruu="`)
	gruu, _, _ := strings.Cut(rest, `"`)
	bob := servicetest.Dial(t, n, "tcp", "bob")
	bob.Register(600)
	if err := bob.Send(bob.Request("OPTIONS", gruu, gruu)); err != nil {
		t.Fatal(err)
	}
	p.Expect("OPTIONS", 200)
}

// A connection that ends takes its bindings along; a user who is disabled
// loses all.
func TestBindingsEnd(t *testing.T) {
	n := start(t)
	count := func(want int) {
		t.Helper()
		for n.Status().Counts.Registrations != want {
			select {
			case <-t.Context().Done():
				t.Fatalf("%d registrations, want %d", n.Status().Counts.Registrations, want)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	a, b := servicetest.Dial(t, n, "tcp", "alice"), servicetest.Dial(t, n, "udp", "alice")
	a.Register(600)
	b.Register(600)
	count(2)
	a.Close()
	count(1)
	off := false
	if _, err := n.Client().Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Enabled: &off}, nil); err != nil {
		t.Fatal(err)
	}
	count(0)
	b.Ask(403, register(b, contact("<"+b.Contact()+">")))
}

// Everything that can happen to bindings at the same time.
func TestRaces(t *testing.T) {
	n := start(t)
	names := make([]string, 4)
	for i := range names {
		names[i] = fmt.Sprint("user", i)
	}
	n.AddUsers(names...)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for round := range 8 {
				p := servicetest.Dial(t, n, []string{"tcp", "udp"}[i%2], names[i%len(names)])
				for _, seconds := range []int{600, 600, 0, 600} {
					if err := p.Phone.Register(ctx, seconds); err != nil {
						t.Errorf("phone %d, round %d: %v", i, round, err)
						return
					}
				}
				if round%2 == 0 {
					p.Phone.Register(ctx, 0)
				}
				p.Close()
			}
		})
	}
	wg.Wait()
}
