// Package comfortnoise makes the noise that tells a listener that the line is alive while the other side is silent,
// and describes it to others as RFC 3389 does: a level and the shape of the spectrum.
//
// Static payload type 13 (8000 samples a second), and 118 for 16,000 in the Lync world.
package comfortnoise

import (
	"math"

	"parley/internal/media/level"
)

// MaxOrder is how many coefficients of the spectrum are sent and understood. RFC 3389 has no bound; more say nothing
// that an ear would miss.
const MaxOrder = 10

// Append appends the payload that describes a frame of noise: its level, then order reflection coefficients (at most
// MaxOrder). Order 0 is white noise, one octet. Nothing is allocated when dst has room.
func Append(dst []byte, frame []int16, order int) []byte {
	dst = append(dst, level.Of(frame))
	order = min(max(order, 0), MaxOrder, len(frame)-1)
	if order <= 0 {
		return dst
	}
	var r [MaxOrder + 1]float64
	for lag := range order + 1 {
		for i := lag; i < len(frame); i++ {
			r[lag] += float64(frame[i]) * float64(frame[i-lag])
		}
	}
	// Levinson and Durbin. The small part of noise keeps a pure tone from having a pole on the circle.
	var a [MaxOrder + 1]float64
	e := r[0]*1.0001 + 1
	for m := 1; m <= order; m++ {
		k := r[m]
		for i := 1; i < m; i++ {
			k -= a[i] * r[m-i]
		}
		k /= e
		b := a
		a[m] = k
		for i := 1; i < m; i++ {
			a[i] = b[i] - k*b[m-i]
		}
		e *= 1 - k*k
		dst = append(dst, quantise(-k)) // the sign of RFC 3389: that of the polynomial 1 + a1/z + ...
	}
	return dst
}

// quantise is RFC 3389 3.2: k = 258 (N - 127) / 32768 for N from 0 to 254.
func quantise(k float64) byte {
	return byte(min(max(math.Round(k*32768/258)+127, 0), 254))
}

// Generator makes noise. The zero value makes silence until it is told otherwise. It allocates nothing and is not
// safe for concurrent use.
type Generator struct {
	k     [MaxOrder]float32
	order int
	gain  float32 // of the excitation, now
	want  float32 // and where it goes: upwards it does not step
	state [MaxOrder]float32
	seed  uint32
	begun bool
}

// Update takes a payload that was received. An empty one is a request for silence; coefficients beyond MaxOrder are
// left out.
func (g *Generator) Update(payload []byte) {
	lvl := uint8(level.Silence)
	if len(payload) > 0 {
		lvl = payload[0] & 0x7F
		payload = payload[1:]
	}
	payload = payload[:min(len(payload), MaxOrder)]
	g.order = len(payload)
	power := 1.0
	for i, n := range payload {
		k := 258 * (float64(n) - 127) / 32768
		k = min(max(k, -0.99), 0.99) // 255 is no value, and what rings for a second is no noise
		g.k[i] = float32(k)
		power *= 1 - k*k
	}
	clear(g.state[g.order:])
	rms := 0.0
	if lvl < level.Silence {
		rms = 32768 * math.Pow(10, -float64(lvl)/20)
	}
	// The filter raises the power of what goes in by 1/power; a uniform variable has a third of its square.
	g.want = float32(rms * math.Sqrt(3*power))
	switch {
	case !g.begun:
		g.gain, g.begun = g.want, true
	case g.want < g.gain: // downwards at once, and what rings in the filter with it
		for i := range g.state {
			g.state[i] *= g.want / g.gain
		}
		g.gain = g.want
	}
}

// Fill makes a frame of noise.
func (g *Generator) Fill(frame []int16) {
	for i := range frame {
		g.gain += (g.want - g.gain) / 256
		g.seed = g.seed*1664525 + 1013904223
		x := float32(int32(g.seed)) / (1 << 31) * g.gain
		// All-pole lattice: stable for every |k| < 1, however they change.
		for m := g.order - 1; m >= 0; m-- {
			x -= g.k[m] * g.state[m]
			if m+1 < g.order {
				g.state[m+1] = g.state[m] + g.k[m]*x
			}
		}
		if g.order > 0 {
			g.state[0] = x
		}
		frame[i] = int16(min(max(x, -32768), 32767))
	}
}
