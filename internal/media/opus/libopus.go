//go:build opus && cgo

package opus

// The static library, so that the program runs where no libopus is installed. Controls of libopus take variable
// arguments, which cgo has not: each that is used has a function here.

/*
#cgo LDFLAGS: -l:libopus.a -lm
#include <opus/opus.h>

static int set_bitrate(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_BITRATE(v)); }
static int set_loss(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(v)); }
static int reset_encoder(OpusEncoder *e) { return opus_encoder_ctl(e, OPUS_RESET_STATE); }
static int reset_decoder(OpusDecoder *d) { return opus_decoder_ctl(d, OPUS_RESET_STATE); }

static int set_up(OpusEncoder *e, opus_int32 bitrate, opus_int32 complexity, int voice, int fec, int dtx) {
	int r = set_bitrate(e, bitrate);
	if (r == OPUS_OK) r = opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(complexity));
	if (r == OPUS_OK && voice) r = opus_encoder_ctl(e, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
	if (r == OPUS_OK) r = opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(fec));
	if (r == OPUS_OK) r = opus_encoder_ctl(e, OPUS_SET_DTX(dtx));
	return r;
}
*/
import "C"

import (
	"fmt"
	"runtime"
)

// Available reports whether the program has the codec.
func Available() bool { return true }

// Version is that of the library, or "".
func Version() string { return C.GoString(C.opus_get_version_string()) }

func failure(what string, code C.int) error {
	return fmt.Errorf("opus: %s: %s", what, C.GoString(C.opus_strerror(code)))
}

// Encoder turns samples into packets. It allocates nothing after NewEncoder and is not safe for concurrent use.
type Encoder struct {
	c    *C.OpusEncoder
	rate int
}

// NewEncoder returns an encoder that has heard nothing. Its memory is not Go's: Close gives it back, and so does the
// garbage collector when Close is forgotten.
func NewEncoder(conf Config) (*Encoder, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	application := C.int(C.OPUS_APPLICATION_VOIP)
	if conf.Use == LowDelay {
		application = C.OPUS_APPLICATION_RESTRICTED_LOWDELAY
	}
	var code C.int
	c := C.opus_encoder_create(C.opus_int32(conf.Rate), 1, application, &code)
	if code != C.OPUS_OK {
		return nil, failure("encoder", code)
	}
	code = C.set_up(c, C.opus_int32(conf.Bitrate), C.opus_int32(conf.Complexity), flag(conf.Use == Voice), flag(conf.FEC), flag(conf.DTX))
	if code != C.OPUS_OK {
		C.opus_encoder_destroy(c)
		return nil, failure("encoder", code)
	}
	e := &Encoder{c, conf.Rate}
	runtime.SetFinalizer(e, (*Encoder).Close)
	return e, nil
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Encode writes the packet of a frame to dst and returns its length. A frame has 2.5, 5, 10, 20, 40 or 60 ms. One
// octet or two are a frame that need not be sent (DTX).
func (e *Encoder) Encode(dst []byte, frame []int16) (int, error) {
	if len(frame) == 0 || len(dst) == 0 {
		return 0, failure("encode", C.OPUS_BAD_ARG)
	}
	n := C.opus_encode(e.c, (*C.opus_int16)(&frame[0]), C.int(len(frame)), (*C.uchar)(&dst[0]), C.opus_int32(len(dst)))
	runtime.KeepAlive(e)
	if n < 0 {
		return 0, failure("encode", n)
	}
	return int(n), nil
}

// SetLoss tells how many of a hundred packets get lost, for FEC.
func (e *Encoder) SetLoss(percent int) {
	C.set_loss(e.c, C.opus_int32(min(max(percent, 0), 100)))
	runtime.KeepAlive(e)
}

// SetBitrate changes the bits a second; what the codec cannot do is left as it was.
func (e *Encoder) SetBitrate(bits int) {
	C.set_bitrate(e.c, C.opus_int32(bits))
	runtime.KeepAlive(e)
}

// Reset forgets what was heard, as at the beginning of another stream.
func (e *Encoder) Reset() {
	C.reset_encoder(e.c)
	runtime.KeepAlive(e)
}

// Close gives the memory back. The encoder must not be used afterwards; closing it again does nothing.
func (e *Encoder) Close() {
	if e.c != nil {
		C.opus_encoder_destroy(e.c)
		e.c = nil
		runtime.SetFinalizer(e, nil)
	}
}

// Decoder turns packets into samples. It allocates nothing after NewDecoder and is not safe for concurrent use.
type Decoder struct {
	c    *C.OpusDecoder
	rate int
}

// NewDecoder returns a decoder that has heard nothing, for a rate in samples a second: 8000, 16000 or 48000. For its
// memory see NewEncoder.
func NewDecoder(rate int) (*Decoder, error) {
	if err := checkRate(rate); err != nil {
		return nil, err
	}
	var code C.int
	c := C.opus_decoder_create(C.opus_int32(rate), 1, &code)
	if code != C.OPUS_OK {
		return nil, failure("decoder", code)
	}
	d := &Decoder{c, rate}
	runtime.SetFinalizer(d, (*Decoder).Close)
	return d, nil
}

// Decode writes the samples of a packet to dst, which has room for MaxFrame, and returns how many there are. Two
// channels become one.
func (d *Decoder) Decode(dst []int16, packet []byte) (int, error) {
	if len(packet) == 0 || len(dst) == 0 {
		return 0, ErrPacket
	}
	n := C.opus_decode(d.c, (*C.uchar)(&packet[0]), C.opus_int32(len(packet)), (*C.opus_int16)(&dst[0]), C.int(len(dst)), 0)
	runtime.KeepAlive(d)
	if n < 0 {
		return 0, ErrPacket
	}
	return int(n), nil
}

// Conceal fills dst with what a lost packet might have said. Its length is a multiple of 2.5 ms, 120 ms at most.
func (d *Decoder) Conceal(dst []int16) error {
	if len(dst) == 0 {
		return nil
	}
	n := C.opus_decode(d.c, nil, 0, (*C.opus_int16)(&dst[0]), C.int(len(dst)), 0)
	runtime.KeepAlive(d)
	if n < 0 {
		return failure("conceal", n)
	}
	clear(dst[n:])
	return nil
}

// Recover fills dst with the copy of the lost packet that the one after it carries, or conceals it when that carries
// none. The packet is decoded as usual afterwards.
func (d *Decoder) Recover(dst []int16, packet []byte) error {
	if len(packet) == 0 || len(dst) == 0 {
		return ErrPacket
	}
	n := C.opus_decode(d.c, (*C.uchar)(&packet[0]), C.opus_int32(len(packet)), (*C.opus_int16)(&dst[0]), C.int(len(dst)), 1)
	runtime.KeepAlive(d)
	if n < 0 {
		return ErrPacket
	}
	clear(dst[n:])
	return nil
}

// Reset forgets what was heard, as at the beginning of another stream.
func (d *Decoder) Reset() {
	C.reset_decoder(d.c)
	runtime.KeepAlive(d)
}

// Close gives the memory back. The decoder must not be used afterwards; closing it again does nothing.
func (d *Decoder) Close() {
	if d.c != nil {
		C.opus_decoder_destroy(d.c)
		d.c = nil
		runtime.SetFinalizer(d, nil)
	}
}
