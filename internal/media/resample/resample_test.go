package resample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var ratios = [][2]int{{8000, 16000}, {8000, 48000}, {16000, 48000}, {16000, 8000}, {48000, 8000}, {48000, 16000}}

func run(t testing.TB, from, to int, src []int16, frame int) []int16 {
	t.Helper()
	r, err := New(from, to)
	if err != nil {
		t.Fatal(err)
	}
	var out []int16
	for part := range slices.Chunk(src, frame) {
		dst := make([]int16, r.Len(len(part)))
		out = append(out, dst[:r.Process(dst, part)]...)
	}
	return out
}

func sine(rate int, hertz float64, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(math.Round(16000 * math.Sin(2*math.Pi*hertz*float64(i)/float64(rate))))
	}
	return pcm
}

// split returns the power of the tone at hertz and that of everything else, in dB against the tone that went in.
func split(pcm []int16, rate int, hertz float64) (tone, rest float64) {
	var re, im, sum float64
	for i, s := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hertz * float64(i) / float64(rate))
		re, im, sum = re+float64(s)*cos, im+float64(s)*sin, sum+float64(s)*float64(s)
	}
	n := float64(len(pcm))
	p := 2 * (re*re + im*im) / n / n
	full := 16000.0 * 16000 / 2
	return 10 * math.Log10(p/full), 10 * math.Log10(max(sum/n-p, 1e-9)/full)
}

// TestPassBand: a tone up to 0.42 of the lower rate keeps its level within 0.1 dB, and nothing is added to it.
func TestPassBand(t *testing.T) {
	for _, r := range ratios {
		for f := 100.0; f <= 0.42*float64(min(r[0], r[1])); f += 100 {
			out := run(t, r[0], r[1], sine(r[0], f, r[0]), r[0]/50)
			if len(out) != r[1] {
				t.Fatalf("%v: a second became %d samples", r, len(out))
			}
			tone, rest := split(out[r[1]/10:r[1]*6/10], r[1], f) // half a second: whole periods
			if math.Abs(tone) > 0.1 || rest > -70 {
				t.Errorf("%v: %v Hz at %.2f dB, everything else %.1f dB", r, f, tone, rest)
			}
		}
	}
}

// TestStopBand: when going down, a tone from 0.57 of the lower rate upwards is gone, whatever it would fold to.
func TestStopBand(t *testing.T) {
	for _, r := range ratios[3:] {
		for f := 0.57 * float64(r[1]); f < float64(r[0])/2; f += 111 {
			tone, rest := split(run(t, r[0], r[1], sine(r[0], f, r[0]), r[0]/50)[r[1]/10:], r[1], 0)
			if got := 10 * math.Log10(math.Pow(10, tone/10)+math.Pow(10, rest/10)); got > -70 {
				t.Errorf("%v: %.0f Hz still at %.1f dB", r, f, got)
			}
		}
	}
}

// However a stream is cut into frames, it comes out the same.
func TestFramesDoNotMatter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	src := make([]int16, 9600)
	for i := range src {
		src[i] = int16(rnd.IntN(65536) - 32768)
	}
	for _, r := range ratios {
		whole := run(t, r[0], r[1], src, len(src))
		for _, frame := range []int{1, 7, 160, 960} {
			if !slices.Equal(run(t, r[0], r[1], src, frame), whole) {
				t.Errorf("%v: frames of %d give another stream", r, frame)
			}
		}
	}
}

func TestReset(t *testing.T) {
	for _, ratio := range ratios {
		r, _ := New(ratio[0], ratio[1])
		src := sine(ratio[0], 440, 961)
		first, second := make([]int16, r.Len(961)), make([]int16, r.Len(961))
		r.Process(first, src)
		r.Reset()
		r.Process(second, src)
		if !slices.Equal(first, second) {
			t.Errorf("%v: the past is still there", ratio)
		}
	}
}

func TestRates(t *testing.T) {
	if _, err := New(8000, 44100); err == nil {
		t.Error("44100 accepted")
	}
	if out := run(t, 8000, 8000, []int16{1, 2, 3}, 3); !slices.Equal(out, []int16{1, 2, 3}) {
		t.Errorf("same rate: %v", out)
	}
	// Full scale stays full scale: clipped, not wrapped around.
	square := slices.Concat(slices.Repeat([]int16{32767}, 160), slices.Repeat([]int16{-32768}, 160))
	out := run(t, 8000, 48000, square, 160)
	if slices.Max(out) != 32767 || slices.Min(out) != -32768 || slices.Min(out[200:1000]) < 20000 {
		t.Error("overshoot wrapped around")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, ratio := range ratios {
		r, _ := New(ratio[0], ratio[1])
		src, dst := make([]int16, ratio[0]/50), make([]int16, ratio[1]/50)
		r.Process(dst, src)
		if n := testing.AllocsPerRun(10, func() { r.Process(dst, src) }); n != 0 {
			t.Errorf("%v: %v allocations a frame", ratio, n)
		}
	}
}

// BenchmarkProcess is the cost of 20 ms.
func BenchmarkProcess(b *testing.B) {
	for _, ratio := range ratios {
		b.Run(fmt.Sprintf("%d-%d", ratio[0], ratio[1]), func(b *testing.B) {
			r, _ := New(ratio[0], ratio[1])
			src, dst := sine(ratio[0], 440, ratio[0]/50), make([]int16, ratio[1]/50)
			for b.Loop() {
				r.Process(dst, src)
			}
		})
	}
}
