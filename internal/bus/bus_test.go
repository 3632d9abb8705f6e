package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger {
	if os.Getenv("PARLEY_BUS_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func alone(t testing.TB) *Bus {
	t.Helper()
	b, err := Open(t.Context(), Config{Pool: "pool.example.test", Node: "node1.example.test", Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func bucket(t testing.TB, b *Bus, cfg BucketConfig) *Bucket {
	t.Helper()
	k, err := b.Bucket(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// next returns what a test waits for, or fails when it does not come.
func next[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestPublishReachesSubscribersInOrderWithTheirKey(t *testing.T) {
	b := alone(t)
	got := make(chan Message, 100)
	stop, err := b.Subscribe(b.Subject("directory", "changed").Below(), func(m Message) {
		m.Data = append([]byte(nil), m.Data...)
		got <- m
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := b.Publish(b.Subject("directory", "changed", "alice@example.test", fmt.Sprint(i)), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		m := next(t, got)
		if m.Data[0] != byte(i) || strings.Join(m.Key, "|") != fmt.Sprint("alice@example.test|", i) {
			t.Fatalf("message %d: %v", i, m)
		}
	}
	stop()
	if want := Subject("parley.pool=2Eexample=2Etest.directory.changed.alice=40example=2Etest"); b.Subject("directory", "changed", "alice@example.test") != want {
		t.Errorf("subject is %s", b.Subject("directory", "changed", "alice@example.test"))
	}
}

func TestRequestGetsAnAnswerAnErrorOrSilence(t *testing.T) {
	b := alone(t)
	ctx := t.Context()
	s := b.Subject("test", "echo", "x")
	if _, err := b.Request(ctx, s, nil); !errors.Is(err, ErrNoResponder) {
		t.Errorf("nobody serves: %v", err)
	}
	stop, err := b.Serve(s, func(ctx context.Context, m Message) ([]byte, error) {
		switch string(m.Data) {
		case "fail":
			return nil, errors.New("two\r\nlines")
		case "panic":
			panic("broken")
		case "wait":
			<-ctx.Done()
			return nil, ctx.Err()
		case "long":
			return make([]byte, 2<<20), nil
		}
		return append([]byte("re: "), m.Data...), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := b.Request(ctx, s, []byte("hello")); err != nil || string(data) != "re: hello" {
		t.Errorf("%q, %v", data, err)
	}
	for ask, want := range map[string]string{"fail": "two  lines", "panic": "internal error", "long": ErrTooLarge.Error()} {
		var remote *RemoteError
		if _, err := b.Request(ctx, s, []byte(ask)); !errors.As(err, &remote) || remote.Text != want {
			t.Errorf("%s: %v", ask, err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := b.Request(short, s, []byte("wait")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	stop() // returns although "wait" was running: its context ended
	if _, err := b.Request(ctx, s, nil); !errors.Is(err, ErrNoResponder) {
		t.Errorf("after stop: %v", err)
	}
	if err := b.Publish(s, make([]byte, 2<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a huge message: %v", err)
	}
}

func TestServeRunsHandlersSideBySideUpToItsLimit(t *testing.T) {
	b := alone(t)
	var running, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	s := b.Subject("test", "slow")
	stop, err := b.Serve(s, func(ctx context.Context, m Message) ([]byte, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == handlersAtOnce {
			once.Do(func() { close(full) })
		}
		<-full
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var all sync.WaitGroup
	for range handlersAtOnce + 20 {
		all.Go(func() {
			if _, err := b.Request(t.Context(), s, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != handlersAtOnce {
		t.Errorf("%d at once", most.Load())
	}
}

func TestBucketComparesAndSets(t *testing.T) {
	b := alone(t)
	ctx := t.Context()
	k := bucket(t, b, BucketConfig{Name: "reg_v1"})
	key := MakeKey("alice@example.test", "phone")
	if _, err := k.Get(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of nothing: %v", err)
	}
	if err := k.Delete(ctx, key, 0); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
	first, err := k.Create(ctx, key, []byte("one"), 0)
	if err != nil {
		t.Fatal("create over a deletion:", err)
	}
	if _, err := k.Create(ctx, key, []byte("two"), 0); !errors.Is(err, ErrConflict) {
		t.Errorf("create twice: %v", err)
	}
	second, err := k.Update(ctx, key, []byte("two"), first, 0)
	if err != nil || second <= first {
		t.Fatal(second, err)
	}
	if _, err := k.Update(ctx, key, []byte("three"), first, 0); !errors.Is(err, ErrConflict) {
		t.Errorf("update of a stale revision: %v", err)
	}
	if err := k.Delete(ctx, key, first); !errors.Is(err, ErrConflict) {
		t.Errorf("delete of a stale revision: %v", err)
	}
	if e, err := k.Get(ctx, key); err != nil || string(e.Value) != "two" || e.Revision != second || e.Key != key {
		t.Errorf("%+v, %v", e, err)
	}
	if err := k.Delete(ctx, key, second); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(ctx, key); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of the deleted: %v", err)
	}
	if _, err := k.Update(ctx, key, nil, second, 0); !errors.Is(err, ErrConflict) {
		t.Errorf("update of the deleted: %v", err)
	}
	if _, err := k.Put(ctx, key, []byte("four"), 0); err != nil {
		t.Fatal(err)
	}
	if e, err := k.Get(ctx, key); err != nil || string(e.Value) != "four" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, err := range []error{
		errOf(k.Put(ctx, "alice@example.test", nil, 0)), errOf(k.Put(ctx, "", nil, 0)), errOf(k.Put(ctx, "a.*", nil, 0)),
	} {
		if !errors.Is(err, ErrKey) {
			t.Errorf("a raw key: %v", err)
		}
	}
	if _, err := k.Put(ctx, key, make([]byte, 64<<10+1), 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a huge value: %v", err)
	}
	if _, err := k.Put(ctx, key, nil, time.Millisecond); err == nil {
		t.Error("a life of a millisecond was accepted")
	}
}

func errOf(_ uint64, err error) error { return err }

func TestWatchTellsTheSnapshotThenChangesThenExpiry(t *testing.T) {
	b := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	k := bucket(t, b, BucketConfig{Name: "reg_v1"})
	a, c := MakeKey("alice@example.test", "1"), MakeKey("carol@example.test", "1")
	for _, key := range []Key{a, c} {
		if _, err := k.Put(ctx, key, []byte("before"), 0); err != nil {
			t.Fatal(err)
		}
	}
	changes := make(chan Change, 100)
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(ctx, MakeKey("alice@example.test"), func(c Change) { changes <- c }) }()
	expect := func(op Op, key Key, value string) {
		t.Helper()
		if got := next(t, changes); got.Op != op || got.Key != key || string(got.Value) != value {
			t.Fatalf("got %v %s %q, want %v %s %q", got.Op, got.Key, got.Value, op, key, value)
		}
	}
	expect(Reset, "", "")
	expect(Put, a, "before")
	expect(Synced, "", "")
	if _, err := k.Put(ctx, c, []byte("not watched"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Put(ctx, a, []byte("short"), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	expect(Put, a, "short")
	expect(Expired, a, "")
	if _, err := k.Create(ctx, a, []byte("again"), 0); err != nil {
		t.Fatal("create over an expiry:", err)
	}
	expect(Put, a, "again")
	if err := k.Delete(ctx, a, 0); err != nil {
		t.Fatal(err)
	}
	expect(Deleted, a, "")
	cancel()
	if err := next(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestWatchOfAnEmptyBucketIsSynced(t *testing.T) {
	b := alone(t)
	k := bucket(t, b, BucketConfig{Name: "empty_v1"})
	ops := make(chan Op, 10)
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(t.Context(), "", func(c Change) { ops <- c.Op }) }()
	if first, second := next(t, ops), next(t, ops); first != Reset || second != Synced {
		t.Errorf("%v, %v", first, second)
	}
	b.Close()
	if err := next(t, ended); !errors.Is(err, ErrClosed) {
		t.Errorf("closing the bus ended the watch with %v", err)
	}
}

func TestLeaseHasOneHolderAndGrowingTerms(t *testing.T) {
	b := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var holders atomic.Int64
	terms := make(chan uint64, 10)
	goOn := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			err := b.Lead(ctx, "conferences", 3*time.Second, func(ctx context.Context, term uint64) error {
				if holders.Add(1) != 1 {
					t.Error("two holders")
				}
				terms <- term
				<-goOn
				holders.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	var last uint64
	for range 3 {
		term := next(t, terms)
		if term <= last {
			t.Errorf("term %d after %d", term, last)
		}
		last = term
		goOn <- struct{}{}
	}
	all.Wait()
}

func TestLeaseThatWasTakenAwayEndsTheWork(t *testing.T) {
	b := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	started, stopped := make(chan uint64, 10), make(chan error, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Lead(ctx, "conferences", 3*time.Second, func(ctx context.Context, term uint64) error {
			started <- term
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return nil
		})
	}()
	next(t, started)
	if _, err := b.leases.Put(ctx, MakeKey("conferences"), []byte(`{"node":"other","session":"x"}`), time.Second); err != nil {
		t.Fatal(err)
	}
	if err := next(t, stopped); !errors.Is(err, errLost) {
		t.Errorf("the work ended with %v", err)
	}
	next(t, started) // the other's lease expired
	cancel()
	if err := next(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Lead ended with %v", err)
	}
	if _, err := b.leases.Get(t.Context(), MakeKey("conferences")); !errors.Is(err, ErrNotFound) {
		t.Errorf("the lease was not given up: %v", err)
	}
}

func TestRestartedNodeTakesItsOwnLeaseAtOnce(t *testing.T) {
	cfg := Config{Pool: "p", Node: "n", Dir: t.TempDir(), Log: quiet()}
	var before uint64
	for range 2 {
		b, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		terms := make(chan uint64, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go b.Lead(ctx, "x", time.Hour, func(ctx context.Context, term uint64) error {
			terms <- term
			<-ctx.Done()
			return nil
		})
		if term := next(t, terms); term <= before {
			t.Errorf("term %d after %d", term, before)
		} else {
			before = term
		}
		b.Close() // as in a crash, the lease is not given up
		cancel()
	}
}

func BenchmarkRequest(b *testing.B) {
	bus := alone(b)
	s := bus.Subject("test", "echo")
	stop, err := bus.Serve(s, func(_ context.Context, m Message) ([]byte, error) { return m.Data, nil })
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bus.Request(b.Context(), s, []byte("x")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	bus := alone(b)
	k := bucket(b, bus, BucketConfig{Name: "reg_v1"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Put(b.Context(), "a", []byte("x"), 10*time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
