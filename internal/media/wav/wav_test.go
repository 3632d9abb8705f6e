package wav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/test/parleytest"
)

func ramp(n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(i*37 - 20000)
	}
	return pcm
}

func file(t testing.TB, rate int, pcm []int16) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.wav")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, rate)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(pcm, 160) {
		if err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func readAll(r io.Reader) ([]int16, int, error) {
	w, err := NewReader(r)
	if err != nil {
		return nil, 0, err
	}
	var out []int16
	frame := make([]int16, 100)
	for {
		n, err := w.Read(frame)
		out = append(out, frame[:n]...)
		if err == io.EOF {
			return out, w.Rate(), nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		for _, n := range []int{0, 1, 5000} {
			b, err := os.ReadFile(file(t, rate, ramp(n)))
			if err != nil {
				t.Fatal(err)
			}
			if len(b) != headLen+2*n || binary.LittleEndian.Uint32(b[4:]) != uint32(len(b)-8) || binary.LittleEndian.Uint32(b[40:]) != uint32(2*n) {
				t.Errorf("%d samples: the lengths are wrong", n)
			}
			got, r, err := readAll(bytes.NewReader(b))
			if err != nil || r != rate || !slices.Equal(got, ramp(n)) {
				t.Errorf("%d samples at %d: %d at %d, %v", n, rate, len(got), r, err)
			}
		}
	}
	if _, err := NewWriter(io.Discard, 44100); err == nil {
		t.Error("44100 accepted")
	}
}

// A recording that was cut off, or went to a pipe, is read to its end.
func TestUnknownLength(t *testing.T) {
	var b bytes.Buffer
	w, _ := NewWriter(&b, 8000)
	w.Write(ramp(333))
	b.WriteByte(7) // half a sample
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _, err := readAll(&b); err != nil || !slices.Equal(got, ramp(333)) {
		t.Errorf("%d samples, %v", len(got), err)
	}
}

func TestFull(t *testing.T) {
	w, _ := NewWriter(io.Discard, 8000)
	w.written = maxData - 1
	if err := w.Write(ramp(1)); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// TestOtherImplementation: ffmpeg reads what we write, and we read what it writes, in every encoding.
func TestOtherImplementation(t *testing.T) {
	parleytest.Need(t, "ffmpeg")
	pcm := ramp(1600)
	name := file(t, 16000, pcm)
	ffmpeg := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-v", "error", "-y", "-i", name}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("ffmpeg %v: %v\n%s", args, err, stderr.String())
		}
		return out
	}
	var want bytes.Buffer
	binary.Write(&want, binary.LittleEndian, pcm)
	if got := ffmpeg("-f", "s16le", "pipe:1"); !bytes.Equal(got, want.Bytes()) {
		t.Error("ffmpeg reads something else")
	}
	for _, args := range []string{"-c:a pcm_s16le", "-c:a pcm_s16le -af pan=stereo|c0=c0|c1=c0", "-c:a pcm_alaw", "-c:a pcm_mulaw", "-c:a pcm_mulaw -af pan=stereo|c0=c0|c1=c0", "-metadata title=bob"} {
		out := filepath.Join(t.TempDir(), "b.wav")
		ffmpeg(append(strings.Fields(args), out)...)
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		got, rate, err := readAll(f)
		f.Close()
		if err != nil || rate != 16000 || len(got) != len(pcm) {
			t.Errorf("%s: %d samples at %d, %v", args, len(got), rate, err)
			continue
		}
		for i := range got {
			d, tolerance := int(got[i])-int(pcm[i]), 1
			if strings.Contains(args, "law") {
				tolerance = 700 // what is louder than the law reaches is clipped
			}
			if d > tolerance || d < -tolerance {
				t.Errorf("%s: sample %d is %d, was %d", args, i, got[i], pcm[i])
				break
			}
		}
	}
	if got, _, err := readAll(bytes.NewReader(ffmpeg("-f", "wav", "pipe:1"))); err != nil || !slices.Equal(got, pcm) {
		t.Errorf("from a pipe: %d samples, %v", len(got), err)
	}
}

// build makes a file of parts: a name and what it holds.
func build(parts ...string) []byte {
	b := []byte("RIFF\xff\xff\xff\xffWAVE")
	for i := 0; i < len(parts); i += 2 {
		b = append(b, parts[i]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(parts[i+1])))
		b = append(b, parts[i+1]...)
		if len(parts[i+1])%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

func format(code, channels uint16, rate uint32, bits uint16) string {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, code)
	b = le.AppendUint16(b, channels)
	b = le.AppendUint32(b, rate)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint16(b, 0)
	return string(le.AppendUint16(b, bits))
}

func TestRefused(t *testing.T) {
	ok := format(formatPCM, 1, 8000, 16)
	if got, _, err := readAll(bytes.NewReader(build("LIST", "odd", "fmt ", ok+"xx", "fact", "1234", "data", "\x01\x00\x02\x00"))); err != nil || !slices.Equal(got, []int16{1, 2}) {
		t.Fatalf("%v, %v", got, err)
	}
	huge := []byte("RIFF....WAVEjunk\xff\xff\xff\x7f")
	for name, b := range map[string][]byte{
		"empty": nil, "short": []byte("RIFF"), "other": []byte("OggS....WAVE....."),
		"no format":     build("data", "12"),
		"no samples":    build("fmt ", ok),
		"two formats":   build("fmt ", ok, "fmt ", ok, "data", "12"),
		"small format":  build("fmt ", "12", "data", "12"),
		"8 bits":        build("fmt ", format(formatPCM, 1, 8000, 8), "data", "12"),
		"float":         build("fmt ", format(3, 1, 8000, 32), "data", "12"),
		"law of 16":     build("fmt ", format(formatALaw, 1, 8000, 16), "data", "12"),
		"no channel":    build("fmt ", format(formatPCM, 0, 8000, 16), "data", "12"),
		"many channels": build("fmt ", format(formatPCM, 65535, 8000, 16), "data", "12"),
		"rate":          build("fmt ", format(formatPCM, 1, 1<<31, 16), "data", "12"),
		"cut":           build("fmt ", ok)[:20],
		"huge part":     huge,
		"many parts":    build(slices.Repeat([]string{"junk", ""}, 200)...),
	} {
		if _, _, err := readAll(bytes.NewReader(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("disk")
	if _, err := NewReader(io.MultiReader(bytes.NewReader(build()), errorReader{broken})); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("an error of the disk became %v", err)
	}
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

// FuzzReader: no file makes more samples than it has octets, and none a panic.
func FuzzReader(f *testing.F) {
	f.Add(build("fmt ", format(formatPCM, 1, 8000, 16), "data", "1234"))
	f.Add(build("fmt ", format(formatULaw, 2, 48000, 8), "LIST", "x", "data", "12345"))
	f.Add(build("fmt ", format(formatExtensible, 1, 16000, 16)+strings.Repeat("\x01\x00", 12), "data", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := readAll(bytes.NewReader(b))
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		if len(got) > len(b) {
			t.Fatalf("%d samples of %d octets", len(got), len(b))
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	w, _ := NewWriter(io.Discard, 8000)
	b := build("fmt ", format(formatPCM, 1, 8000, 16), "data", strings.Repeat("ab", 100000))
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]int16, 160)
	if n := testing.AllocsPerRun(100, func() { r.Read(frame); w.Write(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	w, _ := NewWriter(io.Discard, 8000)
	frame := make([]int16, 160)
	for b.Loop() {
		w.Write(frame)
	}
}
