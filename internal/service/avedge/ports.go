package avedge

import (
	"math/rand/v2"
	"sync"
	"time"
)

// reuse is how long a port rests after an allocation, and kept how long one is reserved for a client (RFC 8656 18.8).
const (
	reuse = 30 * time.Second
	kept  = 30 * time.Second
)

// pool hands out the relay ports of a range, at random, so that nobody guesses the next one. The shards of a relay share
// it. It is safe for concurrent use.
type pool struct {
	first uint16
	mu    sync.Mutex
	busy  []time.Time // until when a port is not to be had; far away while it is in use
	held  map[[8]byte]reservation
	inUse int
}

type reservation struct {
	port  uint16
	until time.Time
}

// always is longer than a server runs.
var always = time.Unix(1<<40, 0)

func newPool(first uint16, count int) *pool {
	return &pool{first: first, busy: make([]time.Time, count), held: make(map[[8]byte]reservation)}
}

// take returns a port that is free; when even is set an even one, and when reserve is set one whose neighbour was free too
// and is kept under token.
func (p *pool) take(even, reserve bool, now time.Time) (port uint16, token [8]byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	n := len(p.busy)
	for i, at := 0, rand.IntN(n); i < n; i, at = i+1, (at+1)%n {
		port := p.first + uint16(at)
		if now.Before(p.busy[at]) || even && port&1 != 0 || reserve && (at+1 == n || now.Before(p.busy[at+1])) {
			continue
		}
		p.busy[at] = always
		p.inUse++
		if reserve {
			for token == [8]byte{} {
				for j := range token {
					token[j] = byte(rand.Uint32())
				}
			}
			p.busy[at+1] = always
			p.held[token] = reservation{port + 1, now.Add(kept)}
		}
		return port, token, true
	}
	return 0, token, false
}

// redeem returns the port that is kept under a token.
func (p *pool) redeem(token [8]byte, now time.Time) (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	r, ok := p.held[token]
	if ok {
		delete(p.held, token)
		p.inUse++
	}
	return r.port, ok
}

// expire gives reserved ports back that nobody came for.
func (p *pool) expire(now time.Time) {
	for t, r := range p.held {
		if !now.Before(r.until) {
			delete(p.held, t)
			p.busy[r.port-p.first] = time.Time{}
		}
	}
}

// release gives a port back, after which it rests.
func (p *pool) release(port uint16, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy[port-p.first] = now.Add(reuse)
	p.inUse--
}

func (p *pool) used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}
