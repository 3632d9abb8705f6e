// Package wav reads and writes recordings and prompts as RIFF WAVE files: one voice of 16 bits, at 8000, 16000 or
// 48000 samples a second.
//
// What is read may be any file that somebody uploads. Sizes in it are claims: nothing is allocated by them, and what
// stands before the samples is skipped up to a bound.
package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"parley/internal/media/g711"
)

const (
	maxChunks = 100      // before the samples
	maxSkip   = 16 << 20 // octets before the samples: pictures and tags
	unknown   = 1<<32 - 1

	formatPCM        = 1
	formatALaw       = 6
	formatULaw       = 7
	formatExtensible = 0xFFFE
)

// ErrFormat is matched by the errors of files that are not WAVE, or hold what is not supported.
var ErrFormat = errors.New("not a usable WAVE file")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Reader reads the samples of a file. Not safe for concurrent use.
type Reader struct {
	r        io.Reader
	rate     int
	format   uint16
	channels int
	left     int64 // octets of samples, -1 when only the end of the file ends them
	buf      [4096]byte
}

// NewReader reads the head of a file, up to the samples. PCM of 16 bits, A-law and µ-law are understood, with one or
// two channels.
func NewReader(r io.Reader) (*Reader, error) {
	w := &Reader{r: r}
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, ended(err)
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return nil, bad("it does not begin as one")
	}
	skipped := int64(0)
	for range maxChunks {
		var c [8]byte
		if _, err := io.ReadFull(r, c[:]); err != nil {
			return nil, ended(err)
		}
		size := int64(binary.LittleEndian.Uint32(c[4:]))
		switch string(c[:4]) {
		case "fmt ":
			if w.channels != 0 {
				return nil, bad("two formats")
			}
			n, err := w.readFormat(size)
			if err != nil {
				return nil, err
			}
			size -= n
		case "data":
			if w.channels == 0 {
				return nil, bad("samples without a format")
			}
			w.left = size
			if size == 0 || size == unknown { // written by a program that could not go back to fill it in
				w.left = -1
			}
			return w, nil
		}
		size += size & 1 // chunks are padded to an even length
		if skipped += size; skipped > maxSkip {
			return nil, bad("more than %d octets before the samples", maxSkip)
		}
		if _, err := io.CopyN(io.Discard, r, size); err != nil {
			return nil, ended(err)
		}
	}
	return nil, bad("more than %d parts before the samples", maxChunks)
}

// ended makes the end of the file within the head an error of the file.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("it ends before the samples")
	}
	return err
}

func (w *Reader) readFormat(size int64) (int64, error) {
	if size < 16 {
		return 0, bad("a format of %d octets", size)
	}
	var f [40]byte
	n := min(size, int64(len(f)))
	if _, err := io.ReadFull(w.r, f[:n]); err != nil {
		return 0, ended(err)
	}
	le := binary.LittleEndian
	w.format, w.channels = le.Uint16(f[:]), int(le.Uint16(f[2:]))
	rate, bits := le.Uint32(f[4:]), le.Uint16(f[14:])
	if w.format == formatExtensible && n == 40 {
		w.format = le.Uint16(f[24:])
	}
	switch {
	case w.format == formatPCM && bits != 16:
		return 0, bad("%d bits a sample, want 16", bits)
	case w.format != formatPCM && w.format != formatALaw && w.format != formatULaw:
		return 0, bad("encoding %d, want PCM (1), A-law (6) or µ-law (7)", w.format)
	case w.format != formatPCM && bits != 8:
		return 0, bad("%d bits a sample of G.711", bits)
	case w.channels != 1 && w.channels != 2:
		return 0, bad("%d channels, want 1 or 2", w.channels)
	case rate != 8000 && rate != 16000 && rate != 48000:
		return 0, bad("%d samples a second, want 8000, 16000 or 48000", rate)
	}
	w.rate = int(rate)
	return n, nil
}

// Rate is how many samples a second has.
func (w *Reader) Rate() int { return w.rate }

// Read reads the next samples, two channels as their mean. It returns io.EOF after the last one; a file that is
// shorter than it says ends where it ends. It allocates nothing.
func (w *Reader) Read(pcm []int16) (int, error) {
	width := w.channels
	if w.format == formatPCM {
		width *= 2
	}
	n := 0
	for n < len(pcm) {
		want := min(int64(len(pcm)-n)*int64(width), int64(len(w.buf)/width*width))
		if w.left >= 0 {
			want = min(want, w.left/int64(width)*int64(width))
		}
		if want == 0 {
			break
		}
		got, err := io.ReadFull(w.r, w.buf[:want])
		if w.left >= 0 {
			w.left -= int64(got)
		}
		for b := w.buf[:got/width*width]; len(b) > 0; b = b[width:] {
			pcm[n] = w.sample(b)
			n++
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			w.left = 0
			break
		}
		if err != nil {
			return n, err
		}
	}
	if n == 0 && len(pcm) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (w *Reader) sample(b []byte) int16 {
	at := func(i int) int32 {
		switch w.format {
		case formatALaw:
			return int32(g711.LinearA(b[i]))
		case formatULaw:
			return int32(g711.LinearU(b[i]))
		}
		return int32(int16(binary.LittleEndian.Uint16(b[2*i:])))
	}
	if w.channels == 2 {
		return int16((at(0) + at(1)) / 2)
	}
	return int16(at(0))
}
