package level

import (
	"math"
	"math/rand/v2"
	"testing"
)

func frame(f func(i int) float64) []int16 {
	pcm := make([]int16, 160)
	for i := range pcm {
		pcm[i] = int16(f(i))
	}
	return pcm
}

// RFC 6464 3: 0 dBov is a square wave of full scale, so that a sine of full scale is at -3.01; digital silence is 127.
func TestOf(t *testing.T) {
	tests := []struct {
		name  string
		frame []int16
		want  uint8
	}{
		{"square", frame(func(i int) float64 { return float64(1-i/8%2*2) * 32767 }), 0},
		{"sine", frame(func(i int) float64 { return 32767 * math.Sin(math.Pi*float64(i)/8) }), 3},
		{"tenth", frame(func(i int) float64 { return 3276.7 * math.Sin(math.Pi*float64(i)/8) }), 23},
		{"least", frame(func(i int) float64 { return float64(i % 2) }), 93},
		{"silence", frame(func(int) float64 { return 0 }), Silence},
		{"nothing", nil, Silence},
	}
	for _, tt := range tests {
		if got := Of(tt.frame); got != tt.want {
			t.Errorf("%s: -%d dBov, want -%d", tt.name, got, tt.want)
		}
	}
	long := make([]int16, 1<<20) // sums do not overflow
	for i := range long {
		long[i] = math.MinInt16
	}
	if Of(long) != 0 {
		t.Error("a long loud frame is not loud")
	}
}

func TestOctet(t *testing.T) {
	for l := range 256 {
		for _, v := range []bool{false, true} {
			level, voice, ok := Parse([]byte{Octet(uint8(l), v), 0, 0})
			if !ok || level != uint8(min(l, Silence)) || voice != v {
				t.Errorf("%d %v came back as %d %v", l, v, level, voice)
			}
		}
	}
	if level, voice, ok := Parse(nil); ok || voice || level != Silence {
		t.Error("an absent value is loud")
	}
}

// speech is words of 400 ms with pauses of 600 ms, over noise; it returns what should be heard as speech.
func speech(seconds int, noise, word float64) (levels []uint8, talks []bool) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range seconds * 50 {
		l := noise + rnd.NormFloat64()
		talk := i > 100 && i%50 < 20
		if talk {
			l = word + 4*rnd.NormFloat64()
		}
		levels, talks = append(levels, uint8(math.Round(l))), append(talks, talk)
	}
	return
}

func TestDetector(t *testing.T) {
	for name, tt := range map[string]struct{ noise, word float64 }{
		"quiet room": {75, 30}, "office": {58, 28}, "car": {42, 22}, "soft voice": {70, 48},
	} {
		var d Detector
		levels, talks := speech(60, tt.noise, tt.word)
		missed, wrong := 0, 0
		for i, l := range levels {
			voice := d.Voice(l)
			if i < 500 { // the noise of a loud place takes some seconds to learn
				continue
			}
			if talks[i] && !voice {
				missed++
			}
			if voice && !talks[i] && i%50 >= 20+hangover+1 {
				wrong++
			}
		}
		if missed > 20 || wrong > 10 {
			t.Errorf("%s: of 3000 frames %d missed, %d taken for speech", name, missed, wrong)
		}
	}
}

func TestSilenceIsNotSpeech(t *testing.T) {
	var d Detector
	for range 1000 {
		if d.Voice(Silence) {
			t.Fatal("silence is speech")
		}
	}
	if !d.Voice(25) {
		t.Error("the first word is missed")
	}
}

func BenchmarkOf(b *testing.B) {
	pcm := frame(func(i int) float64 { return float64(i * 100) })
	for b.Loop() {
		Of(pcm)
	}
}
