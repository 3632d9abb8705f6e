package presence

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/person"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/internal/uc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, "presence", schema()); err != nil {
			t.Fatal(err)
		}
		b := &book{db}
		now := time.Date(2030, 1, 1, 8, 0, 0, 0, time.UTC)
		// read returns the people as a server that starts finds them.
		read := func(at time.Time) map[string]*person.Person {
			t.Helper()
			people := map[string]*person.Person{}
			err := b.Load(ctx, at, func(owner string) *person.Person {
				if owner == "gone" {
					return nil
				}
				if people[owner] == nil {
					people[owner] = person.New(uc.AOR(owner+"@example.test"), person.Profile{}, at)
				}
				return people[owner]
			})
			if err != nil {
				t.Fatal(err)
			}
			return people
		}
		publish := func(owner string, me *person.Person, pubs ...categories.Publication) {
			t.Helper()
			plan, conflicts, err := me.Plan(pubs, "e1", now)
			if err != nil || conflicts != nil {
				t.Fatal(conflicts, err)
			}
			had := map[categories.Key]bool{}
			for _, p := range pubs {
				had[p.Key] = me.Stored(p.Key)
			}
			if err := b.Publish(ctx, owner, plan, func(k categories.Key) bool { return had[k] }); err != nil {
				t.Fatal(err)
			}
			me.Apply(plan, now)
		}
		alice := person.New("alice@example.test", person.Profile{}, now)
		const big = 4_000_000_000 // numbers of clients use all 32 bits
		note := categories.Key{Name: "note", Instance: big, Container: 200}
		busy := categories.State{Type: categories.UserState, Manual: true, Availability: 6500}
		publish("alice", alice,
			categories.Publication{Key: note, ExpireType: categories.Static, Body: []byte("<note>\U0001f600 'x'</note>")},
			categories.Publication{Key: categories.Key{Name: "state", Instance: big, Container: 2}, ExpireType: categories.Static, State: &busy, Body: busy.Append(nil, "")},
			categories.Publication{Key: categories.Key{Name: "calendarData", Container: 100}, ExpireType: categories.Timed, Expires: 60, Body: []byte("<c/>")},
			categories.Publication{Key: categories.Key{Name: "device", Container: 2}, ExpireType: categories.Endpoint, Body: []byte("<d/>")})
		publish("alice", alice, categories.Publication{Key: note, Version: 1, ExpireType: categories.Static, Body: []byte("<note>two</note>")})
		publish("gone", person.New("gone@example.test", person.Profile{}, now), categories.Publication{Key: note, ExpireType: categories.Static, Body: []byte("<note/>")})

		members := &person.MembersPlan{Containers: []roaming.Container{
			{ID: person.Company, Version: 1},
			{ID: person.Blocked, Version: 2, Members: []roaming.Member{{Type: roaming.User, Value: "mallory@example.test"}, {Type: roaming.Domain, Value: "example.org"}}},
		}}
		for range 2 { // the second takes the place of the first
			if err := b.Members(ctx, "alice", members); err != nil {
				t.Fatal(err)
			}
		}
		for _, acknowledged := range []bool{false, true, true} {
			if err := b.Subscriber(ctx, "alice", "bob@example.test", "Bob", acknowledged); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Subscriber(ctx, "alice", "carol@example.test", "Carol", false); err != nil {
			t.Fatal(err)
		}

		all := read(now.Add(time.Second))
		got := all["alice"]
		if got == nil || len(all) != 1 {
			t.Fatalf("people %v", all)
		}
		say := func(p *person.Person) (out string) {
			for pub := range p.Publications {
				out += fmt.Sprintf("%s/%d/%d v%d %s; ", pub.Name, pub.Container, pub.Instance, pub.Version, pub.ExpireType)
			}
			return out
		}
		const want = "calendarData/100/0 v1 time; note/200/4000000000 v2 static; state/2/4000000000 v1 static; "
		if s := say(got); s != want {
			t.Errorf("publications %s\nwant %s", s, want)
		}
		got.SetSignedIn(true, now)
		if a := got.State(person.Company).Availability; a != 6500 || string(got.OwnCategory("note")[0].Body) != "<note>two</note>" {
			t.Errorf("availability %d, note %s", a, got.OwnCategory("note")[0].Body)
		}
		for who, level := range map[uc.AOR]uint32{"mallory@example.test": person.Blocked, "bob@example.test": person.Default, "x@example.org": person.Blocked} {
			if l := got.Level(person.Watcher{AOR: who, Colleague: true}); l != level {
				t.Errorf("level of %s: %d, want %d", who, l, level)
			}
		}
		own, _ := got.Own(roaming.Wanted{Subscribers: true}, 0)
		if len(own.Subscribers) != 1 || own.Subscribers[0].User != "carol@example.test" || own.Subscribers[0].DisplayName != "Carol" {
			t.Errorf("subscribers %+v", own.Subscribers)
		}

		// What has expired is not read, and goes; what is deleted, or lasts no longer, goes.
		later := now.Add(time.Hour)
		const rest = "note/200/4000000000 v2 static; state/2/4000000000 v1 static; "
		if s := say(read(later)["alice"]); s != rest {
			t.Errorf("later %s", s)
		}
		if err := b.Expire(ctx, later); err != nil {
			t.Fatal(err)
		}
		if s := say(read(now)["alice"]); s != rest {
			t.Errorf("after it went %s", s)
		}
		publish("alice", alice, categories.Publication{Key: note, Version: 2, Delete: true},
			categories.Publication{Key: categories.Key{Name: "state", Instance: big, Container: 2}, Version: 1, ExpireType: categories.Endpoint, State: &busy, Body: busy.Append(nil, "")})
		if s := say(read(now)["alice"]); s != "" {
			t.Errorf("in the end %s", s)
		}
		if err := b.Forget(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if len(read(now)) != 0 {
			t.Error("something is left of who was removed")
		}
	})
}
