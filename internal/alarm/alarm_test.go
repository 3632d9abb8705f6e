package alarm

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rang []string
		start := time.Now()
		var c *Clock[string]
		c = New(nil, func(k string) {
			rang = append(rang, fmt.Sprint(k, "@", time.Since(start).Seconds()))
			if k == "again" {
				c.Set("last", time.Now().Add(time.Second))
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		in := func(k string, s int) { c.Set(k, start.Add(time.Duration(s)*time.Second)) }
		in("c", 30)
		in("b", 20)
		in("a", 10)
		in("moved", 5)
		in("moved", 15)
		in("gone", 12)
		c.Set("gone", time.Time{})
		in("again", 40)
		time.Sleep(time.Minute)
		want := "[a@10 moved@15 b@20 c@30 again@40 last@41]"
		if fmt.Sprint(rang) != want {
			t.Errorf("rang %v, want %s", rang, want)
		}
		if c.Len() != 0 {
			t.Errorf("%d left", c.Len())
		}
		cancel()
		<-done
	})
}

// Moving a key many times must not fill the heap.
func TestClockStaysSmall(t *testing.T) {
	now := time.Unix(1000, 0)
	n := 0
	c := New(func() time.Time { return now }, func(int) { n++ })
	for i := range 10_000 {
		c.Set(i%10, now.Add(time.Duration(i)*time.Millisecond))
	}
	if len(c.heap) > 100 {
		t.Errorf("%d entries for 10 keys", len(c.heap))
	}
	now = now.Add(time.Hour)
	c.Ring()
	if n != 10 {
		t.Errorf("%d rang, want 10", n)
	}
}
