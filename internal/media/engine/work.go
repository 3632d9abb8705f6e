package engine

import (
	"time"

	"parley/internal/media/dtmf"
	"parley/internal/media/resample"
	"parley/internal/media/tone"
	"parley/internal/rtp"
	"parley/internal/sdp"
)

// work is what a path does beside forwarding, or in its place, at every tick of a worker: it hears the peer, or something
// in this process, and speaks to the other, or is listened to here. The path's mutex protects it.
type work struct {
	rate  int
	heard []int16 // what the peer said
	frame []int16 // what is said in its place

	hear  *hearing // nil when nothing is decoded
	speak *speech  // nil when nothing is encoded
	play  *playing // in place of the peer
	sink  *tap     // a leg in this process
	tap   *tap     // a recording of the peer

	heardAs, spokenAs []sdp.Codec // for which hear and speak were made
	packet            time.Duration

	relay  relay     // events of one peer to the other
	tones  *keyTones // events into tones, for a peer that has none
	detect *detect   // tones into events, of a peer that has none
}

func newWork(rate int) *work {
	return &work{rate: rate, heard: make([]int16, rate/50), frame: make([]int16, rate/50)}
}

func (w *work) closeHear() {
	if w.hear != nil {
		w.hear.close()
	}
}

func (w *work) closeSpeak() {
	if w.speak != nil {
		w.speak.close()
	}
}

// playing reads a source at the rate of a path.
type playing struct {
	from Source
	conv *converter
}

// tap gives frames of a path to a sink.
type tap struct {
	to   Sink
	conv *converter
}

// converter changes the rate of frames; a nil one does not.
type converter struct {
	*resample.Resampler
	buf []int16
}

func newConverter(from, to int) (*converter, error) {
	if from == to {
		return nil, nil
	}
	r, err := resample.New(from, to)
	if err != nil {
		return nil, err
	}
	return &converter{r, make([]int16, max(from, to)/50)}, nil
}

func newTap(s Sink, rate int) (*tap, error) {
	c, err := newConverter(rate, s.Rate())
	return &tap{s, c}, err
}

func (t *tap) write(frame []int16) {
	if t.conv != nil {
		frame = t.conv.buf[:t.conv.Process(t.conv.buf, frame)]
	}
	t.to.Write(frame)
}

func newPlaying(s Source, rate int) (*playing, error) {
	c, err := newConverter(s.Rate(), rate)
	return &playing{s, c}, err
}

// read fills frame; false means that this was the end.
func (p *playing) read(frame []int16) bool {
	into := frame
	if p.conv != nil {
		into = p.conv.buf[:p.from.Rate()/50]
	}
	n := p.from.Read(into)
	clear(into[n:])
	if p.conv != nil {
		p.conv.Process(frame, into)
	}
	return n == len(into)
}

// relay carries events of one peer to the other under the timestamps of the line.
type relay struct {
	any     bool
	in, out uint32 // timestamp of the event, here and there
}

// detect hears digits in the audio of a peer.
type detect struct {
	*dtmf.Detector
	conv *converter // to 8000
	keys []byte
}

func newDetect(rate int) (*detect, error) {
	c, err := newConverter(rate, 8000)
	return &detect{dtmf.NewDetector(), c, make([]byte, 0, 8)}, err
}

func (d *detect) listen(frame []int16) []byte {
	if d.conv != nil {
		frame = d.conv.buf[:d.conv.Process(d.conv.buf, frame)]
	}
	d.keys = d.Detect(d.keys[:0], frame)
	return d.keys
}

// keyTones says digits in the audio, one after another. A tone lasts as long as the key is down, but not less than an ear
// needs.
type keyTones struct {
	rate    int
	queue   [16]dtmf.Event
	n       int
	player  *tone.Player
	samples int  // of the present one
	down    bool // the last one in the queue is still pressed
	gap     int  // samples of silence before the next one
}

func newKeyTones(rate int) *keyTones { return &keyTones{rate: rate} }

const leastTone = 80 * time.Millisecond

func (k *keyTones) press(e dtmf.Event) {
	if k.n < len(k.queue) {
		k.queue[k.n] = e
		k.n++
		k.down = true
	}
}

func (k *keyTones) release() { k.down = false }

// fill overwrites the frame with the tones that are due; false when there are none.
func (k *keyTones) fill(frame []int16) bool {
	if k.n == 0 && k.gap <= 0 {
		return false
	}
	clear(frame)
	if k.gap > 0 {
		k.gap -= len(frame)
		return true
	}
	if k.player == nil {
		t, ok := dtmf.Tones(k.queue[0], time.Hour, 0)
		if !ok { // flash has no tone
			k.next()
			return true
		}
		k.player, k.samples = tone.NewPlayer(k.rate, t), 0
	}
	k.player.Fill(frame)
	k.samples += len(frame)
	held := k.down && k.n == 1
	if !held && k.samples >= count(leastTone, k.rate) {
		k.next()
	}
	return true
}

func (k *keyTones) next() {
	k.n = copy(k.queue[:], k.queue[1:k.n])
	k.player, k.gap = nil, count(keyGap, k.rate)
}

// put takes a packet of a voice or of noise.
func (w *work) put(p *path, pkt rtp.Packet, f *format, now time.Time) {
	if !w.hear.put(now.Sub(p.epoch), now, pkt.SSRC(), pkt.Seq(), pkt.Timestamp(), pkt.Type(), f.codec.Clock, pkt.Payload()) {
		p.dropped.Stray++
	}
}

// event sends a telephone-event packet of the peer on. Each goes as it comes, repetitions included: they are what makes
// an event survive losses.
func (w *work) event(p *path, pkt rtp.Packet, f *format, now time.Time) {
	s := w.speak
	if s == nil || s.event == nil || !s.running {
		return
	}
	e, ok := dtmf.ParsePayload(pkt.Payload())
	if !ok {
		return
	}
	if r := &w.relay; !r.any || r.in != pkt.Timestamp() {
		r.any, r.in, r.out = true, pkt.Timestamp(), s.ts
	}
	e.Duration = uint16(min(int64(e.Duration)*int64(s.event.Clock)/int64(f.codec.Clock), 0xFFFF))
	s.sendEvent(p, dtmf.Packet{Marker: pkt.Marker(), Timestamp: w.relay.out, Payload: e}, now)
}

// key is what an event packet, or its absence, told.
func (p *path) key(h dtmf.Heard) {
	var tones *keyTones
	if p.work != nil {
		tones = p.work.tones
	}
	if h.Ended {
		p.pressed = false
		if tones != nil {
			tones.release()
		}
	}
	if h.Began {
		p.pressed = true
		if tones != nil {
			tones.press(h.Pressed)
		}
		p.tell(h.Pressed)
	}
}

func (p *path) tell(e dtmf.Event) {
	if p.from.Keys != nil {
		p.from.Keys(e)
	}
}

// tick is 20 ms of a path.
func (p *path) tick(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.work
	if w == nil || p.closed {
		return
	}
	since := now.Sub(p.epoch)
	if p.keys != nil {
		p.key(p.keys.Tick(since))
	}
	live := false
	if w.hear != nil {
		live = w.hear.frame(w.heard, since) && p.open
	} else {
		clear(w.heard)
	}
	if w.tap != nil {
		w.tap.write(w.heard)
	}
	said := w.heard
	if w.play != nil {
		said, live = w.frame, p.to.listens()
		if !w.play.read(said) {
			defer p.played()
		}
	}
	if live && w.detect != nil {
		for _, d := range w.detect.listen(said) {
			if e, ok := dtmf.ParseDigit(d); ok {
				if w.speak != nil {
					w.speak.press(e)
				}
				p.tell(e)
			}
		}
	}
	switch {
	case w.tones != nil && w.tones.fill(w.frame):
		said, live = w.frame, true
	case w.tones == nil && p.pressed:
		live = false // the event is sent in place of the audio (RFC 4733 2.5.1.2)
	}
	if w.sink != nil {
		w.sink.write(said)
	}
	if w.speak != nil {
		w.speak.speak(p, said, live, now)
	}
}

// lossThere tells the encoder what does not arrive.
func (w *work) lossThere(percent int) {
	if w.speak != nil {
		w.speak.loss(percent)
	}
}

// source is the timestamp of the peer's stream that is sent as ts.
func (w *work) source(ts uint32) (uint32, bool) {
	if w.hear == nil || w.speak == nil || !w.hear.begun || !w.speak.running || w.play != nil {
		return 0, false
	}
	d := int64(int32(ts - w.speak.ts + w.speak.tick))
	return w.hear.ts + uint32(d*int64(w.hear.current.clock)/int64(w.speak.codec.Clock)), true
}
