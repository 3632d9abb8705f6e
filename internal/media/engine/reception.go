package engine

import (
	"time"

	"parley/internal/rtp"
)

// reception is what is known of a source that is received: the counts of RFC 3550 A.1, A.3 and A.8.
type reception struct {
	heard    bool
	ssrc     uint32
	clock    int
	typ      uint8 // payload type of the last packet that was timed
	base     int64 // first number, and the greatest one, extended over the 16 bits
	max      int64
	received int64 // of this source
	last     time.Time
	ts       uint32

	stray   int32
	transit int64 // of the last packet, in units of the clock
	timed   bool  // transit is known
	jitter  int64 // times 16

	expectedThen, receivedThen int64 // at the last report

	sender   rtp.Sender // the last sender report, and when it came
	senderAt time.Time

	// Over all sources.
	packets, octets, lostBefore uint64
}

// packet counts a packet that was received. Of one that is not timed, such as an event, whose timestamp stays that of its
// beginning, no jitter is learned.
func (r *reception) packet(now time.Time, p rtp.Packet, clock int, timed bool) {
	r.packets++
	r.octets += uint64(len(p.Bytes()))
	r.last = now
	seq := p.Seq()
	if !r.heard || p.SSRC() != r.ssrc {
		r.begin(p.SSRC(), seq, clock)
		r.senderAt = time.Time{}
	}
	step := int64(int16(seq - uint16(r.max)))
	if step > maxJump || step < -maxJump {
		if r.stray != int32(seq) {
			r.stray = int32(seq + 1)
			return
		}
		r.begin(r.ssrc, seq, clock)
		step = 0
	}
	r.stray = -1
	r.received++
	if step > 0 {
		r.max += step
	}
	if !timed {
		return
	}
	r.typ = p.Type()
	if clock != r.clock { // the timestamp means something else now
		r.clock, r.timed = clock, false
	}
	// A.8; packets of one picture have the same timestamp, and say nothing of the network after the first.
	ts := p.Timestamp()
	if r.timed && ts == r.ts {
		return
	}
	transit := units(now, clock) - int64(ts)
	if r.timed {
		d := int64(int32(transit - r.transit))
		if d = max(d, -d); d < int64(10*clock) {
			r.jitter += d - (r.jitter+8)>>4
		}
	}
	r.transit, r.timed, r.ts = transit, true, ts
}

func (r *reception) begin(ssrc uint32, seq uint16, clock int) {
	if r.heard {
		r.lostBefore += uint64(max(r.expected()-r.received, 0))
	}
	r.heard, r.ssrc, r.clock = true, ssrc, clock
	r.base, r.max, r.received, r.stray = int64(seq), int64(seq), 0, -1
	r.timed, r.jitter = false, 0
	r.expectedThen, r.receivedThen = 0, 0
}

// units is a time on a clock that begins anywhere.
func units(now time.Time, clock int) int64 {
	ns := now.UnixNano()
	return ns/1e9*int64(clock) + ns%1e9*int64(clock)/1e9
}

func (r *reception) expected() int64 { return r.max - r.base + 1 }

// lost is how many packets of all sources never came.
func (r *reception) lost() uint64 {
	if !r.heard {
		return 0
	}
	return r.lostBefore + uint64(max(r.expected()-r.received, 0))
}

// interarrival is the jitter as a time.
func (r *reception) interarrival() time.Duration {
	if r.clock == 0 {
		return 0
	}
	return time.Duration(r.jitter>>4) * time.Second / time.Duration(r.clock)
}

// report is what the source is told of its stream, and begins the next interval; ok is false when there is no source.
func (r *reception) report(now time.Time) (rep rtp.Report, ok bool) {
	if !r.heard {
		return rep, false
	}
	expected, received := r.expected()-r.expectedThen, r.received-r.receivedThen
	r.expectedThen, r.receivedThen = r.expected(), r.received
	rep = rtp.Report{
		SSRC:    r.ssrc,
		Lost:    int32(min(max(r.expected()-r.received, -1<<23), 1<<23-1)),
		Highest: uint32(r.max),
		Jitter:  uint32(r.jitter >> 4),
	}
	if lost := expected - received; expected > 0 && lost > 0 {
		rep.Fraction = uint8(min(lost<<8/expected, 255))
	}
	if !r.senderAt.IsZero() {
		rep.LastSR = rtp.Middle(r.sender.NTP)
		rep.SinceSR = uint32(min(now.Sub(r.senderAt), time.Hour) * 65536 / time.Second)
	}
	return rep, true
}

// said notes a sender report.
func (r *reception) said(now time.Time, ssrc uint32, s rtp.Sender) {
	if r.heard && ssrc == r.ssrc {
		r.sender, r.senderAt = s, now
	}
}

// wall is the sender's wall clock at the moment that a timestamp of its stream stands for; ok is false while it has sent
// no report.
func (r *reception) wall(ts uint32) (ntp uint64, ok bool) {
	if r.senderAt.IsZero() || r.clock == 0 {
		return 0, false
	}
	d := int64(int32(ts - r.sender.Timestamp))
	return r.sender.NTP + uint64(d<<32/int64(r.clock)), true
}
