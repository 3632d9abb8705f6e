package mwi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	contract "parley/internal/contract/mwi"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/mwi"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, mwi.Spec) }

// voiceMail is a service that only keeps its handles.
type voiceMail struct{ service.Host }

func (voiceMail) Start(context.Context) error { return nil }
func (voiceMail) Drain(context.Context) error { return nil }
func (voiceMail) Stop(context.Context) error  { return nil }

func run(t *testing.T, dir string) (*nodetest.Node, func(user string, c contract.Counts) error) {
	var vm voiceMail
	probe := service.Spec{Name: "probe", Needs: service.NeedBus, Build: func(h service.Host) (service.Service, error) {
		vm.Host = h
		return vm, nil
	}}
	n := nodetest.Start(t, dir, node.Options{Specs: []service.Spec{mwi.Spec, probe, registrar.Spec}})
	return n, func(user string, c contract.Counts) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return contract.Set(ctx, vm.Bus, "alice@example.test", c)
	}
}

func h(name, value string) phone.Header { return phone.Header{Name: name, Value: value} }

func subscribe(p *servicetest.Phone, code int, user string) {
	uri := "sip:" + user + "@example.test"
	p.Ask(code, p.Request("SUBSCRIBE", uri, uri, h("Event", "message-summary"), h("Contact", "<"+p.Contact()+">"), h("Expires", "600"),
		h("Accept", "application/simple-message-summary")))
}

func TestLamp(t *testing.T) {
	dir := nodetest.Dir(t)
	n, set := run(t, dir)
	n.AddUsers("alice", "bob")
	a := servicetest.Dial(t, n, "tcp", "alice")
	a.Register(600)
	wants := func(p *servicetest.Phone, text string) {
		t.Helper()
		if m := p.Expect("NOTIFY", 200); !strings.Contains(m.Body, text) || m.Get("Event") != "message-summary" {
			t.Errorf("told\n%s", m)
		}
	}
	subscribe(a, 200, "alice")
	wants(a, "Messages-Waiting: no\r\n")
	if err := set("alice", contract.Counts{contract.Voice: {New: 2, Old: 1}}); err != nil {
		t.Fatal(err)
	}
	wants(a, "Voice-Message: 2/1\r\n")
	subscribe(a, 403, "bob")
	subscribe(a, 404, "mallory")
	m := a.Request("NOTIFY", "sip:bob@example.test", "sip:bob@example.test", h("Event", "message-summary"), h("Subscription-State", "terminated"),
		h("Content-Type", "application/simple-message-summary"))
	m.Body = "Messages-Waiting: yes\r\n"
	a.Ask(403, m)
	if err := set("alice", contract.Counts{"letters": {New: 1}}); err == nil {
		t.Error("an unknown class was taken")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	n, _ = run(t, dir)
	a = servicetest.Dial(t, n, "udp", "alice")
	a.Register(600)
	subscribe(a, 200, "alice")
	wants(a, "Voice-Message: 2/1\r\n")
}

func TestNobodysMailbox(t *testing.T) {
	n, set := run(t, nodetest.Dir(t))
	_ = n
	if err := set("alice", contract.Counts{contract.Voice: {New: 1}}); !errors.Is(err, contract.ErrNoUser) {
		t.Errorf("got %v", err)
	}
}
