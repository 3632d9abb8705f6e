// Package jitter is the buffer between the network, which delivers packets early, late, twice, out of order or not
// at all, and the ear, which wants a frame every twenty milliseconds.
//
// The buffer measures how much later than the fastest packets the slow ones arrive, and plays that much later. It
// does nothing by itself: packets are put in when they arrive, frames are taken when they are to be played, and
// both say what time it is. Time is a duration since any fixed moment, on one clock that does not jump.
//
//	f := b.Take(now, quiet)
//	switch f.Kind {
//	case jitter.Audio: // decode f.Payload
//	case jitter.Lost: // conceal
//	case jitter.Silence, jitter.Empty: // comfort noise, or conceal for the first few
//	}
//	b.Played(samples) // in units of the RTP clock
//
// A clock that differs from the sender's is compensated by the same means: too much in the buffer, and a frame is
// left out, best in a quiet moment; too little, and one is invented.
package jitter

import (
	"slices"
	"time"
)

const (
	slots      = 128  // packets: 2.5 seconds at 20 ms
	maxPayload = 2048 // octets; audio has less than 1500
	window     = 256  // arrivals that the target is computed from: five seconds
	recompute  = 16   // arrivals between two computations
	share      = 97   // per cent of packets that shall arrive in time
	maxJump    = 1000 // sequence numbers; a greater step is another stream (RFC 3550 A.1 has 3000 and 100)
	maxLost    = 5    // frames concealed in a row; what is missing beyond that is silence
)

// Config is how a buffer works. The zero value of a field takes its default.
type Config struct {
	Clock    int           // units of the timestamp in a second; 8000
	Frame    int           // units in a frame, until the stream shows its own; 20 ms
	Initial  time.Duration // delay before anything is known of the network; 40 ms
	Min, Max time.Duration // bounds of the delay; 20 and 400 ms
}

// Verdict is what became of a packet.
type Verdict uint8

// Verdicts.
const (
	Stored    Verdict = iota
	Late              // its time has passed
	Duplicate         // it is here already
	Stray             // its number is far from all others: one such packet proves nothing, two in a row a new stream
	TooLarge
)

// Kind says what a Frame is.
type Kind uint8

// Kinds of frames.
const (
	Empty   Kind = iota // nothing has come: the stream has not begun, has paused, or the network stalls
	Audio               // decode Payload
	Lost                // a packet is missing and later ones are here
	Silence             // the sender left out a time in which it had nothing to send
)

// Frame is what is to be played next.
type Frame struct {
	Kind Kind
	// Payload and Type are the packet's, valid until the next Put. Those of a Lost frame are the packet that
	// follows, when that is here, for codecs that carry a copy of the frame before (Opus).
	Payload   []byte
	Type      uint8
	Timestamp uint32
	Skipped   bool // a frame before this one was left out to catch up
}

// Stats counts what happened. Jitter is RFC 3550 6.4.1, in units of the timestamp.
type Stats struct {
	Received, Late, Duplicate, Stray uint64
	Lost                             uint64 // frames that had to be concealed
	Skipped                          uint64 // packets left out to catch up
	Restarts                         uint64 // new streams under the same source
	Jitter                           uint32
	Target, Delay                    time.Duration // what is wanted, and what the last frame had
}

// Buffer is the buffer of one stream (one SSRC). It allocates only until each of its slots was used once. Not safe
// for concurrent use.
type Buffer struct {
	conf      Config
	min, max  int64 // bounds of target, all times from here in units of the clock
	slots     [slots]slot
	count     int
	begun     bool  // a packet has been seen
	playing   bool  // the first frame was taken
	maxSeq    int64 // greatest number seen, extended over the 16 bits
	maxTS     int64 // and its timestamp, extended
	strays    int64 // the number that would make a stray the second one, -1 for none
	frame     int64 // length of a packet
	nextSeq   int64 // to be played next
	want      int64 // timestamp of the next sample
	stretched int64 // what was invented since the last real frame
	lost      int   // frames in a row
	since     int   // frames since one was left out
	last      Kind

	transits [window]int64 // arrival minus timestamp, of the last packets
	sorted   [window]int64
	arrivals int64 // how many, of this stream
	base     int64 // least of transits: the fastest packet
	target   int64 // wanted delay behind it
	previous int64 // transit of the packet before, for Jitter
	jitter   int64 // times 16

	stats Stats
}

type slot struct {
	full bool
	seq  int64
	ts   int64
	typ  uint8
	data []byte
}

// New returns an empty buffer.
func New(c Config) *Buffer {
	if c.Clock <= 0 {
		c.Clock = 8000
	}
	if c.Frame <= 0 {
		c.Frame = c.Clock / 50
	}
	def := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	def(&c.Min, 20*time.Millisecond)
	def(&c.Max, 400*time.Millisecond)
	def(&c.Initial, 40*time.Millisecond)
	b := &Buffer{conf: c}
	b.min, b.max = b.units(c.Min), b.units(max(c.Min, c.Max))
	b.Reset()
	return b
}

// Reset empties the buffer, as for another source. Counts are kept.
func (b *Buffer) Reset() {
	for i := range b.slots {
		b.slots[i].full = false
	}
	b.count, b.begun, b.playing, b.strays = 0, false, false, -1
	b.frame, b.stretched, b.lost, b.since, b.last = int64(b.conf.Frame), 0, 0, 0, Empty
	b.arrivals, b.jitter = 0, 0
	b.target = min(max(b.units(b.conf.Initial), b.min), b.max)
}

func (b *Buffer) units(d time.Duration) int64 {
	return int64(d) * int64(b.conf.Clock) / int64(time.Second)
}

func (b *Buffer) duration(u int64) time.Duration {
	return time.Duration(u * int64(time.Second) / int64(b.conf.Clock))
}

// Stats returns the counts so far.
func (b *Buffer) Stats() Stats {
	s := b.stats
	s.Jitter = uint32(b.jitter >> 4)
	s.Target = b.duration(b.target)
	return s
}

// Put takes the packet that arrived at now. The payload is copied.
func (b *Buffer) Put(now time.Duration, seq uint16, ts uint32, typ uint8, payload []byte) Verdict {
	if len(payload) > maxPayload {
		return TooLarge
	}
	b.stats.Received++
	if !b.begun {
		b.begin(int64(seq)+1<<16, int64(ts)+1<<32) // room to count backwards
	}
	ext := b.maxSeq + int64(int16(seq-uint16(b.maxSeq)))
	extTS := b.maxTS + int64(int32(ts-uint32(b.maxTS)))
	if step := ext - b.maxSeq; step > maxJump || step < -maxJump {
		if b.strays != int64(seq) {
			b.strays = int64(seq + 1)
			b.stats.Stray++
			return Stray
		}
		b.restart(seq, ts)
		ext, extTS = b.maxSeq, b.maxTS
	} else if step > 0 && (extTS < b.maxTS || extTS-b.maxTS > 60*int64(b.conf.Clock)) {
		b.restart(seq, ts) // numbers go on and the time jumps: the sender has put another clock behind them
		ext, extTS = b.maxSeq, b.maxTS
	}
	b.strays = -1
	if b.playing && b.count == 0 && b.stretched > int64(b.conf.Clock) && ext >= b.nextSeq {
		// After a pause the first packet is played when it has waited, not at once; and some senders stop their
		// clock meanwhile, so that what was learned of arrivals is void.
		b.playing, b.stretched, b.lost = false, 0, 0
		b.arrivals = 0
		b.nextSeq, b.want = ext, extTS
	}
	b.arrived(b.units(now) - extTS)
	if ext == b.maxSeq+1 && extTS > b.maxTS && extTS-b.maxTS <= int64(b.conf.Clock)/5 {
		b.frame = extTS - b.maxTS
	}
	if ext > b.maxSeq {
		b.maxSeq, b.maxTS = ext, extTS
	}
	if ext < b.nextSeq {
		if b.playing || b.maxSeq-ext >= slots {
			b.stats.Late++
			return Late
		}
		b.nextSeq, b.want = ext, extTS // nothing was played yet: this is the first one
	}
	for ext-b.nextSeq >= slots { // nobody takes, or not fast enough: the oldest goes
		if s := &b.slots[b.nextSeq%slots]; s.full {
			s.full = false
			b.count--
			b.stats.Skipped++
		}
		b.nextSeq++
	}
	s := &b.slots[ext%slots]
	if s.full {
		b.stats.Duplicate++
		return Duplicate
	}
	*s = slot{true, ext, extTS, typ, append(s.data[:0], payload...)}
	b.count++
	return Stored
}

func (b *Buffer) begin(seq, ts int64) {
	b.begun = true
	b.maxSeq, b.maxTS, b.nextSeq, b.want = seq, ts, seq, ts
}

func (b *Buffer) restart(seq uint16, ts uint32) {
	b.stats.Restarts++
	b.Reset()
	b.begin(int64(seq)+1<<16, int64(ts)+1<<32)
}

// arrived learns from the transit time of a packet, whose zero point nobody knows: only differences count.
func (b *Buffer) arrived(transit int64) {
	if b.arrivals == 0 {
		b.base = transit
	} else {
		d := transit - b.previous
		b.jitter += max(d, -d) - (b.jitter+8)>>4
	}
	b.previous = transit
	b.base = min(b.base, transit)
	b.transits[b.arrivals%window] = transit
	b.arrivals++
	if b.arrivals%recompute != 0 {
		return
	}
	s := b.sorted[:min(b.arrivals, window)]
	copy(s, b.transits[:len(s)])
	slices.Sort(s)
	b.base = s[0]
	// Half a frame more: frames are taken by a clock that stands anywhere between two arrivals.
	b.target = min(max(s[len(s)*share/100]-b.base+b.frame/2, b.min), b.max)
}

// Take returns what is to be played at now. Quiet says that what was played last was hardly audible, so that a
// frame can be left out without being missed.
func (b *Buffer) Take(now time.Duration, quiet bool) Frame {
	f := b.take(b.units(now), quiet)
	b.last = f.Kind
	return f
}

func (b *Buffer) take(now int64, quiet bool) Frame {
	if b.count == 0 {
		return Frame{}
	}
	p := b.first()
	delay := now - p.ts - b.base // behind the fastest packet
	if !b.playing {
		if delay < b.target {
			return Frame{}
		}
		b.playing = true
		return b.play(p, delay)
	}
	if gap := p.ts - b.want; p.seq > b.nextSeq && b.stretched > 0 && gap > 0 {
		// What was invented while nothing was here stands for what was lost.
		n := min(gap, b.stretched)
		b.want += n
		b.stretched -= n
	}
	switch gap := p.ts - b.want; {
	case gap <= 0:
		return b.catchUp(p, now, delay, quiet)
	case p.seq > b.nextSeq && b.lost < maxLost:
		b.lost++
		b.stats.Lost++
		f := Frame{Kind: Lost, Timestamp: uint32(b.want)}
		if gap <= b.frame {
			f.Payload, f.Type = p.data, p.typ
		}
		return f
	case delay >= b.target:
		return b.play(p, delay)
	}
	return Frame{Kind: Silence, Timestamp: uint32(b.want)}
}

// first is the packet with the lowest number.
func (b *Buffer) first() *slot {
	for seq := b.nextSeq; ; seq++ {
		if s := &b.slots[seq%slots]; s.full && s.seq == seq {
			return s
		}
	}
}

// catchUp plays a packet, or the one behind it when the delay has become greater than it need be.
func (b *Buffer) catchUp(p *slot, now, delay int64, quiet bool) Frame {
	over := delay - b.target
	b.since++
	if next := &b.slots[(p.seq+1)%slots]; next.full && next.ts-p.ts <= b.frame && b.since > 5 &&
		(over > 3*b.frame || quiet && over > b.frame) {
		p.full = false
		b.count--
		b.since = 0
		b.stats.Skipped++
		f := b.play(next, now-next.ts-b.base)
		f.Skipped = true
		return f
	}
	return b.play(p, delay)
}

func (b *Buffer) play(p *slot, delay int64) Frame {
	p.full = false
	b.count--
	b.nextSeq, b.want = p.seq+1, p.ts
	b.stretched, b.lost = 0, 0
	b.stats.Delay = b.duration(delay)
	return Frame{Kind: Audio, Payload: p.data, Type: p.typ, Timestamp: uint32(p.ts)}
}

// Played says how long the frame was that Take returned, in units of the clock: what was decoded of a packet, or
// what was invented in its place.
func (b *Buffer) Played(units int) {
	switch b.last {
	case Audio, Lost:
		b.want += int64(units)
	case Empty:
		if b.playing {
			b.stretched += int64(units)
		}
	}
}
