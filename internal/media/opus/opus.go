// Package opus is the codec of RFC 6716 for voices: one channel, at 8000, 16000 or 48000 samples a second of audio on
// this side, whatever the rate on the wire. In RTP its clock runs at 48000 always (RFC 7587 4.1).
//
// The codec itself is libopus, bound in by cgo when the program is built with the tag "opus". Without the tag, or
// without cgo, Available is false and New functions return ErrUnavailable: the rest of the program then offers other
// codecs.
package opus

import (
	"errors"
	"fmt"
)

// Clock is that of the RTP timestamp.
const Clock = 48000

// MaxFrame is the most that a packet holds: 120 ms.
const MaxFrame = 120

// MaxPacket is the most octets that are asked of an encoder for one packet. The codec has room for 1275 a frame.
const MaxPacket = 1275

// ErrUnavailable is returned in programs that were built without libopus.
var ErrUnavailable = errors.New("opus: this program was built without libopus")

// ErrPacket is returned for a packet that is not Opus.
var ErrPacket = errors.New("opus: not a packet of Opus")

// Use is what the encoder is made for.
type Use uint8

// Uses.
const (
	Voice    Use = iota // one person: speech is modelled, which saves bits and costs time
	LowDelay            // CELT only, for mixes and music: a fifth of the cost
)

// Config is how an Encoder works. The zero value of a field takes its default.
type Config struct {
	Rate       int // samples a second of what is encoded; 48000
	Use        Use
	Bitrate    int  // bits a second; 24000 for Voice, 40000 for LowDelay
	Complexity int  // 0 to 10, where 0 stands for the default 5 of Voice and 2 of LowDelay; -1 is the codec's 0
	FEC        bool // carries a coarse copy of the frame before, as far as the losses that SetLoss says make it worth it
	DTX        bool // says nothing while nothing is said
}

func (c Config) withDefaults() (Config, error) {
	def := func(v *int, voice, low int) {
		switch {
		case *v != 0:
		case c.Use == LowDelay:
			*v = low
		default:
			*v = voice
		}
	}
	def(&c.Rate, Clock, Clock)
	def(&c.Bitrate, 24000, 40000)
	def(&c.Complexity, 5, 2)
	if c.Complexity < 0 {
		c.Complexity = 0
	}
	if err := checkRate(c.Rate); err != nil {
		return c, err
	}
	if c.Use > LowDelay || c.Bitrate < 6000 || c.Bitrate > 510000 || c.Complexity > 10 {
		return c, fmt.Errorf("opus: bitrate %d wants 6000 to 510000, complexity %d 0 to 10", c.Bitrate, c.Complexity)
	}
	return c, nil
}

func checkRate(rate int) error {
	switch rate {
	case 8000, 16000, 48000:
		return nil
	}
	return fmt.Errorf("opus: sampling rate %d: want 8000, 16000 or 48000", rate)
}
