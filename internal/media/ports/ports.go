// Package ports hands out the media ports of a server: pairs of an even port for RTP and the next one for RTCP (RFC
// 3550 11), from the range that the topology has for a medium and the port table for everybody (audio 49152-57500,
// video 57501-65535). What is listened on is always in the range, so that a firewall rule for it is all that is needed.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Reuse is how long a pair rests after a call by default: late packets of the old call, and of a peer that has not
// noticed its end, must not reach the next one.
const Reuse = 30 * time.Second

// ErrExhausted is matched when every pair of a range is in use or rests. SIP answers 503 (or 480 to a phone).
var ErrExhausted = errors.New("no media port is free")

// Range is the ports of one medium, first and last included.
type Range struct{ First, Last uint16 }

// String is "first-last".
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// pairs are the even ports whose neighbour is in the range too.
func (r Range) pairs() (first uint16, n int) {
	first = r.First + r.First&1
	if r.First == 0 || first < r.First || r.Last <= first {
		return 0, 0
	}
	return first, (int(r.Last) - int(first) + 1) / 2
}

// Pool hands out the pairs of a range on one address. Each is used, then rests, and comes back after all others that
// are free, so that reuse is as late as it can be; the order is random, so that nobody guesses the next one. Safe for
// concurrent use; nothing is allocated after New.
type Pool struct {
	r     Range
	first uint16
	reuse time.Duration

	mu    sync.Mutex
	queue []rest // ring of what is not in use
	head  int
	n     int
	taken []bool
}

// rest is a pair that waits to be used.
type rest struct {
	pair uint16 // its number in the range
	from time.Time
}

// New returns a pool of a range; reuse is how long a pair rests. A range without a single pair is an error.
func New(r Range, reuse time.Duration) (*Pool, error) {
	first, n := r.pairs()
	if n == 0 {
		return nil, fmt.Errorf("media ports %v: no even port with its neighbour in the range", r)
	}
	p := &Pool{r: r, first: first, reuse: reuse, queue: make([]rest, n), n: n, taken: make([]bool, n)}
	for i, pair := range rand.Perm(n) {
		p.queue[i].pair = uint16(pair)
	}
	return p, nil
}

// Take returns the RTP port of a free pair, whose RTCP port is the next one. It must be given back by Release.
func (p *Pool) Take(now time.Time) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		return 0, fmt.Errorf("%w in %v: all %d pairs are in use", ErrExhausted, p.r, len(p.taken))
	}
	next := p.queue[p.head]
	if next.from.After(now) {
		return 0, fmt.Errorf("%w in %v: %d pairs are in use, %d rest after a call", ErrExhausted, p.r, len(p.taken)-p.n, p.n)
	}
	p.head = (p.head + 1) % len(p.queue)
	p.n--
	p.taken[next.pair] = true
	return p.first + 2*next.pair, nil
}

// Release gives a pair back after its use: it rests from now on. A port that is not in use is passed over, so that
// giving back twice cannot hand out a port twice.
func (p *Pool) Release(port uint16, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pair, ok := p.release(port); ok {
		p.queue[(p.head+p.n)%len(p.queue)] = rest{pair, now.Add(p.reuse)}
		p.n++
	}
}

// giveBack returns a pair that was not used after all: it is the next one.
func (p *Pool) giveBack(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pair, ok := p.release(port); ok {
		p.head = (p.head + len(p.queue) - 1) % len(p.queue)
		p.queue[p.head] = rest{pair: pair}
		p.n++
	}
}

func (p *Pool) release(port uint16) (uint16, bool) {
	pair := (int(port) - int(p.first)) / 2
	if port < p.first || port&1 != 0 || pair >= len(p.taken) || !p.taken[pair] {
		return 0, false
	}
	p.taken[pair] = false
	return uint16(pair), true
}

// InUse is how many pairs are in use, of how many.
func (p *Pool) InUse() (used, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.taken) - p.n, len(p.taken)
}
