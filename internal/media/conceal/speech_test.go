package conceal

import (
	"math/rand/v2"
	"testing"

	"parley/internal/media/speechtest"
)

// TestSpoken: of one frame in twenty that is lost, the first ten milliseconds are invented nearer to what espeak-ng
// said than silence is (0 dB), over all, although many of them are the beginnings of other sounds.
func TestSpoken(t *testing.T) {
	for _, voice := range []string{"en", "de+f5", "ko"} {
		pcm := speechtest.Say(t, voice, 50, 150)
		rnd := rand.New(rand.NewPCG(3, 4))
		lost := make([]bool, len(pcm)/160+1)
		for i := range lost {
			lost[i] = i > 0 && !lost[i-1] && rnd.IntN(20) == 0
		}
		out := through(8000, pcm, func(f int) bool { return lost[f] })
		var want, got []int16
		for f, l := range lost {
			if l && (f+1)*160 <= len(pcm) {
				want, got = append(want, pcm[f*160:f*160+80]...), append(got, out[f*160:f*160+80]...)
			}
		}
		if db := snr(want, got); db < 1 {
			t.Errorf("%s: %.1f dB", voice, db)
		}
	}
}
