package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"parley/test/kdc"
	"parley/test/lyncprobe"
	"parley/test/parleytest"
	"parley/test/server"
)

// told waits until the server has signed a client out, and returns what its user sees.
func (c *lyncClient) told() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if c.Find("connection-error") == nil {
		if err := c.Do(ctx, "wait-event connection-error"); err != nil && c.Find("connection-error") == nil {
			c.t.Fatalf("%s is told nothing: %v", c.name, err)
		}
	}
	if _, err := c.Finish(ctx); err != nil {
		c.t.Error(err)
	}
	text, _ := c.Find("connection-error")["text"].(string)
	return text
}

// A user has eight endpoints; for the ninth the oldest makes room, and is told so.
func TestLyncNinthEndpoint(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice"))
	endpoint := func(i int) *lyncClient {
		return startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Host = fmt.Sprint("machine", i) })
	}
	first := endpoint(1)
	first.do("wait-online")
	var others []*lyncClient
	for i := 2; i <= 8; i++ {
		others = append(others, endpoint(i))
	}
	for _, c := range others {
		c.do("wait-online")
	}
	ninth := endpoint(9)
	ninth.do("wait-online")
	if text := first.told(); !strings.Contains(text, "already signed in at another location") {
		t.Errorf("the first shows %q\n%s", text, first.Log())
	}
	for _, c := range append(others, ninth) {
		if c.Find("connection-error") != nil {
			t.Errorf("another was signed out as well:\n%s", c.Log())
		}
		c.leaves(0)
	}
}

// A user who is disabled, or removed, while he is signed in is signed out and sees why.
func TestLyncDisabledWhileSignedIn(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	alice, bob := startLync(t, s, "alice"), startLync(t, s, "bob")
	alice.do("wait-online")
	bob.do("wait-online")
	for _, args := range [][]string{{"user", "disable", "alice@" + domain}, {"user", "remove", "bob@" + domain}} {
		if _, err := s.CLI(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*lyncClient{alice, bob} {
		if text := c.told(); !strings.Contains(text, "User disabled") {
			t.Errorf("%s sees %q", c.name, text)
		}
	}
}

// clock is the environment of a program whose clock is wrong.
func clock(t *testing.T, by string) []string {
	t.Helper()
	parleytest.Need(t, "faketime")
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if len(found) == 0 {
		t.Fatal("no libfaketime.so.1")
	}
	return []string{"LD_PRELOAD=" + found[0], "FAKETIME=" + by, "FAKETIME_DONT_FAKE_MONOTONIC=1"}
}

// A client whose clock is wrong is refused with an error that it shows, and does not hang.
func TestLyncClockSkew(t *testing.T) {
	needProbe(t)
	t.Run("NTLM", func(t *testing.T) {
		s := parleytest.Start(t, parleytest.Users("alice"))
		startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Env = clock(t, "+1h") }).refused("authentication-failed")
		// Within the limit nobody minds.
		c := startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Env = clock(t, "-10m") })
		c.do("wait-online")
		c.leaves(0)
	})
	t.Run("Kerberos", func(t *testing.T) {
		parleytest.Need(t, kdc.Tools...)
		wrong := clock(t, "+1h") // the KDC has the client's time, else the client would not get so far
		k, err := kdc.Start(t.Context(), t.TempDir(), strings.ToUpper(domain), wrong...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Stop)
		keytab, err := k.Keytab(t.Context(), "sip/server."+domain)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.AddUser(t.Context(), "alice", "kerberos-alice"); err != nil {
			t.Fatal(err)
		}
		s := parleytest.Start(t, parleytest.Users("alice"), parleytest.Config("auth", map[string]any{"keytab": keytab, "ntlm": false}))
		startLync(t, s, "alice", func(o *lyncprobe.Options) {
			o.Auth, o.Password = "krb", "kerberos-alice"
			o.Env = append(wrong, "KRB5_CONFIG="+k.Config, "KRB5CCNAME="+t.TempDir()+"/cc")
		}).refused("authentication-failed")
	})
	t.Run("certificate", func(t *testing.T) {
		for name, by := range map[string]string{"expired": "+400d", "not yet valid": "-400d"} {
			t.Run(name, func(t *testing.T) {
				s := parleytest.Start(t, parleytest.Users("alice"), webAt(server.OwnAddr()))
				// The web ticket is not taken already, so that there is no certificate at all.
				startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Auth, o.Env = "tls-dsk", clock(t, by) }).refused("authentication-failed")
			})
		}
	})
}
