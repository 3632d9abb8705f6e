package binding

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"parley/internal/bus"
	"parley/internal/uc"
)

// member is a table with its Sync running.
type member struct {
	*Table
	sync   *Sync
	events chan Event
	stop   func()
}

func join(t *testing.T, b *bus.Bus, node string) *member {
	t.Helper()
	m := &member{Table: NewTable(), events: make(chan Event, 100)}
	m.Watch(func(e Event) { m.events <- e })
	var err error
	if m.sync, err = newSync(m.Table, b, node, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.sync.Run(ctx) })
	m.stop = func() { cancel(); running.Wait() }
	t.Cleanup(m.stop)
	return m
}

func (m *member) next(t *testing.T) Event {
	t.Helper()
	select {
	case e := <-m.events:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
		return Event{}
	}
}

func TestSync(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Pool: "pool.example.test", Node: "a", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if s, err := NewSync(NewTable(), b, "a", nil); s != nil || err != nil {
		t.Error("a node that is alone publishes for nobody")
	}
	one, two := join(t, b, "a"), join(t, b, "b")
	defer one.stop()
	defer two.stop()
	mine := put(one.Table, "alice@example.test", "sip:alice@192.0.2.1", At(time.Now().Add(time.Hour))/1000)
	one.next(t)
	if e := two.next(t); e.AOR != "alice@example.test" || e.New != 1 {
		t.Errorf("heard %+v", e)
	}
	got := two.Of("alice@example.test")
	if len(got) != 1 || got[0].Node != "a" || got[0].Contact != mine.Contact || got[0].Gen != mine.Gen || got[0].Flow != nil {
		t.Errorf("the other member knows %+v", got)
	}
	t.Run("a refresh is not published", func(t *testing.T) {
		n := *mine
		n.Refreshed, n.Expires = At(time.Now()), n.Expires+1
		marked := false
		one.Table.publish = func(uc.AOR) { marked = true }
		one.Update(n.AOR, func([]*Binding) []*Binding { return []*Binding{&n} })
		if marked {
			t.Error("it was")
		}
		n2 := n
		n2.Refreshed = n.Refreshed.Add(validity * 2 / 3)
		one.Update(n.AOR, func([]*Binding) []*Binding { return []*Binding{&n2} })
		if !marked {
			t.Error("it must be when others would soon forget")
		}
		one.Table.publish = one.sync.mark
	})
	t.Run("a member that comes later", func(t *testing.T) {
		three := join(t, b, "c")
		defer three.stop()
		if e := three.next(t); e.AOR != "alice@example.test" {
			t.Errorf("heard %+v", e)
		}
	})
	t.Run("what a bucket lost is said again", func(t *testing.T) {
		if err := one.sync.bucket.Delete(t.Context(), bus.MakeKey("alice@example.test", "a"), 0); err != nil {
			t.Fatal(err)
		}
		if e := two.next(t); e.Now != 0 {
			t.Errorf("heard %+v", e)
		}
		if e := two.next(t); e.New != 1 {
			t.Errorf("heard %+v", e)
		}
		// A bucket that is made anew begins with an empty snapshot.
		s := &Sync{table: one.Table, node: "a", dirty: map[uc.AOR]struct{}{}, wake: make(chan struct{}, 1)}
		f := follower{sync: s, known: map[remoteKey]bool{}}
		f.change(t.Context(), bus.Change{Op: bus.Reset})
		f.change(t.Context(), bus.Change{Op: bus.Synced})
		if _, ok := s.dirty["alice@example.test"]; !ok {
			t.Error("nothing is to be said again")
		}
	})
	one.Remove("alice@example.test", mine.Gen)
	if e := two.next(t); e.Now != 0 {
		t.Errorf("heard %+v", e)
	}
	t.Run("what an earlier life left is withdrawn", func(t *testing.T) {
		put(one.Table, "bob@example.test", "sip:bob@192.0.2.1", At(time.Now().Add(time.Hour))/1000)
		two.next(t)
		one.stop()
		reborn := join(t, b, "a")
		defer reborn.stop()
		if e := two.next(t); e.AOR != "bob@example.test" || e.Now != 0 {
			t.Errorf("heard %+v", e)
		}
	})
}
