package tone

import (
	"math"
	"testing"
	"time"
)

// power is the level of one frequency in samples, in dBm0.
func power(pcm []int16, rate int, hertz float64) float64 {
	var re, im float64
	for i, s := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hertz * float64(i) / float64(rate))
		re, im = re+float64(s)*cos, im+float64(s)*sin
	}
	return 20*math.Log10(2*math.Hypot(re, im)/float64(len(pcm))/32767+1e-9) + 3.14
}

func TestSine(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		for _, hertz := range []float64{300, 425, 1000, 3400} {
			p := NewPlayer(rate, Sine(hertz, -10))
			pcm := make([]int16, rate)
			p.Fill(pcm)
			if got := power(pcm[rate/2:], rate, hertz); math.Abs(got+10) > 0.05 {
				t.Errorf("%d: %v Hz at %.2f dBm0", rate, hertz, got)
			}
			var sum float64
			for _, s := range pcm[rate/2:] {
				sum += float64(s) * float64(s)
			}
			a := Amplitude(-10)
			if rest := sum/float64(rate/2) - a*a/2; math.Abs(rest) > a*a/2*0.001 {
				t.Errorf("%d: %v Hz is not alone: %v", rate, hertz, rest)
			}
		}
	}
	if Amplitude(20) != 32767 {
		t.Error("louder than full scale")
	}
}

// TestPlans: each cadence has its frequencies while it sounds, is silent between, and begins again.
func TestPlans(t *testing.T) {
	for _, c := range Countries() {
		p, ok := For(c)
		if !ok {
			t.Fatal(c)
		}
		for name, tone := range map[string]Tone{"dial": p.Dial, "ringback": p.Ringback, "busy": p.Busy, "congestion": p.Congestion} {
			player := NewPlayer(8000, tone)
			for round := range 2 {
				for i, s := range tone.Steps {
					length := s.Length
					if length == 0 {
						length = time.Second
					}
					pcm := make([]int16, int(length.Seconds()*8000+0.5))
					if player.Fill(pcm) != len(pcm) {
						t.Fatalf("%s %s ends", c, name)
					}
					middle := pcm[len(pcm)/4 : len(pcm)/4+len(pcm)/2]
					if s.Hertz[0] == 0 {
						for _, v := range pcm {
							if v != 0 {
								t.Fatalf("%s %s, step %d of round %d: not silent", c, name, i, round)
							}
						}
						continue
					}
					for j, h := range s.Hertz {
						if h > 0 && math.Abs(power(middle, 8000, h)-s.Level[j]) > 1.5 {
							t.Errorf("%s %s, step %d: %v Hz at %.1f dBm0", c, name, i, h, power(middle, 8000, h))
						}
					}
				}
			}
		}
	}
	if _, ok := For("xx"); ok {
		t.Error("a country that does not exist has tones")
	}
}

func TestOnce(t *testing.T) {
	info := Information()
	info.Once = true
	p := NewPlayer(8000, info)
	pcm := make([]int16, 8000*2)
	for i := range pcm {
		pcm[i] = 1
	}
	if n := p.Fill(pcm); n != 3*2640+8000 || pcm[len(pcm)-1] != 0 {
		t.Errorf("%d samples", n)
	}
	if p.Fill(pcm) != 0 || NewPlayer(8000, Tone{}).Fill(pcm) != 0 {
		t.Error("what is over goes on")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	p, frame := NewPlayer(8000, northAmerica.Ringback), make([]int16, 160)
	if n := testing.AllocsPerRun(100, func() { p.Fill(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkFill(b *testing.B) {
	p, frame := NewPlayer(8000, northAmerica.Dial), make([]int16, 160)
	for b.Loop() {
		p.Fill(frame)
	}
}
