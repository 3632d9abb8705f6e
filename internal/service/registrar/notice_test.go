package registrar_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/internal/node/nodetest"
	"parley/internal/service/adminapi"
	"parley/internal/service/servicetest"
	"parley/test/phone"
)

// signsIn registers a phone that asks for notices, as Lync-protocol clients do.
func signsIn(p *servicetest.Phone, epid string) *phone.Message {
	m := register(p, contact("<"+p.Contact()+">"), phone.Header{Name: "Event", Value: "registration"})
	for i := range m.Headers {
		if m.Headers[i].Name == "From" {
			m.Headers[i].Value += ";epid=" + epid
		}
	}
	return p.Ask(200, m)
}

func change(t *testing.T, n *nodetest.Node, method, user string, c any) {
	t.Helper()
	if _, err := n.Client().Do(t.Context(), method, "/users/"+user+"@example.test", "*", c, nil); err != nil {
		t.Fatal(err)
	}
}

// gone waits until the server closes a connection.
func gone(t *testing.T, p *servicetest.Phone) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if m, err := p.Receive(ctx); err == nil {
		t.Errorf("got %s, want the end of the connection", m.Start)
	} else if ctx.Err() != nil {
		t.Error("the connection stays open")
	}
}

// noticed receives the notice ([MS-SIPREGE] 4.1.3).
func noticed(t *testing.T, p *servicetest.Phone, event, report string) {
	t.Helper()
	m := p.Expect("NOTIFY", 200)
	if m.Body != "deregistered;event="+event || m.Get("Event") != "registration-notify" || m.Get("subscription-state") != "terminated;expires=0" ||
		m.Get("Content-Type") != "text/registration-event" || m.Get("ms-diagnostics-public") != report {
		t.Errorf("told\n%s", m)
	}
	if !strings.Contains(m.Start, p.Contact()) || !strings.Contains(m.Get("To"), "<sip:"+p.AOR()+">;epid=") {
		t.Errorf("told %s, To %s", m.Start, m.Get("To"))
	}
}

const disabled = `4141;reason="User disabled"`

func TestOldestEndpointIsTold(t *testing.T) {
	n := start(t)
	change(t, n, http.MethodPatch, "alice", adminapi.UserChange{Policy: map[string]json.RawMessage{"maxEndpoints": json.RawMessage("2")}})
	var phones [3]*servicetest.Phone
	for i := range phones {
		phones[i] = servicetest.Dial(t, n, "tcp", "alice")
		signsIn(phones[i], []string{"01", "02", "03"}[i])
	}
	noticed(t, phones[0], "unregistered", "")
	gone(t, phones[0])
	phones[1].Quiet()
	phones[2].Quiet()
}

func TestDisabledUserIsTold(t *testing.T) {
	n := start(t)
	alice, bob := servicetest.Dial(t, n, "tcp", "alice"), servicetest.Dial(t, n, "tcp", "bob")
	desk := servicetest.Dial(t, n, "tcp", "alice")
	signsIn(alice, "01")
	signsIn(bob, "02")
	desk.Register(600)
	off := false
	change(t, n, http.MethodPatch, "alice", adminapi.UserChange{Enabled: &off})
	noticed(t, alice, "rejected", disabled)
	gone(t, alice)
	change(t, n, http.MethodDelete, "bob", nil)
	noticed(t, bob, "rejected", disabled)
	gone(t, bob)
	if m := register(desk, contact("<"+desk.Contact()+">")); desk.Ask(403, m).Get("ms-diagnostics-public") != disabled {
		t.Error("the phone is not told why")
	}
}

// Who never answers is signed out all the same: what his connection carries for
// others goes on.
func TestNoticeOnSharedConnection(t *testing.T) {
	n := start(t)
	alice := servicetest.Dial(t, n, "tcp", "alice")
	signsIn(alice, "01")
	// The same connection, as a gateway would.
	bob := *alice
	shared := *alice.Phone
	shared.Account = phone.Account{User: "bob", Password: nodetest.Password, Domain: nodetest.Domain}
	bob.Phone = &shared
	signsIn(&bob, "02")
	off := false
	change(t, n, http.MethodPatch, "alice", adminapi.UserChange{Enabled: &off})
	m := bob.Expect("NOTIFY", 481)
	if m.Body != "deregistered;event=rejected" {
		t.Errorf("told\n%s", m)
	}
	bob.Quiet()
}

// A pool that serves a user is named to his client; who signs out is let go.
func TestUserOfAnotherPool(t *testing.T) {
	n := start(t)
	home := func(pool string) {
		change(t, n, http.MethodPatch, "alice", adminapi.UserChange{Policy: map[string]json.RawMessage{"homePool": json.RawMessage(`"` + pool + `"`)}})
	}
	alice := servicetest.Dial(t, n, "tcp", "alice")
	home("pool2.example.test")
	signsIn(alice, "01") // a pool that the topology does not have
	text, revision := n.Topology()
	text = append(text, `
[[pool]]
fqdn = "pool2.example.test"
kind = "standard"
site = "main"
[[pool.server]]
fqdn = "pool2.example.test"
addresses = ["192.0.2.20"]
`...)
	if _, err := n.ApplyTopology(t.Context(), text, revision, false); err != nil {
		t.Fatal(err)
	}
	m := alice.Ask(301, register(alice, contact("<"+alice.Contact()+">")))
	if got := m.Get("Contact"); got != "<sip:pool2.example.test:5060;transport=tcp>" {
		t.Errorf("sent to %s", got)
	}
	alice.Register(0)
	home("")
	signsIn(alice, "01")
}
