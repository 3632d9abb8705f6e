// Package conceal invents what a lost packet would have said. It repeats the last pitch period of what was heard, as
// ITU-T G.711 appendix I does: one period for ten milliseconds, then two, then three, so that it does not buzz; from
// ten milliseconds on it fades, and after sixty there is silence. The first real samples afterwards are blended in.
//
// Unlike appendix I it delays nothing: the joint to the past is smoothed by an offset that fades, not by holding back
// the last samples.
package conceal

import "math"

// Concealer conceals the losses of one stream. It allocates nothing after New and is not safe for concurrent use.
type Concealer struct {
	ms      int     // samples in a millisecond
	history []int16 // the last heard or invented
	past    []int16 // history as it was when the loss began
	buf     []int16 // holds cycle
	cycle   []int16 // the periods that are repeated, their end bent towards their beginning
	period  int     // samples of one
	at      int     // where in cycle the next sample is
	lost    int     // samples since the last real one
	step    int     // the step at the last joint, which fades
	joint   int     // where that was, as lost
	tail    []int16 // what would go on, while the real one is blended in
}

// Pitch between 66 and 200 Hz, as in appendix I.
const (
	shortest  = 5  // ms
	longest   = 15 // ms
	compared  = 20 // ms that have to be alike a period apart
	remember  = 50 // ms of history
	fadeFrom  = 10 // ms
	silentAt  = 60 // ms
	blend     = 4  // ms, and more after longer losses
	blendMost = 10
)

// New returns a concealer for a rate in samples a second, a multiple of 1000: 8000, 16000 or 48000.
func New(rate int) *Concealer {
	ms := rate / 1000
	return &Concealer{
		ms:      ms,
		history: make([]int16, remember*ms),
		past:    make([]int16, remember*ms),
		buf:     make([]int16, 3*longest*ms),
		tail:    make([]int16, blendMost*ms),
	}
}

// Reset forgets the past, as at the beginning of another stream.
func (c *Concealer) Reset() {
	clear(c.history)
	c.lost = 0
}

// Good takes a frame that was received, and blends its beginning, in place, with what was invented before it.
func (c *Concealer) Good(frame []int16) {
	if c.lost > 0 {
		// Four milliseconds, and one more for every ten that were lost.
		n := min((blend+c.lost/(10*c.ms))*c.ms, blendMost*c.ms, len(frame))
		c.invent(c.tail[:n])
		for i, s := range c.tail[:n] {
			w := (2*i + 1) * 128 / n // of 256, half a step in
			frame[i] = int16((int(s)*(256-w) + int(frame[i])*w) >> 8)
		}
		c.lost = 0
	}
	c.remember(frame)
}

func (c *Concealer) remember(frame []int16) {
	h := c.history
	if len(frame) >= len(h) {
		copy(h, frame[len(frame)-len(h):])
		return
	}
	copy(h, h[len(frame):])
	copy(h[len(h)-len(frame):], frame)
}

// Lost fills frame with what might have been in a packet that is missing.
func (c *Concealer) Lost(frame []int16) {
	c.invent(frame)
	c.remember(frame)
}

// Silent reports whether what Lost gives has faded to nothing, so that comfort noise may take over.
func (c *Concealer) Silent() bool { return c.lost >= silentAt*c.ms }

func (c *Concealer) invent(dst []int16) {
	if c.lost == 0 {
		copy(c.past, c.history)
		c.period = c.findPeriod()
		c.use(1)
		c.at, c.joint = 0, 0
		n := len(c.past)
		c.step = int(c.past[n-1]) - int(c.past[n-1-c.period])
	}
	for i := range dst {
		if c.lost >= silentAt*c.ms {
			clear(dst[i:])
			c.lost = silentAt * c.ms
			return
		}
		if c.lost == 10*c.ms || c.lost == 20*c.ms {
			before := int(c.cycle[c.at])
			c.use(1 + c.lost/(10*c.ms))
			c.at %= c.period
			c.step, c.joint = before-int(c.cycle[c.at]), c.lost
		}
		v := int(c.cycle[c.at])
		if n, q := c.lost-c.joint, c.period/4; n < q {
			v += c.step * (q - n) / q
		}
		if c.lost > fadeFrom*c.ms {
			v = v * (silentAt*c.ms - c.lost) / ((silentAt - fadeFrom) * c.ms)
		}
		dst[i] = int16(min(max(v, math.MinInt16), math.MaxInt16))
		if c.at++; c.at == len(c.cycle) {
			c.at = 0
		}
		c.lost++
	}
}

// use makes the last k periods of the past the cycle. The last quarter period is blended with what came before the
// first, so that the end leads to the beginning.
func (c *Concealer) use(k int) {
	n, start := k*c.period, len(c.past)-k*c.period
	c.cycle = c.buf[:n]
	copy(c.cycle, c.past[start:])
	q := c.period / 4
	for i := range q {
		w := (i + 1) * 256 / (q + 1)
		c.cycle[n-q+i] = int16((int(c.cycle[n-q+i])*(256-w) + int(c.past[start-q+i])*w) >> 8)
	}
}

// findPeriod is the lag at which the last twenty milliseconds are most like themselves: coarsely first, on every
// quarter of a millisecond, then around that.
func (c *Concealer) findPeriod() int {
	stride := max(c.ms/4, 1)
	best := c.mostAlike(shortest*c.ms, longest*c.ms, stride, stride)
	return c.mostAlike(max(best-stride, shortest*c.ms), min(best+stride, longest*c.ms), 1, stride)
}

func (c *Concealer) mostAlike(from, to, step, stride int) int {
	x := c.past[len(c.past)-compared*c.ms:]
	best, most := from, -1.0
	for lag := from; lag <= to; lag += step {
		y := c.past[len(c.past)-compared*c.ms-lag:]
		var corr, energy float64
		for i := 0; i < len(x); i += stride {
			corr += float64(x[i]) * float64(y[i])
			energy += float64(y[i]) * float64(y[i])
		}
		if corr > 0 && corr*corr/(energy+1) > most {
			best, most = lag, corr*corr/(energy+1)
		}
	}
	return best
}
