package dtmf

import (
	"testing"

	"parley/internal/media/speechtest"
)

// TestTalkOffSpoken: a speech synthesiser reads in many languages, voices and pitches, and no key is heard. It knows
// nothing of our own synthetic speech.
func TestTalkOffSpoken(t *testing.T) {
	seconds := 0
	for i, voice := range speechtest.Voices() {
		pcm := speechtest.Say(t, voice, 10+i*5, 120+i%4*25)
		seconds += len(pcm) / 8000
		if got := detect(pcm); got != "" {
			t.Errorf("%s: heard %q in %d seconds", voice, got, len(pcm)/8000)
		}
	}
	if seconds < 300 {
		t.Errorf("only %d seconds of speech", seconds)
	}
}
