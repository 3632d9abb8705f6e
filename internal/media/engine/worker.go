package engine

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrBusy is returned for a bridge that has to be decoded while there is no time left for it. SIP answers 503.
var ErrBusy = errors.New("media engine: no worker has time for another conversion")

const (
	remembered = 512 // ticks: ten seconds
	behind     = 10  // ticks that are made up for; beyond that they are left out
	few        = 8   // bridges: with fewer a worker is late because of what else the machine does, and gets more all the same
)

// worker runs the paths of its bridges every 20 ms. It has a thread of its own and sleeps while it has no bridge.
type worker struct {
	wake chan struct{}

	mu      sync.Mutex
	bridges []*Bridge // replaced, never changed
	busy    [remembered]time.Duration
	n       int
	sum     time.Duration // of busy
	skipped uint64
}

func newWorker() *worker { return &worker{wake: make(chan struct{}, 1)} }

func (w *worker) add(b *Bridge) {
	w.mu.Lock()
	w.bridges = append(slices.Clone(w.bridges), b)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) remove(b *Bridge) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bridges = slices.DeleteFunc(slices.Clone(w.bridges), func(o *Bridge) bool { return o == b })
}

func (w *worker) run(stop <-chan struct{}) {
	runtime.LockOSThread() // its thread ends with it
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		w.mu.Lock()
		bridges := w.bridges
		w.mu.Unlock()
		if len(bridges) == 0 {
			select {
			case <-stop:
				return
			case <-w.wake:
			}
			next = time.Now()
			continue
		}
		begin := time.Now()
		for _, b := range bridges {
			b.tick(begin)
		}
		end := time.Now()
		w.took(end.Sub(begin))
		next = next.Add(tickTime)
		if late := end.Sub(next) / tickTime; late > behind {
			w.mu.Lock()
			w.skipped += uint64(late)
			w.mu.Unlock()
			next = next.Add(late * tickTime)
		}
		timer.Reset(max(next.Sub(end), 0))
		select {
		case <-stop:
			return
		case <-timer.C:
		}
	}
}

func (w *worker) took(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := &w.busy[w.n%remembered]
	w.sum += d - *at
	*at = d
	w.n++
}

// load is the mean and the 99th percentile of the last ticks, and the number of bridges.
func (w *worker) load() (mean, p99 time.Duration, bridges int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(w.n, remembered)
	if n == 0 || len(w.bridges) == 0 {
		return 0, 0, len(w.bridges)
	}
	sorted := w.busy // a copy
	slices.Sort(sorted[:n])
	return w.sum / time.Duration(n), sorted[n*99/100], len(w.bridges)
}

// assign puts a bridge on the worker with the least to do. With refuse set, one that is too busy takes nothing new.
func (e *Engine) assign(b *Bridge, refuse bool) error {
	var best *worker
	var least [2]int
	for _, w := range e.workers {
		mean, p99, n := w.load()
		if refuse && p99 > e.mostBusy && n >= few {
			continue
		}
		// Of those that have about the same to do, the one with fewer bridges: the last ones are not in the mean yet.
		load := [2]int{int(mean / time.Millisecond), n}
		if best == nil || slices.Compare(load[:], least[:]) < 0 {
			best, least = w, load
		}
	}
	if best == nil {
		e.refused.Add(1)
		return ErrBusy
	}
	if b.worker.CompareAndSwap(nil, best) {
		best.add(b)
	}
	return nil
}
