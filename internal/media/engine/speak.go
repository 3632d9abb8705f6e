package engine

import (
	"time"

	"parley/internal/media/dtmf"
	"parley/internal/media/opus"
	"parley/internal/media/resample"
	"parley/internal/rtp"
	"parley/internal/sdp"
)

const (
	maxPayload = 1400 // octets of audio in a packet
	keyLength  = 100 * time.Millisecond
	keyGap     = 50 * time.Millisecond
)

// speech makes packets of frames of 20 ms.
type speech struct {
	encoder
	codec  sdp.Codec
	from   *resample.Resampler // from the rate of the frames; nil when it is the same
	length int                 // samples in a packet
	units  uint32              // of the timestamp in a packet
	tick   uint32              // and in a tick

	running bool   // ts is known
	ts      uint32 // of the beginning of the next tick
	talking bool   // the last tick was sent
	have    []int16
	room    []int16
	begins  uint32 // timestamp of have
	buf     []byte

	event  *sdp.Codec // telephone-event of the peer, nil when it has none
	digits *dtmf.Sender
}

// newSpeech returns what speaks to a peer that takes the given formats, from frames at rate.
func newSpeech(cs []sdp.Codec, rate int, packet time.Duration) (*speech, error) {
	c, ok := speakable(cs)
	if !ok {
		return nil, ErrNoCodec
	}
	e, err := newEncoder(c, rate)
	if err != nil {
		return nil, err
	}
	if packet == 0 {
		packet = tickTime
	}
	ms := int(packet / time.Millisecond)
	if _, any := e.(opusEncoder); any { // its frames have no other lengths
		switch {
		case ms >= 60:
			ms = 60
		case ms >= 40:
			ms = 40
		case ms >= 20:
			ms = 20
		default:
			ms = 10
		}
	}
	s := &speech{
		encoder: e,
		codec:   c,
		length:  e.rate() / 1000 * ms,
		units:   uint32(c.Clock / 1000 * ms),
		tick:    uint32(c.Clock / 50),
		room:    make([]int16, e.rate()/1000*(ms+int(tickTime/time.Millisecond))),
		buf:     make([]byte, rtp.HeaderLen, rtp.HeaderLen+max(maxPayload, opus.MaxPacket)),
	}
	if e.rate() != rate {
		if s.from, err = resample.New(rate, e.rate()); err != nil {
			e.close()
			return nil, err
		}
	}
	if ev, ok := eventOf(cs, c.Clock); ok {
		s.event = &ev
		s.digits = dtmf.NewSender(ev.Clock/50, count(keyGap, ev.Clock))
	}
	return s, nil
}

// speakable is the best of a peer's formats that can be encoded here.
func speakable(cs []sdp.Codec) (sdp.Codec, bool) {
	for _, c := range cs {
		if _, ok := codecRate(c); ok {
			return c, true
		}
	}
	return sdp.Codec{}, false
}

// eventOf is the telephone-event format that belongs to a clock (RFC 4733 2.6: that of the audio), or any.
func eventOf(cs []sdp.Codec, clock int) (ev sdp.Codec, ok bool) {
	for _, c := range cs {
		if isEvent(c) && c.Clock > 0 && (!ok || c.Clock == clock) {
			ev, ok = c, true
		}
	}
	return ev, ok
}

// speak sends a frame of the path, or lets the time pass when live is false.
func (s *speech) speak(p *path, frame []int16, live bool, now time.Time) {
	if !s.running {
		s.running, s.ts = true, p.line.resumeAt(now, s.codec.Clock)
		s.have = s.room[:0]
	}
	at := s.ts
	s.ts += s.tick
	if s.digits != nil && s.digits.Busy() {
		if pkt, ok := s.digits.Next(at); ok {
			s.sendEvent(p, pkt, now)
		}
		live = false
	}
	if !live {
		s.talking, s.have = false, s.room[:0]
		return
	}
	first := !s.talking
	s.talking = true
	if len(s.have) == 0 {
		s.begins = at
	}
	n := len(s.have)
	if s.from == nil {
		s.have = s.room[:n+copy(s.room[n:], frame)]
	} else {
		s.have = s.room[:n+s.from.Process(s.room[n:], frame)]
	}
	for len(s.have) >= s.length {
		k, err := s.encode(s.buf[rtp.HeaderLen:cap(s.buf)], s.have[:s.length])
		if err == nil && k > 0 {
			s.send(p, rtp.Header{Marker: first, Type: s.codec.Type, Timestamp: s.begins}, s.begins, k, now)
			first = false
		}
		s.begins += s.units
		s.have = s.room[:copy(s.room, s.have[s.length:])]
	}
}

// send completes the head of the packet whose payload of k octets lies in buf. Stamp is where the line stands.
func (s *speech) send(p *path, h rtp.Header, stamp uint32, k int, now time.Time) {
	h.Seq, h.SSRC = p.line.next(), p.line.ssrc
	h.Append(s.buf[:0])
	p.send(s.buf[:rtp.HeaderLen+k], h.Seq, stamp, s.codec.Clock, k, now)
}

func (s *speech) sendEvent(p *path, e dtmf.Packet, now time.Time) {
	k := len(e.Payload.Append(s.buf[rtp.HeaderLen:rtp.HeaderLen])) // four octets, into buf
	s.send(p, rtp.Header{Marker: e.Marker, Type: s.event.Type, Timestamp: e.Timestamp}, s.ts, k, now)
}

// press sends a digit as an event; false when the peer has none, or too many wait.
func (s *speech) press(e dtmf.Event) bool {
	return s.digits != nil && s.digits.Press(e, count(keyLength, s.event.Clock))
}

// count is how many units of a clock, or samples of a rate, a time has.
func count(d time.Duration, hertz int) int { return int(int64(d) * int64(hertz) / int64(time.Second)) }
