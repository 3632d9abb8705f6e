package binding

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// put adds a binding that expires at the given second.
func put(t *Table, aor uc.AOR, contact string, expires Time) *Binding {
	b := &Binding{AOR: aor, Contact: contact, Gen: t.NextGen(), Expires: expires * 1000}
	t.Update(aor, func(own []*Binding) []*Binding { return append(append([]*Binding(nil), own...), b) })
	return b
}

func contacts(set []*Binding) (s string) {
	for _, b := range set {
		s += b.Contact + " "
	}
	return s
}

func TestTable(t *testing.T) {
	tb := NewTable()
	var events []Event
	tb.Watch(func(e Event) { events = append(events, e) })
	one := put(tb, "alice@example.test", "one", 10)
	put(tb, "alice@example.test", "two", 20)
	put(tb, "bob@example.test", "three", 15)
	if n, users := tb.Len(); n != 3 || users != 2 {
		t.Errorf("%d bindings of %d users", n, users)
	}
	before := tb.Of("alice@example.test")
	refreshed := *one
	refreshed.Expires = 30_000
	tb.Update("alice@example.test", func(own []*Binding) []*Binding { return []*Binding{&refreshed, own[1]} })
	if before[0].Expires != 10_000 {
		t.Error("a set that was handed out changed")
	}
	tb.Sweep(12_000)
	if got := contacts(tb.OfBytes([]byte("alice@example.test"))); got != "one two " {
		t.Errorf("after the first expiry: %s", got)
	}
	tb.Sweep(20_000)
	if got := contacts(tb.Of("alice@example.test")) + contacts(tb.Of("bob@example.test")); got != "one " {
		t.Errorf("after the second: %s", got)
	}
	if tb.Remove("alice@example.test", 1) || !tb.Remove("alice@example.test", one.Gen) {
		t.Error("removing by generation")
	}
	want := []Event{{"alice@example.test", 0, 1, 1}, {"alice@example.test", 1, 2, 1}, {"bob@example.test", 0, 1, 1},
		{"bob@example.test", 1, 0, 0}, {"alice@example.test", 2, 1, 0}, {"alice@example.test", 1, 0, 0}}
	if len(events) != len(want) {
		t.Fatalf("events %v", events)
	}
	for _, w := range want {
		found := false
		for _, e := range events {
			found = found || e == w
		}
		if !found {
			t.Errorf("no event %v in %v", w, events)
		}
	}
	tb.Sweep(1_000_000)
	for i := range tb.shards {
		if n := len(tb.shards[i].records); n > 0 {
			t.Errorf("%d records left", n)
		}
	}
}

func TestRemoteBindings(t *testing.T) {
	tb := NewTable()
	put(tb, "alice@example.test", "own", 10)
	tb.SetRemote("alice@example.test", "b", []*Binding{{AOR: "alice@example.test", Contact: "remote", Node: "b", Expires: 5000}})
	tb.SetRemote("alice@example.test", "c", []*Binding{{AOR: "alice@example.test", Contact: "other", Node: "c", Expires: 50000}})
	if got := contacts(tb.Of("alice@example.test")); got != "own remote other " {
		t.Errorf("got %s", got)
	}
	tb.Sweep(6000)
	tb.SetRemote("alice@example.test", "c", nil)
	if got := contacts(tb.Of("alice@example.test")); got != "own " {
		t.Errorf("then %s", got)
	}
}

// Nothing is lost and nothing left over, whatever happens at the same time.
func TestTableRaces(t *testing.T) {
	tb := NewTable()
	var users [8]uc.AOR
	for i := range users {
		users[i] = uc.AOR(fmt.Sprintf("user%d@example.test", i))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				u := users[rand.IntN(len(users))]
				switch rand.IntN(5) {
				case 0, 1:
					put(tb, u, "c", Time(i+rand.IntN(50)))
				case 2:
					if set := tb.Of(u); len(set) > 0 {
						tb.Remove(u, set[0].Gen)
					}
				case 3:
					tb.Sweep(Time(i) * 1000)
				case 4:
					tb.SetRemote(u, "b", []*Binding{{AOR: u, Node: "b", Gen: 1, Expires: Time(i+10) * 1000}})
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for _, set := range tb.Each {
		n += len(set)
	}
	if all, _ := tb.Len(); all != n {
		t.Errorf("counted %d, there are %d", all, n)
	}
	tb.Sweep(1 << 40)
	if all, people := tb.Len(); all != 0 || people != 0 {
		t.Errorf("%d bindings of %d users left", all, people)
	}
}

func TestGRUU(t *testing.T) {
	c := NewCoder([]byte("secret"))
	b := &Binding{AOR: "al ice@example.test", Instance: "urn:uuid:1", Gen: 77}
	if got := string(AppendPublic(nil, "alice@example.test", "urn:uuid:f81d;x")); got != "sip:alice@example.test;gr=urn:uuid:f81d%3Bx" {
		t.Errorf("public: %s", got)
	}
	one, two := string(c.AppendTemp(nil, b)), string(c.AppendTemp(nil, b))
	if one == two {
		t.Error("two temporary names can be told to belong together")
	}
	user := func(uri string) []byte { return []byte(uri[len("sip:") : len(uri)-len("@example.test;gr")]) }
	for _, uri := range []string{one, two} {
		aor, gen, err := c.Temp(user(uri), "example.test")
		if err == nil && (aor != b.AOR || gen != 77) {
			t.Errorf("%s is %s, %d", uri, aor, gen)
		}
	}
	b.AOR = "alice@example.test"
	uri := string(c.AppendTemp(nil, b))
	if aor, gen, err := c.Temp(user(uri), "example.test"); err != nil || aor != b.AOR || gen != 77 {
		t.Errorf("%s, %d, %v", aor, gen, err)
	}
	if _, _, err := c.Temp(user(uri), "other.test"); err == nil {
		t.Error("taken for another domain")
	}
	if _, _, err := NewCoder([]byte("other")).Temp(user(uri), "example.test"); err == nil {
		t.Error("taken with another key")
	}
	for _, bad := range []string{"", "tgruu.", "tgruu.AAAA", "alice", "tgruu.!!!"} {
		if _, _, err := c.Temp([]byte(bad), "example.test"); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
}

func FuzzTemp(f *testing.F) {
	c := NewCoder([]byte("secret"))
	f.Add([]byte("tgruu.AAAA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if aor, _, err := c.Temp(b, "example.test"); err == nil {
			t.Fatalf("%q is a forgery and was taken for %s", b, aor)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	tb := NewTable()
	for i := range 20_000 {
		put(tb, uc.AOR(fmt.Sprintf("user%d@example.test", i)), "c", 1000)
	}
	key := []byte("user777@example.test")
	b.ReportAllocs()
	for b.Loop() {
		tb.OfBytes(key)
	}
}
