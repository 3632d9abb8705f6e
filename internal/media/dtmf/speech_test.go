package dtmf

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"

	"parley/test/parleytest"
)

// spoken is read by every voice: numbers, because people say them to those who make them press keys, long vowels, and
// sentences.
const spoken = `0 1 2 3 4 5 6 7 8 9 10 11 12 20 30 40 50 60 70 80 90 100 112 911 1000.
Please hold the line, your call is important to us. Aaah, eeeh, oooh, uuuh, iiih, mmmm. Oh, oh, oh! Wow, really?
For sales, press one. For support, press two. To hear this again, press star. Thank you for calling, good bye.
The quick brown fox jumps over the lazy dog, while five wizards judge boxing matches quickly at noon.
Alice meets Bob at nine, Carol phones Dave at half past ten, and nobody answers before a quarter to twelve.`

// TestTalkOffSpoken: a speech synthesiser reads in many languages, voices and pitches, and no key is heard. It knows
// nothing of our own synthetic speech.
func TestTalkOffSpoken(t *testing.T) {
	parleytest.Need(t, "espeak-ng", "ffmpeg")
	seconds := 0
	for i, voice := range []string{"en", "en-us+f2", "en+m3", "de", "de+f5", "fr+f4", "it+m7", "es+f1", "ko", "ko+f3", "ru+m1", "nl", "sv+f2", "pl+m5", "pt+f4", "cs"} {
		say := exec.CommandContext(t.Context(), "espeak-ng", "-v", voice, "-p", fmt.Sprint(10+i*5), "-s", fmt.Sprint(120+i%4*25), "--stdout", spoken)
		wave, err := say.Output()
		if err != nil || len(wave) < 100_000 {
			t.Fatalf("espeak-ng: %d octets, %v", len(wave), err)
		}
		convert := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", "pipe:0", "-ar", "8000", "-ac", "1", "-f", "s16le", "pipe:1")
		convert.Stdin = bytes.NewReader(wave)
		out, err := convert.Output()
		if err != nil {
			t.Fatal(err)
		}
		pcm := make([]int16, len(out)/2)
		for j := range pcm {
			pcm[j] = int16(out[2*j]) | int16(out[2*j+1])<<8
		}
		seconds += len(pcm) / 8000
		if got := detect(pcm); got != "" {
			t.Errorf("%s: heard %q in %d seconds", voice, got, len(pcm)/8000)
		}
	}
	if seconds < 300 {
		t.Errorf("only %d seconds of speech", seconds)
	}
	t.Logf("%d seconds", seconds)
}
