package directory_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"parley/internal/directory"
	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/store/storetest"
)

func open(t *testing.T, db *store.DB, keys *keyring.Keyring) *directory.Directory {
	t.Helper()
	d, err := directory.Open(t.Context(), db, nil, keys, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestDirectory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		keys := keyring.New()
		d := open(t, db, keys)
		ctx := t.Context()
		if err := d.AddDomain(ctx, "Example.test"); err != nil {
			t.Fatal(err)
		}
		var events []directory.Event
		defer d.Watch(func(e directory.Event) { events = append(events, e) })()

		alice, err := d.Add(ctx, directory.NewUser{AOR: "Alice@example.test", Name: "Alice", Password: "correct-horse",
			Phones: []string{"+1 (555) 0100", "tel:+15550100;ext=42"}, Aliases: []string{"a.example@example.test"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, number := range []string{"+15550100", "tel:+1-555-0100", "+15550100;ext=42"} {
			if u, ok := d.ByNumber(number); !ok || u != alice {
				t.Errorf("ByNumber(%q) = %v, %v", number, u, ok)
			}
		}
		if u, ok := d.Lookup("a.example@example.test"); !ok || u != alice {
			t.Error("the alias does not lead to alice")
		}
		for _, name := range []string{"alice", "alice@example.test"} {
			u, ha1, ok := d.Login([]byte(name), []byte("example.test"), directory.MD5)
			if !ok || u != alice || len(ha1) != 32 || fmt.Sprint(ha1) != "[redacted]" {
				t.Errorf("Login(%q) = %v, %v, %v", name, u, ha1, ok)
			}
		}
		for _, name := range []string{"bob", "a.example", "alice@other.test", "Alice"} {
			if _, _, ok := d.Login([]byte(name), []byte("example.test"), directory.SHA256); ok {
				t.Errorf("Login(%q) found a user", name)
			}
		}
		// RFC 7616 section 3.9.1 computes over names such as these; the value is MD5("alice:example.test:correct-horse").
		if _, ha1, _ := d.Login([]byte("alice"), []byte("example.test"), directory.MD5); string(ha1) != md5Of("alice:example.test:correct-horse") {
			t.Errorf("HA1 = %s", string(ha1))
		}
		if !d.CheckPassword(alice.AOR, "correct-horse") || d.CheckPassword(alice.AOR, "wrong") {
			t.Error("CheckPassword is wrong")
		}

		refusals(t, d)

		changed, err := d.Set(ctx, alice.AOR, directory.Change{Version: alice.Version, Phones: &[]string{"+15550111"}, Enabled: new(false)})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := d.ByNumber("+15550100"); ok {
			t.Error("the old number still leads to alice")
		}
		if _, err := d.Set(ctx, alice.AOR, directory.Change{Version: alice.Version, Name: new("late")}); !errors.Is(err, store.ErrStale) {
			t.Errorf("a change of an old version: %v", err)
		}
		if err := d.SetPassword(ctx, alice.AOR, "another-horse"); err != nil {
			t.Fatal(err)
		}

		// Everything is there after a restart, and only with the right keys.
		again := open(t, db, keys)
		u, ok := again.Lookup("alice@example.test")
		if !ok || u.Enabled || u.Version != changed.Version+1 || !again.CheckPassword(u.AOR, "another-horse") {
			t.Errorf("after opening again: %+v", u)
		}
		if got := u.Phones; len(got) != 1 || got[0] != "tel:+15550111" {
			t.Errorf("phones after opening again: %v", got)
		}
		if _, err := directory.Open(ctx, db, nil, keyring.New(), slog.New(slog.DiscardHandler)); !errors.Is(err, keyring.ErrKey) {
			t.Errorf("opened with foreign keys: %v", err)
		}

		if err := d.RemoveDomain(ctx, "example.test"); !errors.Is(err, store.ErrReferenced) {
			t.Errorf("removed a domain with users: %v", err)
		}
		if err := d.Remove(ctx, alice.AOR, 0); err != nil {
			t.Fatal(err)
		}
		if _, ok := d.Lookup("a.example@example.test"); ok || d.Len() != 0 {
			t.Error("alice is still there")
		}
		kinds := ""
		for _, e := range events {
			kinds += fmt.Sprint(e.Kind, " ")
		}
		if kinds != "1 2 4 3 " {
			t.Errorf("events: %s", kinds)
		}
	})
}

func refusals(t *testing.T, d *directory.Directory) {
	t.Helper()
	add := func(n directory.NewUser) error { _, err := d.Add(t.Context(), n); return err }
	for field, n := range map[string]directory.NewUser{
		"aor":      {AOR: "no address"},
		"phones":   {AOR: "bob@example.test", Phones: []string{"0100"}},
		"password": {AOR: "bob@example.test", Password: "bob"},
		"policy":   {AOR: "bob@example.test", Policy: &directory.Policy{MaxEndpoints: 65}},
		"name":     {AOR: "bob@example.test", Name: "Bob\x00"},
	} {
		var bad *directory.Invalid
		if err := add(n); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%+v: %v", n, err)
		}
	}
	var bad *directory.Invalid
	if err := add(directory.NewUser{AOR: "bob@elsewhere.test"}); !errors.As(err, &bad) {
		t.Errorf("a foreign domain: %v", err)
	}
	for _, n := range []directory.NewUser{
		{AOR: "alice@example.test"}, {AOR: "A.Example@example.test"}, {AOR: "bob@example.test", Phones: []string{"+15550100"}},
	} {
		if err := add(n); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	if err := d.AddAll(t.Context(), []directory.NewUser{{AOR: "carol@example.test"}, {AOR: "alice@example.test"}}); err == nil || d.Len() != 1 {
		t.Errorf("AddAll kept half: %v, %d users", err, d.Len())
	}
}

func TestPolicyKeepsWhatItDoesNotKnow(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		keys := keyring.New()
		d := open(t, db, keys)
		if err := d.AddDomain(t.Context(), "example.test"); err != nil {
			t.Fatal(err)
		}
		u, err := d.Add(t.Context(), directory.NewUser{AOR: "alice@example.test"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), "UPDATE directory_user SET policy = $1", `{"maxEndpoints":4,"later":true}`); err != nil {
			t.Fatal(err)
		}
		d = open(t, db, keys)
		if u, _ = d.Lookup(u.AOR); u.Policy.MaxEndpoints != 4 || !u.Policy.Voice {
			t.Errorf("policy: %+v", u.Policy)
		}
		if _, err := d.Set(t.Context(), u.AOR, directory.Change{Name: new("Alice")}); err != nil {
			t.Fatal(err)
		}
		text, err := store.One(t.Context(), db, store.Value[string], "SELECT policy FROM directory_user")
		if err != nil || !strings.Contains(text, `"later":true`) {
			t.Errorf("stored policy: %s, %v", text, err)
		}
	})
}

func TestReadingDoesNotAllocate(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/users.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d := open(t, db, keyring.New())
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Add(t.Context(), directory.NewUser{AOR: "alice@example.test", Password: "correct-horse", Phones: []string{"+15550100"}}); err != nil {
		t.Fatal(err)
	}
	aor, name, realm, domain := []byte("alice@example.test"), []byte("alice"), []byte("example.test"), []byte("EXAMPLE.test")
	for what, fn := range map[string]func() bool{
		"LookupBytes": func() bool { _, ok := d.LookupBytes(aor); return ok },
		"Login":       func() bool { _, _, ok := d.Login(name, realm, directory.MD5); return ok },
		"IsLocal":     func() bool { return d.IsLocal(domain) },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if !fn() {
				t.Errorf("%s found nothing", what)
			}
		}); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}
