package comfortnoise

import (
	"math"
	"math/rand/v2"
	"testing"

	"parley/internal/media/level"
)

// coloured is noise through one pole: most of it below or above a quarter of the sampling rate.
func coloured(n int, pole, amplitude float64) []int16 {
	rnd := rand.New(rand.NewPCG(1, 2))
	pcm := make([]int16, n)
	y := 0.0
	for i := range pcm {
		y = pole*y + rnd.NormFloat64()*amplitude
		pcm[i] = int16(y)
	}
	return pcm
}

// tilt is the correlation of neighbouring samples: the colour of a noise in one number.
func tilt(pcm []int16) float64 {
	var r0, r1 float64
	for i := 1; i < len(pcm); i++ {
		r0, r1 = r0+float64(pcm[i])*float64(pcm[i]), r1+float64(pcm[i])*float64(pcm[i-1])
	}
	return r1 / r0
}

// TestLikeness: the noise that is made has the level and the colour of the noise that was described.
func TestLikeness(t *testing.T) {
	for _, pole := range []float64{-0.8, 0, 0.5, 0.9} {
		for _, order := range []int{1, 4, MaxOrder} {
			in := coloured(8000, pole, 300)
			payload := Append(nil, in, order)
			if len(payload) != order+1 {
				t.Fatalf("%d octets for order %d", len(payload), order)
			}
			var g Generator
			g.Update(payload)
			out := make([]int16, 8000)
			g.Fill(out)
			if a, b := int(level.Of(in)), int(level.Of(out)); a-b > 1 || b-a > 1 {
				t.Errorf("pole %v, order %d: level -%d became -%d", pole, order, a, b)
			}
			if a, b := tilt(in), tilt(out); math.Abs(a-b) > 0.06 {
				t.Errorf("pole %v, order %d: colour %.2f became %.2f", pole, order, a, b)
			}
		}
	}
}

// RFC 3389 3.1 and 3.2: -dBov, and k = 258 (N - 127) / 32768.
func TestPayload(t *testing.T) {
	if got := Append(nil, make([]int16, 160), 0); len(got) != 1 || got[0] != level.Silence {
		t.Errorf("silence is %v", got)
	}
	if got := Append(nil, nil, 5); len(got) != 1 {
		t.Errorf("no frame at all is %v", got)
	}
	for n := range 255 {
		if got := quantise(258 * (float64(n) - 127) / 32768); got != byte(n) {
			t.Errorf("%d came back as %d", n, got)
		}
	}
	low := Append(nil, coloured(8000, 0.9, 300), 1) // 1 - 0.9/z: the first coefficient is negative
	if low[1] >= 127 {
		t.Errorf("low noise is described as high: %d", low[1])
	}
}

func TestSilence(t *testing.T) {
	var g Generator
	frame := make([]int16, 160)
	for _, payload := range [][]byte{nil, {}, {127}, {255}, {127, 3, 3}} {
		frame[7] = 99
		g = Generator{}
		g.Update(payload)
		if g.Fill(frame); level.Of(frame) != level.Silence {
			t.Errorf("%v is heard", payload)
		}
	}
}

// FuzzUpdate: whatever is received, the noise is no louder than it says, and stays so.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte{40, 0, 254, 0, 254}, []byte{30})
	f.Add([]byte{20, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, []byte{60, 1})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var g Generator
		frame := make([]int16, 16000)
		for _, payload := range [][]byte{a, b} {
			g.Update(payload)
			g.Fill(frame)
			for _, s := range g.state {
				if math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) {
					t.Fatal("the filter is not stable")
				}
			}
		}
		want := level.Silence
		if len(b) > 0 {
			want = int(b[0] & 0x7F)
		}
		if got := int(level.Of(frame[8000:])); len(b) <= 2 && want > 10 && want < 80 && got < want-6 {
			t.Errorf("noise of -%d dBov instead of -%d", got, want)
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	var g Generator
	frame, payload := make([]int16, 160), make([]byte, 0, 16)
	if n := testing.AllocsPerRun(10, func() {
		p := Append(payload, frame, 10)
		g.Update(p)
		g.Fill(frame)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkFill(b *testing.B) {
	var g Generator
	frame := make([]int16, 160)
	g.Update(Append(nil, coloured(160, 0.5, 300), MaxOrder))
	for b.Loop() {
		g.Fill(frame)
	}
}
