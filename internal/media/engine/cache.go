package engine

import "time"

const (
	cacheSize = 256 // packets: a second of a picture of 2.5 Mbit/s
	again     = 20 * time.Millisecond
)

// cache holds what was last sent to a leg, for one that says that something is missing. It allocates until each of its
// places was used once.
type cache struct {
	slots [cacheSize]cached
}

type cached struct {
	full bool
	seq  uint16
	at   time.Time // when it was last sent
	data []byte
}

func (c *cache) put(now time.Time, seq uint16, pkt []byte) {
	s := &c.slots[seq%cacheSize]
	*s = cached{true, seq, now, append(s.data[:0], pkt...)}
}

// get returns a packet; known is true and the packet nil for one that was sent a moment ago, as to an earlier request.
func (c *cache) get(now time.Time, seq uint16) (pkt []byte, known bool) {
	s := &c.slots[seq%cacheSize]
	if !s.full || s.seq != seq {
		return nil, false
	}
	if now.Sub(s.at) < again {
		return nil, true
	}
	s.at = now
	return s.data, true
}
