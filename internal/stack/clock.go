package stack

import (
	"math"
	"sync/atomic"
	"time"

	"parley/internal/flow"
)

// clock is the one goroutine of all timers.
func (s *Stack) clock() {
	t := time.NewTicker(slotTime)
	defer t.Stop()
	var due []timed
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
			due = s.tick(due)
		}
	}
}

// Tick runs the timers that are due now. The stack does it by itself; it is for tests whose Config.Now does not go
// on by itself.
func (s *Stack) Tick() { s.tick(nil) }

// tick runs every timer that is due and tells transactions about flows that ended. due is scratch space.
func (s *Stack) tick(due []timed) []timed {
	gone := s.takeGone()
	open := 0
	for i := range s.shards {
		sh := &s.shards[i]
		now := s.now()
		due = due[:0]
		sh.mu.Lock()
		due = sh.expire(now, due)
		if gone != nil {
			due = sh.orphans(gone, due)
		}
		open += sh.open
		sh.mu.Unlock()
		for _, d := range due {
			s.wake(d, now)
		}
		clear(due)
	}
	s.stats.open.Store(int64(open))
	now := int64(s.now())
	late := now - s.lastTick.Swap(now) - int64(slotTime)
	s.behind.Store(min(late, s.late.Swap(late)))
	return due
}

// wake runs one timer and survives its panic.
func (s *Stack) wake(d timed, now time.Duration) {
	defer s.recovered("timer", nil)
	d.wake(now)
}

// takeGone returns the flows that ended since the last tick, nil if there were none.
func (s *Stack) takeGone() map[*flow.Flow]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.gone) == 0 {
		return nil
	}
	g := s.gone
	s.gone = make(map[*flow.Flow]error)
	return g
}

// orphans finds the transactions that wait for something on a flow that ended. It looks at all transactions,
// once for all flows that ended within a tick, so that no transaction has to be entered anywhere for it.
func (sh *shard) orphans(gone map[*flow.Flow]error, due []timed) []timed {
	for _, c := range sh.client {
		err, ok := gone[c.flow]
		if !ok || c.machine.Answered() {
			continue
		}
		// A server that has begun to answer will open another connection for the rest (RFC 3261 18.2.2). A phone
		// cannot.
		if c.heard && (c.flow.Dialled() || server(c.flow.Identity())) {
			continue
		}
		due = append(due, &orphan{client: c, err: err})
	}
	for _, c := range sh.server {
		if c.txn != nil {
			if _, ok := gone[c.flow]; ok {
				due = append(due, &orphan{server: c.txn})
			}
		}
	}
	return due
}

// orphan tells one transaction that its flow has ended.
type orphan struct {
	client *ClientTxn
	server *ServerTxn
	err    error
}

func (o *orphan) forget(*shard) {}

func (o *orphan) wake(time.Duration) {
	if o.client != nil {
		o.client.lost(o.err)
	} else {
		o.server.cancelled(nil)
	}
}

// overloaded reports whether new work should be refused: too many transactions open, or the clock runs late,
// which it does when readers keep the processors busy. Being late once is forgiven: the whole machine may have
// stood still.
func (s *Stack) overloaded(now time.Duration) bool {
	l := &s.cfg.Limits
	return s.stats.open.Load() >= int64(l.Open) || s.behind.Load() > int64(l.QueueDelay) ||
		now-time.Duration(s.lastTick.Load()) > 4*l.QueueDelay
}

// An Alarm calls Func once when its time has come, in the goroutine of all timers, so Func must not wait for
// anything. It is meant to be a field of what it belongs to. The zero value with a Func is ready for SetAlarm.
type Alarm struct {
	Func func()

	sh atomic.Pointer[shard]

	// Guarded by the lock of the shard.
	node node
	set  bool
}

// SetAlarm arms a to come after d, whatever it was armed for before. d below one slot of 50 ms counts as one.
func (s *Stack) SetAlarm(a *Alarm, d time.Duration) {
	sh := a.sh.Load()
	if sh == nil {
		a.sh.CompareAndSwap(nil, &s.shards[s.nextAlarm.Add(1)%shardCount])
		sh = a.sh.Load()
	}
	now := s.now()
	if d > math.MaxInt64-now {
		d = math.MaxInt64 - now - slotTime
	}
	sh.mu.Lock()
	a.node.owner = a
	a.set = true
	sh.wheel.set(&a.node, now+d)
	sh.mu.Unlock()
}

// Stop disarms a. A call of Func that is already under way is not waited for.
func (a *Alarm) Stop() {
	sh := a.sh.Load()
	if sh == nil {
		return
	}
	sh.mu.Lock()
	a.set = false
	a.node.unlink()
	sh.mu.Unlock()
}

func (a *Alarm) forget(*shard) {}

func (a *Alarm) wake(time.Duration) {
	sh := a.sh.Load()
	sh.mu.Lock()
	fire := a.set && a.node.in == nil // else it was stopped, or armed anew, since it was taken off the wheel
	if fire {
		a.set = false
	}
	sh.mu.Unlock()
	if fire {
		a.Func()
	}
}
