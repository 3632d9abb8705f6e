package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/media/dtmf"
	"parley/internal/media/level"
	"parley/internal/media/opus"
	"parley/internal/media/tone"
	"parley/internal/media/wav"
	"parley/internal/rtp"
	"parley/internal/sdp"
)

// stillBridge is a bridge whose ticks are the test's.
func stillBridge(t testing.TB, one, other Leg) *Bridge {
	e, err := newStill(Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	b, err := e.Bridge(Audio, one, other)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range b.paths {
		p.epoch = start
	}
	return b
}

// phone is a peer that says a tone with one codec and decodes what it hears.
type phone struct {
	t      testing.TB
	w      *wire
	codec  sdp.Codec
	enc    encoder
	dec    decoder
	source Source
	seq    uint16
	ts     uint32
	ssrc   uint32
	packet time.Duration
	lose   func(n int) bool

	heard  []int16
	events string
	keys   *dtmf.Receiver
	types  []uint8
	stamps []uint32
}

func newPhone(t testing.TB, c sdp.Codec, hz float64) *phone {
	rate, ok := codecRate(c)
	if !ok {
		t.Fatalf("no codec %s", c.Name)
	}
	p := &phone{t: t, w: newWire(), codec: c, ssrc: 1000 + uint32(c.Type), packet: 20 * ms, keys: dtmf.NewReceiver(c.Clock)}
	var err error
	if p.enc, err = newEncoder(c, rate); err != nil {
		t.Fatal(err)
	}
	if p.dec, err = newDecoder(c, rate); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.enc.close(); p.dec.close() })
	p.source = sine{tone.NewPlayer(rate, tone.Sine(hz, -10)), rate}
	return p
}

type sine struct {
	*tone.Player
	rate int
}

func (s sine) Rate() int            { return s.rate }
func (s sine) Read(pcm []int16) int { return s.Fill(pcm) }

// speak says a packet.
func (p *phone) speak(now time.Time) {
	length := int(p.packet / ms)
	pcm, buf := make([]int16, p.enc.rate()/1000*length), make([]byte, 2000)
	p.source.Read(pcm)
	n, err := p.enc.encode(buf, pcm)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.lose == nil || !p.lose(int(p.seq)) {
		p.w.say(now, rtp.Header{Type: p.codec.Type, Seq: p.seq, Timestamp: p.ts, SSRC: p.ssrc}, buf[:n]...)
	}
	p.seq++
	p.ts += uint32(p.codec.Clock / 1000 * length)
}

// listen decodes what has come. Numbers must not have gaps.
func (p *phone) listen(now time.Time) {
	pcm := make([]int16, 5760)
	for _, pkt := range p.w.got() {
		p.types = append(p.types, pkt.Type())
		if pkt.Type() != p.codec.Type {
			h := p.keys.Receive(now.Sub(start), pkt.Timestamp(), pkt.Marker(), pkt.Payload())
			if h.Ended {
				p.events += fmt.Sprintf("%c(%d) ", h.Released.Digit(), h.Duration/ms)
			}
			continue
		}
		p.stamps = append(p.stamps, pkt.Timestamp())
		n, err := p.dec.decode(pcm, pkt.Payload())
		if err != nil {
			p.t.Fatal(err)
		}
		p.heard = append(p.heard, pcm[:n]...)
	}
}

// share is how much of the second half of what was heard is the sine of hz, in parts of 50 ms: what was invented may
// have another phase.
func (p *phone) share(hz float64) float64 { return share(p.heard, p.dec.rate(), hz) }

func share(pcm []int16, rate int, hz float64) float64 {
	pcm = pcm[len(pcm)/2:]
	n, sum, all := rate/20, 0.0, 0.0
	for ; len(pcm) >= n; pcm = pcm[n:] {
		var re, im float64
		for i, s := range pcm[:n] {
			sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
			re, im, all = re+float64(s)*cos, im+float64(s)*sin, all+float64(s)*float64(s)
		}
		sum += 2 * (re*re + im*im) / float64(n)
	}
	return sum / (all + 1)
}

// talk lets two phones talk through a bridge for some ticks.
func talk(b *Bridge, one, other *phone, from, ticks int) {
	for i := from; i < from+ticks; i++ {
		for _, p := range []*phone{one, other} {
			if every := int(p.packet / (20 * ms)); every == 0 {
				p.speak(at(i))
				p.speak(at(i).Add(10 * ms))
			} else if i%every == 0 {
				p.speak(at(i))
			}
		}
		b.tick(at(i).Add(11 * ms))
		one.listen(at(i))
		other.listen(at(i))
	}
}

func codecs() []sdp.Codec {
	cs := []sdp.Codec{pcmu, pcma, wideband}
	if opus.Available() {
		cs = append(cs, opusCodec(111))
	}
	return cs
}

func TestTranscode(t *testing.T) {
	const here, there = 440, 700
	loss := rand.New(rand.NewPCG(1, 2))
	for _, one := range codecs() {
		for _, other := range codecs() {
			if one.Name == other.Name {
				continue
			}
			for name, prepare := range map[string]func(a, b *phone, to *Leg) float64{
				"plain":   func(a, b *phone, to *Leg) float64 { return 0.95 },
				"10 ms":   func(a, b *phone, to *Leg) float64 { a.packet = 10 * ms; return 0.95 },
				"60 ms":   func(a, b *phone, to *Leg) float64 { a.packet, b.packet = 60*ms, 40*ms; return 0.95 },
				"ptime":   func(a, b *phone, to *Leg) float64 { to.Packet = 40 * ms; return 0.95 },
				"5% lost": func(a, b *phone, to *Leg) float64 { a.lose = func(int) bool { return loss.IntN(20) == 0 }; return 0.9 },
			} {
				t.Run(one.Name+" "+other.Name+" "+name, func(t *testing.T) {
					a, b := newPhone(t, one, here), newPhone(t, other, there)
					to := leg(b.w, other)
					want := prepare(a, b, &to)
					br := stillBridge(t, leg(a.w, one), to)
					talk(br, a, b, 0, 200)
					if s := b.share(here); s < want || len(b.heard) < b.dec.rate()*35/10 {
						t.Errorf("%.2f of %d samples is the tone", s, len(b.heard))
					}
					if s := a.share(there); s < 0.9 || len(a.heard) < a.dec.rate()*35/10 {
						t.Errorf("back: %.2f of %d samples is the tone", s, len(a.heard))
					}
					step := uint32(other.Clock / 50)
					if to.Packet > 0 {
						step *= 2
					}
					for i := 1; i < len(b.stamps); i++ {
						if d := b.stamps[i] - b.stamps[i-1]; d != step {
							t.Fatalf("packet %d: %d units behind the one before", i, d)
						}
					}
				})
			}
		}
	}
}

// Keys: events to a peer that has them, tones to one that has none, and tones of that one as events.
func TestKeys(t *testing.T) {
	press := func(p *phone, typ uint8, now time.Time, e dtmf.Event, d, n int, end bool) {
		b := dtmf.Payload{Event: e, End: end, Duration: uint16(d), Volume: 10}.Append(nil)
		p.w.say(now, rtp.Header{Marker: n == 0, Type: typ, Seq: p.seq, Timestamp: p.ts, SSRC: p.ssrc}, b...)
		p.seq++
	}
	var told string
	run := func(one, other Leg, a, b *phone) {
		one.Keys = func(e dtmf.Event) { told += string(e.Digit()) }
		br := stillBridge(t, one, other)
		talk(br, a, b, 0, 50)
		at0 := 50
		for _, e := range []dtmf.Event{1, 5, dtmf.Pound} {
			for i := range 8 {
				press(a, 101, at(at0+i), e, 160*min(i+1, 6), i, i > 4)
				br.tick(at(at0 + i).Add(11 * ms))
				b.listen(at(at0 + i))
			}
			a.ts += 160 * 8
			at0 += 8
			talk(br, a, b, at0, 5)
			at0 += 5
		}
		talk(br, a, b, at0, 50)
	}

	a, b := newPhone(t, pcmu, 440), newPhone(t, wideband, 700)
	run(leg(a.w, pcmu, events(101)), leg(b.w, wideband, events(96)), a, b)
	if b.events != "1(120) 5(120) #(120) " || told != "15#" {
		t.Errorf("events: %q, told %q", b.events, told)
	}
	if s := b.share(440); s < 0.8 {
		t.Errorf("%.2f of the rest is the tone", s)
	}

	told = ""
	a, b = newPhone(t, pcmu, 440), newPhone(t, pcmu, 700)
	run(leg(a.w, pcmu, events(101)), leg(b.w, pcmu), a, b) // one codec, and yet it has to be decoded
	if got := string(dtmf.NewDetector().Detect(nil, b.heard)); got != "15#" || told != "15#" || b.events != "" {
		t.Errorf("tones: %q, told %q", got, told)
	}

	// The clocks of the events differ, as those of a phone and of a browser may.
	told = ""
	a, b = newPhone(t, pcmu, 440), newPhone(t, pcmu, 700)
	b.keys = dtmf.NewReceiver(48000)
	fast := events(110)
	fast.Clock = 48000
	run(leg(a.w, pcmu, events(101)), leg(b.w, pcmu, fast), a, b)
	if b.events != "1(120) 5(120) #(120) " || told != "15#" {
		t.Errorf("events of another clock: %q, told %q", b.events, told)
	}

	// And back.
	a, b = newPhone(t, pcma, 440), newPhone(t, wideband, 700)
	one := leg(a.w, pcma)
	told = ""
	one.Keys = func(e dtmf.Event) { told += string(e.Digit()) }
	br := stillBridge(t, one, leg(b.w, wideband, events(96)))
	talk(br, a, b, 0, 20)
	voice := a.source
	for i, e := range []dtmf.Event{7, dtmf.Star} {
		digit, _ := dtmf.Tones(e, 100*ms, 100*ms)
		a.source = sine{tone.NewPlayer(8000, digit), 8000}
		talk(br, a, b, 20+10*i, 10)
	}
	a.source = voice
	talk(br, a, b, 40, 30)
	if b.events != "7(100) *(100) " || told != "7*" {
		t.Errorf("recognised: %q, told %q", b.events, told)
	}
}

// A peer that says that it is silent is heard as noise of that level, and one that just stops is not heard at all.
func TestSilence(t *testing.T) {
	cn := sdp.Codec{Type: 13, Name: "CN", Clock: 8000, Channels: 1}
	a, b := newPhone(t, pcmu, 440), newPhone(t, wideband, 700)
	br := stillBridge(t, leg(a.w, pcmu, cn), leg(b.w, wideband))
	talk(br, a, b, 0, 50)
	a.w.say(at(50), rtp.Header{Type: 13, Seq: a.seq, Timestamp: a.ts, SSRC: a.ssrc}, 50)
	rest := func(from, n int) {
		for i := from; i < from+n; i++ {
			br.tick(at(i).Add(11 * ms))
			b.listen(at(i))
		}
	}
	rest(50, 20)
	b.heard = nil
	rest(70, 100)
	if l := level.Of(b.heard); len(b.heard) != 100*320 || l < 47 || l > 56 {
		t.Errorf("%d samples of -%d dBov", len(b.heard), l)
	}
	a.seq++
	a.ts += 160 * 120
	talk(br, a, b, 170, 20)
	b.heard = nil
	rest(190, 100)
	if n := len(b.heard) / 320; n < 20 || n > 70 { // what waited, what was invented, a while of nothing
		t.Errorf("%d frames after the end", n)
	}
	if len(b.w.got()) != 0 {
		t.Error("it goes on")
	}
	// When it speaks again, the clock has gone on, and the first packet says so.
	last := b.stamps[len(b.stamps)-1]
	a.ts += 160 * 100
	talk(br, a, b, 290, 50)
	if d := b.stamps[len(b.stamps)-1] - last; d < 160*90 {
		t.Errorf("the timestamp has gone on by %d", d)
	}
}

// Of several codecs the peer takes the one that the other has not.
func TestOtherCodecInTheMiddle(t *testing.T) {
	a, b := newPhone(t, pcmu, 440), newPhone(t, pcmu, 700)
	br := stillBridge(t, leg(a.w, wideband, pcmu), leg(b.w, pcmu))
	talk(br, a, b, 0, 50)
	if br.works() {
		t.Fatal("packets of a common codec are decoded")
	}
	other := newPhone(t, wideband, 440)
	other.w, other.seq, other.ts, other.ssrc = a.w, a.seq, a.ts, a.ssrc
	b.heard = nil
	talk(br, other, b, 50, 100)
	if s := b.share(440); s < 0.95 || len(b.heard) < 80*160 {
		t.Errorf("%.2f of %d samples is the tone", s, len(b.heard))
	}
	for i := 1; i < len(b.stamps); i++ {
		if d := b.stamps[i] - b.stamps[i-1]; d < 80 || d > 1600 {
			t.Fatalf("timestamp %d is %d behind the one before", i, d)
		}
	}
	// The next agreement begins anew.
	if err := br.Update(leg(a.w, pcmu), leg(b.w, pcmu)); err != nil {
		t.Fatal(err)
	}
	if br.works() {
		t.Error("it still works")
	}
}

func TestPlayAndRecord(t *testing.T) {
	a, b := newPhone(t, pcmu, 440), newPhone(t, pcmu, 700)
	one, other := leg(a.w, pcmu), leg(b.w, pcmu)
	one.Direction = sdp.Inactive // it holds
	br := stillBridge(t, one, other)
	ended, err := br.Play(1, Tone(tone.Tone{Once: true, Steps: []tone.Step{{Hertz: [2]float64{600}, Level: [2]float64{-10}, Length: time.Second}}}))
	if err != nil {
		t.Fatal(err)
	}
	file := &seeker{}
	rec, err := NewRecorder(file, 16000)
	if err != nil {
		t.Fatal(err)
	}
	if err := br.Record(1, rec); err != nil {
		t.Fatal(err)
	}
	if err := br.Update(leg(a.w, pcmu), other); err != nil { // in the middle of it all
		t.Fatal(err)
	}
	talk(br, a, b, 0, 45)
	if s := b.share(600); s < 0.95 {
		t.Errorf("%.2f of %d samples is the music", s, len(b.heard))
	}
	select {
	case <-ended:
		t.Error("it is over")
	default:
	}
	talk(br, a, b, 45, 10)
	select {
	case <-ended:
	default:
		t.Error("it does not end")
	}
	b.heard = nil
	talk(br, a, b, 55, 50)
	if s := b.share(440); s < 0.95 || len(b.heard) < 45*160 {
		t.Errorf("%.2f of %d samples is the other leg", s, len(b.heard))
	}
	if s := a.share(700); s < 0.95 {
		t.Errorf("%.2f is heard meanwhile", s)
	}
	if err := br.Record(1, nil); err != nil {
		t.Fatal(err)
	}
	if br.works() {
		t.Error("there is work left")
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := LoadPrompt(bytes.NewReader(file.b))
	if err != nil {
		t.Fatal(err)
	}
	if s := share(p.pcm, p.rate, 700); s < 0.95 || len(p.pcm) < 16000*19/10 || rec.Lost() != 0 {
		t.Errorf("%.2f of %d samples was recorded", s, len(p.pcm))
	}

	// Another source ends the one before, and so does the bridge.
	first, _ := br.Play(0, p.Source(true))
	second, err := br.Play(0, p.Source(true))
	if err != nil {
		t.Fatal(err)
	}
	<-first
	br.Close()
	<-second
	if _, err := br.Play(0, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := br.Record(0, rec); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

type seeker struct {
	b  []byte
	at int
}

func (s *seeker) Write(p []byte) (int, error) {
	if n := s.at + len(p) - len(s.b); n > 0 {
		s.b = append(s.b, make([]byte, n)...)
	}
	s.at += copy(s.b[s.at:], p)
	return len(p), nil
}

func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	s.at = int(offset) + []int{0, s.at, len(s.b)}[whence]
	return int64(s.at), nil
}

// A leg in this process: an announcement, and somebody who listens.
func TestLocal(t *testing.T) {
	var file bytes.Buffer
	w, err := wav.NewWriter(&file, 16000)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 32000)
	tone.NewPlayer(16000, tone.Sine(500, -10)).Fill(pcm)
	if err := errors.Join(w.Write(pcm), w.Close()); err != nil {
		t.Fatal(err)
	}
	prompt, err := LoadPrompt(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range codecs() {
		t.Run(c.Name, func(t *testing.T) {
			a := newPhone(t, c, 440)
			here := &collector{rate: 8000}
			br := stillBridge(t, leg(a.w, c), Leg{Source: prompt.Source(false), Sink: here})
			nobody := newPhone(t, pcmu, 700)
			talk(br, a, nobody, 0, 95)
			if s := a.share(500); s < 0.95 || len(a.heard) < a.dec.rate()*18/10 {
				t.Errorf("%.2f of %d samples is the prompt", s, len(a.heard))
			}
			if s := share(here.pcm, 8000, 440); s < 0.95 || len(here.pcm) != 95*160 {
				t.Errorf("%.2f of %d samples is the peer", s, len(here.pcm))
			}
			talk(br, a, nobody, 95, 10) // the prompt is over
			before := len(a.heard)
			talk(br, a, nobody, 105, 10)
			if len(a.heard) != before {
				t.Error("it goes on")
			}
		})
	}
	if _, err := LoadPrompt(strings.NewReader("no sound")); !errors.Is(err, wav.ErrFormat) {
		t.Error(err)
	}
}

type collector struct {
	rate int
	pcm  []int16
}

func (c *collector) Rate() int         { return c.rate }
func (c *collector) Write(pcm []int16) { c.pcm = append(c.pcm, pcm...) }

func TestNoCodec(t *testing.T) {
	silk := sdp.Codec{Type: 103, Name: "SILK", Clock: 8000, Channels: 1}
	a, b := newWire(), newWire()
	br := stillBridge(t, leg(a, silk), leg(b, silk, pcmu))
	if err := br.Update(leg(a, silk), leg(b, pcmu)); !errors.Is(err, ErrNoCodec) {
		t.Error(err)
	}
	a.say(start, rtp.Header{Type: 103, SSRC: 1}, 1)
	if len(b.got()) != 1 {
		t.Error("a refused update has changed something")
	}
	if err := br.Record(0, &collector{rate: 8000}); !errors.Is(err, ErrNoCodec) {
		t.Error(err)
	}
}

func TestBusy(t *testing.T) {
	e, err := newStill(Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	add := func(one, other sdp.Codec) (*Bridge, error) {
		return e.Bridge(Audio, leg(newWire(), one), leg(newWire(), other))
	}
	for range 2 * few {
		for _, w := range e.workers {
			w.took(13 * ms) // late, but not by its own fault
		}
		if _, err := add(pcmu, wideband); err != nil {
			t.Fatal(err)
		}
	}
	for i, w := range e.workers {
		if len(w.bridges) != few {
			t.Errorf("worker %d has %d bridges", i, len(w.bridges))
		}
		for range 100 {
			w.took(13 * ms)
		}
	}
	if _, err := add(pcmu, wideband); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	br, err := add(pcmu, pcmu)
	if err != nil {
		t.Fatalf("what needs no work is refused: %v", err)
	}
	if err := br.Update(leg(newWire(), pcmu), leg(newWire(), wideband)); err != nil || br.worker.Load() == nil {
		t.Errorf("a call that goes on is refused: %v", err)
	}
	if len(e.bridges) != 2*few+1 {
		t.Errorf("%d bridges", len(e.bridges))
	}
	for range remembered {
		e.workers[1].took(ms)
	}
	if br, err := add(pcmu, wideband); err != nil || br.worker.Load() != e.workers[1] {
		t.Error("the one with time is not taken")
	}
	if s := e.Stats(); s.Refused != 1 || s.Bridges != 2*few+2 || s.Workers[0].P99 != 13*ms || s.Workers[0].Bridges != few+1 {
		t.Errorf("%+v", s)
	}
}

// TestRunning: workers and reports by the clock.
func TestRunning(t *testing.T) {
	e, err := New(Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a, b := newPhone(t, pcmu, 440), newPhone(t, wideband, 700)
	if _, err := e.Bridge(Audio, leg(a.w, pcmu), leg(b.w, wideband)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * ms)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for now := range tick.C {
		a.speak(now)
		b.speak(now)
		a.listen(now)
		b.listen(now)
		if len(b.heard) > 32000 && b.share(440) > 0.8 && a.share(700) > 0.8 {
			return
		}
		if now.After(deadline) {
			t.Fatalf("%.2f of %d samples, %.2f of %d", b.share(440), len(b.heard), a.share(700), len(a.heard))
		}
	}
}

func TestTicksAllocateNothing(t *testing.T) {
	for _, other := range codecs()[2:] {
		a, b := newPhone(t, pcmu, 440), newPhone(t, other, 700)
		br := stillBridge(t, leg(a.w, pcmu, events(101)), leg(b.w, other, events(101)))
		talk(br, a, b, 0, 300)
		a.w.keep, b.w.keep = false, false
		pkt := append(rtp.Header{SSRC: a.ssrc}.Append(nil), make([]byte, 160)...)
		n, h := 300, a.w.current()
		if allocs := testing.AllocsPerRun(100, func() {
			p, _ := rtp.Parse(pkt)
			p.SetSeq(uint16(n))
			p.SetTimestamp(uint32(n) * 160)
			p.SetType(0)
			p.SetSSRC(a.ssrc)
			h.RTP(pkt, at(n))
			br.tick(at(n).Add(11 * ms))
			n++
		}); allocs > 0 {
			t.Errorf("%s: %v allocations", other.Name, allocs)
		}
	}
}

func TestCodecs(t *testing.T) {
	names := []string{}
	for _, c := range Codecs() {
		names = append(names, c.Name)
		if _, ok := codecRate(c); !ok {
			t.Errorf("%s is offered and not known", c.Name)
		}
	}
	if slices.Contains(names, "opus") != opus.Available() {
		t.Error(names)
	}
	few := sdp.Codec{Params: "maxaveragebitrate=12000;useinbandfec=1"}
	if c := opusConfig(few, 48000); c.Bitrate != 12000 || c.Use != opus.Voice || !c.FEC {
		t.Errorf("%+v", c)
	}
	if c := opusConfig(sdp.Codec{Params: "maxaveragebitrate=30000"}, 8000); c.Bitrate != 30000 || c.Use != opus.LowDelay {
		t.Errorf("%+v", c)
	}
}

// What 20 ms of one direction cost, without the network.
func BenchmarkPath(b *testing.B) {
	for _, c := range [][2]sdp.Codec{{pcmu, pcmu}, {pcmu, pcma}, {pcmu, wideband}, {wideband, pcmu}, {pcmu, opusCodec(111)}, {opusCodec(111), pcmu}, {wideband, opusCodec(111)}, {opusCodec(111), wideband}} {
		if _, ok := codecRate(c[0]); !ok {
			continue
		}
		if _, ok := codecRate(c[1]); !ok {
			continue
		}
		b.Run(c[0].Name+" "+c[1].Name, func(b *testing.B) {
			one, other := newPhone(b, c[0], 440), newPhone(b, c[1], 700)
			br := stillBridge(b, leg(one.w, c[0]), leg(other.w, c[1]))
			talk(br, one, other, 0, 100)
			one.w.keep, other.w.keep = false, false
			pcm, payload := make([]int16, one.enc.rate()/50), make([]byte, 1500)
			one.source.Read(pcm)
			k, _ := one.enc.encode(payload, pcm)
			pkt := append(rtp.Header{SSRC: one.ssrc}.Append(nil), payload[:k]...)
			n, h := 100, one.w.current()
			b.ReportAllocs()
			for b.Loop() {
				p, _ := rtp.Parse(pkt)
				p.SetSeq(uint16(n))
				p.SetTimestamp(uint32(n) * uint32(c[0].Clock/50))
				p.SetType(c[0].Type)
				p.SetSSRC(one.ssrc)
				h.RTP(pkt, at(n))
				br.paths[0].tick(at(n).Add(11 * ms))
				n++
			}
		})
	}
}
