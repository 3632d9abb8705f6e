package opus

import (
	"errors"
	"math"
	"testing"

	"parley/internal/media/tone"
)

// TestWithout: a program without the library says so, and nothing of it is needed to find that out.
func TestWithout(t *testing.T) {
	for _, c := range []Config{{Rate: 44100}, {Bitrate: 1}, {Complexity: 11}, {Use: 9}} {
		if _, err := NewEncoder(c); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := NewDecoder(44100); err == nil || errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if Available() {
		return
	}
	if _, err := NewEncoder(Config{}); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, err := NewDecoder(48000); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if Version() != "" {
		t.Error(Version())
	}
}

// share is how much of the power is the sine of hz.
func share(pcm []int16, rate int, hz float64) float64 {
	var re, im, sum float64
	for i, s := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		re, im, sum = re+float64(s)*cos, im+float64(s)*sin, sum+float64(s)*float64(s)
	}
	return 2 * (re*re + im*im) / float64(len(pcm)) / (sum + 1)
}

// codec is an encoder and a decoder; test is over when the program has none.
func codec(t testing.TB, c Config, rate int) (*Encoder, *Decoder) {
	e, err := NewEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder(rate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	t.Cleanup(d.Close)
	return e, d
}

func TestRoundTrip(t *testing.T) {
	if !Available() {
		return // TestWithout tells what is instead
	}
	const hz = 440
	for _, use := range []Use{Voice, LowDelay} {
		for _, in := range []int{8000, 16000, 48000} {
			for _, out := range []int{8000, 16000, 48000} {
				for _, length := range []int{10, 20, 40, 60} {
					e, d := codec(t, Config{Rate: in, Use: use, FEC: true}, out)
					player := tone.NewPlayer(in, tone.Sine(hz, -10))
					frame, pcm := make([]int16, in/1000*length), make([]int16, out/1000*MaxFrame)
					packet := make([]byte, MaxPacket)
					var heard []int16
					for range 1200 / length {
						player.Fill(frame)
						n, err := e.Encode(packet, frame)
						if err != nil {
							t.Fatal(err)
						}
						k, err := d.Decode(pcm, packet[:n])
						if err != nil || k != out/1000*length {
							t.Fatalf("%d samples: %v", k, err)
						}
						heard = append(heard, pcm[:k]...)
					}
					if s := share(heard[len(heard)/2:], out, hz); s < 0.9 {
						t.Errorf("use %d, %d to %d, %d ms: %.2f is the tone", use, in, out, length, s)
					}
				}
			}
		}
	}
}

func TestLoss(t *testing.T) {
	if !Available() {
		return
	}
	e, d := codec(t, Config{FEC: true}, 48000)
	e.SetLoss(20)
	e.SetBitrate(32000)
	player := tone.NewPlayer(48000, tone.Sine(440, -10))
	frame, pcm := make([]int16, 960), make([]int16, 960)
	var heard []int16
	var packets [][]byte
	for range 60 {
		player.Fill(frame)
		packet := make([]byte, MaxPacket)
		n, err := e.Encode(packet, frame)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, packet[:n])
	}
	for i, p := range packets {
		var err error
		switch {
		case i%10 == 4:
			err = d.Recover(pcm, packets[i+1])
		case i%10 == 8:
			err = d.Conceal(pcm)
		default:
			_, err = d.Decode(pcm, p)
		}
		if err != nil {
			t.Fatal(i, err)
		}
		heard = append(heard, pcm...)
	}
	sum := 0.0 // in parts: what is invented may have another phase
	for at := len(heard) / 2; at < len(heard); at += 960 {
		sum += share(heard[at:at+960], 48000, 440)
	}
	if s := sum / float64(len(heard)/2/960); s < 0.8 {
		t.Errorf("%.2f is the tone", s)
	}
	d.Reset()
	e.Reset()
}

func TestErrors(t *testing.T) {
	if !Available() {
		return
	}
	e, d := codec(t, Config{Rate: 8000, DTX: true, Complexity: -1}, 8000)
	pcm := make([]int16, 960)
	for name, packet := range map[string][]byte{"empty": nil, "half": {0x03}, "longer than it says": {0xFF, 0xFF, 0xFF}} {
		if _, err := d.Decode(pcm, packet); !errors.Is(err, ErrPacket) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Encode(make([]byte, 100), pcm[:7]); err == nil {
		t.Error("a frame of seven samples is encoded")
	}
	if _, err := e.Encode(nil, pcm[:160]); err == nil {
		t.Error("there is no room")
	}
	// Nothing is said while nothing is said.
	packet, quiet := make([]byte, MaxPacket), 0
	for range 100 {
		if n, err := e.Encode(packet, pcm[:160]); err != nil {
			t.Fatal(err)
		} else if n <= 2 {
			quiet++
		}
	}
	if quiet < 50 {
		t.Errorf("%d frames of silence were left out", quiet)
	}
	e.Close()
	e.Close()
	d.Close()
	d.Close()
}

func TestAllocations(t *testing.T) {
	if !Available() {
		return
	}
	e, d := codec(t, Config{Rate: 16000}, 8000)
	frame, pcm, packet := make([]int16, 320), make([]int16, 960), make([]byte, MaxPacket)
	if n := testing.AllocsPerRun(50, func() {
		n, _ := e.Encode(packet, frame)
		d.Decode(pcm, packet[:n])
		d.Conceal(pcm[:160])
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: whatever comes is decoded or refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x78, 1, 2, 3})
	f.Fuzz(func(t *testing.T, packet []byte) {
		d, err := NewDecoder(16000)
		if errors.Is(err, ErrUnavailable) {
			return
		}
		defer d.Close()
		pcm := make([]int16, 16*MaxFrame)
		for range 2 {
			if n, err := d.Decode(pcm, packet); err == nil && (n <= 0 || n > len(pcm)) {
				t.Fatal(n)
			}
			d.Recover(pcm[:320], packet)
			if err := d.Conceal(pcm[:320]); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkOpus(b *testing.B) {
	if !Available() {
		return
	}
	speech := make([]int16, 8000) // something with a pitch and a rhythm
	for i := range speech {
		v := math.Mod(float64(i)*140/8000, 1)*2 - 1
		speech[i] = int16(6000 * v * math.Abs(math.Sin(float64(i)*4*math.Pi/8000)))
	}
	for name, c := range map[string]Config{
		"voice8k": {Rate: 8000}, "voice16k": {Rate: 16000}, "voice48k": {Rate: 48000}, "voice8kC0": {Rate: 8000, Complexity: -1},
		"low8k": {Rate: 8000, Use: LowDelay}, "low16k": {Rate: 16000, Use: LowDelay}, "low48k": {Rate: 48000, Use: LowDelay},
	} {
		b.Run(name, func(b *testing.B) {
			e, d := codec(b, c, c.Rate)
			n, packet, pcm := c.Rate/50, make([]byte, MaxPacket), make([]int16, 5760)
			at := 0
			frame := make([]int16, n)
			b.Run("encode", func(b *testing.B) {
				for b.Loop() {
					for i := range frame {
						frame[i] = speech[(at+i*8000/c.Rate)%len(speech)]
					}
					at += 160
					e.Encode(packet, frame)
				}
			})
			k, _ := e.Encode(packet, frame)
			b.Run("decode", func(b *testing.B) {
				for b.Loop() {
					d.Decode(pcm, packet[:k])
				}
			})
		})
	}
}
