package main

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"parley/internal/cert"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/test/phone"
)

// TestTrust adds trust to a running node, and takes it away: what the plan prints and whom the node believes follow.
func TestTrust(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{})
	n.AddUsers("alice")
	ca, err := cert.LoadCA(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	roots, _, err := cert.Roots(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	// ask connects with a certificate for a name, and writes to somebody without credentials: the status, or 0 when the
	// connection is refused.
	write := func(name, to, text string) int {
		t.Helper()
		key, err := cert.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		c, err := ca.Issue(cert.Request{Names: []string{name}}, key.Public(), time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		p, err := phone.Dial(ctx, phone.Account{User: "recorder", Domain: "example.test"}, "tls", n.TLSAddr().String(),
			&tls.Config{RootCAs: roots, ServerName: nodetest.FQDN, Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}})
		if err != nil {
			return 0
		}
		defer p.Close()
		m := p.Request("MESSAGE", to, to, phone.Header{Name: "Content-Type", Value: "text/plain"})
		m.Body = text
		if err := p.Send(m); err != nil {
			return 0
		}
		answer, err := p.Final(ctx, m)
		if err != nil {
			if ctx.Err() != nil {
				t.Fatalf("%s: no answer: %v", name, err)
			}
			return 0
		}
		return answer.Code()
	}
	ask := func(name string) int { t.Helper(); return write(name, "sip:alice@example.test", "hello") }
	verb := func(args ...string) string {
		t.Helper()
		return want(t, append([]string{"config"}, append(args, "--data", n.Dir)...)...)
	}
	if got := ask("recorder.example.test"); got != 0 {
		t.Errorf("a server that nobody knows gets %d", got)
	}
	verb("trusted-computer", "add", "recorder.example.test", "--address", "192.0.2.20")
	verb("trusted-application", "add", "recorder", "--pool", "recorder.example.test", "--port", "6000")
	if out := want(t, "plan", "firewall", "--data", n.Dir, "--format", "csv"); !strings.Contains(out, "recorder.example.test,192.0.2.20,6000,tcp") {
		t.Errorf("the plan has no rule for the application:\n%s", out)
	}
	if got := ask("recorder.example.test"); got != 202 {
		t.Errorf("a trusted computer gets %d", got)
	}
	if got := ask("other.example.test"); got != 0 {
		t.Errorf("another server gets %d", got)
	}
	for text, args := range map[string][]string{
		"recorder.example.test  recorder.example.test  192.0.2.20  believed": {"trusted-computer", "list"},
		"recorder     6000  tls        recorder.example.test  believed":      {"trusted-application", "list"},
		`"application": "recorder"`:                                          {"trusted-application", "list", "--json"},
	} {
		if out := verb(args...); !strings.Contains(out, text) {
			t.Errorf("%v lacks %q:\n%s", args, text, out)
		}
	}
	// The limits of servers are wider than those of clients, unless it is held to these.
	verb("trusted-computer", "add", "small.example.test", "--throttle-as-client")
	for name, refused := range map[string]bool{"recorder.example.test": false, "small.example.test": true} {
		// Nobody is there to take it, so that who gets as far as that is told 404.
		if got := write(name, "sip:nobody@example.test", strings.Repeat("long ", 60_000)); (got == 0 || got == 413) != refused {
			t.Errorf("%s writes 300 kB and gets %d", name, got)
		}
	}
	verb("trusted-computer", "remove", "small.example.test")
	// A pool whose members must show credentials.
	verb("trusted-computer", "add", "app1.example.test", "--pool", "apps.example.test", "--challenge")
	verb("trusted-computer", "add", "app2.example.test", "--pool", "apps.example.test")
	verb("trusted-application", "add", "bot", "--pool", "apps.example.test", "--port", "6001", "--tcp")
	if got := ask("app2.example.test"); got != 407 {
		t.Errorf("a computer that is to be challenged gets %d", got)
	}
	for text, args := range map[string][]string{
		"trusted already":     {"trusted-computer", "add", "recorder.example.test"},
		"not a pool":          {"trusted-computer", "add", "x.example.test", "--pool", "recorder.example.test"},
		"no trusted pool":     {"trusted-application", "add", "x", "--pool", "nowhere.example.test", "--port", "1"},
		"no application":      {"trusted-application", "remove", "x", "--pool", "apps.example.test"},
		"no trusted computer": {"trusted-computer", "remove", "nowhere.example.test"},
		"not an IP address":   {"trusted-computer", "add", "x.example.test", "--address", "x"},
		"already belongs":     {"trusted-application", "add", "x", "--pool", "apps.example.test", "--port", "6001"},
		"required flag":       {"trusted-application", "add", "x", "--pool", "apps.example.test"},
		"there is no site":    {"trusted-computer", "add", "x.example.test", "--site", "nowhere"},
		"already a machine":   {"trusted-computer", "add", nodetest.FQDN},
	} {
		refused(t, text, append([]string{"config"}, append(args, "--data", n.Dir)...)...)
	}
	verb("trusted-application", "remove", "bot", "--pool", "apps.example.test")
	verb("trusted-computer", "remove", "app1.example.test")
	verb("trusted-computer", "remove", "app2.example.test")
	verb("trusted-computer", "remove", "recorder.example.test")
	if out := verb("trusted-computer", "list"); strings.Contains(out, "example.test") {
		t.Errorf("still trusted:\n%s", out)
	}
	if got := ask("recorder.example.test"); got != 0 {
		t.Errorf("a computer that is trusted no longer gets %d", got)
	}
}
