package engine

import (
	"math/rand/v2"
	"time"
)

// line is the numbering of what is sent to a leg: one stream with one SSRC, whatever sources feed it one after another.
// The numbers of a source that is forwarded are moved by an offset, so that what was lost before stays missing, while
// what was left out on purpose leaves no gap. The timestamp goes on with the time when sources change.
type line struct {
	ssrc    uint32
	begun   bool // something was sent
	seq     uint16
	ts      uint32
	at      time.Time // when seq was sent
	packets uint32
	octets  uint32 // of payload
	clock   int    // of ts

	source  follow // the source that is being forwarded, while live
	highest uint16 // of it
	seqOff  uint16
	tsOff   uint32
	stray   int32      // the number that would make a far packet the second one, -1 for none
	left    [16]uint16 // numbers of the source that were left out, the newest ones
	leftN   int
}

// maxJump is in sequence numbers; more is another stream, if a second packet agrees (RFC 3550 A.1).
const maxJump = 1000

// newLine returns a line that has sent nothing; ssrc 0 is a random one. Where numbers begin is random (RFC 3550 5.1).
func newLine(ssrc uint32) line {
	for ssrc == 0 {
		ssrc = rand.Uint32()
	}
	return line{ssrc: ssrc, seq: uint16(rand.Uint32()), ts: rand.Uint32(), stray: -1}
}

// pass gives a packet of a source its numbers. First says that the source is a new one, or goes on after something
// else; ok is false for a packet that must not be sent: it comes late from a source that was left, or is a stray.
// Clock is how many units a second has.
func (l *line) pass(now time.Time, ssrc uint32, seq uint16, ts uint32, clock int) (outSeq uint16, outTS uint32, first, ok bool) {
	if first, ok = l.source.hear(now, ssrc); !ok {
		return 0, 0, false, false
	}
	if step := int16(seq - l.highest); !first && (step > maxJump || step < -maxJump) {
		if l.stray != int32(seq) {
			l.stray = int32(seq + 1)
			return 0, 0, false, false
		}
		first = true
	}
	l.stray = -1
	if first {
		l.leftN = 0
		l.highest = seq
		l.seqOff = l.seq + 1 - seq
		l.tsOff = l.resumeAt(now, clock) - ts
	}
	outSeq, outTS = seq+l.seqOff, ts+l.tsOff
	if int16(seq-l.highest) >= 0 {
		l.highest = seq
		return outSeq, outTS, first, true
	}
	// A late packet is numbered as if it had come in time.
	for i := range min(l.leftN, len(l.left)) {
		switch d := int16(l.left[i] - seq); {
		case d > 0 && d <= maxJump: // what was left out long ago looks like the future
			outSeq++
		case d == 0: // it was left out, and here it is again
			return 0, 0, false, false
		}
	}
	return outSeq, outTS, false, true
}

// leave is told of a packet of the source that is not sent, so that nobody takes it for lost.
func (l *line) leave(ssrc uint32, seq uint16) {
	if !l.source.live || ssrc != l.source.ssrc {
		return
	}
	if step := int16(seq - l.highest); step <= 0 || step > maxJump {
		return
	}
	l.highest = seq
	l.left[l.leftN%len(l.left)] = seq
	l.leftN++
	l.seqOff--
}

// original is the number that the source gave to what was sent as seq; ok is false when nothing is forwarded, or the
// answer is not known any more.
func (l *line) original(seq uint16) (uint16, bool) {
	if !l.source.live || int16(seq-(l.highest+l.seqOff)) > 0 {
		return 0, false
	}
	in := seq - l.seqOff
	for n := 1; n <= l.leftN; n++ {
		d := int16(l.left[(l.leftN-n)%len(l.left)] - in)
		if d < 0 || d > maxJump {
			break
		}
		if n == len(l.left) {
			return 0, false
		}
		in--
	}
	return in, true
}

// sent notes a packet that went out.
func (l *line) sent(now time.Time, seq uint16, ts uint32, clock, payload int) {
	l.packets++
	l.octets += uint32(payload)
	if !l.begun || int16(seq-l.seq) > 0 {
		l.begun, l.seq, l.ts, l.at, l.clock = true, seq, ts, now, clock
	}
}

// next numbers a packet that was made here. It ends the forwarding of a source: the next packet of one is its first.
func (l *line) next() uint16 {
	l.source.live = false
	return l.seq + 1
}

// resumeAt is the timestamp of something new that is sent now.
func (l *line) resumeAt(now time.Time, clock int) uint32 {
	if !l.begun {
		return l.ts
	}
	past := min(max(now.Sub(l.at), 20*time.Millisecond), time.Hour)
	return l.ts + uint32(int64(past)*int64(clock)/int64(time.Second))
}

// stampAt is the timestamp of what would be sent now.
func (l *line) stampAt(now time.Time) uint32 {
	past := min(max(now.Sub(l.at), 0), time.Hour)
	return l.ts + uint32(int64(past)*int64(l.clock)/int64(time.Second))
}
