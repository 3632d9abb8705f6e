package gate

import (
	"hash/maphash"
	"sync"
	"time"

	"parley/internal/sip/digest"
)

// replays remembers which counts of which nonces were used. It is asked for
// datagrams only: a nonce is bound to the source it was given to, and on a
// connection nobody else can repeat what was sent.
//
// It keeps two generations of bounded size. A nonce made before the older one
// began may have been forgotten, and counts as stale.
type replays struct {
	seed  maphash.Seed
	shard [16]replayShard
}

type replayShard struct {
	mu        sync.Mutex
	cur, prev map[uint64]digest.Window
	began     time.Time // of cur
	floor     time.Time // nonces made before it are stale
}

const replayEntries = 8192 // of one generation of one shard

func newReplays() *replays { return &replays{seed: maphash.MakeSeed()} }

// outcome of a use of a nonce.
type outcome uint8

const (
	first    outcome = iota // not used before with this count
	repeated                // used before: somebody replays, or a proxy before us lost its mind
	tooOld                  // cannot say
)

func (r *replays) use(nonce []byte, made time.Time, nc uint32, now time.Time) outcome {
	k := maphash.Bytes(r.seed, nonce)
	s := &r.shard[k%uint64(len(r.shard))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil {
		s.cur, s.began = make(map[uint64]digest.Window), now
	}
	w, known := s.cur[k]
	if !known {
		if w, known = s.prev[k]; !known && made.Before(s.floor) {
			return tooOld
		}
		if len(s.cur) >= replayEntries {
			s.prev, s.floor = s.cur, s.began
			s.cur, s.began = make(map[uint64]digest.Window, replayEntries), now
		}
	}
	if !w.Accept(nc) {
		return repeated
	}
	s.cur[k] = w
	return first
}
