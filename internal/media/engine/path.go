package engine

import (
	"sync"
	"time"

	"parley/internal/media/dtmf"
	"parley/internal/rtp"
	"parley/internal/sdp"
)

// path is one direction of a bridge: what comes from one leg and goes to the other. RTP of the first leg, RTCP of both
// and the worker meet in it; each holds mu, and never that of the other path as well.
type path struct {
	kind   Kind
	epoch  time.Time // what durations are counted from
	attach func()    // puts the bridge on a worker

	mu     sync.Mutex
	closed bool
	from   Leg
	to     Leg

	formats [128]format // by the payload type of what comes
	ids     *[256]uint8 // of header extensions
	open    bool        // what comes may go there
	forward bool        // and goes as it is, where formats say so

	in      reception
	line    line
	cname   string // ours towards the listener
	us      uint32 // our SSRC towards the speaker
	ourName string // and name
	remote  remote // what the listener reports
	sent    [4]sentReport
	sentN   int
	sentOf  uint32 // packets at the last report
	repair  *cache // video
	wantKey bool   // a picture to begin with is to be asked for
	keyAt   time.Time
	fir     uint8
	scratch []byte // for RTCP

	dropped Dropped

	music    Source        // what the listener hears in place of the speaker
	ended    chan struct{} // closed at the end of music
	recorder Sink          // who listens to the speaker as well
	keys     *dtmf.Receiver
	pressed  bool  // a key of the speaker is down
	coded    bool  // the speaker uses a codec that has to be decoded, though there is one that need not be
	work     *work // nil when all is forwarded
}

// use says what a payload type is.
type use uint8

const (
	unknown use = iota
	voice
	event
	noise
)

// format is what is to be done with a payload type.
type format struct {
	use   use
	codec sdp.Codec
	pass  bool // the other peer takes it
	out   uint8
}

// Dropped counts packets that came and were not for the other leg.
type Dropped struct {
	Closed  uint64 // the direction was not open: a leg on hold
	Unknown uint64 // of a payload type that was not agreed upon, or that the other leg has nothing for
	Stray   uint64 // of a source that was left, or far from its stream
	Broken  uint64 // not RTP, not RTCP, or not of the codec
}

// set takes what was agreed upon, first or anew.
func (p *path) set(from, to Leg) {
	first := p.scratch == nil
	p.from, p.to = from, to
	if first || to.SSRC != 0 && to.SSRC != p.line.ssrc {
		p.line = newLine(to.SSRC)
	}
	if first {
		p.scratch = make([]byte, 0, maxControl)
		p.in.stray = -1
	}
	wasOpen := p.open
	p.open = from.speaks() && to.listens()
	if !p.open {
		p.line.source.live = false // what comes afterwards goes on without a gap
	}
	p.ids = extensionMap(from.Extensions, to.Extensions)
	p.formats = [128]format{}
	for _, c := range from.Receive {
		f := format{use: voice, codec: c}
		switch {
		case c.Type > 127 || isRepair(c):
			continue
		case isEvent(c):
			f.use = event
		case isNoise(c):
			f.use = noise
		}
		f.out, f.pass = mapped(c, to.Send)
		p.formats[c.Type] = f
	}
	p.coded = false
	if p.kind == Video {
		if to.Feedback.NACK && p.repair == nil {
			p.repair = &cache{}
		}
		p.wantKey = p.open && !wasOpen
	}
}

// receive is an RTP packet of the first leg.
func (p *path) receive(b []byte, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pkt, err := rtp.Parse(b)
	if err != nil || p.closed {
		p.dropped.Broken++
		return
	}
	f := &p.formats[pkt.Type()]
	if f.use == unknown {
		p.dropped.Unknown++
		return
	}
	p.in.packet(now, pkt, f.codec.Clock, f.use == voice)
	if !p.open {
		p.dropped.Closed++
		return
	}
	switch {
	case f.use == event:
		p.event(pkt, f, now)
		return
	case p.work != nil && p.work.hear != nil && p.work.hear.takes(pkt.Type()):
		p.work.put(p, pkt, f, now)
	case !p.forward:
		p.dropped.Unknown++
	case f.use == voice && !f.pass && !p.coded && p.canCode():
		// The peer took the one codec of several that the other has not.
		p.coded = true
		if p.arrange() == nil && p.work != nil && p.work.hear != nil {
			p.attach()
			p.work.put(p, pkt, f, now)
			return
		}
	}
	if p.forward {
		p.pass(pkt, f, now)
	}
}

// event is a telephone-event packet.
func (p *path) event(pkt rtp.Packet, f *format, now time.Time) {
	if p.keys != nil {
		p.key(p.keys.Receive(now.Sub(p.epoch), pkt.Timestamp(), pkt.Marker(), pkt.Payload()))
	}
	switch {
	case p.forward:
		p.pass(pkt, f, now)
	case p.work != nil:
		p.work.event(p, pkt, f, now)
	}
}

// pass sends a packet on as it is, under the numbers of the line.
func (p *path) pass(pkt rtp.Packet, f *format, now time.Time) {
	ssrc, seq := pkt.SSRC(), pkt.Seq()
	if !f.pass {
		p.dropped.Unknown++
		p.line.leave(ssrc, seq)
		return
	}
	outSeq, outTS, first, ok := p.line.pass(now, ssrc, seq, pkt.Timestamp(), f.codec.Clock)
	if !ok {
		p.dropped.Stray++
		return
	}
	pkt = pkt.MapElements(p.ids)
	pkt.SetType(f.out)
	pkt.SetSeq(outSeq)
	pkt.SetTimestamp(outTS)
	pkt.SetSSRC(p.line.ssrc)
	if first && p.kind == Audio {
		pkt.SetMarker(true)
	}
	p.send(pkt.Bytes(), outSeq, outTS, f.codec.Clock, len(pkt.Payload()), now)
	if first && p.kind == Video || p.wantKey {
		p.wantKey = false
		p.askKey(now)
	}
}

// send sends a packet of the line. Errors are the transport's to count.
func (p *path) send(pkt []byte, seq uint16, ts uint32, clock, payload int, now time.Time) {
	p.line.sent(now, seq, ts, clock, payload)
	if p.repair != nil {
		p.repair.put(now, seq, pkt)
	}
	_ = p.to.Transport.WriteRTP(pkt)
}
