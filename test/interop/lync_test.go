package interop

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/test/kdc"
	"parley/test/lyncprobe"
	"parley/test/parleytest"
	"parley/test/server"
)

// lyncClient is a Lync-protocol client in a test: every step that fails ends the test with its log.
type lyncClient struct {
	*lyncprobe.Probe
	t    *testing.T
	name string
}

func needProbe(t *testing.T) {
	t.Helper()
	if err := lyncprobe.Available(); err != nil {
		parleytest.Without(t, err)
	}
}

// startLync starts a client of name.
func startLync(t *testing.T, s *server.Server, name string, change ...func(*lyncprobe.Options)) *lyncClient {
	t.Helper()
	o := lyncprobe.Options{User: name + "@" + domain, Password: parleytest.Password, Server: s.At("tls").String(), Host: name}
	for _, f := range change {
		f(&o)
	}
	p, err := lyncprobe.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &lyncClient{Probe: p, t: t, name: name}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.Log())
		}
	})
	return c
}

func (c *lyncClient) do(command string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.Do(ctx, command); err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
}

// refused waits for the end of an attempt to sign in and returns the text that the user sees.
func (c *lyncClient) refused(reason string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.Do(ctx, "wait-online"); err == nil {
		c.t.Fatalf("%s is in", c.name)
	}
	c.leaves(3)
	e := c.Find("connection-error", "reason", reason)
	if e == nil {
		c.t.Errorf("%s does not know why:\n%s", c.name, c.Log())
	}
	text, _ := e["text"].(string)
	return text
}

// leaves signs out and checks the exit status.
func (c *lyncClient) leaves(want int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if got, err := c.Finish(ctx); err != nil || got != want {
		c.t.Errorf("%s ended with %d, %v; want %d", c.name, got, err, want)
	}
}

func TestLyncSignIn(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	t.Run("NTLM", func(t *testing.T) {
		c := startLync(t, s, "alice", trusting(t, s))
		c.do("wait-online")
		c.leaves(0)
	})
	t.Run("wrong password", func(t *testing.T) {
		startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Password = "not-the-password" }).refused("authentication-failed")
	})
	t.Run("disabled user", func(t *testing.T) {
		if _, err := s.CLI(t.Context(), "", "user", "disable", "bob@"+domain); err != nil {
			t.Fatal(err)
		}
		if text := startLync(t, s, "bob").refused("invalid-settings"); !strings.Contains(text, "disabled") {
			t.Errorf("the client shows %q", text)
		}
	})
}

// trusting has the client check the server's certificate and name.
func trusting(t *testing.T, s *server.Server) func(*lyncprobe.Options) {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(o *lyncprobe.Options) { o.CADir = dir }
}

func TestLyncMessages(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	alice, bob := startLync(t, s, "alice"), startLync(t, s, "bob")
	alice.do("wait-online")
	bob.do("wait-online")
	alice.do("im bob lunch at noon?")
	bob.do("wait-im alice lunch at noon?")
	bob.do("im alice one is better")
	alice.do("wait-im bob one is better")
	alice.leaves(0)
	bob.leaves(0)
}

func TestLyncKerberos(t *testing.T) {
	needProbe(t)
	parleytest.Need(t, kdc.Tools...)
	k, err := kdc.Start(t.Context(), t.TempDir(), strings.ToUpper(domain))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	keytab, err := k.Keytab(t.Context(), "sip/server."+domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob", "mallory"} {
		if err := k.AddUser(t.Context(), name, "kerberos-"+name); err != nil {
			t.Fatal(err)
		}
	}
	s := parleytest.Start(t, parleytest.Users("alice", "bob"), parleytest.Config("auth", map[string]any{"keytab": keytab, "ntlm": false}))
	kerberos := func(o *lyncprobe.Options) {
		name, _, _ := strings.Cut(o.User, "@")
		o.Auth, o.Password, o.Env = "krb", "kerberos-"+name, []string{"KRB5_CONFIG=" + k.Config, "KRB5CCNAME=" + t.TempDir() + "/cc"}
	}
	alice, bob := startLync(t, s, "alice", kerberos), startLync(t, s, "bob", kerberos)
	alice.do("wait-online")
	bob.do("wait-online")
	alice.do("im bob lunch at noon?")
	bob.do("wait-im alice lunch at noon?")
	bob.do("im alice one is better")
	alice.do("wait-im bob one is better")
	alice.leaves(0)
	bob.leaves(0)
	t.Run("NTLM is not offered", func(t *testing.T) { startLync(t, s, "alice").refused("authentication-impossible") })
}

// webAt lets a server name its web site by its address, since no test has names in DNS.
func webAt(addr netip.Addr) parleytest.Option {
	return func(t *testing.T, o *server.Options) {
		o.Addr = addr
		parleytest.Config("web", map[string]any{"internal-url": "https://" + addr.String()})(t, o)
	}
}

func TestLyncCertificate(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob"), webAt(server.OwnAddr()))
	certificate := func(o *lyncprobe.Options) { o.Auth = "tls-dsk" }
	alice := startLync(t, s, "alice", certificate)
	alice.do("wait-online")
	t.Run("messages", func(t *testing.T) {
		bob := startLync(t, s, "bob")
		bob.do("wait-online")
		alice.do("im bob lunch at noon?")
		bob.do("wait-im alice lunch at noon?")
		bob.do("im alice one is better")
		alice.do("wait-im bob one is better")
		bob.leaves(0)
	})
	alice.leaves(0)
	t.Run("wrong password", func(t *testing.T) {
		startLync(t, s, "alice", certificate, func(o *lyncprobe.Options) { o.Password = "not-the-password" }).refused("authentication-failed")
	})
	t.Run("whatever is best", func(t *testing.T) {
		c := startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Auth = "auto" })
		c.do("wait-online")
		c.leaves(0)
	})
}
