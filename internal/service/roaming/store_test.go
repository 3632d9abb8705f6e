package roaming

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/xmldoc/contacts"
)

func open(t *testing.T, db *store.DB) *lists {
	t.Helper()
	if err := db.Migrate(t.Context(), "roaming", schema()); err != nil {
		t.Fatal(err)
	}
	return &lists{db}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		l, ctx := open(t, db), t.Context()
		first, err := l.Load(ctx, "u1")
		if err != nil || first.DeltaNum != 1 || len(first.Groups) != 1 || len(first.Contacts) != 0 {
			t.Fatalf("%+v, %v", first, err)
		}
		full := contacts.Contact{URI: "bob@example.test", Name: "Bob \U0001f600 \"<&'\\%_", Groups: []int{1, 2}, Subscribed: true,
			ExternalURI: "x", Extension: "<e a=\"1\"/>\n"}
		n := int64(1)
		for _, c := range []contacts.Change{
			{Kind: contacts.AddedGroup, Group: contacts.Group{ID: 2, Name: "Team", ExternalURI: "y"}},
			{Kind: contacts.AddedGroup, Group: contacts.Group{ID: 3, Name: "Crew"}},
			{Kind: contacts.AddedContact, Contact: contacts.Contact{URI: full.URI, Groups: []int{3}}},
			{Kind: contacts.ModifiedContact, Contact: full},
			{Kind: contacts.AddedContact, Contact: contacts.Contact{URI: "Zoe@example.test", Groups: []int{1}}},
			{Kind: contacts.AddedContact, Contact: contacts.Contact{URI: "alice@example.test", Groups: []int{1}}},
			{Kind: contacts.DeletedContact, Contact: contacts.Contact{URI: "alice@example.test"}},
			{Kind: contacts.ModifiedGroup, Group: contacts.Group{ID: 2, Name: "Team 2"}},
			{Kind: contacts.DeletedGroup, Group: contacts.Group{ID: 3}},
		} {
			if err := l.Save(ctx, "u1", n, &c); err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			if err := l.Save(ctx, "u1", n, &c); !errors.Is(err, store.ErrStale) {
				t.Errorf("from an old list: %v", err)
			}
			n++
		}
		if err := l.Save(ctx, "u2", 1, &contacts.Change{Kind: contacts.AddedContact, Contact: full}); err != nil {
			t.Fatal(err)
		}
		got, err := l.Load(ctx, "u1")
		if err != nil || got.DeltaNum != n || !slices.Equal(got.Groups, []contacts.Group{first.Groups[0], {ID: 2, Name: "Team 2"}}) {
			t.Fatalf("%+v, %v", got, err)
		}
		if len(got.Contacts) != 2 || fmt.Sprint(got.Contacts[0]) != fmt.Sprint(full) && fmt.Sprint(got.Contacts[1]) != fmt.Sprint(full) {
			t.Errorf("%+v", got.Contacts)
		}
		if err := l.Forget(ctx, "u1"); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Load(ctx, "u1"); err != nil || got.DeltaNum != 1 || len(got.Groups) != 1 || len(got.Contacts) != 0 {
			t.Errorf("forgotten: %+v, %v", got, err)
		}
		if got, err := l.Load(ctx, "u2"); err != nil || len(got.Contacts) != 1 {
			t.Errorf("another user's: %+v, %v", got, err)
		}
	})
}

// Servers of a pool write one user's list at once: everything that was not refused is there, and every change has a
// number of its own.
func TestMembersAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		l, ctx := open(t, db), t.Context()
		const members, each = 4, 12
		var wg sync.WaitGroup
		for m := range members {
			wg.Go(func() {
				for i := 0; i < each; {
					list, err := l.Load(ctx, "u1")
					if err != nil {
						t.Error(err)
						return
					}
					c := contacts.Change{Kind: contacts.AddedContact, Contact: contacts.Contact{URI: fmt.Sprintf("m%di%d@example.test", m, i), Groups: []int{1}}}
					switch err := l.Save(ctx, "u1", list.DeltaNum, &c); {
					case err == nil:
						i++
					case !errors.Is(err, store.ErrStale):
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if got, err := l.Load(ctx, "u1"); err != nil || len(got.Contacts) != members*each || got.DeltaNum != 1+members*each {
			t.Errorf("%d contacts, list %d, %v", len(got.Contacts), got.DeltaNum, err)
		}
	})
}
