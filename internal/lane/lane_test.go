package lane

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stop ends a set and fails the test when that was not clean.
func stop[K comparable](t testing.TB, s *Set[K]) {
	t.Helper()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	if st := s.Stats(); st.Busy != 0 || st.Pending != 0 {
		t.Fatalf("after Stop: %+v, want nothing left", st)
	}
}

func TestWorkOfOneKeyRunsInOrder(t *testing.T) {
	s := New[string](Config{PerKey: 1 << 20, Total: 1 << 20})
	const n = 100_000
	got := make([]int, 0, n) // no lock: the lane is the lock, which -race checks
	for i := range n {
		if err := s.Do("call", func(context.Context) { got = append(got, i) }); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, s)
	for i, v := range got {
		if i != v {
			t.Fatalf("piece %d ran at place %d", v, i)
		}
	}
	if len(got) != n {
		t.Fatalf("%d pieces ran, want %d", len(got), n)
	}
}

func TestKeysDoNotWaitForEachOther(t *testing.T) {
	s := New[int](Config{})
	block, ran := make(chan struct{}), make(chan struct{})
	s.Do(1, func(context.Context) { <-block })
	s.Do(2, func(context.Context) { close(ran) })
	<-ran
	close(block)
	stop(t, s)
}

func TestFullQueueRefuses(t *testing.T) {
	s := New[int](Config{PerKey: 2, Total: 4})
	block := make(chan struct{})
	wait := func(context.Context) { <-block }
	for i, want := range []error{nil, nil, nil, ErrFull} { // one runs, two wait
		if err := s.Do(1, wait); !errors.Is(err, want) {
			t.Errorf("piece %d for one key: %v, want %v", i, err, want)
		}
	}
	for i, want := range []error{nil, ErrFull} {
		if err := s.Do(2+i, wait); !errors.Is(err, want) {
			t.Errorf("piece %d for the set: %v, want %v", i, err, want)
		}
	}
	close(block)
	stop(t, s)
	if err := s.Do(1, wait); !errors.Is(err, ErrStopped) {
		t.Errorf("after Stop: %v, want %v", err, ErrStopped)
	}
}

func TestPanicCostsOnePiece(t *testing.T) {
	var caught *PanicError
	s := New[int](Config{OnPanic: func(_ any, err *PanicError) { caught = err }})
	after := false
	s.Do(1, func(context.Context) { panic("boom") })
	s.Do(1, func(context.Context) { after = true })
	stop(t, s)
	if caught == nil || caught.Value != "boom" || len(caught.Stack) == 0 {
		t.Errorf("caught %v, want the panic with its stack", caught)
	}
	if !after || s.Stats().Panics != 1 {
		t.Errorf("after=%v panics=%d, want the next piece to run and one panic counted", after, s.Stats().Panics)
	}
}

func TestStopDeadlineReachesWork(t *testing.T) {
	s := New[int](Config{})
	s.Do(1, func(ctx context.Context) { <-ctx.Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v, want the context's error", err)
	}
}

func TestWorkMayAddToItsOwnKey(t *testing.T) {
	s := New[int](Config{})
	var order []string
	s.Do(1, func(context.Context) {
		order = append(order, "first")
		s.Do(1, func(context.Context) { order = append(order, "second") })
	})
	stop(t, s)
	if len(order) != 2 || order[1] != "second" {
		t.Errorf("ran %v", order)
	}
}

func TestManyProducersKeepTheirOwnOrder(t *testing.T) {
	s := New[int](Config{PerKey: 1 << 20, Total: 1 << 20})
	type seen struct{ last [8]int }
	var keys [4]seen
	var bad atomic.Int64
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for i := 1; i <= 2000; i++ {
				k := &keys[i%4]
				s.Do(i%4, func(context.Context) {
					if k.last[p] >= i {
						bad.Add(1)
					}
					k.last[p] = i
				})
			}
		})
	}
	wg.Wait()
	stop(t, s)
	if bad.Load() != 0 {
		t.Errorf("%d pieces ran out of order", bad.Load())
	}
}

// BenchmarkOneKey is the cost of a piece of work on a lane that is mostly busy.
func BenchmarkOneKey(b *testing.B) {
	s := New[uint64](Config{PerKey: 1 << 30, Total: 1 << 30})
	n := 0
	w := func(context.Context) { n++ }
	b.ReportAllocs()
	for b.Loop() {
		s.Do(7, w)
	}
	s.Stop(context.Background())
}

// BenchmarkFreshKeys is the cost of work whose key was idle: a goroutine each time.
func BenchmarkFreshKeys(b *testing.B) {
	s := New[uint64](Config{Total: 1 << 30})
	w := func(context.Context) {}
	b.ReportAllocs()
	var k uint64
	for b.Loop() {
		k++
		s.Do(k, w)
	}
	s.Stop(context.Background())
}

// BenchmarkIdle reports what 100,000 keys cost after their work is done.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := New[uint64](Config{Total: 1 << 30})
		for k := range uint64(100_000) {
			s.Do(k, func(context.Context) {})
		}
		s.running.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc-before.HeapAlloc))/(1<<10), "KiB-idle")
		b.ReportMetric(float64(int64(after.StackInuse-before.StackInuse))/(1<<10), "KiB-stacks")
		s.Stop(context.Background())
	}
}
