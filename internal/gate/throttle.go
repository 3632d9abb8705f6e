package gate

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// throttle is a bucket of tokens for each key. A bucket that is full again is
// forgotten, so memory follows what goes on at the moment, up to a bound.
type throttle struct {
	every time.Duration // one token comes back
	burst int           // tokens in a full bucket
	seed  maphash.Seed
	shard [16]throttleShard
}

// throttleShard keeps, for each key, when its bucket will be full again
// (generic cell rate algorithm): one number says how many tokens are missing.
type throttleShard struct {
	mu     sync.Mutex
	fullAt map[source]int64 // Unix nanoseconds
	sweep  int64
}

// maxSources bounds the keys of one shard. Beyond it unknown keys share one
// bucket: an attack from very many addresses is then limited as a whole.
const maxSources = 8192

// source is whom a bucket belongs to: an address, an IPv6 network, or an
// address together with the name somebody tries there. Datagrams, whose source
// may be forged, are told from connections.
type source struct {
	addr   netip.Addr
	name   uint64
	stream bool
}

func newThrottle(perSecond float64, burst int) *throttle {
	t := &throttle{every: time.Duration(float64(time.Second) / perSecond), burst: burst, seed: maphash.MakeSeed()}
	for i := range t.shard {
		t.shard[i].fullAt = make(map[source]int64)
	}
	return t
}

// network returns what of an address counts as one source.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (t *throttle) of(k source) *throttleShard {
	return &t.shard[maphash.Comparable(t.seed, k)%uint64(len(t.shard))]
}

// take takes a token and reports whether there was one.
func (t *throttle) take(k source, now time.Time) bool {
	s, n := t.of(k), now.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	k = s.room(k, n)
	at := max(s.fullAt[k], n)
	if at-n > int64(t.every)*int64(t.burst-1) {
		return false
	}
	s.fullAt[k] = at + int64(t.every)
	return true
}

// empty reports whether the bucket has no token left, without taking one.
func (t *throttle) empty(k source, now time.Time) bool {
	s, n := t.of(k), now.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fullAt[k]-n > int64(t.every)*int64(t.burst-1)
}

// giveBack returns one token.
func (t *throttle) giveBack(k source, now time.Time) {
	s, n := t.of(k), now.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.fullAt[k]
	if !ok {
		return
	}
	if at -= int64(t.every); at <= n {
		delete(s.fullAt, k)
	} else {
		s.fullAt[k] = at
	}
}

// room makes place for a new key, or returns the key that all newcomers share.
func (s *throttleShard) room(k source, now int64) source {
	if _, known := s.fullAt[k]; known || len(s.fullAt) < maxSources {
		return k
	}
	if now-s.sweep > int64(time.Second) {
		s.sweep = now
		for old, at := range s.fullAt {
			if at <= now {
				delete(s.fullAt, old)
			}
		}
		if len(s.fullAt) < maxSources {
			return k
		}
	}
	return source{stream: k.stream}
}
