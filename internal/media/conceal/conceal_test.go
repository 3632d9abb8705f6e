package conceal

import (
	"fmt"
	"math"
	"testing"
)

// voice is something like a vowel: a pitch that glides slowly, with formants around 700 and 1200 Hz.
func voice(rate, n int) []int16 {
	pcm := make([]int16, n)
	phase := 0.0
	for i := range pcm {
		t := float64(i) / float64(rate)
		phase += 2 * math.Pi * (120 + 20*math.Sin(2*math.Pi*0.7*t)) / float64(rate)
		v := 0.0
		for h := 1.0; h*130 < 3400; h++ {
			f := h * 120
			gain := 1/(1+math.Pow((f-700)/150, 2)) + 0.5/(1+math.Pow((f-1200)/200, 2)) + 0.05
			v += gain * math.Sin(h*phase)
		}
		pcm[i] = int16(4000 * v)
	}
	return pcm
}

// through loses the frames for which lose says so and returns what is heard.
func through(rate int, pcm []int16, lose func(frame int) bool) []int16 {
	c := New(rate)
	out := make([]int16, len(pcm))
	n := rate / 50
	for f := 0; (f+1)*n <= len(pcm); f++ {
		frame := out[f*n : (f+1)*n]
		if lose(f) {
			c.Lost(frame)
		} else {
			copy(frame, pcm[f*n:])
			c.Good(frame)
		}
	}
	return out
}

func snr(want, got []int16) float64 {
	var s, n float64
	for i := range want {
		d := float64(want[i]) - float64(got[i])
		s, n = s+float64(want[i])*float64(want[i]), n+d*d
	}
	return 10 * math.Log10(s/(n+1))
}

// TestLoss: with every tenth frame lost, the beginning of what is invented is like the voice (silence would have 0
// dB), and there are no clicks: no step between samples that the voice itself would not have.
func TestLoss(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		pcm := voice(rate, 2*rate)
		out := through(rate, pcm, func(f int) bool { return f%10 == 9 })
		var want, got []int16
		n := rate / 50
		for f := 9; (f+1)*n <= len(pcm); f += 10 {
			want, got = append(want, pcm[f*n:f*n+n/2]...), append(got, out[f*n:f*n+n/2]...)
		}
		if got := snr(want, got); got < 6 {
			t.Errorf("%d: %.1f dB", rate, got)
		}
		if own, got := steepest(pcm), steepest(out); got > own*3/2 {
			t.Errorf("%d: a step of %d, the voice has %d", rate, got, own)
		}
	}
}

func steepest(pcm []int16) int {
	most := 0
	for i := 1; i < len(pcm); i++ {
		d := int(pcm[i]) - int(pcm[i-1])
		most = max(most, d, -d)
	}
	return most
}

// A tone whose period fits is continued without a difference that could be heard.
func TestTone(t *testing.T) {
	pcm := make([]int16, 8000)
	for i := range pcm {
		pcm[i] = int16(10000 * math.Sin(2*math.Pi*200*float64(i)/8000))
	}
	out := through(8000, pcm, func(f int) bool { return f == 20 })
	if got := snr(pcm[20*160:20*160+80], out[20*160:20*160+80]); got < 40 {
		t.Errorf("%.1f dB", got)
	}
}

// TestLongLoss: it fades, is silent from sixty milliseconds on, and the voice comes back without a step.
func TestLongLoss(t *testing.T) {
	pcm := voice(8000, 8000)
	out := through(8000, pcm, func(f int) bool { return f >= 10 && f < 20 })
	level := func(f int) (sum float64) {
		for _, s := range out[f*160 : (f+1)*160] {
			sum += float64(s) * float64(s)
		}
		return sum
	}
	if !(level(10) > level(11) && level(11) > level(12) && level(12) > 0 && level(13) == 0 && level(19) == 0) {
		t.Errorf("levels %v %v %v %v", level(10), level(11), level(12), level(13))
	}
	if own, got := steepest(pcm), steepest(out); got > own*3/2 {
		t.Errorf("a step of %d, the voice has %d", got, own)
	}
	for i := 21 * 160; i < len(pcm); i++ {
		if out[i] != pcm[i] {
			t.Fatal("the voice is not itself again")
		}
	}
}

func TestSilent(t *testing.T) {
	c := New(8000)
	frame := make([]int16, 160)
	c.Lost(frame) // nothing was ever heard
	c.Good(frame)
	for n := range 4 {
		if c.Silent() != (n >= 3) {
			t.Errorf("after %d frames: silent %v", n, c.Silent())
		}
		c.Lost(frame)
	}
	c.Reset()
	if c.Silent() {
		t.Error("a new stream is silent")
	}
	c.Good(make([]int16, 1000)) // longer than what is remembered
	c.Lost(frame[:1])
	c.Good(nil)
}

func TestNothingIsAllocated(t *testing.T) {
	c, frame := New(8000), voice(8000, 160)
	if n := testing.AllocsPerRun(10, func() { c.Good(frame); c.Lost(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkLost(b *testing.B) {
	for _, rate := range []int{8000, 48000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			c, frame := New(rate), voice(rate, rate/50)
			for b.Loop() {
				c.Good(frame)
				c.Lost(frame)
			}
		})
	}
}
