package baresip

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
)

// WriteTone writes a WAV file of a sine tone, 48 kHz, mono, 16 bit: the one form baresip's core takes for any
// codec. With hz 0 it is silence.
func WriteTone(path string, hz float64, seconds int) error {
	const rate = 48000
	n := rate * seconds
	b := make([]byte, 44+2*n)
	copy(b, "RIFF")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+2*n))
	copy(b[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(b[16:], 16)
	binary.LittleEndian.PutUint16(b[20:], 1)
	binary.LittleEndian.PutUint16(b[22:], 1)
	binary.LittleEndian.PutUint32(b[24:], rate)
	binary.LittleEndian.PutUint32(b[28:], 2*rate)
	binary.LittleEndian.PutUint16(b[32:], 2)
	binary.LittleEndian.PutUint16(b[34:], 16)
	copy(b[36:], "data")
	binary.LittleEndian.PutUint32(b[40:], uint32(2*n))
	for i := range n {
		v := int16(9000 * math.Sin(2*math.Pi*hz*float64(i)/rate))
		binary.LittleEndian.PutUint16(b[44+2*i:], uint16(v))
	}
	return os.WriteFile(path, b, 0o600)
}

// Sound is a recording.
type Sound struct {
	Rate    int
	Samples []float64 // -1 to 1
}

// ReadWAV reads a 16-bit mono WAV file, also one that is still being written.
func ReadWAV(path string) (*Sound, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) < 44 || string(b[:4]) != "RIFF" {
		return nil, fmt.Errorf("%s is not a WAV file", path)
	}
	s := &Sound{Rate: int(binary.LittleEndian.Uint32(b[24:]))}
	for b = b[44:]; len(b) >= 2; b = b[2:] {
		s.Samples = append(s.Samples, float64(int16(binary.LittleEndian.Uint16(b)))/32768)
	}
	return s, nil
}

// Seconds is the length of the recording.
func (s *Sound) Seconds() float64 { return float64(len(s.Samples)) / float64(s.Rate) }

// Tone reports how much of the loudest second of the recording is a sine of hz, from 0 to 1 of its energy, and
// how loud that second is (RMS). A call starts and may end in silence, and the loudest second does not.
func (s *Sound) Tone(hz float64) (share, rms float64) {
	if s.Rate == 0 || len(s.Samples) < s.Rate {
		return 0, 0
	}
	var best []float64
	for at := 0; at+s.Rate <= len(s.Samples); at += s.Rate / 10 {
		part := s.Samples[at : at+s.Rate]
		if r := rootMeanSquare(part); r > rms {
			best, rms = part, r
		}
	}
	if rms == 0 {
		return 0, 0
	}
	// Windows of 100 ms: a codec's clock may drift a little, which a long window would punish.
	n := s.Rate / 10
	var tone, all float64
	for at := 0; at+n <= len(best); at += n {
		tone += goertzel(best[at:at+n], hz, s.Rate)
		for _, v := range best[at : at+n] {
			all += v * v
		}
	}
	return tone * 2 / (all * float64(n)), rms
}

func rootMeanSquare(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}

// goertzel is the power of x at one frequency: (n/2)² times the square of the amplitude.
func goertzel(x []float64, hz float64, rate int) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/float64(rate))
	var a, b float64
	for _, v := range x {
		a, b = v+k*a-b, a
	}
	return a*a + b*b - k*a*b
}
