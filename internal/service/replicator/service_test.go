package replicator

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSettings(t *testing.T) {
	good := func() *Settings {
		s := DefaultSettings()
		s.Domain, s.User, s.Password = "corp.example.test", "svc@corp.example.test", config.NewSecret("secret")
		return s
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := DefaultSettings().Validate(); err != nil || DefaultSettings().on() {
		t.Fatal("the default replicates something", err)
	}
	for key, spoil := range map[string]func(*Settings){
		"domain":       func(s *Settings) { s.Domain = "DC=corp,DC=test" },
		"servers":      func(s *Settings) { s.Servers = []string{"dc1.example.test:0"} },
		"encryption":   func(s *Settings) { s.Encryption = "none" },
		"user":         func(s *Settings) { s.User = "" },
		"password":     func(s *Settings) { s.Keytab = "svc.keytab" },
		"base":         func(s *Settings) { s.Base = "Staff" },
		"filter":       func(s *Settings) { s.Filter = "objectClass=user)" },
		"address":      func(s *Settings) { s.Address = []string{"telephoneNumber"} },
		"interval":     func(s *Settings) { s.Interval = 0 },
		"full":         func(s *Settings) { s.Full = config.Duration(time.Second) },
		"max-removals": func(s *Settings) { s.MaxRemovals = 101 },
	} {
		s := good()
		spoil(s)
		var bad *config.FieldError
		if err := s.Validate(); !errors.As(err, &bad) || bad.Key != key {
			t.Errorf("%s: %v", key, err)
		}
	}
	for server, want := range map[string]string{
		"dc1": "dc1 636", "dc1:1636": "dc1 1636", "192.0.2.1": "192.0.2.1 636", "[2001:db8::1]:636": "2001:db8::1 636", "2001:db8::1": "2001:db8::1 636",
	} {
		if host, port := good().hostPort(server); host+" "+port != want {
			t.Errorf("%s: %s %s", server, host, port)
		}
	}
}

// Three wrong passwords of one user are asked for, then none for a while, and others are not bothered.
func TestGuard(t *testing.T) {
	var g guard
	now := time.Unix(1000, 0)
	try := func(id string, right bool, cause error) error {
		done, err := g.admit(id, now)
		if err == nil {
			done(right, cause)
		}
		return err
	}
	for range 10 {
		if err := try("alice", false, errors.New("no controller")); err != nil {
			t.Fatal(err)
		}
	}
	for range maxGuesses - 1 {
		try("alice", false, nil)
	}
	try("alice", true, nil) // and begins anew
	for i := range maxGuesses {
		if err := try("alice", false, nil); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := try("alice", true, nil); err != ErrBusy {
		t.Errorf("after too many: %v", err)
	}
	if err := try("bob", true, nil); err != nil {
		t.Error(err)
	}
	now = now.Add(forget + time.Second)
	if err := try("alice", true, nil); err != nil {
		t.Error(err)
	}
	if len(g.users) != 0 || g.busy != 0 {
		t.Errorf("%d users, %d busy", len(g.users), g.busy)
	}
	t.Run("all at once", func(t *testing.T) {
		var dones []func(bool, error)
		for i := range maxBusy {
			done, err := g.admit(string(rune('a'+i)), now)
			if err != nil {
				t.Fatal(err)
			}
			dones = append(dones, done)
		}
		if _, err := g.admit("zoe", now); err != ErrBusy {
			t.Error(err)
		}
		for _, done := range dones {
			done(true, nil)
		}
	})
}
