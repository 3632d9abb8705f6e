package g711

import (
	"bytes"
	"encoding/binary"
	"math"
	"os/exec"
	"testing"

	"parley/test/parleytest"
)

// law is one of both laws as the tables 1a and 2a of G.711 print it: the end points of the segments and the
// width of the eight (or first) intervals, in units of the law; scale makes them samples of 16 bits.
type law struct {
	name      string
	compress  func(int16) byte
	linear    func(byte) int16
	scale     int
	decisions []int // decision values of the positive half, from 0 upwards
	positive  func(n int) byte
}

// laws are written from the rules in the tables, not from the code: "segment ends at, step".
func laws() []law {
	u := law{name: "µ-law", compress: CompressU, linear: LinearU, scale: 4, positive: func(n int) byte { return byte(0xFF - n) }}
	u.decisions = []int{0, 1}
	for _, s := range []struct{ end, step int }{{31, 2}, {95, 4}, {223, 8}, {479, 16}, {991, 32}, {2015, 64}, {4063, 128}, {8159, 256}} {
		for x := u.decisions[len(u.decisions)-1] + s.step; x <= s.end; x += s.step {
			u.decisions = append(u.decisions, x)
		}
	}
	a := law{name: "A-law", compress: CompressA, linear: LinearA, scale: 8, positive: func(n int) byte { return byte(0x80+n) ^ 0x55 }}
	a.decisions = []int{0}
	for _, s := range []struct{ end, step int }{{64, 2}, {128, 4}, {256, 8}, {512, 16}, {1024, 32}, {2048, 64}, {4096, 128}} {
		for x := a.decisions[len(a.decisions)-1] + s.step; x <= s.end; x += s.step {
			a.decisions = append(a.decisions, x)
		}
	}
	return []law{u, a}
}

// TestEverySample compares all 65,536 samples and all 256 octets with the decision and quantised values of
// G.711 tables 1a, 1b, 2a and 2b.
func TestEverySample(t *testing.T) {
	for _, l := range laws() {
		if len(l.decisions) != 129 {
			t.Fatalf("%s: %d decision values, the tables have 129", l.name, len(l.decisions))
		}
		for n := range 128 { // quantised values: the middle of the interval, the first of µ-law is zero
			y := l.scale * (l.decisions[n] + l.decisions[n+1]) / 2
			if n == 0 && l.scale == 4 {
				y = 0
			}
			b := l.positive(n)
			if got := int(l.linear(b)); got != y {
				t.Errorf("%s: %#02x stands for %d, want %d", l.name, b, got, y)
			}
			if got := int(l.linear(b ^ 0x80)); got != -y {
				t.Errorf("%s: %#02x stands for %d, want %d", l.name, b^0x80, got, -y)
			}
		}
		for s := math.MinInt16; s <= math.MaxInt16; s++ {
			got := l.compress(int16(s))
			m, sign := s, byte(0)
			if s < 0 {
				m, sign = -s, 0x80
			}
			var n int
			for n = range 128 {
				if l.positive(n) == got^sign {
					break
				}
			}
			low, high := l.scale*l.decisions[n], l.scale*l.decisions[n+1]
			if n == 127 {
				high = 1 << 15 // what lies beyond the virtual decision value is clipped
			}
			if l.positive(n) != got^sign || m < low || m > high || (s >= 0 && m == high && n < 127) || (s < 0 && m == low) {
				t.Fatalf("%s: sample %d became %#02x, interval %d to %d", l.name, s, got, low, high)
			}
		}
	}
}

// Octets survive decoding and encoding, so that a chain of gateways loses nothing more.
func TestOctetsSurvive(t *testing.T) {
	for _, l := range laws() {
		for i := range 256 {
			want := byte(i)
			if l.scale == 4 && want == 0x7F { // µ-law has two zeros, a linear sample has one
				want = 0xFF
			}
			if got := l.compress(l.linear(byte(i))); got != want {
				t.Errorf("%s: %#02x came back as %#02x", l.name, i, got)
			}
		}
	}
	if LinearU(SilenceU) != 0 || LinearA(SilenceA) != 8 {
		t.Error("silence is not silent")
	}
}

// TestOtherImplementation lets ffmpeg decode every octet.
func TestOtherImplementation(t *testing.T) {
	parleytest.Need(t, "ffmpeg")
	octets := make([]byte, 256)
	for i := range octets {
		octets[i] = byte(i)
	}
	for format, decode := range map[string]func([]int16, []byte) int{"mulaw": DecodeU, "alaw": DecodeA} {
		cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", format, "-ar", "8000", "-ac", "1", "-i", "pipe:0", "-f", "s16le", "pipe:1")
		cmd.Stdin = bytes.NewReader(octets)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var pcm [256]int16
		decode(pcm[:], octets)
		var want bytes.Buffer
		binary.Write(&want, binary.LittleEndian, pcm[:])
		if !bytes.Equal(out, want.Bytes()) {
			t.Errorf("%s: ffmpeg decodes otherwise", format)
		}
	}
}

func TestShorterLengthDecides(t *testing.T) {
	pcm, octets := make([]int16, 160), make([]byte, 100)
	for _, n := range []int{EncodeU(octets, pcm), EncodeA(octets, pcm), DecodeU(pcm, octets), DecodeA(pcm, octets)} {
		if n != 100 {
			t.Errorf("%d samples, want 100", n)
		}
	}
	if n := testing.AllocsPerRun(10, func() { EncodeU(octets, pcm); DecodeA(pcm, octets) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkEncodeU(b *testing.B) { benchmarkEncode(b, EncodeU) }
func BenchmarkEncodeA(b *testing.B) { benchmarkEncode(b, EncodeA) }
func BenchmarkDecodeU(b *testing.B) {
	pcm, octets := make([]int16, 160), make([]byte, 160)
	for b.Loop() {
		DecodeU(pcm, octets)
	}
}

func benchmarkEncode(b *testing.B, encode func([]byte, []int16) int) {
	pcm, octets := make([]int16, 160), make([]byte, 160)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(float64(i)))
	}
	for b.Loop() {
		encode(octets, pcm)
	}
}
