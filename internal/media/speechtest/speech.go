// Package speechtest gives tests something that speaks: the synthesiser espeak-ng, in many languages and voices. It is
// not people, but it does not share an author with what it tests.
package speechtest

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"

	"parley/test/parleytest"
)

// Text has numbers, because people say them to those who make them press keys, long vowels, and sentences.
const Text = `0 1 2 3 4 5 6 7 8 9 10 11 12 20 30 40 50 60 70 80 90 100 112 911 1000.
Please hold the line, your call is important to us. Aaah, eeeh, oooh, uuuh, iiih, mmmm. Oh, oh, oh! Wow, really?
For sales, press one. For support, press two. To hear this again, press star. Thank you for calling, good bye.
The quick brown fox jumps over the lazy dog, while five wizards judge boxing matches quickly at noon.
Alice meets Bob at nine, Carol phones Dave at half past ten, and nobody answers before a quarter to twelve.`

// Voices are some that differ in language, sex and colour.
func Voices() []string {
	return []string{"en", "en-us+f2", "en+m3", "de", "de+f5", "fr+f4", "it+m7", "es+f1", "ko", "ko+f3", "ru+m1", "nl", "sv+f2", "pl+m5", "pt+f4", "cs"}
}

// Say lets a voice read Text, with a pitch of 0 to 99 and so many words a minute, and returns it at 8000 samples a
// second: some fifty seconds.
func Say(t testing.TB, voice string, pitch, speed int) []int16 {
	t.Helper()
	parleytest.Need(t, "espeak-ng", "ffmpeg")
	say := exec.CommandContext(t.Context(), "espeak-ng", "-v", voice, "-p", fmt.Sprint(pitch), "-s", fmt.Sprint(speed), "--stdout", Text)
	wave, err := say.Output()
	if err != nil || len(wave) < 100_000 {
		t.Fatalf("espeak-ng: %d octets, %v", len(wave), err)
	}
	convert := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", "pipe:0", "-ar", "8000", "-ac", "1", "-f", "s16le", "pipe:1")
	convert.Stdin = bytes.NewReader(wave)
	out, err := convert.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	pcm := make([]int16, len(out)/2)
	for i := range pcm {
		pcm[i] = int16(out[2*i]) | int16(out[2*i+1])<<8
	}
	return pcm
}
