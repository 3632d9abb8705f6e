package engine

import (
	"fmt"
	"strconv"
	"strings"

	"parley/internal/media/g711"
	"parley/internal/media/g722"
	"parley/internal/media/opus"
	"parley/internal/sdp"
)

// decoder turns payloads into samples of one rate.
type decoder interface {
	rate() int
	// decode writes at most as many samples as pcm has room for and returns how many there are.
	decode(pcm []int16, payload []byte) (int, error)
	// conceal fills pcm in place of a lost packet, of which next may carry a copy; false when the codec has no way.
	conceal(pcm []int16, next []byte) bool
	reset() // forgets what was heard: another source begins
	close()
}

// encoder turns samples of one rate into payloads.
type encoder interface {
	rate() int
	encode(dst []byte, pcm []int16) (int, error)
	// loss says how many of a hundred packets do not arrive.
	loss(percent int)
	close()
}

// anyRate is the rate of a codec that takes every one.
const anyRate = 48000

// codecRate is at how many samples a second a codec works; ok is false when it cannot be decoded here.
func codecRate(c sdp.Codec) (rate int, ok bool) {
	switch strings.ToUpper(c.Name) {
	case "PCMU", "PCMA":
		return 8000, c.Clock == 8000 && c.Channels == 1
	case "G722":
		return 16000, c.Clock == 8000 && c.Channels == 1
	case "OPUS":
		return anyRate, opus.Available() && c.Clock == opus.Clock
	}
	return 0, false
}

// Codecs are the formats that can be decoded and encoded in this program, best first, with their usual payload types.
// It is what may be offered to a peer that has to be bridged to any other.
func Codecs() []sdp.Codec {
	out := []sdp.Codec{
		{Type: 9, Name: "G722", Clock: 8000, Channels: 1},
		{Type: 8, Name: "PCMA", Clock: 8000, Channels: 1},
		{Type: 0, Name: "PCMU", Clock: 8000, Channels: 1},
	}
	if opus.Available() {
		out = append([]sdp.Codec{{Type: 111, Name: "opus", Clock: opus.Clock, Channels: 2, Params: "minptime=10;useinbandfec=1"}}, out...)
	}
	return out
}

// newDecoder returns a decoder that gives samples at rate, or near it: see rate.
func newDecoder(c sdp.Codec, rate int) (decoder, error) {
	switch strings.ToUpper(c.Name) {
	case "PCMU":
		return law{dec: g711.DecodeU}, nil
	case "PCMA":
		return law{dec: g711.DecodeA}, nil
	case "G722":
		return wideDecoder{g722.NewDecoder()}, nil
	case "OPUS":
		d, err := opus.NewDecoder(rate)
		return opusDecoder{d, rate}, err
	}
	return nil, fmt.Errorf("media engine: %s cannot be decoded", c.Name)
}

// newEncoder returns an encoder that takes samples at rate, or near it: see rate.
func newEncoder(c sdp.Codec, rate int) (encoder, error) {
	switch strings.ToUpper(c.Name) {
	case "PCMU":
		return law{enc: g711.EncodeU}, nil
	case "PCMA":
		return law{enc: g711.EncodeA}, nil
	case "G722":
		return wideEncoder{g722.NewEncoder()}, nil
	case "OPUS":
		e, err := opus.NewEncoder(opusConfig(c, rate))
		return opusEncoder{e, rate}, err
	}
	return nil, fmt.Errorf("media engine: %s cannot be encoded", c.Name)
}

// opusConfig is how Opus is spoken. What comes from a telephone gains nothing by the model of speech, which costs five times
// as much: CELT alone needs a few more bits. Only a peer that allows few (RFC 7587 6.1) gets speech modelled, and then, if
// it wants, with copies of what may get lost.
func opusConfig(c sdp.Codec, rate int) opus.Config {
	conf := opus.Config{Rate: rate, Use: opus.LowDelay, Bitrate: 40000, Complexity: 1}
	if rate == 8000 {
		conf.Bitrate = 32000
	}
	most, _ := c.Param("maxaveragebitrate")
	if n, err := strconv.Atoi(most); err == nil && n < conf.Bitrate {
		conf.Bitrate = max(n, 6000)
		if n < 24000 {
			fec, _ := c.Param("useinbandfec")
			conf.Use, conf.Complexity, conf.FEC = opus.Voice, -1, fec == "1"
		}
	}
	return conf
}

// law is G.711, which remembers nothing.
type law struct {
	dec func([]int16, []byte) int
	enc func([]byte, []int16) int
}

func (law) rate() int                                   { return 8000 }
func (l law) decode(pcm []int16, b []byte) (int, error) { return l.dec(pcm, b), nil }
func (l law) encode(b []byte, pcm []int16) (int, error) { return l.enc(b, pcm), nil }
func (law) conceal([]int16, []byte) bool                { return false }
func (law) loss(int)                                    {}
func (law) reset()                                      {}
func (law) close()                                      {}

type wideDecoder struct{ *g722.Decoder }

func (wideDecoder) rate() int                                   { return 16000 }
func (d wideDecoder) decode(pcm []int16, b []byte) (int, error) { return d.Decode(pcm, b), nil }
func (wideDecoder) conceal([]int16, []byte) bool                { return false }
func (d wideDecoder) reset()                                    { d.Reset() }
func (wideDecoder) close()                                      {}

type wideEncoder struct{ *g722.Encoder }

func (wideEncoder) rate() int                                   { return 16000 }
func (e wideEncoder) encode(b []byte, pcm []int16) (int, error) { return e.Encode(b, pcm), nil }
func (wideEncoder) loss(int)                                    {}
func (wideEncoder) close()                                      {}

type opusDecoder struct {
	*opus.Decoder
	hertz int
}

func (d opusDecoder) rate() int                                 { return d.hertz }
func (d opusDecoder) decode(pcm []int16, b []byte) (int, error) { return d.Decode(pcm, b) }
func (d opusDecoder) reset()                                    { d.Reset() }
func (d opusDecoder) close()                                    { d.Close() }
func (d opusDecoder) conceal(pcm []int16, next []byte) bool {
	if len(next) > 0 && d.Recover(pcm, next) == nil {
		return true
	}
	return d.Conceal(pcm) == nil
}

type opusEncoder struct {
	*opus.Encoder
	hertz int
}

func (e opusEncoder) rate() int                                 { return e.hertz }
func (e opusEncoder) encode(b []byte, pcm []int16) (int, error) { return e.Encode(b, pcm) }
func (e opusEncoder) loss(percent int)                          { e.SetLoss(percent) }
func (e opusEncoder) close()                                    { e.Close() }
