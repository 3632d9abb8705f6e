// Package parleytest starts Parley for tests: a real process on a loopback address of its own, with a fresh
// data directory, ended with the test.
package parleytest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"parley/internal/store/storetest"
	"parley/test/phone"
	"parley/test/server"
)

// Password is every sample user's password.
const Password = "correct-horse-battery"

// Main runs the tests of a package that starts servers, and removes the binary afterwards, and whatever else
// cleanUp removes.
func Main(m *testing.M, cleanUp ...func()) {
	code := m.Run()
	server.CleanUp()
	for _, f := range cleanUp {
		f()
	}
	os.Exit(code)
}

// Option changes how a server is made.
type Option func(*testing.T, *server.Options)

// Users adds sample users by name, with Password.
func Users(names ...string) Option {
	return func(_ *testing.T, o *server.Options) {
		for _, n := range names {
			o.Users = append(o.Users, phone.Account{User: n, Password: Password, Domain: "example.test"})
		}
	}
}

// Accounts adds accounts.
func Accounts(as []phone.Account) Option {
	return func(_ *testing.T, o *server.Options) { o.Users = append(o.Users, as...) }
}

// Config merges a section into the node file.
func Config(section string, keys map[string]any) Option {
	return func(_ *testing.T, o *server.Options) {
		if o.Config == nil {
			o.Config = map[string]any{}
		}
		o.Config[section] = keys
	}
}

// Start starts a server and returns when it is ready and has its users.
func Start(t *testing.T, opts ...Option) *server.Server {
	t.Helper()
	o := server.Options{Dir: t.TempDir() + "/data"}
	for _, f := range opts {
		f(t, &o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s, err := server.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", tail(s.Log(), 20_000))
		}
	})
	return s
}

// Stores runs f once with SQLite and once with PostgreSQL.
func Stores(t *testing.T, f func(t *testing.T, store Option)) {
	t.Run("sqlite", func(t *testing.T) { f(t, func(*testing.T, *server.Options) {}) })
	t.Run("postgres", func(t *testing.T) {
		dsn := storetest.PostgresDSN(t)
		f(t, func(_ *testing.T, o *server.Options) { o.DSN = dsn })
	})
}

// Phone dials the server as user (with Password) over "udp", "tcp" or "tls", and hangs up with the test.
func Phone(t *testing.T, s *server.Server, user, transport string) *phone.Phone {
	t.Helper()
	p, err := Dial(t.Context(), s, phone.Account{User: user, Password: Password, Domain: s.Domain}, transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// Dial connects an account to the server.
func Dial(ctx context.Context, s *server.Server, a phone.Account, transport string) (*phone.Phone, error) {
	conf, err := s.TLS()
	if err != nil {
		return nil, err
	}
	return phone.Dial(ctx, a, transport, s.At(transport).String(), conf)
}

// Need skips the test when a tool is not installed, and fails it where PARLEY_CI is 1: there everything has
// to be installed.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			Without(t, tool+" is not installed")
		}
	}
}

// Without ends a test that lacks what it needs: it is skipped, and fails where PARLEY_CI is 1.
func Without(t testing.TB, why any) {
	t.Helper()
	if os.Getenv("PARLEY_CI") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// StartPool starts a pool of n servers with a PostgreSQL store and returns when all are ready.
func StartPool(t *testing.T, n int, opts ...Option) *server.Pool {
	t.Helper()
	o := server.Options{Dir: t.TempDir(), DSN: storetest.PostgresDSN(t)}
	for _, f := range opts {
		f(t, &o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	p, err := server.StartPool(ctx, o, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, m := range p.Members {
				t.Logf("log of %s:\n%s", m.Dir, tail(m.Log(), 10_000))
			}
		}
	})
	return p
}
