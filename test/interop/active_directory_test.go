package interop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"parley/test/lyncprobe"
	"parley/test/parleytest"
	"parley/test/samba"
	"parley/test/server"
)

// activeDirectory is a domain controller with an account to read with, and a server that takes its users from there
// every second.
type activeDirectory struct {
	*samba.Controller
	t *testing.T
	s *server.Server
}

const adPassword = "Active-directory-1" // of everybody there

func startActiveDirectory(t *testing.T) *activeDirectory {
	t.Helper()
	parleytest.Need(t, samba.Tools...)
	if err := samba.Available(); err != nil {
		parleytest.Without(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c, err := samba.Start(ctx, t.TempDir(), domain, server.OwnAddr())
	if err != nil {
		t.Fatal(err)
	}
	a := &activeDirectory{Controller: c, t: t}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Logf("log of samba:\n%s", c.Log())
		}
	})

	a.account("svc-sip", nil)
	a.account("svc-parley", nil)
	keytab, err := c.Keytab(ctx, "svc-sip", "sip/server."+domain)
	if err != nil {
		t.Fatal(err)
	}
	a.s = parleytest.Start(t, webAt(server.OwnAddr()), parleytest.Users("bob"),
		parleytest.Config("auth", map[string]any{"keytab": keytab, "ntlm": false}), parleytest.Config("replicator", a.settings()))
	return a
}

func (a *activeDirectory) settings() map[string]any {
	return map[string]any{"domain": domain, "servers": []string{a.Addr.String()}, "ca": a.CAFile,
		"user": "svc-parley@" + domain, "password": adPassword, "interval": "1s"}
}

func (a *activeDirectory) account(name string, attributes map[string]string) {
	a.t.Helper()
	if err := a.Add(name, adPassword, attributes); err != nil {
		a.t.Fatal(err)
	}
}

// person makes somebody in the directory.
func (a *activeDirectory) person(name string) {
	a.account(name, map[string]string{"mail": name + "@" + domain})
}

// adUser is what parley user show tells.
type adUser struct {
	Name    string
	Enabled bool
	Phones  []string
	Profile map[string]string
}

// becomes waits until a user is what want says.
func (a *activeDirectory) becomes(name string, want func(*adUser) bool) *adUser {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	for {
		var u adUser
		out, err := a.s.CLI(ctx, "", "user", "show", name+"@"+domain, "--json")
		if err == nil {
			if err := json.Unmarshal([]byte(out), &u); err != nil {
				a.t.Fatal(err)
			}
			if want(&u) {
				return &u
			}
		}
		select {
		case <-ctx.Done():
			status, err := a.s.CLI(context.Background(), "", "replicate", "status")
			a.t.Fatalf("%s is %+v; %s %v", name, u, status, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func enabled(u *adUser) bool  { return u.Enabled }
func disabled(u *adUser) bool { return !u.Enabled }

func (a *activeDirectory) kerberos(o *lyncprobe.Options) {
	o.Auth, o.Password = "krb", adPassword
	o.Env = []string{"KRB5_CONFIG=" + a.Config, "KRB5CCNAME=" + a.t.TempDir() + "/cc"}
}

func (a *activeDirectory) certificate(o *lyncprobe.Options) {
	o.Auth, o.Password = "tls-dsk", adPassword
}

// stays out: whatever the client is told, it does not get in.
func (c *lyncClient) staysOut() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.Do(ctx, "wait-online"); err == nil {
		c.t.Fatalf("%s is in", c.name)
	}
	c.leaves(3)
	if c.Find("connection-error") == nil {
		c.t.Errorf("%s does not know why:\n%s", c.name, c.Log())
	}
}

func TestActiveDirectory(t *testing.T) {
	needProbe(t)
	a := startActiveDirectory(t)
	t.Run("sign in", a.signIn)
	t.Run("trouble", a.trouble)
}

// A user who is made in Active Directory signs in, with Kerberos and with a certificate got by the password there, and
// when disabled there is signed out and cannot come back.
func (a *activeDirectory) signIn(t *testing.T) {
	a.account("alice", map[string]string{"mail": "alice@" + domain, "displayName": "Alice Example", "telephoneNumber": "+1 555 0100", "title": "Clerk"})
	u := a.becomes("alice", enabled)
	if u.Name != "Alice Example" || len(u.Phones) != 1 || u.Phones[0] != "tel:+15550100" || u.Profile["title"] != "Clerk" {
		t.Errorf("%+v", u)
	}

	alice := startLync(t, a.s, "alice", a.kerberos)
	alice.do("wait-online")
	bob := startLync(t, a.s, "bob", func(o *lyncprobe.Options) { o.Auth = "tls-dsk" }) // made here
	bob.do("wait-online")
	alice.do("im bob lunch at noon?")
	bob.do("wait-im alice lunch at noon?")

	second := startLync(t, a.s, "alice", a.certificate, func(o *lyncprobe.Options) { o.Host = "second" })
	second.do("wait-online")
	t.Run("wrong password", func(t *testing.T) {
		startLync(t, a.s, "alice", a.certificate, func(o *lyncprobe.Options) { o.Host, o.Password = "third", "not-the-password" }).refused("authentication-failed")
	})
	t.Run("not changed here", func(t *testing.T) {
		for _, args := range [][]string{{"user", "set", "alice@" + domain, "--name", "Another"}, {"user", "disable", "alice@" + domain}, {"user", "remove", "alice@" + domain}} {
			if out, err := a.s.CLI(t.Context(), "", args...); err == nil || !strings.Contains(err.Error(), "active-directory") {
				t.Errorf("%s: %s %v", args[1], out, err)
			}
		}
	})

	if err := a.Disable("alice"); err != nil {
		t.Fatal(err)
	}
	alice.do("wait-offline")
	second.do("wait-offline")
	a.becomes("alice", disabled)
	startLync(t, a.s, "alice", a.kerberos).staysOut()
	startLync(t, a.s, "alice", a.certificate, func(o *lyncprobe.Options) { o.Host = "fourth" }).staysOut()
	bob.do("status available")

	if err := a.Enable("alice"); err != nil {
		t.Fatal(err)
	}
	a.becomes("alice", enabled)
	again := startLync(t, a.s, "alice", a.kerberos, func(o *lyncprobe.Options) { o.Host = "again" })
	again.do("wait-online")
	again.leaves(0)
	bob.leaves(0)
}

// report is what parley replicate prints as JSON; it is spelled out here as scripts do.
type report struct {
	Kind      string `json:"kind"`
	Read      int    `json:"read"`
	Disabled  int    `json:"disabled"`
	Withheld  int    `json:"withheld"`
	Users     int    `json:"users"`
	Error     string `json:"error"`
	NoteCount int    `json:"note_count"`
}

func (a *activeDirectory) now(flags ...string) (r report, err error) {
	a.t.Helper()
	out, err := a.s.CLI(a.t.Context(), "", append([]string{"replicate", "now", "--json"}, flags...)...)
	if e := json.Unmarshal([]byte(out), &r); e != nil {
		a.t.Fatal(e, err)
	}
	return r, err
}

// A controller that is away changes nothing, people who vanish by the dozen are kept, and changes are told as they come.
func (a *activeDirectory) trouble(t *testing.T) {
	names := []string{"alice", "carol", "dave", "erin", "frank"}
	for _, name := range names[1:] {
		a.person(name)
	}
	for _, name := range names {
		a.becomes(name, enabled)
	}
	if r, err := a.now(); err != nil || r.Kind != "full" || r.Users != len(names) {
		t.Errorf("%+v %v", r, err)
	}

	t.Run("changed", func(t *testing.T) {
		photo, err := base64.StdEncoding.DecodeString(tinyPNG)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Set("carol", map[string]string{"displayName": "Carol Example", "mobile": "555 0102", "thumbnailPhoto": string(photo)}); err != nil {
			t.Fatal(err)
		}
		a.becomes("carol", func(u *adUser) bool { return u.Name == "Carol Example" && u.Profile["mobile"] == "555 0102" })
	})
	t.Run("away", func(t *testing.T) {
		a.Stop()
		if r, err := a.now(); err == nil || r.Error == "" || r.Users != len(names) {
			t.Errorf("%+v %v", r, err)
		}
		if out, err := a.s.CLI(t.Context(), "", "status"); err != nil || !strings.Contains(out, "replicator") {
			t.Error(out, err)
		}
		if err := a.Serve(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := a.now(); err != nil || r.Users != len(names) {
			t.Errorf("%+v %v", r, err)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		if err := a.Delete("dave"); err != nil {
			t.Fatal(err)
		}
		if r, err := a.now(); err != nil || r.Users != len(names)-1 {
			t.Errorf("%+v %v", r, err)
		}
		a.becomes("dave", disabled)
	})
	t.Run("too many at once", func(t *testing.T) {
		change := a.settings()
		change["filter"] = "(&(objectCategory=person)(objectClass=user)(title=Nobody))"
		a.restart(change)
		if r, err := a.now(); err == nil || r.Withheld != len(names)-1 || r.Users != len(names)-1 {
			t.Errorf("%+v %v", r, err)
		}
		if !strings.Contains(a.s.Log(), "REPLICATION WITHHELD") {
			t.Error("the log does not say so")
		}
		if r, err := a.now("--allow-removals"); err != nil || r.Disabled != len(names)-1 || r.Users != 0 {
			t.Errorf("%+v %v", r, err)
		}
	})
	t.Run("StartTLS and a keytab", func(t *testing.T) {
		keytab, err := a.Keytab(t.Context(), "svc-parley", "")
		if err != nil {
			t.Fatal(err)
		}
		change := a.settings()
		change["password"], change["keytab"], change["encryption"], change["filter"] = "", keytab, "starttls", "(&(objectCategory=person)(objectClass=user))"
		a.restart(change)
		if r, err := a.now(); err != nil || r.Users != len(names)-1 {
			t.Errorf("%+v %v", r, err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		change := a.settings()
		change["password"], change["keytab"], change["encryption"] = "wrong-password-1", "", "ldaps"
		a.restart(change)
		if r, err := a.now(); err == nil || r.Error == "" || r.Users != len(names)-1 {
			t.Errorf("%+v %v", r, err)
		}
		for _, secret := range []string{"wrong-password-1", adPassword} {
			if strings.Contains(a.s.Log(), secret) {
				t.Errorf("the log tells %q", secret)
			}
		}
	})
}

// restart changes the section replicator.
func (a *activeDirectory) restart(section map[string]any) {
	a.t.Helper()
	if err := a.s.Stop(); err != nil {
		a.t.Fatal(err)
	}
	if err := a.s.Configure(map[string]any{"replicator": section}); err != nil {
		a.t.Fatal(err)
	}
	if err := a.s.Serve(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// tinyPNG is a picture of one pixel.
const tinyPNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
