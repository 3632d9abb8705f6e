package obs

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Trace keeps the SIP messages that passed last, in a ring of fixed size. It
// is always on: recording is one copy under a short lock. What is shown is
// filtered and masked when somebody reads (Filter, Record.Text).
//
// Messages are kept in memory only. Safe for concurrent use.
type Trace struct {
	mu      sync.Mutex
	buf     []byte          // message bytes, overwritten in a circle
	head    int             // where the next message starts in buf
	slots   []traceSlot     // one per message, index = seq % len
	next    uint64          // seq of the next message
	oldest  uint64          // seq of the oldest message whose bytes still stand
	waiters []chan struct{} // followers to wake, guarded by mu

	following atomic.Int32
}

type traceSlot struct {
	meta     TraceMeta
	from, to int // bytes in buf
}

// TraceMeta says how a message passed.
type TraceMeta struct {
	Seq       uint64         `json:"seq"` // counts every message the node saw
	Time      time.Time      `json:"time"`
	Out       bool           `json:"out"` // sent, not received
	Flow      uint64         `json:"flow"`
	Transport string         `json:"transport"`
	Local     netip.AddrPort `json:"local"`
	Remote    netip.AddrPort `json:"remote"`
}

// Record is one message in a trace: a copy that belongs to the reader.
type Record struct {
	TraceMeta
	Raw []byte
}

// NewTrace makes a ring for the given number of bytes and messages. Zero bytes
// make a trace that records nothing.
func NewTrace(bytes, messages int) *Trace {
	if bytes <= 0 || messages <= 0 {
		bytes, messages = 0, 1
	}
	return &Trace{buf: make([]byte, bytes), slots: make([]traceSlot, messages)}
}

// Add records a message; raw is copied. meta.Seq is given by the trace. A
// message longer than the ring is counted, not kept.
func (t *Trace) Add(meta TraceMeta, raw []byte) {
	if len(t.buf) == 0 {
		return
	}
	t.mu.Lock()
	meta.Seq = t.next
	t.next++
	s := &t.slots[meta.Seq%uint64(len(t.slots))]
	if t.next-t.oldest > uint64(len(t.slots)) {
		t.oldest = t.next - uint64(len(t.slots))
	}
	if len(raw) > len(t.buf) {
		raw = nil
	}
	if t.head+len(raw) > len(t.buf) {
		// The tail is too short: what lies there is given up, so that bytes
		// stay in the order of their slots.
		t.forget(t.head, len(t.buf), meta.Seq)
		t.head = 0
	}
	t.forget(t.head, t.head+len(raw), meta.Seq)
	*s = traceSlot{meta, t.head, t.head + len(raw)}
	copy(t.buf[t.head:], raw)
	t.head += len(raw)
	wake := t.waiters
	t.waiters = nil
	t.mu.Unlock()
	for _, w := range wake {
		close(w)
	}
}

// forget moves oldest past every message that has bytes in [from, to).
// Messages lie in buf in the order of their numbers, so it stops at the first
// that does not overlap.
func (t *Trace) forget(from, to int, until uint64) {
	for t.oldest < until {
		s := &t.slots[t.oldest%uint64(len(t.slots))]
		if s.from != s.to && (s.from >= to || s.to <= from) {
			return
		}
		t.oldest++
	}
}

// Snapshot copies what the ring holds from seq on, oldest first, at most max
// messages (0 means all), and returns the number to continue from.
func (t *Trace) Snapshot(seq uint64, max int) (recs []Record, next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq < t.oldest {
		seq = t.oldest
	}
	for ; seq < t.next && (max == 0 || len(recs) < max); seq++ {
		s := &t.slots[seq%uint64(len(t.slots))]
		recs = append(recs, Record{s.meta, append([]byte(nil), t.buf[s.from:s.to]...)})
	}
	return recs, seq
}

// Next is the number the next message will get: following from here shows
// only what comes after.
func (t *Trace) Next() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// Follow calls f for every message from seq on, in order, until ctx ends or f
// returns an error, which it returns. When the reader is slower than the
// traffic, messages are missing: their numbers show the gap.
func (t *Trace) Follow(ctx context.Context, seq uint64, f func(Record) error) error {
	const batch = 64 // bounds the time the lock is held
	for {
		recs, next := t.Snapshot(seq, batch)
		seq = next
		for _, r := range recs {
			if err := f(r); err != nil {
				return err
			}
		}
		if len(recs) > 0 {
			continue
		}
		t.mu.Lock()
		if t.next > seq {
			t.mu.Unlock()
			continue
		}
		w := make(chan struct{})
		t.waiters = append(t.waiters, w)
		t.mu.Unlock()
		select {
		case <-w:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
