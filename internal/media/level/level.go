// Package level measures how loud a frame of audio is, as RFC 6464 tells it to others, and judges whether it is
// speech.
package level

import "math"

// Silence is the level of digital silence: RFC 6464 has no lower one.
const Silence = 127

// Of is the level of a frame in -dBov: 0 is the loudest (a square of full scale), 127 silence. An empty frame is
// silent.
func Of(frame []int16) uint8 {
	if len(frame) == 0 {
		return Silence
	}
	var sum uint64
	for _, s := range frame {
		sum += uint64(int64(s) * int64(s))
	}
	if sum == 0 {
		return Silence
	}
	db := 10 * math.Log10(float64(sum)/float64(len(frame))/(32768*32768))
	return uint8(min(max(math.Round(-db), 0), Silence))
}

// Octet is the value of the RFC 6464 header extension urn:ietf:params:rtp-hdrext:ssrc-audio-level.
func Octet(level uint8, voice bool) byte {
	b := min(level, Silence)
	if voice {
		b |= 0x80
	}
	return b
}

// Parse reads the value of the header extension. Longer values are padding (RFC 6464 3); ok is false for an empty
// one.
func Parse(value []byte) (level uint8, voice, ok bool) {
	if len(value) == 0 {
		return Silence, false, false
	}
	return value[0] & 0x7F, value[0]&0x80 != 0, true
}

// The judgement of speech, in dB and frames of 20 ms.
const (
	above    = 9   // dB over the noise that are speech
	floor    = 65  // whatever is quieter than -65 dBov is not speech
	loudest  = 30  // noise is never taken to be louder than -30 dBov, so that shouting over noise stays speech
	hangover = 10  // frames after the last loud one that still count: ends of words are quiet
	fall     = 0.3 // how fast the noise follows downwards, share of the difference a frame
	rise     = 0.08
)

// Detector judges frame by frame whether there is speech. It follows the noise of the line: quickly when it falls,
// slowly (4 dB a second) when it rises. The zero value is ready. Not safe for concurrent use.
type Detector struct {
	noise float64 // level of the noise in dBov, negative
	hang  int
	begun bool
}

// Voice takes the level of the next frame, in -dBov, and reports whether it belongs to speech.
func (d *Detector) Voice(level uint8) bool {
	db := -float64(level)
	if !d.begun {
		d.begun = true
		d.noise = max(min(db, -50), -90) // a stream that begins with speech is not noise
	}
	if db < d.noise {
		d.noise = max(d.noise+fall*(db-d.noise), -90)
	} else {
		d.noise = min(d.noise+rise, db, -loudest)
	}
	switch {
	case db > d.noise+above && db > -floor:
		d.hang = hangover
		return true
	case d.hang > 0:
		d.hang--
		return true
	}
	return false
}
