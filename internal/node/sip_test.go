package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service/adminapi"
	"parley/internal/store/storetest"
	"parley/test/phone"
)

// dial connects a phone of user over a transport.
func dial(t *testing.T, n *nodetest.Node, user, transport string) *phone.Phone {
	t.Helper()
	row := map[string]string{"tls": porttable.SrvFeFrontend5061, "tcp": config.RowSIPTCP, "udp": config.RowSIPUDP}[transport]
	pem, err := os.ReadFile(filepath.Join(n.Dir, "ca", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p, err := phone.Dial(t.Context(), phone.Account{User: user, Password: nodetest.Password, Domain: nodetest.Domain}, transport,
		n.Addr(row).String(), &tls.Config{RootCAs: roots, ServerName: nodetest.FQDN})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// receive waits for a request of the method.
func receive(t *testing.T, p *phone.Phone, method string) *phone.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := p.Receive(ctx)
	if err != nil || m.Method() != method {
		t.Fatalf("want %s, got %v %v", method, m, err)
	}
	return m
}

func status(t *testing.T, p *phone.Phone, m *phone.Message) *phone.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := p.Do(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPhonesRegisterCallAndAreSeen(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { registerCallAndSee(t, nodetest.Dir(t)) })
	t.Run("postgresql", func(t *testing.T) {
		dir := nodetest.Dir(t)
		edit(t, dir, "store", "dsn", strconv.Quote(storetest.PostgresDSN(t)))
		registerCallAndSee(t, dir)
	})
}

func registerCallAndSee(t *testing.T, dir string) {
	n := nodetest.Start(t, dir, node.Options{Version: "test"})
	n.AddUsers("alice", "bob", "carol")
	for _, transport := range []string{"tls", "tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			alice, bob := dial(t, n, "alice", transport), dial(t, n, "bob", transport)
			for _, p := range []*phone.Phone{alice, bob} {
				if err := p.Register(t.Context(), 600); err != nil {
					t.Fatal(err)
				}
			}
			if regs := n.Registrations(); len(regs) != 2 || regs[0].User != "alice@example.test" ||
				!strings.EqualFold(regs[0].Transport, transport) || regs[0].Remote != alice.Local() {
				t.Fatalf("registrations: %+v", regs)
			}

			done := make(chan *phone.Message, 1)
			invite := alice.Request("INVITE", "sip:bob@example.test", "sip:bob@example.test",
				phone.Header{Name: "Contact", Value: "<" + alice.Contact() + ">"})
			go func() {
				r, err := alice.Do(t.Context(), invite)
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
			got := receive(t, bob, "INVITE")
			if err := bob.Send(got.Reply(180, "Ringing", "b")); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { c := n.Calls(); return len(c) == 1 && c[0].State == "ringing" })
			if err := bob.Send(got.Reply(200, "OK", "b", phone.Header{Name: "Contact", Value: "<" + bob.Contact() + ">"})); err != nil {
				t.Fatal(err)
			}
			answer := <-done
			if answer == nil || answer.Code() != 200 {
				t.Fatalf("INVITE: %v", answer)
			}
			calls := n.Calls()
			if len(calls) != 1 || calls[0].State != "talking" || calls[0].From != "sip:alice@example.test" || calls[0].To != "sip:bob@example.test" {
				t.Fatalf("calls: %+v", calls)
			}

			bye := bob.Request("BYE", trimmed(got.Get("Contact")), "")
			setHeader(bye, "From", answer.Get("To"))
			setHeader(bye, "To", answer.Get("From"))
			setHeader(bye, "Call-ID", answer.Get("Call-ID"))
			for _, rr := range got.All("Record-Route") {
				bye.Headers = append(bye.Headers, phone.Header{Name: "Route", Value: rr})
			}
			over := make(chan *phone.Message, 1)
			go func() {
				r, err := bob.Final(t.Context(), bye)
				if err != nil {
					t.Error(err)
				}
				over <- r
			}()
			if err := alice.Send(receive(t, alice, "BYE").Reply(200, "OK", "")); err != nil {
				t.Fatal(err)
			}
			if r := <-over; r == nil || r.Code() != 200 {
				t.Fatalf("BYE: %v", r)
			}
			waitFor(t, func() bool { return len(n.Calls()) == 0 })
			for _, p := range []*phone.Phone{alice, bob} {
				if err := p.Register(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
			}
			if regs := n.Registrations(); len(regs) != 0 {
				t.Fatalf("registrations after signing out: %+v", regs)
			}
		})
	}
	metrics := httpGet(t, "http://"+n.Status().AdminHTTP+"/metrics")
	for _, want := range []string{`parley_sip_requests_total{code="200",method="INVITE"} 3`,
		`parley_sip_requests_total{code="200",method="BYE"} 3`, "parley_calls_active 0", "parley_users 3", "parley_ready 1",
		`parley_refused_total{reason="wrong_password"} 0`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	recs, _ := n.Trace().Snapshot(0, 0)
	if len(recs) < 30 {
		t.Errorf("the trace has %d messages", len(recs))
	}
}

func TestWhereNobodyIsReached(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{})
	n.AddUsers("alice", "bob")
	alice := dial(t, n, "alice", "tls")
	if err := alice.Register(t.Context(), 600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uri  string
		want int
	}{
		{"sip:nobody@example.test", 404},
		{"sip:bob@example.test", 480},
		{"sip:bob@elsewhere.test", 403},
	} {
		if r := status(t, alice, alice.Request("INVITE", c.uri, c.uri)); r.Code() != c.want {
			t.Errorf("%s: %d, want %d", c.uri, r.Code(), c.want)
		}
	}
	stranger := dial(t, n, "bob", "tcp")
	stranger.Password = "wrong"
	if err := stranger.Register(t.Context(), 600); err == nil {
		t.Error("a wrong password signed in")
	}
	off := false
	if _, err := n.Client().Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Enabled: &off}, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(n.Registrations()) == 0 })
	if err := alice.Register(t.Context(), 600); err == nil {
		t.Error("a disabled user signed in")
	}
}

func TestDrainingNodeRefusesNewWorkAndFinishesCalls(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{})
	n.AddUsers("alice", "bob")
	alice, bob := dial(t, n, "alice", "tcp"), dial(t, n, "bob", "tcp")
	for _, p := range []*phone.Phone{alice, bob} {
		if err := p.Register(t.Context(), 600); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan *phone.Message, 1)
	go func() {
		r, _ := alice.Do(t.Context(), alice.Request("INVITE", "sip:bob@example.test", "sip:bob@example.test"))
		answered <- r
	}()
	invite := receive(t, bob, "INVITE")
	bob.Send(invite.Reply(200, "OK", "b", phone.Header{Name: "Contact", Value: "<" + bob.Contact() + ">"}))
	if r := <-answered; r == nil || r.Code() != 200 {
		t.Fatalf("INVITE: %v", r)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- n.Quiesce(ctx) }()
	waitFor(t, func() bool { return n.Status().State == "draining" })
	r := status(t, alice, alice.Request("INVITE", "sip:bob@example.test", "sip:bob@example.test"))
	if r.Code() != 503 || r.Get("Retry-After") == "" {
		t.Errorf("new call while draining: %v", r)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with a call going on: %v", err)
	default:
	}
	bye := alice.Request("BYE", bob.Contact(), "")
	setHeader(bye, "From", invite.Get("From"))
	setHeader(bye, "To", invite.Get("To")+";tag=b")
	setHeader(bye, "Call-ID", invite.Get("Call-ID"))
	routes := invite.All("Record-Route")
	slices.Reverse(routes) // the caller sees them from the other end
	for _, rr := range routes {
		bye.Headers = append(bye.Headers, phone.Header{Name: "Route", Value: rr})
	}
	go func() { r, _ := alice.Final(t.Context(), bye); answered <- r }()
	bob.Send(receive(t, bob, "BYE").Reply(200, "OK", ""))
	if r := <-answered; r == nil || r.Code() != 200 {
		t.Errorf("BYE while draining: %v", r)
	}
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
}

func trimmed(contact string) string {
	uri, _, _ := strings.Cut(strings.TrimPrefix(contact, "<"), ">")
	return uri
}

func setHeader(m *phone.Message, name, value string) {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			m.Headers[i].Value = value
			return
		}
	}
	m.Headers = append(m.Headers, phone.Header{Name: name, Value: value})
}

// waitFor polls for something that happens a moment later.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it did not happen")
		}
	}
}

func httpGet(t *testing.T, url string) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
