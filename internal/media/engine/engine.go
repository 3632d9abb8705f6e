// Package engine carries the media of calls: between two legs that share a codec as they are, under numbers of its own,
// and otherwise through a jitter buffer, a decoder and an encoder.
//
// # What runs where
//
// A packet that needs no other codec is sent on by the goroutine that received it. What is decoded or encoded runs on
// workers, one for each core, that have an absolute tick of 20 ms and a thread of their own; a bridge stays on the worker
// that had the least to do when it came. One goroutine sends the reports of RTCP. Nothing is allocated for a packet or a
// frame.
package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/media/ports"
	"parley/internal/media/transport"
)

// Config is what an engine works with.
type Config struct {
	// Audio and Video are the ports of the topology; a medium without a range has no transports.
	Audio, Video ports.Range
	Reuse        time.Duration // how long a pair of ports rests after a call; ports.Reuse
	Workers      int           // by default one for each core
	DSCP         [2]uint8      // marks of the packets sent, by Kind (RFC 2474); 0: none
	// MostBusy is the 99th percentile of a worker's ticks from which on it gets no new bridge that has to be decoded; 12 ms
	// of the 20 that a tick has.
	MostBusy time.Duration
	Log      *slog.Logger // by default none
}

// Engine is the media of one server. Its methods are safe for concurrent use.
type Engine struct {
	log      *slog.Logger
	pools    [2]*ports.Pool
	workers  []*worker
	mostBusy time.Duration
	dscp     [2]uint8
	refused  atomic.Uint64 // bridges, for want of time

	stop chan struct{}
	wake chan struct{} // there is a bridge to report about
	done sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	bridges map[*Bridge]struct{}
}

// New starts an engine. It opens no port before a call needs one.
func New(c Config) (*Engine, error) {
	e, err := newStill(c)
	if err != nil {
		return nil, err
	}
	e.done.Go(e.report)
	for _, w := range e.workers {
		e.done.Go(func() { w.run(e.stop) })
	}
	return e, nil
}

// newStill is an engine of which nothing runs.
func newStill(c Config) (*Engine, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Reuse == 0 {
		c.Reuse = ports.Reuse
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.MostBusy <= 0 {
		c.MostBusy = 12 * time.Millisecond
	}
	e := &Engine{log: c.Log, mostBusy: c.MostBusy, dscp: c.DSCP, stop: make(chan struct{}), wake: make(chan struct{}, 1), bridges: map[*Bridge]struct{}{}}
	for kind, r := range []ports.Range{c.Audio, c.Video} {
		if r == (ports.Range{}) {
			continue
		}
		var err error
		if e.pools[kind], err = ports.New(r, c.Reuse); err != nil {
			return nil, err
		}
	}
	for range c.Workers {
		e.workers = append(e.workers, newWorker())
	}
	return e, nil
}

// Transport opens a transport with ports of its medium; what c says of ports is not used. It is closed by the caller.
func (e *Engine) Transport(kind Kind, c transport.Config) (*transport.Transport, error) {
	if c.Ports = e.pools[kind&1]; c.Ports == nil {
		return nil, fmt.Errorf("media engine: there are no ports for %v", kind)
	}
	if c.Log == nil {
		c.Log = e.log
	}
	if c.DSCP == 0 {
		c.DSCP = e.dscp[kind&1]
	}
	return transport.New(c)
}

// Bridge connects two legs. The engine takes what their transports receive from now on, until Close. It fails with
// ErrNoCodec (488) and ErrBusy (503).
func (e *Engine) Bridge(kind Kind, one, other Leg) (*Bridge, error) {
	now := time.Now()
	b := &Bridge{engine: e, kind: kind, due: nextReport(kind, now)}
	for i := range b.paths {
		b.paths[i] = &path{kind: kind, epoch: now, attach: b.attach}
	}
	if err := e.add(b); err != nil {
		return nil, err
	}
	err := b.Update(one, other)
	if err == nil && b.works() {
		err = e.assign(b, true)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	b.mu.Lock()
	b.added = true
	b.mu.Unlock()
	return b, nil
}

func (e *Engine) add(b *Bridge) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.bridges[b] = struct{}{}
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return nil
}

func (e *Engine) remove(b *Bridge) {
	e.mu.Lock()
	delete(e.bridges, b)
	e.mu.Unlock()
}

// report sends the reports of all bridges, each at its time.
func (e *Engine) report() {
	tick := time.NewTicker(reportTick)
	defer tick.Stop()
	var due []*Bridge
	for {
		select {
		case <-e.stop:
			return
		case now := <-tick.C:
			due = due[:0]
			e.mu.Lock()
			n := len(e.bridges)
			for b := range e.bridges {
				if !now.Before(b.due) {
					b.due = nextReport(b.kind, now)
					due = append(due, b)
				}
			}
			e.mu.Unlock()
			for _, b := range due {
				b.report(0, now)
				b.report(1, now)
			}
			clear(due)
			if n > 0 {
				continue
			}
			select { // nobody calls: sleep
			case <-e.stop:
				return
			case <-e.wake:
			}
		}
	}
}

const reportTick = 200 * time.Millisecond

// Close ends all bridges and waits for everything that the engine runs. Transports are their owners' to close.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errors.New("media engine: closed already")
	}
	e.closed = true
	left := make([]*Bridge, 0, len(e.bridges))
	for b := range e.bridges {
		left = append(left, b)
	}
	e.mu.Unlock()
	for _, b := range left {
		b.Close()
	}
	close(e.stop)
	e.done.Wait()
	return nil
}
