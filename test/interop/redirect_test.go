package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/test/lyncprobe"
	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
)

// names is the environment of a program for which host names have these addresses, without DNS.
func names(t *testing.T, hosts map[string]string) []string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*/libnss_wrapper.so")
	if len(found) == 0 {
		parleytest.Without(t, "libnss-wrapper is not installed")
	}
	var b strings.Builder
	for name, addr := range hosts {
		fmt.Fprintf(&b, "%s %s\n", addr, name)
	}
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"LD_PRELOAD=" + found[0], "NSS_WRAPPER_HOSTS=" + file}
}

// A client that comes to a pool that does not serve its user goes to the one that does.
func TestLyncHomePool(t *testing.T) {
	needProbe(t)
	const pool2 = "pool2.example.test"
	here, home := parleytest.Start(t, parleytest.Users("alice")), parleytest.Start(t, parleytest.Users("alice"))
	file := filepath.Join(t.TempDir(), "topology.toml")
	text, err := os.ReadFile(filepath.Join(here.Dir, "topology.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "\n[[pool]]\nfqdn = %q\nkind = \"standard\"\nsite = \"main\"\n[[pool.server]]\nfqdn = %[1]q\naddresses = [%q]\n", pool2, home.Addr)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"topology", "apply", file}, {"user", "set", "alice@" + domain, "--policy", "homePool=" + pool2}} {
		if _, err := here.CLI(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
	alice := startLync(t, here, "alice", func(o *lyncprobe.Options) { o.Env = names(t, map[string]string{pool2: home.Addr.String()}) })
	alice.do("wait-online")
	for s, want := range map[*server.Server]bool{here: false, home: true} {
		out, err := s.CLI(t.Context(), "", "registrations")
		if err != nil || strings.Contains(out, "alice@") != want {
			t.Errorf("signed in is %v, want %v, %v\n%s", !want, want, err, out)
		}
	}
	alice.leaves(0)
}

// A member that drains sends its clients to another, takes nothing new, and lets calls finish.
func TestPoolDrain(t *testing.T) {
	needProbe(t)
	p := parleytest.StartPool(t, 3, parleytest.Users("alice", "bob", "carol"), parleytest.Config("drain", map[string]any{"deadline": "5m"}))
	going := p.Members[0]
	alice := startLync(t, going, "alice")
	alice.do("wait-online")
	bob, carol := parleytest.Phone(t, going, "bob", "tls"), parleytest.Phone(t, p.Members[1], "carol", "tls")
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	for _, one := range []*phone.Phone{bob, carol} {
		if err := one.Register(ctx, 600); err != nil {
			t.Fatal(err)
		}
	}
	known(t, p, 0, "carol on fe2")
	call := func() *phone.Message {
		return bob.Request("INVITE", "sip:carol@"+domain, "sip:carol@"+domain, phone.Header{Name: "Contact", Value: "<" + bob.Contact() + ">"})
	}
	answered := make(chan *phone.Message, 1)
	go func() {
		m, err := bob.Do(ctx, call())
		if err != nil {
			t.Error(err)
		}
		answered <- m
	}()
	ringing, err := carol.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if asserted := ringing.Get("P-Asserted-Identity"); !strings.Contains(asserted, "sip:bob@"+domain) {
		t.Errorf("carol's server is told that it is %q who calls", asserted)
	}
	if err := carol.Send(ringing.Reply(200, "OK", "c", phone.Header{Name: "Contact", Value: "<" + carol.Contact() + ">"})); err != nil {
		t.Fatal(err)
	}
	if m := <-answered; m == nil || m.Code() != 200 {
		t.Fatalf("the call: %v", m)
	}

	var stopping sync.WaitGroup
	stopping.Go(func() {
		if err := going.Stop(); err != nil {
			t.Error(err)
		}
	})
	if text := alice.told(); text == "" {
		t.Errorf("the client is told nothing\n%s", alice.Log())
	}
	m, err := bob.Do(ctx, bob.Request("REGISTER", "sip:"+domain, "sip:bob@"+domain, phone.Header{Name: "Contact", Value: "<" + bob.Contact() + ">"}))
	if err != nil || m.Code() != 301 || !regexp.MustCompile(`^<sip:fe[23]\.example\.test:5061;transport=tls>$`).MatchString(m.Get("Contact")) {
		t.Errorf("bob is sent to %v, %v", m, err)
	}
	if m, err = bob.Do(ctx, call()); err != nil || m.Code() != 503 {
		t.Errorf("a new call: %v, %v", m, err)
	}
	bob.Close()
	bye := carol.Request("BYE", strings.Trim(ringing.Get("Contact"), "<>"), "")
	for i, h := range bye.Headers {
		switch h.Name {
		case "From":
			bye.Headers[i].Value = ringing.Get("To") + ";tag=c"
		case "To":
			bye.Headers[i].Value = ringing.Get("From")
		case "Call-ID":
			bye.Headers[i].Value = ringing.Get("Call-ID")
		}
	}
	for _, rr := range ringing.All("Record-Route") {
		bye.Headers = append(bye.Headers, phone.Header{Name: "Route", Value: rr})
	}
	// Bob's connection has gone: whatever the answer, the call is over.
	if m, err := carol.Do(ctx, bye); err != nil {
		t.Errorf("the end of the call: %v, %v", m, err)
	}
	over := make(chan struct{})
	go func() { stopping.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(2 * patience):
		t.Error("the member does not stop when its call is over")
	}
}
