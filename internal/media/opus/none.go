//go:build !(opus && cgo)

package opus

// Available reports whether the program has the codec.
func Available() bool { return false }

// Version is that of the library, or "".
func Version() string { return "" }

// Encoder turns samples into packets.
type Encoder struct{}

// NewEncoder returns an encoder that has heard nothing.
func NewEncoder(c Config) (*Encoder, error) {
	if _, err := c.withDefaults(); err != nil {
		return nil, err
	}
	return nil, ErrUnavailable
}

// Encode is not reached.
func (*Encoder) Encode([]byte, []int16) (int, error) { return 0, ErrUnavailable }

// SetLoss is not reached.
func (*Encoder) SetLoss(int) {}

// SetBitrate is not reached.
func (*Encoder) SetBitrate(int) {}

// Reset is not reached.
func (*Encoder) Reset() {}

// Close is not reached.
func (*Encoder) Close() {}

// Decoder turns packets into samples.
type Decoder struct{}

// NewDecoder returns a decoder that has heard nothing, for a rate in samples a second: 8000, 16000 or 48000.
func NewDecoder(rate int) (*Decoder, error) {
	if err := checkRate(rate); err != nil {
		return nil, err
	}
	return nil, ErrUnavailable
}

// Decode is not reached.
func (*Decoder) Decode([]int16, []byte) (int, error) { return 0, ErrUnavailable }

// Conceal is not reached.
func (*Decoder) Conceal([]int16) error { return ErrUnavailable }

// Recover is not reached.
func (*Decoder) Recover([]int16, []byte) error { return ErrUnavailable }

// Reset is not reached.
func (*Decoder) Reset() {}

// Close is not reached.
func (*Decoder) Close() {}
