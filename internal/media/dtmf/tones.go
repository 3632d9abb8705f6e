package dtmf

import (
	"time"

	"parley/internal/media/tone"
)

// The frequencies of Q.23.
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
	keys    = [4][4]byte{{'1', '2', '3', 'A'}, {'4', '5', '6', 'B'}, {'7', '8', '9', 'C'}, {'*', '0', '#', 'D'}}
)

// Tones is the two tones of a digit for so long, and silence after it: 100 and 50 ms are usual. It is played once.
// The columns are two decibels louder, as lines weaken them more. Flash has no tones: ok is false.
func Tones(e Event, on, off time.Duration) (t tone.Tone, ok bool) {
	for r := range rows {
		for c := range columns {
			if keys[r][c] == e.Digit() {
				return tone.Tone{Once: true, Steps: []tone.Step{
					{Hertz: [2]float64{rows[r], columns[c]}, Level: [2]float64{-9, -7}, Length: on},
					{Length: off},
				}}, true
			}
		}
	}
	return tone.Tone{}, false
}
