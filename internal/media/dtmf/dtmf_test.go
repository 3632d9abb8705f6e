package dtmf

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/media/tone"
	"parley/test/parleytest"
)

const ms = time.Millisecond

// RFC 4733 figure 1 and table 7 of its example: the payload of event 9, of volume 7, after 1760 units, ended.
func TestPayload(t *testing.T) {
	p := Payload{Event: 9, End: true, Volume: 7, Duration: 1760}
	b := p.Append(nil)
	if !bytes.Equal(b, []byte{9, 0x87, 0x06, 0xE0}) {
		t.Errorf("% x", b)
	}
	b[1] |= 0x40 // the reserved bit
	if got, ok := ParsePayload(append(b, 1, 2, 3, 4)); !ok || got != p {
		t.Errorf("%+v", got)
	}
	if _, ok := ParsePayload(b[:3]); ok {
		t.Error("three octets are a payload")
	}
	if got := (Payload{Volume: 255}).Append(nil); got[1] != 63 {
		t.Error("the volume runs over")
	}
}

func TestDigits(t *testing.T) {
	for e := range 256 {
		c := Event(e).Digit()
		got, ok := ParseDigit(c)
		if known := e <= 16; known != (c != 0) || known != ok || known && got != Event(e) {
			t.Errorf("event %d is %q, which is %d", e, c, got)
		}
	}
	if e, ok := ParseDigit('c'); !ok || e != 14 {
		t.Error("a small letter is none")
	}
}

// lines sends digits and writes what goes over the wire.
func lines(s *Sender, frames int) (out []string) {
	for i := range frames {
		if p, ok := s.Next(uint32(i) * 160); ok {
			mark := " "
			if p.Marker {
				mark = "m"
			}
			end := ""
			if p.Payload.End {
				end = " end"
			}
			out = append(out, fmt.Sprintf("%d: %s%d %c %d%s", i, mark, p.Timestamp, p.Payload.Event.Digit(), p.Payload.Duration, end))
		}
	}
	return out
}

func TestSender(t *testing.T) {
	s := NewSender(160, 400)
	if !s.Press(5, 400) || !s.Press(Pound, 160) {
		t.Fatal("refused")
	}
	want := []string{
		"0: m0 5 160", "1:  0 5 320", "2:  0 5 480 end", "3:  0 5 480 end", "4:  0 5 480 end",
		"7: m1120 # 160 end", "8:  1120 # 160 end", "9:  1120 # 160 end", // the gap of 50 ms, in whole frames
	}
	if got := lines(s, 20); !slices.Equal(got, want) {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
	if s.Busy() || s.Press(1, 0) || s.Press(1, 70000) {
		t.Error("what cannot be sent is accepted")
	}
	n := 0
	for s.Press(1, 800) {
		n++
	}
	if n != maxQueue {
		t.Errorf("%d digits wait", n)
	}
}

// transfer sends digits through a network and returns what the receiver heard.
func transfer(text string, net func(n int, p Packet) []Packet) string {
	s, r := NewSender(160, 400), NewReceiver(8000)
	for _, c := range []byte(text) {
		e, _ := ParseDigit(c)
		s.Press(e, 800)
	}
	var out []byte
	note := func(h Heard) {
		if h.Ended {
			out = append(out, '.')
		}
		if h.Began {
			out = append(out, h.Pressed.Digit())
		}
	}
	for i, n := 0, 0; i < 1000; i++ {
		now := time.Duration(i) * 20 * ms
		if p, ok := s.Next(uint32(i)*160 + 4294900000); ok {
			for _, p := range net(n, p) {
				note(r.Receive(now, p.Timestamp, p.Marker, p.Payload.Append(nil)))
			}
			n++
		}
		note(r.Tick(now))
	}
	return string(out)
}

func TestTransfer(t *testing.T) {
	const text, want = "1120*#DD", "1.1.2.0.*.#.D.D."
	swap := []Packet{}
	for name, net := range map[string]func(int, Packet) []Packet{
		"all":       func(_ int, p Packet) []Packet { return []Packet{p} },
		"twice":     func(_ int, p Packet) []Packet { return []Packet{p, p} },
		"every 2nd": func(n int, p Packet) []Packet { return []Packet{p}[:n%2] },
		"first lost": func(_ int, p Packet) []Packet {
			return slices.DeleteFunc([]Packet{p}, func(p Packet) bool { return p.Marker })
		},
		"ends lost": func(_ int, p Packet) []Packet {
			return slices.DeleteFunc([]Packet{p}, func(p Packet) bool { return p.Payload.End })
		},
		"only ends": func(_ int, p Packet) []Packet {
			return slices.DeleteFunc([]Packet{p}, func(p Packet) bool { return !p.Payload.End })
		},
		"swapped": func(_ int, p Packet) []Packet {
			if swap = append(swap, p); len(swap) < 2 {
				return nil
			}
			out := []Packet{swap[1], swap[0]}
			swap = nil
			return out
		},
	} {
		if got := transfer(text, net); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestReceiver(t *testing.T) {
	r := NewReceiver(8000)
	b := func(e Event, end bool, d uint16) []byte { return Payload{e, end, 10, d}.Append(nil) }
	if h := r.Receive(0, 1000, true, b(4, false, 160)); !h.Began || h.Pressed != 4 {
		t.Errorf("%+v", h)
	}
	// RFC 4733 2.5.1.3: an event that is longer than the field goes on in another segment.
	r.Receive(ms, 1000, false, b(4, false, 0xFFFF))
	if h := r.Receive(2*ms, 1000+0xFFFF, false, b(4, false, 160)); h != (Heard{}) {
		t.Errorf("a segment is another event: %+v", h)
	}
	if h := r.Receive(3*ms, 1000+0xFFFF, false, b(4, true, 320)); !h.Ended || h.Duration != time.Duration(0xFFFF+320)*time.Second/8000 {
		t.Errorf("%+v", h)
	}
	for _, late := range [][]byte{b(4, true, 320), b(4, false, 200), b(9, false, 1), b(200, false, 1), nil} {
		if h := r.Receive(4*ms, 1000+0xFFFF, false, late); h != (Heard{}) {
			t.Errorf("% x: %+v", late, h)
		}
	}
	if h := r.Receive(5*ms, 500, false, b(3, false, 160)); h.Began {
		t.Error("an old packet is a new event")
	}
	// A sender behind a transfer begins with another clock.
	if h := r.Receive(6*ms, 1<<31+70000, true, b(3, false, 160)); !h.Began {
		t.Error("a new clock is not accepted")
	}
	if h := r.Receive(7*ms, 1<<31+70160, true, b(3, false, 160)); !h.Ended || h.Released != 3 || !h.Began {
		t.Errorf("the same digit again: %+v", h)
	}
	if h := r.Tick(7*ms + patience + 1); !h.Ended || h.Duration != 20*ms {
		t.Errorf("%+v", h)
	}
}

// FuzzReceiver: presses and releases alternate, whatever comes.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{1, 0x80, 0, 160, 0, 1, 0, 2, 0, 160, 1, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReceiver(8000)
		var now time.Duration
		var ts uint32
		down := false
		check := func(h Heard) {
			if h.Ended && !down {
				t.Fatal("released without being pressed")
			}
			if h.Began && down && !h.Ended {
				t.Fatal("pressed twice")
			}
			down = r.active
		}
		for len(in) >= 6 {
			ts += uint32(int8(in[4])) * 257 * 80
			now += time.Duration(in[5]>>1) * ms
			check(r.Receive(now, ts, in[5]&1 != 0, in[:4]))
			check(r.Tick(now))
			in = in[6:]
		}
	})
}

// audio is the tones of digits over noise (rms), with twist in dB (columns louder), frequencies off by a share.
func audio(text string, on, off time.Duration, noise, twist, wrong, level float64) []int16 {
	var pcm []int16
	rnd := rand.New(rand.NewPCG(7, 8))
	for _, c := range []byte(text) {
		e, _ := ParseDigit(c)
		tones, _ := Tones(e, on, off)
		tones.Steps[0].Level = [2]float64{level - twist/2, level + twist/2}
		for i := range tones.Steps[0].Hertz {
			tones.Steps[0].Hertz[i] *= 1 + wrong
		}
		part := make([]int16, int((on+off)/ms)*8)
		tone.NewPlayer(8000, tones).Fill(part)
		pcm = append(pcm, part...)
	}
	pcm = append(pcm, make([]int16, 800)...)
	for i := range pcm {
		pcm[i] = int16(min(max(float64(pcm[i])+rnd.NormFloat64()*noise, -32768), 32767))
	}
	return pcm
}

func detect(pcm []int16) string {
	d := NewDetector()
	var out []byte
	for part := range slices.Chunk(pcm, 160) {
		out = d.Detect(out, part)
	}
	return string(out)
}

const all = "1234567890*#ABCD1122"

// ITU-T Q.24: what has to be recognised.
func TestDetector(t *testing.T) {
	for name, pcm := range map[string][]int16{
		"usual":          audio(all, 100*ms, 50*ms, 0, 2, 0, -8),
		"40 ms":          audio(all, 42*ms, 42*ms, 0, 0, 0, -8),
		"quiet":          audio(all, 70*ms, 70*ms, 2, 0, 0, -29),
		"loud":           audio(all, 70*ms, 70*ms, 0, 0, 0, -3),
		"columns weak":   audio(all, 70*ms, 70*ms, 0, -6, 0, -10),
		"columns strong": audio(all, 70*ms, 70*ms, 0, 4, 0, -10),
		"1.5 % high":     audio(all, 70*ms, 70*ms, 0, 0, 0.015, -10),
		"1.5 % low":      audio(all, 70*ms, 70*ms, 0, 0, -0.015, -10),
		"noise":          audio(all, 70*ms, 70*ms, 800, 0, 0, -8), // some 17 dB below
		"long":           audio(all, 700*ms, 70*ms, 0, 0, 0, -8),
	} {
		if got := detect(pcm); got != all {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// What must not be recognised.
func TestNoDigit(t *testing.T) {
	mix := func(twist, level float64) string { return detect(audio(all, 100*ms, 50*ms, 0, twist, 0, level)) }
	if got := mix(0, -52); got != "" {
		t.Errorf("too quiet: %s", got)
	}
	if got := mix(14, -12) + mix(-14, -12); got != "" {
		t.Errorf("too uneven: %s", got)
	}
	if got := detect(audio(all, 20*ms, 50*ms, 0, 0, 0, -8)); got != "" {
		t.Errorf("too short: %s", got)
	}
	for _, hertz := range []float64{350, 425, 480, 697, 1209, 1336, 2100, 2600} {
		pcm := make([]int16, 16000)
		tone.NewPlayer(8000, tone.Sine(hertz, -6)).Fill(pcm)
		if got := detect(pcm); got != "" {
			t.Errorf("%v Hz: %s", hertz, got)
		}
	}
	for _, c := range tone.Countries() {
		p, _ := tone.For(c)
		for _, x := range []tone.Tone{p.Dial, p.Ringback, p.Busy, p.Congestion, tone.Information()} {
			pcm := make([]int16, 80000)
			tone.NewPlayer(8000, x).Fill(pcm)
			if got := detect(pcm); got != "" {
				t.Errorf("a tone of %s: %s", c, got)
			}
		}
	}
}

// speech is minutes of something with the spectrum and the rhythm of voices: glides of pitch from 80 to 350 Hz, three
// formants that wander, breath between.
func speech(seconds int) []int16 {
	rnd := rand.New(rand.NewPCG(11, 12))
	pcm := make([]int16, 0, seconds*8000)
	phase := 0.0
	var radius [3]float64
	for k := range radius {
		radius[k] = math.Exp(-math.Pi * (60 + 30*float64(k)) / 8000)
	}
	weight := [3]float64{1, 0.7, 0.49}
	for len(pcm) < seconds*8000 {
		n := 400 + rnd.IntN(2400)
		p0, p1 := 80+rnd.Float64()*270, 80+rnd.Float64()*270
		var f0, f1 [3]float64
		for i, low := range []float64{250, 800, 1800} {
			f0[i], f1[i] = low*(1+rnd.Float64()), low*(1+rnd.Float64())
		}
		voiced, gain := rnd.IntN(5) > 0, 1000+rnd.Float64()*6000
		var y [3][2]float64
		for i := range n {
			x := float64(i) / float64(n)
			in := 0.3 * rnd.NormFloat64()
			if voiced {
				if phase += (p0 + (p1-p0)*x) / 8000; phase >= 1 {
					phase--
					in += 10
				}
			}
			sum := 0.0
			for k := range f0 {
				f := f0[k] + (f1[k]-f0[k])*x
				r := radius[k]
				v := in + 2*r*math.Cos(2*math.Pi*f/8000)*y[k][0] - r*r*y[k][1]
				y[k][1], y[k][0] = y[k][0], v
				sum += v * (1 - r) * weight[k]
			}
			pcm = append(pcm, int16(min(max(gain*sum*math.Sin(math.Pi*x), -32768), 32767)))
		}
	}
	return pcm
}

// TestTalkOff: in ten minutes of speech there is no digit that nobody pressed.
func TestTalkOff(t *testing.T) {
	if got := detect(speech(600)); got != "" {
		t.Errorf("speech is %s", got)
	}
}

// And digits are recognised while somebody speaks far more quietly.
func TestOverSpeech(t *testing.T) {
	pcm := audio(all, 100*ms, 60*ms, 0, 0, 0, -6)
	for i, s := range speech(10)[:len(pcm)] {
		pcm[i] += s / 16
	}
	if got := detect(pcm); got != all {
		t.Errorf("%s", got)
	}
}

// TestOtherImplementations: multimon-ng recognises our tones, and we recognise those of ffmpeg.
func TestOtherImplementations(t *testing.T) {
	parleytest.Need(t, "multimon-ng", "ffmpeg")
	in := []int16{}
	for _, c := range []byte(all) {
		e, _ := ParseDigit(c)
		tones, _ := Tones(e, 100*ms, 100*ms)
		part := make([]int16, 22050/5)
		tone.NewPlayer(22050, tones).Fill(part)
		in = append(in, part...)
	}
	cmd := exec.CommandContext(t.Context(), "multimon-ng", "-q", "-t", "raw", "-a", "DTMF", "-")
	cmd.Stdin = bytes.NewReader(octets(in))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("multimon-ng: %v\n%s", err, out)
	}
	got := strings.ReplaceAll(strings.ReplaceAll(string(out), "DTMF: ", ""), "\n", "")
	if want := strings.ReplaceAll(strings.ReplaceAll(all, "*", "E"), "#", "F"); got != all && got != want {
		t.Errorf("multimon-ng heard %s", got)
	}

	var text []byte
	for r := range rows {
		for c := range columns {
			source := fmt.Sprintf("aevalsrc=0.2*sin(2*PI*%v*t)+0.2*sin(2*PI*%v*t):s=8000:d=0.1", rows[r], columns[c])
			out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-f", "s16le", "pipe:1").Output()
			if err != nil {
				t.Fatal(err)
			}
			pcm := make([]int16, len(out)/2)
			for i := range pcm {
				pcm[i] = int16(out[2*i]) | int16(out[2*i+1])<<8
			}
			text = append(text, detect(pcm)...)
		}
	}
	if string(text) != "123A456B789C*0#D" {
		t.Errorf("of ffmpeg's tones %s were recognised", text)
	}
}

func octets(pcm []int16) []byte {
	b := make([]byte, 0, 2*len(pcm))
	for _, s := range pcm {
		b = append(b, byte(s), byte(uint16(s)>>8))
	}
	return b
}

func TestNothingIsAllocated(t *testing.T) {
	d, r, s := NewDetector(), NewReceiver(8000), NewSender(160, 400)
	frame, out, payload := audio("5", 20*ms, 0, 0, 0, 0, -8)[:160], make([]byte, 0, 8), make([]byte, 0, 4)
	s.Press(1, 160)
	if n := testing.AllocsPerRun(100, func() {
		out = d.Detect(out[:0], frame)
		if !s.Busy() {
			s.Press(1, 160)
		}
		if p, ok := s.Next(0); ok {
			r.Receive(0, p.Timestamp, p.Marker, p.Payload.Append(payload))
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkDetect(b *testing.B) {
	d, frame, out := NewDetector(), audio("5", 20*ms, 0, 0, 0, 0, -8)[:160], make([]byte, 0, 8)
	for b.Loop() {
		out = d.Detect(out[:0], frame)
	}
}
