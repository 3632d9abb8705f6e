package directory

import (
	"errors"
	"slices"
	"testing"

	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/uc"
)

const testSource = "active-directory"

// replicate gives one replica, which the store must take.
func replicate(t *testing.T, d *Directory, r Replica) Replicated {
	t.Helper()
	out, err := d.Replicate(t.Context(), testSource, []Replica{r})
	if err != nil || len(out) != 1 {
		t.Fatal(out, err)
	}
	return out[0]
}

func TestUsersOfAnotherDirectory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		add(t, d, NewUser{AOR: "bob@example.test", Phones: []string{"+15550101"}})
		alice := Replica{ID: "guid-1", AOR: "Alice@example.test", Name: "Alice", Enabled: true, Logins: []string{"alice@example.test", "al@corp.test"},
			Aliases: []string{"a.example@example.test", "alice@elsewhere.test", "bob@example.test"},
			Phones:  []string{"+1 555 0100", "0100", "+15550101"}, Profile: Profile{Title: "Clerk"}}
		r := replicate(t, d, alice)
		if r.Err != nil || !r.Changed || len(r.Notes) != 3 {
			t.Fatalf("%+v", r)
		}
		u := r.User
		if u.AOR != "alice@example.test" || !slices.Equal(u.Aliases, []uc.AOR{"a.example@example.test"}) ||
			!slices.Equal(u.Phones, []string{"tel:+15550100"}) || u.HasPassword || u.Profile.Title != "Clerk" {
			t.Errorf("%+v", u)
		}
		if again := replicate(t, d, alice); again.Changed || again.User.Version != u.Version {
			t.Errorf("nothing new is a change: %+v", again)
		}

		t.Run("found", func(t *testing.T) {
			for _, login := range []string{"alice@example.test", "AL@CORP.TEST"} {
				if got, here := d.ByLogin(login); !here || got == nil || got.ID != u.ID {
					t.Errorf("%s: %v %t", login, got, here)
				}
			}
			if got, here := d.ByLogin("bob@example.test"); got != nil || !here {
				t.Errorf("a namesake: %v %t", got, here)
			}
			if got, here := d.ByLogin("alice@other.test"); got != nil || here {
				t.Errorf("another realm: %v %t", got, here)
			}
			if got, ok := d.ByOrigin(testSource, "guid-1"); !ok || got.ID != u.ID {
				t.Errorf("%v %t", got, ok)
			}
			if all := d.Of(testSource); len(all) != 1 || len(d.Of("")) != 0 {
				t.Errorf("%v", all)
			}
			other := open(t, db, nil, keyring.New()) // from the store
			if got, _ := other.ByLogin("al@corp.test"); got == nil || got.ID != u.ID {
				t.Errorf("loaded anew: %v", got)
			}
		})
		t.Run("not changed here", func(t *testing.T) {
			name, ctx := "Another", t.Context()
			for what, do := range map[string]func() error{
				"name":     func() error { _, err := d.Set(ctx, u.AOR, Change{Name: &name}); return err },
				"disable":  func() error { _, err := d.Disable(ctx, u.AOR); return err },
				"alias":    func() error { _, err := d.Disable(ctx, "a.example@example.test"); return err },
				"password": func() error { return d.SetPassword(ctx, u.AOR, "correct-horse-battery") },
				"photo":    func() error { _, err := d.SetPhoto(ctx, u.AOR, nil, 0); return err },
				"remove":   func() error { return d.Remove(ctx, u.AOR, 0) },
			} {
				var bad *Invalid
				if err := do(); !errors.As(err, &bad) {
					t.Errorf("%s: %v", what, err)
				}
			}
			p := DefaultPolicy()
			p.Video = false
			if got, err := d.Set(ctx, u.AOR, Change{Policy: &p}); err != nil || got.Policy.Video {
				t.Errorf("the policy is ours: %v %v", got, err)
			}
		})
		t.Run("another address", func(t *testing.T) {
			moved := alice
			moved.AOR, moved.Logins = "alice.smith@example.test", []string{"alice.smith@example.test"}
			r := replicate(t, d, moved)
			if r.User.AOR != u.AOR || r.User.Aliases[0] != "alice.smith@example.test" || !r.User.Policy.Messaging || r.User.Policy.Video {
				t.Errorf("%+v", r.User)
			}
			if got, here := d.ByLogin("al@corp.test"); got != nil || here {
				t.Error("the old name still leads to her")
			}
			replicate(t, d, alice)
		})
		t.Run("refused", func(t *testing.T) {
			var taken *Taken
			if r := replicate(t, d, Replica{ID: "guid-2", AOR: "bob@example.test", Enabled: true}); !errors.As(r.Err, &taken) || r.User != nil {
				t.Errorf("%+v", r)
			}
			var bad *Invalid
			if r := replicate(t, d, Replica{ID: "guid-3", AOR: "carol@elsewhere.test", Enabled: true}); !errors.As(r.Err, &bad) {
				t.Errorf("%+v", r)
			}
			if r := replicate(t, d, Replica{ID: "guid-4", AOR: "dave@example.test", Enabled: true, Logins: []string{"Dave"}}); !errors.As(r.Err, &bad) {
				t.Errorf("%+v", r)
			}
		})
		t.Run("disabled", func(t *testing.T) {
			if r := replicate(t, d, Replica{ID: "guid-5", AOR: "carol@example.test"}); r.User != nil || r.Err != nil {
				t.Errorf("one who never was: %+v", r)
			}
			gone, err := d.Withdraw(t.Context(), testSource, []string{"guid-1", "guid-9"})
			if err != nil || len(gone) != 1 {
				t.Fatal(gone, err)
			}
			if got, _ := d.Lookup(u.AOR); got.Enabled {
				t.Error("still enabled")
			}
			if gone, err := d.Withdraw(t.Context(), testSource, []string{"guid-1"}); err != nil || len(gone) != 0 {
				t.Error(gone, err)
			}
			if err := d.Remove(t.Context(), u.AOR, 0); err != nil {
				t.Error(err)
			}
			if _, here := d.ByLogin("alice@example.test"); here {
				t.Error("removed, and still there")
			}
		})
	})
}
