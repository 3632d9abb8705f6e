package message

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

func TestBox(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, "message", schema()); err != nil {
			t.Fatal(err)
		}
		b := &box{db: db}
		now := time.Unix(1_800_000_000, 0).UTC()
		keep := func(to, from, origin string) error {
			now = now.Add(time.Millisecond)
			return b.Keep(ctx, &stored{ID: b.nextID(now), Recipient: to, Sender: from, Origin: origin, Head: []byte("Subject: x\r\n"),
				Body: []byte{0, 1, 255}, Stored: now, Expires: now.Add(time.Hour)}, 4, 3)
		}
		for i := range 3 {
			if err := keep("bob", "alice", fmt.Sprint("m", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := keep("bob", "alice", "m1"); err != nil {
			t.Errorf("sent again: %v", err)
		}
		if err := keep("bob", "alice", "m3"); !errors.Is(err, errFull) {
			t.Errorf("over the share of a sender: %v", err)
		}
		if err := keep("bob", "carol", "m4"); err != nil {
			t.Error(err)
		}
		if err := keep("bob", "dave", "m5"); !errors.Is(err, errFull) {
			t.Errorf("over the quota: %v", err)
		}
		if err := keep("carol", "alice", "m0"); err != nil {
			t.Error(err)
		}
		all, err := b.Waiting(ctx, "bob", now, 10)
		if err != nil || len(all) != 4 {
			t.Fatalf("%d waiting, %v", len(all), err)
		}
		for i, want := range []string{"m0", "m1", "m2", "m4"} {
			if m := all[i]; m.Origin != want || string(m.Body) != "\x00\x01\xff" || string(m.Head) != "Subject: x\r\n" {
				t.Errorf("%d: %+v", i, m)
			}
		}
		if err := b.Refused(ctx, all[0].ID); err != nil {
			t.Error(err)
		}
		if err := b.Delivered(ctx, all[1].ID); err != nil {
			t.Error(err)
		}
		if all, _ = b.Waiting(ctx, "bob", now, 1); len(all) != 1 || all[0].Refused != 1 {
			t.Errorf("then %+v", all)
		}
		if names, err := b.Recipients(ctx); err != nil || len(names) != 2 {
			t.Errorf("recipients %v, %v", names, err)
		}
		if err := b.Forget(ctx, "carol"); err != nil {
			t.Error(err)
		}
		if all, _ = b.Waiting(ctx, "bob", now.Add(2*time.Hour), 10); len(all) != 0 {
			t.Errorf("expired ones are returned: %+v", all)
		}
		if n, err := b.Expire(ctx, now.Add(2*time.Hour)); err != nil || n != 3 {
			t.Errorf("%d expired, %v", n, err)
		}
	})
}

// Copies of one message that meet are one message; different ones are all kept.
func TestBoxKeepsInParallel(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, "message", schema()); err != nil {
			t.Fatal(err)
		}
		b := &box{db: db}
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				now := time.Now()
				m := &stored{ID: b.nextID(now), Recipient: "bob", Sender: "alice", Origin: fmt.Sprint(i / 2), Head: []byte("h"),
					Body: []byte("b"), Stored: now, Expires: now.Add(time.Hour)}
				if err := b.Keep(ctx, m, 1000, 1000); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, err := b.Count(ctx); err != nil || n != 100 {
			t.Errorf("%d kept, %v", n, err)
		}
	})
}
