package member

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/bus"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Pool: "pool.example.test", Node: "fe1.example.test", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// on makes tables that share a bus, as members do.
func on(t *testing.T, b *bus.Bus, name string) *Table {
	t.Helper()
	tab, err := New(nil, name, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if tab.bucket, err = b.Bucket(bus.BucketConfig{Name: bucketName, TTL: life, MaxBytes: 1 << 20, MaxValue: 1024}); err != nil {
		t.Fatal(err)
	}
	return tab
}

func run(t *testing.T, tab *Table) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tab.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-t.Context().Done():
			t.Fatal("never: " + what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestMembersComeAndGo(t *testing.T) {
	b := openBus(t)
	one, two, three := on(t, b, "fe1"), on(t, b, "fe2"), on(t, b, "fe3")
	run(t, one)
	run(t, two)
	kill := run(t, three)
	until(t, "all know each other", func() bool { return len(one.Others()) == 2 && len(two.Others()) == 2 && len(three.Others()) == 2 })
	if !one.Alive("fe3") || one.Alive("fe4") {
		t.Error("alive are those who say so")
	}
	two.Leave()
	until(t, "nobody is sent to who leaves", func() bool {
		for i := range 20 {
			if to, ok := one.Successor(uc.AOR(fmt.Sprint("user", i))); !ok || to != "fe3" {
				return false
			}
		}
		return true
	})
	if !one.Alive("fe2") || !two.Leaving() {
		t.Error("who leaves is still there")
	}
	kill()
	until(t, "who was killed is forgotten", func() bool { return !one.Alive("fe3") })
	if to, ok := one.Successor("alice@example.test"); ok {
		t.Errorf("sent to %s", to)
	}
}

// Every member gives the same answer for a user, and users are spread.
func TestSuccessor(t *testing.T) {
	var tabs [3]*Table
	names := []string{"fe1", "fe2", "fe3", "fe4"}
	for i := range tabs {
		tabs[i], _ = New(nil, names[3], nil)
		for _, n := range names {
			tabs[i].nodes[n] = true
		}
	}
	count := map[string]int{}
	for i := range 3000 {
		user := uc.AOR(fmt.Sprintf("user%d@example.test", i))
		to, ok := tabs[0].Successor(user)
		for _, other := range tabs[1:] {
			if again, _ := other.Successor(user); !ok || again != to {
				t.Fatalf("%s: %s and %s", user, to, again)
			}
		}
		count[to]++
	}
	for _, n := range names[:3] {
		if count[n] < 800 {
			t.Errorf("of 3000 users %v", count)
		}
	}
	if count["fe4"] > 0 {
		t.Error("sent to itself")
	}
}

func TestAlone(t *testing.T) {
	tab, err := New(openBus(t), "fe1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tab.Run(t.Context()) // returns at once
	if to, ok := tab.Successor("alice@example.test"); ok || len(tab.Others()) > 0 {
		t.Errorf("there is %s", to)
	}
	tab.Leave()
	if !tab.Leaving() {
		t.Error("it stays")
	}
}
