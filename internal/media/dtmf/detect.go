package dtmf

import "math"

// What is a digit and what is not. Q.24 wants tones of 40 ms recognised, and pauses of 40 ms.
const (
	block       = 102  // samples at 8000: 12.75 ms, so that a tone of 40 ms fills two of them wherever it begins
	normalTwist = 6.31 // columns may be 8 dB below rows
	reverse     = 3.98 // and rows 6 dB below columns
	peak        = 6.31 // the next tone of the same group is 8 dB below
	share       = 0.74 // of all the power has to be in the two tones: speech has more elsewhere, tones 1.5 % off 0.76
	weakest     = 2e5  // mean square of the block: some -45 dBm0 each, Q.24 has -25 to -29 as what must be heard
)

// Detector recognises digits in audio at 8000 samples a second. It costs eight filters of two multiplications, so
// it is only run for legs without telephone-event. The zero value is not ready: use NewDetector. It allocates nothing
// and is not safe for concurrent use.
type Detector struct {
	filters [8]goertzel
	power   float64
	n       int
	last    byte // digit of the last block, 0 for none
	digit   byte // digit that is pressed, 0 for none
}

// goertzel is the filter for one frequency.
type goertzel struct{ coefficient, s1, s2 float64 }

func (g *goertzel) energy() float64 {
	return g.s1*g.s1 + g.s2*g.s2 - g.coefficient*g.s1*g.s2
}

// NewDetector returns a detector that has heard nothing.
func NewDetector() *Detector {
	d := &Detector{}
	for i := range 4 {
		d.filters[i].coefficient = 2 * math.Cos(2*math.Pi*rows[i]/8000)
		d.filters[4+i].coefficient = 2 * math.Cos(2*math.Pi*columns[i]/8000)
	}
	return d
}

// Pressed is the digit that is being heard, or 0.
func (d *Detector) Pressed() byte { return d.digit }

// Detect appends the digits that begin in the frame to dst: none or one, as a rule. Frames may have any length.
func (d *Detector) Detect(dst []byte, frame []int16) []byte {
	for len(frame) > 0 {
		part := frame[:min(block-d.n, len(frame))]
		frame = frame[len(part):]
		for i := range d.filters {
			f := &d.filters[i]
			s1, s2 := f.s1, f.s2
			for _, s := range part {
				s1, s2 = float64(s)+f.coefficient*s1-s2, s1
			}
			f.s1, f.s2 = s1, s2
		}
		for _, s := range part {
			d.power += float64(s) * float64(s)
		}
		if d.n += len(part); d.n < block {
			break
		}
		hit := d.judge()
		// Two blocks that agree begin a digit, two that disagree with it end it.
		if hit != d.digit && d.last != d.digit {
			d.digit = 0
			if hit == d.last && hit != 0 {
				d.digit = hit
				dst = append(dst, hit)
			}
		} else if hit == d.last && hit != d.digit {
			d.digit = hit
			if hit != 0 {
				dst = append(dst, hit)
			}
		}
		d.last = hit
		d.n, d.power = 0, 0
		for i := range d.filters {
			d.filters[i].s1, d.filters[i].s2 = 0, 0
		}
	}
	return dst
}

// judge is the digit of a whole block, or 0.
func (d *Detector) judge() byte {
	if d.power < weakest*block {
		return 0
	}
	var e [8]float64
	for i := range d.filters {
		e[i] = d.filters[i].energy()
	}
	r, c := strongest(e[:4]), strongest(e[4:])
	if r < 0 || c < 0 {
		return 0
	}
	row, column := e[r], e[4+c]
	if row > column*normalTwist || column > row*reverse {
		return 0
	}
	// A tone of amplitude A has the energy (A block/2)² in its filter and A²/2 block in the block.
	if row+column < share*d.power*block/2 {
		return 0
	}
	return keys[r][c]
}

// strongest is the one that stands out, or -1.
func strongest(e []float64) int {
	best := 0
	for i := range e {
		if e[i] > e[best] {
			best = i
		}
	}
	for i := range e {
		if i != best && e[i]*peak > e[best] {
			return -1
		}
	}
	return best
}
