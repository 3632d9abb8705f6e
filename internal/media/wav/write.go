package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// headLen is the length of what stands before the samples.
const headLen = 44

// maxData is the most octets of samples that the format has room for: sizes are of 32 bits.
const maxData = unknown - headLen

// ErrFull is returned when a file has no room for more: six hours at 48000, 37 at 8000.
var ErrFull = errors.New("the WAVE file is full")

// Writer writes a file. Not safe for concurrent use.
type Writer struct {
	w       io.Writer
	rate    int
	written int64
	buf     [4096]byte
}

// NewWriter begins a file: PCM of 16 bits, one channel. Until Close its head says that the length is not known,
// which players take as "to the end", so that a recording that was cut off can be heard.
func NewWriter(w io.Writer, rate int) (*Writer, error) {
	if rate != 8000 && rate != 16000 && rate != 48000 {
		return nil, fmt.Errorf("sampling rate %d: want 8000, 16000 or 48000", rate)
	}
	x := &Writer{w: w, rate: rate}
	_, err := w.Write(x.head(unknown))
	return x, err
}

func (w *Writer) head(data uint32) []byte {
	le := binary.LittleEndian
	riff := data
	if data != unknown {
		riff += headLen - 8
	}
	h := append(w.buf[:0], "RIFF"...)
	h = le.AppendUint32(h, riff)
	h = append(h, "WAVEfmt "...)
	h = le.AppendUint32(h, 16)
	h = le.AppendUint16(h, formatPCM)
	h = le.AppendUint16(h, 1)
	h = le.AppendUint32(h, uint32(w.rate))
	h = le.AppendUint32(h, uint32(2*w.rate))
	h = le.AppendUint16(h, 2)
	h = le.AppendUint16(h, 16)
	h = append(h, "data"...)
	return le.AppendUint32(h, data)
}

// Write appends samples. It allocates nothing.
func (w *Writer) Write(pcm []int16) error {
	if w.written+2*int64(len(pcm)) > maxData {
		return ErrFull
	}
	for len(pcm) > 0 {
		b := w.buf[:0]
		n := min(len(pcm), len(w.buf)/2)
		for _, s := range pcm[:n] {
			b = binary.LittleEndian.AppendUint16(b, uint16(s))
		}
		pcm = pcm[n:]
		m, err := w.w.Write(b)
		w.written += int64(m)
		if err != nil {
			return err
		}
	}
	return nil
}

// Close writes the length into the head when what is written to can seek, and leaves it unknown otherwise. It does
// not close what is written to.
func (w *Writer) Close() error {
	s, ok := w.w.(io.WriteSeeker)
	if !ok {
		return nil
	}
	if _, err := s.Seek(-w.written-headLen, io.SeekCurrent); err != nil {
		return fmt.Errorf("fill in the length: %w", err)
	}
	if _, err := s.Write(w.head(uint32(w.written))); err != nil {
		return fmt.Errorf("fill in the length: %w", err)
	}
	_, err := s.Seek(w.written, io.SeekCurrent)
	return err
}
