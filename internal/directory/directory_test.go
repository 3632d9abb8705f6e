package directory

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/bus"
	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, db *store.DB, b *bus.Bus, keys *keyring.Keyring) *Directory {
	t.Helper()
	d, err := Open(t.Context(), db, b, keys, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// fresh is a directory with the domain example.test and no users.
func fresh(t testing.TB, db *store.DB) *Directory {
	t.Helper()
	d := open(t, db, nil, keyring.New())
	if err := d.AddDomain(t.Context(), "Example.test."); err != nil {
		t.Fatal(err)
	}
	return d
}

func add(t testing.TB, d *Directory, n NewUser) *User {
	t.Helper()
	u, err := d.Add(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var alice = NewUser{AOR: "Alice@example.test", Name: " Alice ", Password: "correct-horse",
	Phones: []string{"+1 (555) 0100", "tel:+15550100;ext=42"}, Aliases: []string{"sip:a.example@Example.test"}}

func TestUserIsFoundByEveryName(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		u := add(t, d, alice)
		if u.AOR != "alice@example.test" || u.Name != "Alice" || !u.Enabled || !u.HasPassword || u.Version != 1 ||
			fmt.Sprint(u.Phones, u.Aliases) != "[tel:+15550100 tel:+15550100;ext=42] [a.example@example.test]" ||
			u.Policy != DefaultPolicy() || time.Since(u.Created) > time.Minute {
			t.Errorf("%+v", u)
		}
		again := open(t, db, nil, d.keys)
		for _, d := range []*Directory{d, again} {
			for _, number := range []string{"+15550100", "tel:+15550100", "TEL:+1-555-0100", "+15550100;ext=42", "tel:+1 555 0100;ext=42"} {
				if found, ok := d.ByNumber(number); !ok || found.ID != u.ID {
					t.Errorf("ByNumber(%q): %v", number, found)
				}
			}
			for _, aor := range []uc.AOR{"alice@example.test", "a.example@example.test"} {
				if found, ok := d.Lookup(aor); !ok || found.ID != u.ID {
					t.Errorf("Lookup(%s): %v", aor, found)
				}
				if found, ok := d.LookupBytes([]byte(aor)); !ok || found.ID != u.ID {
					t.Errorf("LookupBytes(%s): %v", aor, found)
				}
			}
			if found, ok := d.ByID(u.ID); !ok || fmt.Sprintf("%+v", found) != fmt.Sprintf("%+v", u) {
				t.Errorf("ByID: %+v, want %+v", found, u)
			}
			for _, number := range []string{"", "+1555010", "15550100", "+15550100;ext=4", "alice", "+1555010x"} {
				if _, ok := d.ByNumber(number); ok {
					t.Errorf("ByNumber(%q) found somebody", number)
				}
			}
			if _, ok := d.Lookup("bob@example.test"); ok {
				t.Error("Lookup found nobody")
			}
		}
	})
}

func TestLoginHasAVerifierForEachFormOfTheName(t *testing.T) {
	d := fresh(t, storetest.SQLite(t))
	u := add(t, d, alice)
	add(t, d, NewUser{AOR: "bob@example.test"})
	for _, name := range []string{"alice", "alice@example.test"} {
		text := []byte(name + ":example.test:correct-horse")
		m, s := md5.Sum(text), sha256.Sum256(text)
		for alg, want := range map[Algorithm][]byte{MD5: m[:], SHA256: s[:]} {
			found, ha1, ok := d.Login([]byte(name), []byte("example.test"), alg)
			if !ok || found != u || !ha1.Equal(want) {
				t.Errorf("Login(%s, %s): %v, %v, %x", name, alg, ok, found, []byte(ha1))
			}
		}
	}
	for _, row := range [][2]string{{"bob", "example.test"}, {"a.example", "example.test"}, {"a.example@example.test", "example.test"},
		{"alice", "other.test"}, {"alice@example.test", "other.test"}, {"Alice", "example.test"}, {"", "example.test"}, {"alice", ""},
		{"carol", "example.test"}, {strings.Repeat("x", 600), "example.test"}, {"x", strings.Repeat("x", 600)}} {
		if found, ha1, ok := d.Login([]byte(row[0]), []byte(row[1]), MD5); ok || found != nil || ha1 != nil {
			t.Errorf("Login(%.20q, %.20q) found %v", row[0], row[1], found)
		}
	}
	if _, _, ok := d.Login([]byte("alice"), []byte("example.test"), 99); ok {
		t.Error("an unknown algorithm has a verifier")
	}
	if !d.CheckPassword(u.AOR, "correct-horse") || d.CheckPassword(u.AOR, "correct-hors") || d.CheckPassword("bob@example.test", "") ||
		d.CheckPassword("nobody@example.test", "") {
		t.Error("CheckPassword is wrong")
	}
	if _, err := d.Disable(t.Context(), u.AOR); err != nil {
		t.Fatal(err)
	}
	if found, _, ok := d.Login([]byte("alice"), []byte("example.test"), MD5); !ok || found.Enabled {
		t.Error("a disabled user is not found as disabled")
	}
}

// [MS-NLMP] section 4.2.2.1.2.
func TestNTHashOfTheSpecification(t *testing.T) {
	if got := hex.EncodeToString(ntHash("Password")); got != "a4f49c406510bdcab6824ee7c30fd852" {
		t.Error(got)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	s := Secret("hunter2!")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	js, _ := json.Marshal(map[string]any{"secret": s})
	all := fmt.Sprintf("%v %s %q %x %d %+v %#v", s, s, s, s, s, struct{ S Secret }{s}, []Secret{s}) + log.String() + string(js)
	for _, bad := range []string{"hunter", "68756e", "104", "aHVud"} {
		if strings.Contains(all, bad) {
			t.Errorf("%s in %s", bad, all)
		}
	}
}

func TestWrongInputIsRefusedWithASentence(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		u := add(t, d, alice)
		bob := func(n NewUser) NewUser {
			if n.AOR == "" {
				n.AOR = "bob@example.test"
			}
			return n
		}
		endless := make([]string, 20)
		for i := range endless {
			endless[i] = fmt.Sprintf("+1555020%02d", i)
		}
		for _, row := range []struct {
			field, want string
			n           NewUser
		}{
			{"aor", "of the form alice@example.test", NewUser{AOR: "no address"}},
			{"aor", "of the form", NewUser{AOR: "tel:+15550100"}},
			{"aor", "elsewhere.test is not a SIP domain of this server; it has example.test", NewUser{AOR: "bob@elsewhere.test"}},
			{"aliases", "listed twice", bob(NewUser{Aliases: []string{"bob@example.test"}})},
			{"aor", "not a SIP domain", bob(NewUser{Aliases: []string{"bob@elsewhere.test"}})},
			{"phones", "not an international number", bob(NewUser{Phones: []string{"0100"}})},
			{"phones", "not an international number", bob(NewUser{Phones: []string{"+15550100;ext=x"}})},
			{"phones", "listed twice", bob(NewUser{Phones: []string{"+15550101", "tel:+1-555-0101"}})},
			{"phones", "at most", bob(NewUser{Phones: endless})},
			{"password", "at least 8", bob(NewUser{Password: "short"})},
			{"password", "own name", bob(NewUser{Password: "Bob@Example.test"})},
			{"password", "tried first", bob(NewUser{Password: "Password123"})},
			{"password", "one character", bob(NewUser{Password: "aaaaaaaaa"})},
			{"password", "cannot be typed", bob(NewUser{Password: "line\nbreak-"})},
			{"name", "cannot be shown", bob(NewUser{Name: "Bob\x00"})},
			{"name", "at most 256", bob(NewUser{Name: strings.Repeat("x", 257)})},
			{"policy", "maxEndpoints is 65, want a number from 1 to 64", bob(NewUser{Policy: &Policy{MaxEndpoints: 65}})},
			{"policy", `homePool is "Pool 2", want the name of a pool`, bob(NewUser{Policy: &Policy{MaxEndpoints: 8, HomePool: "Pool 2"}})},
		} {
			var bad *Invalid
			if _, err := d.Add(t.Context(), row.n); !errors.As(err, &bad) || bad.Field != row.field || !strings.Contains(bad.Error(), row.want) {
				t.Errorf("%.80v: %v, want %s: %s", row.n, err, row.field, row.want)
			}
		}
		for want, n := range map[string]NewUser{
			"there is a user alice@example.test already":           {AOR: "alice@example.test"},
			"a.example@example.test belongs to alice@example.test": {AOR: "A.Example@example.test"},
			"+15550100 belongs to alice@example.test":              bob(NewUser{Phones: []string{"tel:+1-555-0100"}}),
		} {
			var taken *Taken
			if _, err := d.Add(t.Context(), n); !errors.Is(err, store.ErrConflict) || !errors.As(err, &taken) || taken.Error() != want {
				t.Errorf("%v: %v, want %s", n, err, want)
			}
		}
		err := d.AddAll(t.Context(), []NewUser{{AOR: "carol@example.test"}, {AOR: "dave@example.test"}, {AOR: "carol@example.test"}})
		if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "user 3, carol@example.test") || d.Len() != 1 {
			t.Errorf("AddAll kept half: %v, %d users", err, d.Len())
		}
		var bad *Invalid
		if err := d.SetPassword(t.Context(), u.AOR, ""); !errors.As(err, &bad) {
			t.Errorf("an empty password: %v", err)
		}
		if err := d.AddDomain(t.Context(), "not_a-domain"); !errors.As(err, &bad) {
			t.Errorf("a bad domain: %v", err)
		}
		if err := d.RemoveDomain(t.Context(), "example.test"); !errors.Is(err, store.ErrReferenced) {
			t.Errorf("removed a domain with users: %v", err)
		}
		if err := d.RemoveDomain(t.Context(), "other.test"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed no domain: %v", err)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func TestChangesAreVersionedToldAndKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		ctx := t.Context()
		var told []string
		stop := d.Watch(func(e Event) {
			old := int64(0)
			if e.Old != nil {
				old = e.Old.Version
			}
			told = append(told, fmt.Sprint(e.Kind, " ", e.User.AOR.User(), " ", old, ">", e.User.Version))
		})
		u := add(t, d, alice)
		changed, err := d.Set(ctx, "a.example@example.test", Change{Version: 1, Name: ptr("Alice B."), Phones: &[]string{"+15550111"},
			Aliases: &[]string{}, Enabled: ptr(false), Policy: ptr(func(p Policy) Policy { p.MaxEndpoints = 3; return p }(u.Policy))})
		if err != nil {
			t.Fatal(err)
		}
		if changed.Version != 2 || changed.Name != "Alice B." || changed.Enabled || changed.Policy.MaxEndpoints != 3 || len(changed.Aliases) != 0 ||
			!slices.Equal(changed.Phones, []string{"tel:+15550111"}) || !changed.HasPassword {
			t.Errorf("%+v", changed)
		}
		if u.Name != "Alice" || len(u.Aliases) != 1 {
			t.Error("the old value changed")
		}
		for what, found := range map[string]func() bool{
			"old number": func() bool { _, ok := d.ByNumber("+15550100"); return ok },
			"old alias":  func() bool { _, ok := d.Lookup("a.example@example.test"); return ok },
		} {
			if found() {
				t.Errorf("the %s still leads to alice", what)
			}
		}
		if _, err := d.Set(ctx, u.AOR, Change{Version: 1, Name: ptr("late")}); !errors.Is(err, store.ErrStale) {
			t.Errorf("a change of an old version: %v", err)
		}
		if err := d.SetPassword(ctx, u.AOR, "another-horse"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Enable(ctx, u.AOR); err != nil {
			t.Fatal(err)
		}
		add(t, d, NewUser{AOR: "bob@example.test", Phones: []string{"+15550100"}})
		again := open(t, db, nil, d.keys)
		if got, ok := again.Lookup(u.AOR); !ok || got.Version != 4 || !got.Enabled || got.Policy.MaxEndpoints != 3 || !again.CheckPassword(u.AOR, "another-horse") {
			t.Errorf("after opening again: %+v", got)
		}
		if err := d.Remove(ctx, u.AOR, 3); !errors.Is(err, store.ErrStale) {
			t.Errorf("removed an old version: %v", err)
		}
		if err := d.Remove(ctx, u.AOR, 4); err != nil {
			t.Fatal(err)
		}
		if err := d.Remove(ctx, u.AOR, 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		stop()
		second := add(t, d, alice2()) // the address is free again, and belongs to somebody else
		if second.ID == u.ID {
			t.Error("an ID was used again")
		}
		want := "added alice 0>1, changed alice 1>2, password set alice 2>3, changed alice 3>4, added bob 0>1, removed alice 4>4"
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		var names []string
		for _, u := range d.List() {
			names = append(names, string(u.AOR))
		}
		if got := fmt.Sprint(names, d.Len(), d.Domains()); got != "[alice@example.test bob@example.test] 2 [example.test]" {
			t.Error(got)
		}
	})
}

func alice2() NewUser { return NewUser{AOR: "alice@example.test"} }

func TestTwoUsersExchangeANumberInTwoSteps(t *testing.T) {
	d := fresh(t, storetest.SQLite(t))
	a, b := add(t, d, NewUser{AOR: "alice@example.test", Phones: []string{"+15550101"}}), add(t, d, NewUser{AOR: "bob@example.test", Phones: []string{"+15550102"}})
	for _, step := range []struct {
		who    uc.AOR
		phones []string
	}{{a.AOR, nil}, {b.AOR, []string{"+15550101"}}, {a.AOR, []string{"+15550102"}}} {
		if _, err := d.Set(t.Context(), step.who, Change{Phones: &step.phones}); err != nil {
			t.Fatal(err)
		}
	}
	for number, want := range map[string]uc.AOR{"+15550101": b.AOR, "+15550102": a.AOR} {
		if u, ok := d.ByNumber(number); !ok || u.AOR != want {
			t.Errorf("%s is %v", number, u)
		}
	}
}

func TestPolicyKeepsWhatItDoesNotKnow(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		u := add(t, d, NewUser{AOR: "alice@example.test"})
		stored := func() string {
			text, err := store.One(t.Context(), db, store.Value[string], "SELECT policy FROM directory_user")
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		if got := stored(); got != "{}" {
			t.Errorf("defaults are stored: %s", got)
		}
		if _, err := db.Exec(t.Context(), "UPDATE directory_user SET policy = $1", `{"maxEndpoints":4,"later":{"a":[1]}}`); err != nil {
			t.Fatal(err)
		}
		d = open(t, db, nil, d.keys)
		if u, _ = d.Lookup(u.AOR); u.Policy.MaxEndpoints != 4 || !u.Policy.Voice {
			t.Errorf("policy: %+v", u.Policy)
		}
		shown := DefaultPolicy() // what an API that does not show "later" sends back
		shown.Voice = false
		if _, err := d.Set(t.Context(), u.AOR, Change{Policy: &shown}); err != nil {
			t.Fatal(err)
		}
		if got := stored(); got != `{"later":{"a":[1]},"voice":false}` {
			t.Errorf("stored policy: %s", got)
		}
	})
}

// Two nodes with one store: what one changes, the other has and tells.
func TestNodesFollowEachOther(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		b, err := bus.Open(t.Context(), bus.Config{Pool: "pool", Node: "node"})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		keys := keyring.New()
		one, two := open(t, db, b, keys), open(t, db, b, keys)
		defer two.Close()
		defer one.Close()
		heard := make(chan Event, 10)
		two.Watch(func(e Event) { heard <- e })
		expect := func(kind EventKind) *User {
			t.Helper()
			select {
			case e := <-heard:
				if e.Kind != kind {
					t.Fatalf("heard %v, want %v", e.Kind, kind)
				}
				return e.User
			case <-time.After(20 * time.Second):
				t.Fatal("heard nothing")
				return nil
			}
		}
		if err := one.AddDomain(t.Context(), "example.test"); err != nil {
			t.Fatal(err)
		}
		u := add(t, one, alice)
		if expect(Added); !two.CheckPassword(u.AOR, alice.Password) || !two.IsLocal([]byte("EXAMPLE.test")) {
			t.Error("the other node has not got it all")
		}
		if _, err := one.Disable(t.Context(), u.AOR); err != nil {
			t.Fatal(err)
		}
		if u := expect(Changed); u.Enabled {
			t.Error("still enabled")
		}
		if err := one.SetPassword(t.Context(), u.AOR, "another-horse"); err != nil {
			t.Fatal(err)
		}
		if expect(PasswordSet); !two.CheckPassword(u.AOR, "another-horse") {
			t.Error("the old password")
		}
		if err := one.Remove(t.Context(), u.AOR, 0); err != nil {
			t.Fatal(err)
		}
		if expect(Removed); two.Len() != 0 {
			t.Error("still there")
		}
	})
}

// A node that heard none of several announcements gets all the changes with
// the next look.
func TestLostAnnouncementsAreMadeUpFor(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		deaf := open(t, db, nil, d.keys)
		u := add(t, d, alice)
		add(t, d, NewUser{AOR: "bob@example.test"})
		if err := deaf.catchUp(t.Context()); err != nil || deaf.Len() != 2 {
			t.Fatal(err, deaf.Len())
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if _, err := d.Add(t.Context(), NewUser{AOR: fmt.Sprintf("user%d@example.test", i)}); err != nil {
					t.Error(err)
				}
				if err := deaf.catchUp(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := d.Remove(t.Context(), u.AOR, 0); err != nil {
			t.Fatal(err)
		}
		if err := deaf.catchUp(t.Context()); err != nil || deaf.Len() != 21 || d.Len() != 21 {
			t.Fatal(err, deaf.Len(), d.Len())
		}
	})
}

func TestPasswordsNeedTheirKey(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		path := filepath.Join(t.TempDir(), keyring.FileName)
		keys, err := keyring.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		d := open(t, db, nil, keys)
		if err := d.AddDomain(t.Context(), "example.test"); err != nil {
			t.Fatal(err)
		}
		u := add(t, d, alice)
		add(t, d, NewUser{AOR: "bob@example.test", Password: "correct-horse"})
		stranger := open(t, db, nil, keyring.New())
		if stranger.CheckPassword(u.AOR, alice.Password) || stranger.Problem() == nil || !strings.Contains(stranger.Problem().Error(), "2 users") {
			t.Errorf("without the key: %v", stranger.Problem())
		}
		// A row moved to another user does not open there.
		if _, err := db.Exec(t.Context(), `UPDATE directory_user SET verifiers = (SELECT verifiers FROM directory_user WHERE aor = $1)
			WHERE aor = $2`, "alice@example.test", "bob@example.test"); err != nil {
			t.Fatal(err)
		}
		if moved := open(t, db, nil, keys); moved.CheckPassword("bob@example.test", alice.Password) || !moved.CheckPassword(u.AOR, alice.Password) {
			t.Error("verifiers opened for another user")
		}
		if err := keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		d = open(t, db, nil, keys)
		if n, err := d.Reseal(t.Context()); err != nil || n != 1 { // bob's are damaged
			t.Errorf("resealed %d, %v", n, err)
		}
		if n, err := d.Reseal(t.Context()); err != nil || n != 0 {
			t.Errorf("resealed %d again, %v", n, err)
		}
		again, err := keyring.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if d = open(t, db, nil, again); !d.CheckPassword(u.AOR, alice.Password) {
			t.Error("after rotation the password is lost")
		}
	})
}

func TestReadingDoesNotAllocate(t *testing.T) {
	d := fresh(t, storetest.SQLite(t))
	add(t, d, alice)
	aor, name, full, realm, domain := []byte("alice@example.test"), []byte("alice"), []byte("alice@example.test"), []byte("example.test"), []byte("EXAMPLE.test")
	for what, fn := range map[string]func() bool{
		"Lookup":      func() bool { _, ok := d.Lookup("alice@example.test"); return ok },
		"LookupBytes": func() bool { _, ok := d.LookupBytes(aor); return ok },
		"ByNumber":    func() bool { _, ok := d.ByNumber("tel:+15550100;ext=42"); return ok },
		"Login":       func() bool { _, _, ok := d.Login(name, realm, MD5); return ok },
		"Login full":  func() bool { _, _, ok := d.Login(full, realm, SHA256); return ok },
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

func TestCloseEndsFollowing(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Pool: "pool", Node: "node"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	d, err := Open(ctx, storetest.SQLite(t), b, keyring.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // the context of Open is for opening only
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if !d.IsLocal([]byte("example.test")) {
		t.Error("lookups ended too")
	}
}

func TestProfileAndPhotoAreKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		n := alice
		n.Profile = Profile{Title: " Engineer ", Company: "Example", HomePhone: "+1 555 0199"}
		u := add(t, d, n)
		if want := (Profile{Title: "Engineer", Company: "Example", HomePhone: "+1 555 0199"}); u.Profile != want {
			t.Errorf("profile %+v", u.Profile)
		}
		if _, err := db.Exec(t.Context(), `UPDATE directory_user SET profile = $1`, `{"title":"Engineer","later":7}`); err != nil {
			t.Fatal(err)
		}
		u, err := d.Set(t.Context(), u.AOR, Change{Profile: &Profile{Department: "Sales", Mail: "a@mail.test"}})
		if err != nil || u.Profile != (Profile{Department: "Sales", Mail: "a@mail.test"}) {
			t.Fatalf("%v %+v", err, u)
		}
		if text, err := store.One(t.Context(), db, store.Value[string], `SELECT profile FROM directory_user`); err != nil || text != `{"department":"Sales","later":7,"mail":"a@mail.test"}` {
			t.Errorf("stored %v %s", err, text)
		}
		var bad *Invalid
		for want, p := range map[string]Profile{"bytes": {Title: strings.Repeat("x", 257)}, "shown": {Title: "a\x07"}, "mail address": {Mail: "alice"}} {
			if _, err := d.Set(t.Context(), u.AOR, Change{Profile: &p}); !errors.As(err, &bad) || bad.Field != "profile" || !strings.Contains(bad.Problem, want) {
				t.Errorf("%s: %v", want, err)
			}
		}

		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 48, 48))); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Photo(t.Context(), u.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no photo: %v", err)
		}
		if u, err = d.SetPhoto(t.Context(), u.AOR, picture.Bytes(), u.Version); err != nil || u.PhotoHash == "" || u.PhotoSize != picture.Len() {
			t.Fatalf("%v %+v", err, u)
		}
		if same, err := d.SetPhoto(t.Context(), u.AOR, picture.Bytes(), 0); err != nil || same.Version != u.Version {
			t.Errorf("the same photo is a change: %v", err)
		}
		p, err := open(t, db, nil, d.keys).Photo(t.Context(), u.ID)
		if err != nil || p.Type != "image/png" || !bytes.Equal(p.Image, picture.Bytes()) {
			t.Errorf("photo: %v %+v", err, p)
		}
		var wide bytes.Buffer
		if err := png.Encode(&wide, image.NewGray(image.Rect(0, 0, MaxPhotoSide+1, 1))); err != nil {
			t.Fatal(err)
		}
		for want, b := range map[string][]byte{"neither": []byte("GIF89a"), "at most 102400": make([]byte, MaxPhoto+1), "2049 by 1": wide.Bytes()} {
			if _, err := d.SetPhoto(t.Context(), u.AOR, b, 0); !errors.As(err, &bad) || bad.Field != "photo" || !strings.Contains(bad.Problem, want) {
				t.Errorf("%s: %v", want, err)
			}
		}
		if _, err := d.SetPhoto(t.Context(), u.AOR, nil, u.Version-1); !errors.Is(err, store.ErrStale) {
			t.Errorf("change of an old version: %v", err)
		}
		if u, err = d.SetPhoto(t.Context(), u.AOR, nil, 0); err != nil || u.PhotoHash != "" {
			t.Errorf("taken away: %v %+v", err, u)
		}
		if _, err := d.Photo(t.Context(), u.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("taken away: %v", err)
		}
	})
}
