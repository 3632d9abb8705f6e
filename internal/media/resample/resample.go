// Package resample changes the sampling rate of speech between the three rates of the media engine: 8000 (G.711),
// 16000 (G.722) and 48000 (Opus).
//
// It is a polyphase filter of 32 taps a phase, a windowed sinc (Kaiser). Measured by the tests: the pass band is
// flat within 0.1 dB up to 0.42 of the lower rate, and what lies above 0.57 of it (images when going up, aliases
// when going down) is at least 70 dB below. The delay is 16 samples of the lower rate: two milliseconds at 8000.
package resample

import (
	"fmt"
	"math"
	"sync"
)

const (
	taps = 32  // for each phase
	beta = 7.2 // of the Kaiser window: some 72 dB
	cut  = 0.495
)

// Resampler changes the rate of one stream. It keeps the end of the last frame, so each stream needs its own;
// it is not safe for concurrent use. It allocates when a frame is longer than any before it, and not otherwise.
type Resampler struct {
	up, down int       // one of both is 1, or both
	filter   []float32 // up phases of taps each when going up; taps*down in one when going down
	history  []float32 // the samples before the next frame, then the frame
	rest     int       // samples that the next output still lies ahead, when going down
}

// New returns a resampler from one rate to another, in samples a second: 8000, 16000 or 48000.
func New(from, to int) (*Resampler, error) {
	for _, r := range []int{from, to} {
		if r != 8000 && r != 16000 && r != 48000 {
			return nil, fmt.Errorf("sampling rate %d: want 8000, 16000 or 48000", r)
		}
	}
	r := &Resampler{up: max(to/from, 1), down: max(from/to, 1)}
	r.filter = filter(r.up, r.down)
	r.history = make([]float32, r.before(), r.before()+960)
	return r, nil
}

// before is how many samples of the past a frame needs.
func (r *Resampler) before() int {
	if r.down > 1 {
		return taps*r.down - 1
	}
	return taps - 1
}

// Reset forgets the past, as at the beginning of another stream.
func (r *Resampler) Reset() {
	r.history = r.history[:r.before()]
	clear(r.history)
	r.rest = 0
}

// Len is the most samples that n samples become.
func (r *Resampler) Len(n int) int { return (n*r.up + r.down - 1) / r.down }

// Process writes the resampled src to dst and returns how many samples that are. dst has to have Len(len(src))
// samples; Process panics when it has not. Frames whose length is a multiple of the ratio give frames of equal
// length.
func (r *Resampler) Process(dst, src []int16) int {
	dst = dst[:r.Len(len(src))]
	if r.up == r.down {
		return copy(dst, src)
	}
	before := r.before()
	h := r.history[:before]
	for _, s := range src {
		h = append(h, float32(s))
	}
	n := 0
	if r.up > 1 {
		for i := range src {
			x := h[i : i+taps]
			for p := range r.up {
				dst[n] = dot(x, r.filter[p*taps:(p+1)*taps])
				n++
			}
		}
	} else {
		for ; r.rest < len(src); r.rest += r.down {
			dst[n] = dot(h[r.rest:r.rest+len(r.filter)], r.filter)
			n++
		}
		r.rest -= len(src)
	}
	copy(h, h[len(src):])
	r.history = h[:before]
	return n
}

// dot is the sum of products, rounded and clipped.
func dot(x, c []float32) int16 {
	x = x[:len(c)]
	var a, b, d, e float32
	for i := 0; i+3 < len(c); i += 4 { // the lengths are multiples of four
		a += x[i] * c[i]
		b += x[i+1] * c[i+1]
		d += x[i+2] * c[i+2]
		e += x[i+3] * c[i+3]
	}
	v := a + b + d + e
	switch {
	case v >= 32767:
		return 32767
	case v <= -32768:
		return -32768
	case v < 0:
		return int16(v - 0.5)
	}
	return int16(v + 0.5)
}

var (
	filters = map[[2]int][]float32{}
	mu      sync.Mutex
)

// filter is the low pass for a ratio, shared by all resamplers of that ratio. For going up it is split by phase,
// each phase in the order in which it meets the samples.
func filter(up, down int) []float32 {
	mu.Lock()
	defer mu.Unlock()
	key := [2]int{up, down}
	if f, ok := filters[key]; ok {
		return f
	}
	ratio := max(up, down)
	n := taps * ratio
	h := make([]float64, n)
	sum := 0.0
	for i := range h {
		t := float64(i) - float64(n-1)/2
		w := 2*float64(i)/float64(n-1) - 1
		h[i] = sinc(2*cut*t/float64(ratio)) * bessel(beta*math.Sqrt(1-w*w))
		sum += h[i]
	}
	f := make([]float32, n)
	for i, v := range h {
		at := n - 1 - i // the newest sample meets the first coefficient
		if up > 1 {
			at = i%up*taps + taps - 1 - i/up
		}
		f[at] = float32(v / sum * float64(up))
	}
	filters[key] = f
	return f
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind, order zero.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= x / (2 * k) * x / (2 * k)
		sum += term
	}
	return sum
}
