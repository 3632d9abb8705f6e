package level

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/internal/media/speechtest"
)

// TestSpoken: what espeak-ng says over noise is found, and the pauses between are not taken for speech.
func TestSpoken(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, voice := range []string{"en", "ko+f3", "de"} {
		pcm := speechtest.Say(t, voice, 50, 150)
		for _, noise := range []float64{-90, -70, -50, -45} {
			var d Detector
			amplitude := 32768 * math.Pow(10, noise/20)
			loud, missed, silent, wrong, since := 0, 0, 0, 0, 0
			noisy := make([]int16, 160)
			for clean := range slices.Chunk(pcm, 160) {
				for j, s := range clean {
					noisy[j] = int16(min(max(float64(s)+rnd.NormFloat64()*amplitude, -32768), 32767))
				}
				heard := d.Voice(Of(noisy[:len(clean)]))
				l := Of(clean)
				if since++; l < 60 {
					since = 0
				}
				switch {
				case l < 35:
					loud++
					if !heard {
						missed++
					}
				case since > hangover+1:
					silent++
					if heard {
						wrong++
					}
				}
			}
			if loud < 500 || missed > loud/50 || wrong > silent/20 {
				t.Errorf("%s over %v dBov: missed %d of %d frames, %d of %d silent ones taken for speech", voice, noise, missed, loud, wrong, silent)
			}
		}
	}
}
