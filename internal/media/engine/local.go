package engine

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"parley/internal/media/tone"
	"parley/internal/media/wav"
)

// Source is what a leg in this process says, or what a peer hears in place of another. It is read by a worker, which must
// not wait: what comes from a disk is read before (Prompt).
type Source interface {
	Rate() int // samples a second: 8000, 16000 or 48000
	// Read fills pcm and returns how much of it there is: less means that this was the end.
	Read(pcm []int16) int
}

// Sink is who listens in a leg in this process, or to a recording. Like a Source it must not wait. While nobody speaks it
// gets silence.
type Sink interface {
	Rate() int // 8000, 16000 or 48000
	Write(pcm []int16)
}

// Prompt is a recording in memory, for any number of calls at a time.
type Prompt struct {
	rate int
	pcm  []int16
}

// maxPrompt is ten minutes at the greatest rate.
const maxPrompt = 10 * 60 * 48000

// LoadPrompt reads a WAVE file; see package wav for those that are understood. Ten minutes at 48000 samples a second are the
// most.
func LoadPrompt(r io.Reader) (*Prompt, error) {
	w, err := wav.NewReader(r)
	if err != nil {
		return nil, err
	}
	p := &Prompt{rate: w.Rate()}
	buf := make([]int16, 4096)
	for {
		n, err := w.Read(buf)
		p.pcm = append(p.pcm, buf[:n]...)
		if len(p.pcm) > maxPrompt {
			return nil, fmt.Errorf("%w: it has more than %d samples", wav.ErrFormat, maxPrompt)
		}
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Source says the prompt, once or again and again. Each call needs its own.
func (p *Prompt) Source(again bool) Source { return &prompt{p, 0, again && len(p.pcm) > 0} }

type prompt struct {
	*Prompt
	at    int
	again bool
}

func (p *prompt) Rate() int { return p.rate }

func (p *prompt) Read(pcm []int16) int {
	n := 0
	for {
		k := copy(pcm[n:], p.pcm[p.at:])
		n, p.at = n+k, p.at+k
		if n == len(pcm) || !p.again {
			return n
		}
		p.at = 0
	}
}

// Tone is a source that plays a tone at 8000 samples a second.
func Tone(t tone.Tone) Source { return player{tone.NewPlayer(8000, t)} }

type player struct{ *tone.Player }

func (player) Rate() int              { return 8000 }
func (p player) Read(pcm []int16) int { return p.Fill(pcm) }

// Recorder is a sink that writes a WAVE file. A goroutine of its own writes, so that a slow disk holds up no call; what a
// disk cannot take for ten seconds is left out, and counted.
type Recorder struct {
	rate   int
	w      *wav.Writer
	done   sync.WaitGroup
	frames chan []int16
	free   chan []int16
	lost   atomic.Uint64
	err    error // of the goroutine, until done

	mu     sync.Mutex
	closed bool
}

const recorderFrames = 512

// NewRecorder begins a file, in which one second has rate samples: 8000, 16000 or 48000. See wav.NewWriter for what w
// should be able to do.
func NewRecorder(w io.Writer, rate int) (*Recorder, error) {
	file, err := wav.NewWriter(w, rate)
	if err != nil {
		return nil, err
	}
	r := &Recorder{rate: rate, w: file, frames: make(chan []int16, recorderFrames), free: make(chan []int16, recorderFrames)}
	for range recorderFrames {
		r.free <- make([]int16, rate/50)
	}
	r.done.Go(r.write)
	return r, nil
}

func (r *Recorder) write() {
	for f := range r.frames {
		if r.err == nil {
			r.err = r.w.Write(f)
		}
		r.free <- f[:cap(f)]
	}
}

// Rate implements Sink.
func (r *Recorder) Rate() int { return r.rate }

// Write implements Sink.
func (r *Recorder) Write(pcm []int16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(pcm) > 0 && !r.closed {
		select {
		case f := <-r.free:
			f = f[:copy(f, pcm)]
			pcm = pcm[len(f):]
			r.frames <- f // has room for all that exist
		default:
			r.lost.Add(uint64(len(pcm)))
			return
		}
	}
}

// Lost is how many samples the disk was too slow for.
func (r *Recorder) Lost() uint64 { return r.lost.Load() }

// Close completes the file and returns the first error of writing it. It does not close what is written to.
func (r *Recorder) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.closed = true
	close(r.frames)
	r.mu.Unlock()
	r.done.Wait()
	return errors.Join(r.err, r.w.Close())
}
