package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"parley/internal/directory"
	"parley/internal/keyring"
	"parley/internal/store/storetest"
	"parley/internal/uc"
)

// fake is a controller in memory. It numbers changes like a real one.
type fake struct {
	at   position
	them map[string]*fakePerson
	fail error // after the first page
}

type fakePerson struct {
	person
	usn      int64
	selected bool
}

func newFake() *fake {
	return &fake{at: position{"dc1", "first", 100}, them: map[string]*fakePerson{}}
}

func (f *fake) position() position { return f.at }

func (f *fake) put(name string, change func(*fakePerson)) {
	f.at.USN++
	p := f.them[name]
	if p == nil {
		p = &fakePerson{selected: true, person: person{Replica: directory.Replica{ID: "id-" + name, AOR: name + "@example.test", Name: name, Enabled: true,
			Logins: []string{name + "@corp.example.test"}}}}
		f.them[name] = p
	}
	p.usn = f.at.USN
	if change != nil {
		change(p)
	}
}

func (f *fake) people(since int64, _ *mapping, fn func(person)) error {
	for _, p := range f.them {
		if p.selected && p.usn >= since {
			fn(p.person)
		}
	}
	return f.fail
}

func (f *fake) touched(since int64, fn func(string)) error {
	for _, p := range f.them {
		if p.usn >= since {
			fn(p.ID)
		}
	}
	return nil
}

func testDirectory(t *testing.T) *directory.Directory {
	t.Helper()
	d, err := directory.Open(t.Context(), storetest.SQLite(t), nil, keyring.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	return d
}

// users lists those of the other directory as "alice bob-", with a dash after the disabled.
func users(d *directory.Directory) string {
	var all []string
	for _, u := range d.List() {
		if u.Origin.Source == "" {
			continue
		}
		name := u.AOR.User()
		if !u.Enabled {
			name += "-"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestRounds(t *testing.T) {
	f, d, m := newFake(), testDirectory(t), testMapping(nil)
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		f.put(name, nil)
	}
	var at *position
	step := func(what, want string, check func(*Report) bool) {
		t.Helper()
		var r Report
		if err := round(t.Context(), f, d, m, at, false, &r); err != nil {
			t.Fatal(err)
		}
		here := f.at
		at = &here
		if got := users(d); got != want || !check(&r) {
			t.Errorf("%s: %s, want %s; %+v", what, got, want, r)
		}
	}
	step("first", "alice bob carol dave", func(r *Report) bool { return r.Kind == "full" && r.Added == 4 })
	step("nothing", "alice bob carol dave", func(r *Report) bool { return r.Kind == "changes" && r.Read == 0 })
	f.put("alice", func(p *fakePerson) { p.Name = "Alice Example" })
	step("a name", "alice bob carol dave", func(r *Report) bool { return r.Changed == 1 && r.Read == 1 })
	if u, _ := d.Lookup("alice@example.test"); u.Name != "Alice Example" {
		t.Errorf("%+v", u)
	}
	f.put("alice", func(p *fakePerson) { p.Enabled = false })
	step("disabled", "alice- bob carol dave", func(r *Report) bool { return r.Disabled == 1 && r.Changed == 0 })
	f.put("alice", func(p *fakePerson) { p.Enabled = true })
	step("enabled", "alice bob carol dave", func(r *Report) bool { return r.Changed == 1 })
	f.put("bob", func(p *fakePerson) { p.selected = false })
	step("no longer selected", "alice bob- carol dave", func(r *Report) bool { return r.Disabled == 1 })
	f.put("carol", func(p *fakePerson) { p.Problem, p.AOR = "has no address", "" })
	step("no address any more", "alice bob- carol- dave", func(r *Report) bool { return r.NoteCount == 1 })
	f.put("erin", func(p *fakePerson) { p.Photo = []byte("no picture") })
	step("a bad photo", "alice bob- carol- dave erin", func(r *Report) bool { return r.Added == 1 && r.NoteCount == 1 })
	delete(f.them, "dave")
	step("vanished, not noticed", "alice bob- carol- dave erin", func(r *Report) bool { return r.Read == 0 })
	at = nil
	step("vanished, noticed", "alice bob- carol- dave- erin", func(r *Report) bool { return r.Kind == "full" && r.Disabled == 1 })
}

// Users made here stay what they are, whoever has their address there.
func TestLocalUsersStay(t *testing.T) {
	f, d := newFake(), testDirectory(t)
	mine, err := d.Add(t.Context(), directory.NewUser{AOR: "alice@example.test", Name: "Mine", Password: "correct-horse-battery"})
	if err != nil {
		t.Fatal(err)
	}
	f.put("alice", nil)
	f.put("bob", nil)
	var r Report
	if err := round(t.Context(), f, d, testMapping(nil), nil, false, &r); err != nil {
		t.Fatal(err)
	}
	if u, _ := d.Lookup("alice@example.test"); u.ID != mine.ID || u.Version != mine.Version || users(d) != "bob" || r.NoteCount != 1 {
		t.Errorf("%+v, %s, %+v", u, users(d), r)
	}
}

// An answer that breaks off disables nobody, and neither does one in which too many are missing.
func TestNobodyIsRemovedByAccident(t *testing.T) {
	f, d, m := newFake(), testDirectory(t), testMapping(nil)
	for i := range 20 {
		f.put(fmt.Sprintf("user%02d", i), nil)
	}
	if err := round(t.Context(), f, d, m, nil, false, &Report{}); err != nil {
		t.Fatal(err)
	}
	all := users(d)
	for i := range 4 {
		delete(f.them, fmt.Sprintf("user%02d", i))
	}
	f.fail = errors.New("the connection broke")
	if err := round(t.Context(), f, d, m, nil, false, &Report{}); err == nil || users(d) != all {
		t.Errorf("%v: %s", err, users(d))
	}
	f.fail = nil
	var r Report
	if err := round(t.Context(), f, d, m, nil, false, &r); err != nil || r.Withheld != 4 || r.Disabled != 0 || users(d) != all {
		t.Errorf("%v, %+v, %s", err, r, users(d))
	}
	r = Report{}
	if err := round(t.Context(), f, d, m, nil, true, &r); err != nil || r.Withheld != 0 || r.Disabled != 4 {
		t.Errorf("allowed: %v, %+v", err, r)
	}
	f.them = map[string]*fakePerson{}
	r = Report{}
	if err := round(t.Context(), f, d, m, nil, false, &r); err != nil || r.Withheld != 16 {
		t.Errorf("an empty directory: %v, %+v", err, r)
	}
}

func TestStopsWithItsContext(t *testing.T) {
	f, d := newFake(), testDirectory(t)
	f.put("alice", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := round(ctx, f, d, testMapping(nil), nil, false, &Report{}); err == nil {
		t.Error("no error")
	}
	if _, ok := d.Lookup(uc.AOR("alice@example.test")); ok {
		t.Error("added all the same")
	}
}
