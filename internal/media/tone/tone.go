// Package tone makes the tones of the telephone: ringback, busy and their kin as each country has them, single
// sines to test with, and whatever else is a cadence of one or two frequencies.
package tone

import (
	"math"
	"time"
)

// Step is one part of a cadence.
type Step struct {
	Hertz  [2]float64    // zero for no tone; both zero for silence
	Level  [2]float64    // dBm0 of each, 3.14 being a sine of full scale
	Length time.Duration // zero for ever
}

// Tone is a cadence. It begins again after its last step, unless it is played once.
type Tone struct {
	Steps []Step
	Once  bool
}

// Sine is one frequency for ever.
func Sine(hertz, level float64) Tone {
	return Tone{Steps: []Step{{Hertz: [2]float64{hertz}, Level: [2]float64{level}}}}
}

// Amplitude is the peak of a sine of a level in dBm0. A sine of full scale is at 3.14 (G.711 has 3.14 in A-law and
// 3.17 in µ-law); no level gives more than that.
func Amplitude(level float64) float64 { return 32767 * math.Pow(10, min(level-3.14, 0)/20) }

// Player plays a tone at a rate. It allocates nothing after NewPlayer and is not safe for concurrent use.
type Player struct {
	rate  float64
	steps []step
	once  bool
	at    int // step
	n     int // samples of it that were played
	done  bool
}

type step struct {
	sines   [2]oscillator
	samples int // zero for ever
}

// oscillator is a phase of 32 bits in a table: it keeps its frequency for any time and needs no care.
type oscillator struct {
	phase, advance uint32
	amplitude      float32
}

const tableBits = 10

var table [1<<tableBits + 1]float32 // a whole period and its first value again

func init() {
	for i := range table {
		table[i] = float32(math.Sin(2 * math.Pi * float64(i) / (1 << tableBits)))
	}
}

func (o *oscillator) next() float32 {
	i := o.phase >> (32 - tableBits)
	part := float32(o.phase<<tableBits) / (1 << 32)
	o.phase += o.advance
	return o.amplitude * (table[i] + part*(table[i+1]-table[i]))
}

// NewPlayer returns a player at the beginning of a tone, for a rate in samples a second.
func NewPlayer(rate int, t Tone) *Player {
	p := &Player{rate: float64(rate), once: t.Once, steps: make([]step, len(t.Steps)), done: len(t.Steps) == 0}
	for i, s := range t.Steps {
		for j := range s.Hertz {
			if s.Hertz[j] > 0 && s.Hertz[j] < p.rate/2 {
				p.steps[i].sines[j] = oscillator{
					advance:   uint32(s.Hertz[j] / p.rate * (1 << 32)),
					amplitude: float32(Amplitude(s.Level[j])),
				}
			}
		}
		if s.Length > 0 {
			p.steps[i].samples = max(int(s.Length.Seconds()*p.rate+0.5), 1)
		}
	}
	return p
}

// Fill writes the next samples and returns how many belong to the tone: fewer than the frame has only when the tone
// is played once and over. The rest is silence.
func (p *Player) Fill(frame []int16) int {
	edge := int(p.rate / 400) // 2.5 ms of rise and fall: no clicks
	for i := range frame {
		if p.done {
			clear(frame[i:])
			return i
		}
		s := &p.steps[p.at]
		v := float32(0)
		for j := range s.sines {
			if s.sines[j].amplitude > 0 {
				v += s.sines[j].next()
			}
		}
		if p.n < edge {
			v *= float32(p.n+1) / float32(edge+1)
		} else if left := s.samples - p.n; s.samples > 0 && left <= edge {
			v *= float32(left) / float32(edge+1)
		}
		frame[i] = int16(min(max(v, -32768), 32767))
		p.n++
		switch {
		case s.samples == 0:
			p.n = min(p.n, edge) // counted no further, so that it may be for ever
		case p.n == s.samples:
			p.advance()
		}
	}
	return len(frame)
}

func (p *Player) advance() {
	p.n = 0
	if p.at++; p.at == len(p.steps) {
		p.at, p.done = 0, p.once
	}
	for j := range p.steps[p.at].sines {
		p.steps[p.at].sines[j].phase = 0
	}
}
