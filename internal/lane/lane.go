package lane

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Errors of Do.
var (
	ErrFull    = errors.New("lane: queue is full")
	ErrStopped = errors.New("lane: stopped")
)

// Defaults of Config.
const (
	DefaultPerKey = 256
	DefaultTotal  = 1 << 16
)

// Config holds the bounds of a Set; zero values take the defaults.
type Config struct {
	PerKey int // most pieces of work waiting behind one key
	Total  int // most pieces of work waiting or running in the whole set
	// OnPanic hears of a panic in a piece of work; the lane goes on with the next piece. It runs on the lane.
	OnPanic func(key any, err *PanicError)
}

// PanicError is a panic caught in a piece of work.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("lane: panic: %v", e.Value) }

// Work is one piece of work. Its context ends only when the deadline of Stop has passed.
type Work func(ctx context.Context)

const shards = 32

// A Set runs work in order by key. Make one with New; all methods may be called from anywhere, also from
// within a piece of work.
type Set[K comparable] struct {
	cfg    Config
	seed   maphash.Seed
	shard  [shards]shard[K]
	total  atomic.Int64
	panics atomic.Uint64

	ctx     context.Context // given to work; its end tells work to give up, so it belongs to the set and not to a call
	cancel  context.CancelFunc
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

type shard[K comparable] struct {
	mu    sync.Mutex
	lanes map[K]*queue
}

// queue is what waits behind the piece of work that runs now.
type queue struct {
	work []Work
	head int
}

// New returns an empty set. It starts nothing.
func New[K comparable](cfg Config) *Set[K] {
	if cfg.PerKey <= 0 {
		cfg.PerKey = DefaultPerKey
	}
	if cfg.Total <= 0 {
		cfg.Total = DefaultTotal
	}
	s := &Set[K]{cfg: cfg, seed: maphash.MakeSeed()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Do runs w after everything that was given for key before. It does not wait. ErrFull means that this key or
// the whole set has too much waiting, ErrStopped that Stop was called; w does not run then.
func (s *Set[K]) Do(key K, w Work) error {
	if s.total.Add(1) > int64(s.cfg.Total) {
		s.total.Add(-1)
		return ErrFull
	}
	sh := &s.shard[maphash.Comparable(s.seed, key)%shards]
	sh.mu.Lock()
	if q, busy := sh.lanes[key]; busy {
		if len(q.work)-q.head >= s.cfg.PerKey {
			sh.mu.Unlock()
			s.total.Add(-1)
			return ErrFull
		}
		q.work = append(q.work, w)
		sh.mu.Unlock()
		return nil
	}
	if !s.begin() {
		sh.mu.Unlock()
		s.total.Add(-1)
		return ErrStopped
	}
	if sh.lanes == nil {
		sh.lanes = make(map[K]*queue)
	}
	q := new(queue)
	sh.lanes[key] = q
	sh.mu.Unlock()
	go s.run(sh, key, q, w)
	return nil
}

// begin counts a new goroutine unless the set has stopped. Lock order: shard, then set.
func (s *Set[K]) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.running.Add(1)
	return true
}

// run is the goroutine of a busy lane.
func (s *Set[K]) run(sh *shard[K], key K, q *queue, w Work) {
	defer s.running.Done()
	for w != nil {
		s.one(key, w)
		s.total.Add(-1)
		w = sh.next(key, q)
	}
}

// next takes the next piece of work, or ends the lane.
func (sh *shard[K]) next(key K, q *queue) Work {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if q.head == len(q.work) {
		delete(sh.lanes, key)
		return nil
	}
	w := q.work[q.head]
	q.work[q.head] = nil
	q.head++
	if q.head == len(q.work) {
		q.work, q.head = q.work[:0], 0
	} else if q.head >= 64 && q.head*2 >= len(q.work) { // a lane that never becomes empty must not grow for ever
		n := copy(q.work, q.work[q.head:])
		clear(q.work[n:])
		q.work, q.head = q.work[:n], 0
	}
	return w
}

// one runs w and survives its panic.
func (s *Set[K]) one(key K, w Work) {
	defer func() {
		if v := recover(); v != nil {
			s.panics.Add(1)
			if s.cfg.OnPanic != nil {
				s.cfg.OnPanic(key, &PanicError{Value: v, Stack: debug.Stack()})
			}
		}
	}()
	w(s.ctx)
}

// Stop refuses new keys and waits until all work is done. When ctx ends first, the context given to work ends
// too, Stop waits for the work to notice, and returns the error of ctx. Work that is already running may still add to its own key.
func (s *Set[K]) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	defer s.cancel()
	done := make(chan struct{})
	go func() { // ends when the lanes have ended, which the last receive below waits for
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.cancel()
		<-done
		return ctx.Err()
	}
}

// Stats is a moment's view of a set.
type Stats struct {
	Busy    int    // keys with work
	Pending int    // pieces of work waiting or running
	Panics  uint64 // panics caught so far
}

// Stats counts what the set holds now.
func (s *Set[K]) Stats() Stats {
	st := Stats{Pending: int(s.total.Load()), Panics: s.panics.Load()}
	for i := range s.shard {
		sh := &s.shard[i]
		sh.mu.Lock()
		st.Busy += len(sh.lanes)
		sh.mu.Unlock()
	}
	return st
}
