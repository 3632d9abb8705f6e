package engine

import "time"

// follow decides which source is the stream: the one that came last, as after a transfer or when music begins. Packets
// of the one before that come within a second are late.
type follow struct {
	live     bool
	ssrc     uint32
	retired  uint32
	switched time.Time
}

const lateSource = time.Second

// hear takes the source of a packet. First says that it is another than before; ok is false when the packet is late.
func (f *follow) hear(now time.Time, ssrc uint32) (first, ok bool) {
	switch {
	case f.live && ssrc == f.ssrc:
		return false, true
	case f.live && ssrc == f.retired && now.Sub(f.switched) < lateSource:
		return false, false
	case f.live:
		f.retired, f.switched = f.ssrc, now
	}
	f.live, f.ssrc = true, ssrc
	return true, true
}
