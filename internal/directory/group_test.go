package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

func addresses(users []*User) string {
	var all []string
	for _, u := range users {
		all = append(all, u.AOR.User())
	}
	return strings.Join(all, " ")
}

func TestGroupsHaveMembersAndGroups(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		other := open(t, db, nil, d.keys) // another node, which looks when it is told to
		ctx := t.Context()
		add(t, d, alice)
		for _, name := range []string{"bob", "carol", "dave"} {
			add(t, d, NewUser{AOR: name + "@example.test"})
		}
		team, err := d.AddGroup(ctx, NewGroup{Address: "Team@mail.test", Name: " Team ", Members: []string{"bob@example.test", "a.example@example.test", "bob@example.test"}})
		if err != nil || team.Address != "team@mail.test" || team.Name != "Team" || team.Version != 1 {
			t.Fatalf("%v %+v", err, team)
		}
		all, err := d.AddGroup(ctx, NewGroup{Address: "all@mail.test", Members: []string{"team@mail.test", "carol@example.test"}})
		if err != nil {
			t.Fatal(err)
		}
		if users, more := d.Expand(team, 100); addresses(users) != "bob alice" || more {
			t.Errorf("team is %s, %v", addresses(users), more)
		}
		if users, more := d.Expand(all, 100); addresses(users) != "carol bob alice" || more {
			t.Errorf("all is %s, %v", addresses(users), more)
		}
		for limit, want := range map[int]string{0: " true", 2: "carol bob true", 3: "carol bob alice false"} {
			if users, more := d.Expand(all, limit); fmt.Sprint(addresses(users), " ", more) != want {
				t.Errorf("the first %d of all are %s, %v", limit, addresses(users), more)
			}
		}
		// Each contains the other: everybody is told once.
		if team, err = d.SetGroup(ctx, "team@mail.test", GroupChange{Version: 1, Add: []string{"all@mail.test", "dave@example.test"}, Remove: []string{"bob@example.test"}}); err != nil || team.Version != 2 {
			t.Fatalf("%v %+v", err, team)
		}
		if _, err := d.Disable(ctx, "dave@example.test"); err != nil {
			t.Fatal(err)
		}
		if users, more := d.Expand(team, 2); addresses(users) != "alice carol" || more {
			t.Errorf("team is %s, %v", addresses(users), more)
		}
		// Who is removed is no member.
		if err := d.Remove(ctx, "alice@example.test", 0); err != nil {
			t.Fatal(err)
		}
		name, members := "Crew", []string{"bob@example.test"}
		if all, err = d.SetGroup(ctx, "all@mail.test", GroupChange{Name: &name, Members: &members, Add: []string{"team@mail.test"}}); err != nil || all.Name != "Crew" {
			t.Fatalf("%v %+v", err, all)
		}
		if err := other.catchUp(ctx); err != nil {
			t.Fatal(err)
		}
		for _, d := range []*Directory{d, other, open(t, db, nil, d.keys)} {
			g, ok := d.LookupGroup("all@mail.test")
			if !ok || g.Version != 2 {
				t.Fatalf("%+v", g)
			}
			users, nested := d.Members(g)
			if addresses(users) != "bob" || len(nested) != 1 || nested[0].ID != team.ID {
				t.Errorf("members %s, %+v", addresses(users), nested)
			}
			if users, _ := d.Expand(g, 100); addresses(users) != "bob" {
				t.Errorf("all is %s", addresses(users))
			}
			if all := d.Groups(); len(all) != 2 || all[0].Address != "all@mail.test" {
				t.Errorf("groups %v", all)
			}
		}
		if err := d.RemoveGroup(ctx, "team@mail.test", 1); !errors.Is(err, store.ErrStale) {
			t.Errorf("removed an old version: %v", err)
		}
		if err := d.RemoveGroup(ctx, "team@mail.test", 0); err != nil {
			t.Fatal(err)
		}
		if err := other.catchUp(ctx); err != nil {
			t.Fatal(err)
		}
		if _, ok := other.LookupGroup("team@mail.test"); ok {
			t.Error("the other node still has a group that is gone")
		}
		if err := d.RemoveGroup(ctx, "team@mail.test", 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
	})
}

func TestGroupsThatAreRefused(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := fresh(t, db)
		ctx := t.Context()
		add(t, d, alice)
		if _, err := d.AddGroup(ctx, NewGroup{Address: "team@example.test"}); err != nil {
			t.Fatal(err)
		}
		var bad *Invalid
		for want, n := range map[string]NewGroup{
			"address:of the form":                 {Address: "team"},
			"members:neither a user nor a group":  {Address: "x@example.test", Members: []string{"bob@example.test"}},
			"members:is not an address":           {Address: "x@example.test", Members: []string{"bob"}},
			"name:cannot be shown":                {Address: "x@example.test", Name: "a\x00"},
			"description:the description has":     {Address: "x@example.test", Description: strings.Repeat("x", 1025)},
			"members:neither a user nor a group.": {Address: "self@example.test", Members: []string{"self@example.test"}},
		} {
			field, text, _ := strings.Cut(strings.TrimSuffix(want, "."), ":")
			if _, err := d.AddGroup(ctx, n); !errors.As(err, &bad) || bad.Field != field || !strings.Contains(bad.Problem, text) {
				t.Errorf("%+v: %v", n, err)
			}
		}
		if _, err := d.SetGroup(ctx, "team@example.test", GroupChange{Add: []string{"team@example.test"}}); !errors.As(err, &bad) || !strings.Contains(bad.Problem, "of itself") {
			t.Errorf("a member of itself: %v", err)
		}
		if _, err := d.SetGroup(ctx, "team@example.test", GroupChange{Version: 7}); !errors.Is(err, store.ErrStale) {
			t.Errorf("a change of another version: %v", err)
		}
		if _, err := d.SetGroup(ctx, "none@example.test", GroupChange{}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a change of no group: %v", err)
		}
		var taken *Taken
		for want, do := range map[string]func() error{
			"a.example@example.test is taken by another user": func() error { _, err := d.AddGroup(ctx, NewGroup{Address: "a.example@example.test"}); return err },
			"there is a group team@example.test already":      func() error { _, err := d.AddGroup(ctx, NewGroup{Address: "team@example.test"}); return err },
			"there is a group team@example.test already.":     func() error { _, err := d.Add(ctx, NewUser{AOR: "team@example.test"}); return err },
			"there is a group team@example.test already..": func() error {
				_, err := d.Set(ctx, "alice@example.test", Change{Aliases: &[]string{"team@example.test"}})
				return err
			},
		} {
			if err := do(); !errors.As(err, &taken) || !errors.Is(err, store.ErrConflict) || taken.Error() != strings.TrimRight(want, ".") {
				t.Errorf("%v, want %s", err, want)
			}
		}
		many := slices.Repeat([]string{"alice@example.test"}, maxMembers+1) // one member
		if _, err := d.SetGroup(ctx, "team@example.test", GroupChange{Members: &many}); err != nil {
			t.Errorf("the same member often: %v", err)
		}
	})
}
