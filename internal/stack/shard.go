package stack

import (
	"sync"
	"time"
)

const (
	shardCount = 64
	slotTime   = 50 * time.Millisecond
	slotCount  = 512 // 25.6 s a turn; what lies further ahead is passed over once or twice
)

// shard is one part of the transaction table with its own lock and timers.
type shard struct {
	mu     sync.Mutex
	server map[key]*serverCore
	client map[uint64]*ClientTxn
	wheel  wheel
	linger list // answered transactions that only absorb repetitions, in the order in which they end
	max    int  // most of those
	open   int  // server transactions without final answer
	_      [64]byte
}

func (sh *shard) init(now time.Duration, maxLinger int) {
	sh.server = make(map[key]*serverCore)
	sh.client = make(map[uint64]*ClientTxn)
	sh.wheel.turn = int64(now / slotTime)
	sh.max = maxLinger
}

// timed is what a timer belongs to.
type timed interface {
	// wake is called without locks when the time has come. It may come late, or after the timer was stopped.
	wake(now time.Duration)
	// forget is called with the shard's lock held to remove a lingering transaction from the table.
	forget(sh *shard)
}

// node is a timer: a link in a slot of the wheel or in the list of lingering transactions.
type node struct {
	next, prev *node
	in         *list
	at         time.Duration
	owner      timed
}

// list is a doubly linked list of nodes.
type list struct {
	head, tail *node
	len        int
}

func (l *list) push(n *node) {
	n.in, n.prev, n.next = l, l.tail, nil
	if l.tail != nil {
		l.tail.next = n
	} else {
		l.head = n
	}
	l.tail = n
	l.len++
}

// unlink takes a node out of whatever list it is in.
func (n *node) unlink() {
	l := n.in
	if l == nil {
		return
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.head = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		l.tail = n.prev
	}
	l.len--
	n.in, n.prev, n.next = nil, nil, nil
}

// wheel holds timers in slots of 50 ms. A timer never comes early, and up to a slot and the lateness of the
// clock's goroutine late.
type wheel struct {
	slot [slotCount]list
	turn int64 // the slot number up to which everything has come
}

// set arms n for at, whatever it was armed for before; 0 disarms it.
func (w *wheel) set(n *node, at time.Duration) {
	n.unlink()
	n.at = at
	if at == 0 {
		return
	}
	due := int64((at + slotTime - 1) / slotTime)
	if due <= w.turn {
		due = w.turn + 1
	}
	w.slot[due%slotCount].push(n)
}

// advance takes every timer off that is due at now and appends its owner to due.
func (w *wheel) advance(now time.Duration, due []timed) []timed {
	end := int64(now / slotTime)
	if end-w.turn > slotCount { // the clock stood still for more than a turn: visiting each slot once is enough
		w.turn = end - slotCount
	}
	for w.turn < end {
		w.turn++
		for n := w.slot[w.turn%slotCount].head; n != nil; {
			next := n.next
			if n.at <= now {
				n.unlink()
				due = append(due, n.owner)
			}
			n = next
		}
	}
	return due
}

// arm sets a transaction's timer. A transaction that lingers does not need the wheel: all of them linger for the
// same time, so a list in the order of their coming is in the order of their ending, and its head is the one to
// give up when there are too many.
func (sh *shard) arm(n *node, at time.Duration, lingers bool) {
	if n.in != nil && n.at == at {
		return
	}
	if !lingers || sh.linger.tail != nil && sh.linger.tail.at > at {
		sh.wheel.set(n, at)
		return
	}
	n.unlink()
	n.at = at
	sh.linger.push(n)
	for sh.linger.len > sh.max {
		sh.drop()
	}
}

// drop forgets the transaction that lingers longest.
func (sh *shard) drop() {
	n := sh.linger.head
	n.unlink()
	n.owner.forget(sh)
}

// expire ends what has lingered long enough and collects the owners of due timers.
func (sh *shard) expire(now time.Duration, due []timed) []timed {
	for n := sh.linger.head; n != nil && n.at <= now; n = sh.linger.head {
		n.unlink()
		due = append(due, n.owner)
	}
	return sh.wheel.advance(now, due)
}
