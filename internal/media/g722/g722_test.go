package g722

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"

	"parley/test/parleytest"
)

// signal is four seconds that reach every part of the codec: a sweep, noise at growing levels, full-scale squares,
// and silence.
func signal() []int16 {
	rnd := rand.New(rand.NewPCG(1, 2))
	pcm := make([]int16, 64000)
	phase := 0.0
	for i := range pcm {
		switch second := i / 16000; second {
		case 0:
			phase += 2 * math.Pi * (50 + float64(i)/16000*7500) / 16000
			pcm[i] = int16(12000 * math.Sin(phase))
		case 1:
			pcm[i] = int16(rnd.NormFloat64() * float64(i-16000) / 4)
		case 2:
			pcm[i] = 32767
			if i/((i/2000)%13+3)%2 == 0 {
				pcm[i] = -32768
			}
		default:
			pcm[i] = int16(i / 8 % 2)
		}
	}
	return pcm
}

func ffmpeg(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	parleytest.Need(t, "ffmpeg")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-v", "error"}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, stderr.String())
	}
	return out
}

func octets(pcm []int16) []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, pcm)
	return b.Bytes()
}

// TestOtherImplementation compares with ffmpeg, whose decoder is checked against the ITU's conformance vectors:
// bit by bit, in both directions, for a signal and for random octets.
func TestOtherImplementation(t *testing.T) {
	pcm := signal()
	code := make([]byte, len(pcm)/2)
	NewEncoder().Encode(code, pcm)
	theirs := ffmpeg(t, octets(pcm), "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "pipe:0", "-c:a", "g722", "-f", "g722", "pipe:1")
	for i := range min(len(theirs), len(code)) {
		if theirs[i] != code[i] {
			t.Fatalf("octet %d encoded as %#02x, ffmpeg has %#02x", i, code[i], theirs[i])
		}
	}
	if len(theirs) < len(code)-320 {
		t.Errorf("ffmpeg encoded %d octets of %d", len(theirs), len(code))
	}

	random := make([]byte, 32000)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range random {
		random[i] = byte(rnd.Uint32())
	}
	for name, code := range map[string][]byte{"signal": code, "random": random} {
		got := make([]int16, 2*len(code))
		NewDecoder().Decode(got, code)
		want := ffmpeg(t, code, "-f", "g722", "-i", "pipe:0", "-f", "s16le", "pipe:1")
		if len(want) != 4*len(code) {
			t.Fatalf("%s: ffmpeg decoded %d octets of %d", name, len(want), 4*len(code))
		}
		for i, s := range got {
			if w := int16(binary.LittleEndian.Uint16(want[2*i:])); s != w {
				t.Fatalf("%s: sample %d decoded as %d, ffmpeg has %d", name, i, s, w)
			}
		}
	}
}

// A tone comes back with little noise, after the 22 samples that both filters take.
func TestQuality(t *testing.T) {
	for _, hertz := range []float64{300, 1000, 3000, 6000} {
		pcm := make([]int16, 16000)
		for i := range pcm {
			pcm[i] = int16(8000 * math.Sin(2*math.Pi*hertz*float64(i)/16000))
		}
		code, back := make([]byte, 8000), make([]int16, 16000)
		NewEncoder().Encode(code, pcm)
		NewDecoder().Decode(back, code)
		var power, noise float64
		for i := 1000; i < len(pcm); i++ {
			d := float64(back[i]) - float64(pcm[i-22])
			power, noise = power+float64(pcm[i])*float64(pcm[i]), noise+d*d
		}
		if snr := 10 * math.Log10(power/noise); snr < 20 {
			t.Errorf("%v Hz: signal to noise %.1f dB", hertz, snr)
		}
	}
}

// However a stream is cut into frames, it comes out the same.
func TestFramesDoNotMatter(t *testing.T) {
	pcm := signal()[:16000]
	code := make([]byte, 8000)
	NewEncoder().Encode(code, pcm)
	back := make([]int16, 16000)
	NewDecoder().Decode(back, code)
	for _, frame := range []int{2, 14, 160, 322, 960} {
		e, d := NewEncoder(), NewDecoder()
		for at := 0; at < len(pcm); at += frame {
			part := pcm[at:min(at+frame, len(pcm))]
			c, p := make([]byte, len(part)/2), make([]int16, len(part))
			e.Encode(c, part)
			d.Decode(p, c)
			if !bytes.Equal(c, code[at/2:at/2+len(c)]) || !slices.Equal(p, back[at:at+len(p)]) {
				t.Fatalf("frames of %d give another stream at %d", frame, at)
			}
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	pcm, code := make([]int16, 320), make([]byte, 160)
	e, d := NewEncoder(), NewDecoder()
	if n := testing.AllocsPerRun(10, func() { e.Encode(code, pcm); d.Decode(pcm, code) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	if e.Encode(code, pcm[:7]) != 3 || d.Decode(pcm[:7], code) != 6 {
		t.Error("the shorter length does not decide")
	}
}

func BenchmarkEncode(b *testing.B) {
	pcm, code, e := signal()[:320], make([]byte, 160), NewEncoder()
	for b.Loop() {
		e.Encode(code, pcm)
	}
}

func BenchmarkDecode(b *testing.B) {
	pcm, code, d := signal()[:320], make([]byte, 160), NewDecoder()
	NewEncoder().Encode(code, pcm)
	for b.Loop() {
		d.Decode(pcm, code)
	}
}
