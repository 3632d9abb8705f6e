package engine

import (
	"time"

	"parley/internal/media/comfortnoise"
	"parley/internal/media/conceal"
	"parley/internal/media/jitter"
	"parley/internal/media/level"
	"parley/internal/media/opus"
	"parley/internal/media/resample"
	"parley/internal/sdp"
)

const (
	tickTime  = 20 * time.Millisecond
	quietFrom = 50 // -dBov: a frame that can be left out unnoticed

	// After so many ticks without a packet nothing is sent any more; a sender that announced its silence may be silent
	// longer.
	stalled = 50
	silent  = 3000
)

// hearing makes frames of 20 ms of what a peer sends: jitter buffer, decoders, concealment, comfort noise.
type hearing struct {
	rate    int // of what it gives
	speaker follow
	voices  [128]*voiceIn // by payload type
	noises  [128]bool
	buffers []*clocked
	current *clocked

	conceal *conceal.Concealer
	noise   comfortnoise.Generator
	last    *voiceIn // the codec of the last frame
	begun   bool
	paused  bool // the sender said that it is silent, or left time out
	idle    int  // ticks in which nothing came
	quiet   bool
	ts      uint32 // of the last packet that was played
	pcm     []int16
	have    []int16 // what was decoded and not taken yet
	room    []int16
	broken  uint64 // packets that could not be decoded
}

// voiceIn is a codec of the peer.
type voiceIn struct {
	decoder
	codec sdp.Codec
	to    *resample.Resampler // to the rate of hearing; nil when it is the same
	frame int                 // samples of its last packet, at its rate
}

// clocked is a jitter buffer for codecs of one clock.
type clocked struct {
	clock int
	*jitter.Buffer
}

// newHearing returns what can decode the given formats, for frames at rate.
func newHearing(cs []sdp.Codec, rate int) (*hearing, error) {
	h := &hearing{
		rate:    rate,
		conceal: conceal.New(rate),
		pcm:     make([]int16, anyRate/1000*opus.MaxFrame),
		room:    make([]int16, 2*rate/1000*opus.MaxFrame),
	}
	h.have = h.room[:0]
	for _, c := range cs {
		if isNoise(c) {
			h.noises[c.Type&0x7F] = true
			h.clock(c.Clock)
			continue
		}
		if _, ok := codecRate(c); !ok {
			continue
		}
		d, err := newDecoder(c, rate)
		if err != nil {
			h.close()
			return nil, err
		}
		v := &voiceIn{decoder: d, codec: c, frame: d.rate() / 50}
		h.voices[c.Type&0x7F] = v
		if d.rate() != rate {
			if v.to, err = resample.New(d.rate(), rate); err != nil {
				h.close()
				return nil, err
			}
		}
		h.clock(c.Clock)
		if h.last == nil {
			h.last = v
		}
	}
	return h, nil
}

// clock returns the buffer for a clock; it is made when there is none.
func (h *hearing) clock(hertz int) *clocked {
	for _, b := range h.buffers {
		if b.clock == hertz {
			return b
		}
	}
	b := &clocked{hertz, jitter.New(jitter.Config{Clock: hertz})}
	h.buffers = append(h.buffers, b)
	if h.current == nil {
		h.current = b
	}
	return b
}

func (h *hearing) close() {
	for _, v := range h.voices {
		if v != nil {
			v.close()
		}
	}
}

// takes reports whether a payload type is for hearing.
func (h *hearing) takes(typ uint8) bool { return h.voices[typ] != nil || h.noises[typ] }

// put takes a packet that arrived, of a payload type that it takes; now is since any moment. False means that it is of
// a source that was left, or too long for audio.
func (h *hearing) put(now time.Duration, at time.Time, ssrc uint32, seq uint16, ts uint32, typ uint8, clock int, payload []byte) bool {
	first, ok := h.speaker.hear(at, ssrc)
	if !ok {
		return false
	}
	if first {
		for _, v := range h.voices {
			if v != nil {
				v.reset()
			}
		}
	}
	if b := h.clock(clock); first || b != h.current {
		h.current.Reset()
		h.current = b
		b.Reset()
	}
	return h.current.Put(now, seq, ts, typ, payload) != jitter.TooLarge
}

// frame fills dst, of 20 ms, with what is to be heard now; false means that there is nobody to be heard, and dst is
// silence.
func (h *hearing) frame(dst []int16, now time.Duration) bool {
	if h.current == nil {
		clear(dst)
		return false
	}
	for len(h.have) < len(dst) {
		if !h.more(now) {
			clear(dst)
			return false
		}
	}
	copy(dst, h.have)
	h.have = h.have[:copy(h.have, h.have[len(dst):])]
	h.quiet = level.Of(dst) > quietFrom
	return true
}

// more decodes or invents what comes next.
func (h *hearing) more(now time.Duration) bool {
	f := h.current.Take(now, h.quiet)
	units := h.current.clock / 50
	switch f.Kind {
	case jitter.Audio:
		h.idle, h.begun, h.ts = 0, true, f.Timestamp
		if h.noises[f.Type] {
			h.noise.Update(f.Payload)
			h.paused = true
			h.silence()
			break
		}
		units = h.decode(h.voices[f.Type], f.Payload)
	case jitter.Lost:
		h.idle = 0
		units = h.lost(f)
	case jitter.Silence:
		h.idle, h.paused = 0, true
		h.silence()
	default:
		h.idle++
		if !h.begun || h.idle > stalled && !h.paused || h.idle > silent {
			h.forget()
			return false
		}
		if h.paused || h.conceal.Silent() {
			h.silence()
		} else {
			units = h.lost(f)
		}
	}
	h.current.Played(units)
	return true
}

// forget is the end of a stream, for the ear.
func (h *hearing) forget() {
	if h.begun {
		h.begun, h.paused = false, false
		h.conceal.Reset()
	}
	h.have = h.have[:0]
}

// add makes room for n samples behind what there is.
func (h *hearing) add(n int) []int16 {
	at := len(h.have)
	h.have = h.room[:min(at+n, len(h.room))]
	return h.have[at:]
}

func (h *hearing) decode(v *voiceIn, payload []byte) (units int) {
	n, err := v.decode(h.pcm[:v.rate()/1000*opus.MaxFrame], payload)
	if err != nil || n == 0 {
		h.broken++
		return h.lost(jitter.Frame{})
	}
	if v != h.last { // another codec, whose past is not ours
		h.last = v
		if v.to != nil {
			v.to.Reset()
		}
	}
	v.frame, h.paused = n, false
	h.conceal.Good(h.convert(v, n))
	return n * v.codec.Clock / v.rate()
}

// convert brings the n samples that were decoded to the rate of hearing, behind what there is.
func (h *hearing) convert(v *voiceIn, n int) []int16 {
	if v.to == nil {
		out := h.add(n)
		copy(out, h.pcm)
		return out
	}
	most := h.add(v.to.Len(n))
	k := v.to.Process(most, h.pcm[:n])
	h.have = h.have[:len(h.have)-len(most)+k]
	return most[:k]
}

// lost invents a frame of the length of the last one, of 60 ms at most.
func (h *hearing) lost(f jitter.Frame) (units int) {
	v := h.last
	if v == nil {
		h.silence()
		return h.current.clock / 50
	}
	n := min(v.frame, v.rate()*60/1000)
	next := f.Payload
	if h.voices[f.Type&0x7F] != v {
		next = nil
	}
	if v.conceal(h.pcm[:n], next) {
		h.conceal.Good(h.convert(v, n))
		return n * v.codec.Clock / v.rate()
	}
	k := n * h.rate / v.rate()
	h.conceal.Lost(h.add(k))
	return k * v.codec.Clock / h.rate
}

// silence is 20 ms of the noise that was described, or of nothing.
func (h *hearing) silence() { h.noise.Fill(h.add(h.rate / 50)) }
