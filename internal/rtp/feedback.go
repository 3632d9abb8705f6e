package rtp

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// feedback reports whether the packet is feedback of a format.
func (c Control) feedback(typ, format uint8) bool { return c.Type == typ && c.Count == format }

// Media is the source that feedback is about. FIR and REMB say 0 here and name sources in their entries.
func (c Control) Media() uint32 {
	if c.Type != RTPFB && c.Type != PSFB {
		return 0
	}
	return binary.BigEndian.Uint32(c.body[4:])
}

// IsPLI reports whether the packet is a picture loss indication.
func (c Control) IsPLI() bool { return c.feedback(PSFB, FormatPLI) }

// IsFIR reports whether the packet is a full intra request.
func (c Control) IsFIR() bool { return c.feedback(PSFB, FormatFIR) }

// IsNACK reports whether the packet says which packets are missing.
func (c Control) IsNACK() bool { return c.feedback(RTPFB, FormatNACK) }

// IsTransportCC reports whether the packet is feedback of transport-wide congestion control, which is between two
// neighbours and is never passed on.
func (c Control) IsTransportCC() bool { return c.feedback(RTPFB, FormatTransportCC) }

// Intra yields the sources of which a FIR asks for a whole picture, and the number of each request: the same number
// again is the same request.
func (c Control) Intra() iter.Seq2[uint32, uint8] {
	return func(yield func(uint32, uint8) bool) {
		if !c.IsFIR() {
			return
		}
		for b := c.body[8:]; len(b) >= 8; b = b[8:] {
			if !yield(binary.BigEndian.Uint32(b), b[4]) {
				return
			}
		}
	}
}

// Missing yields the sequence numbers that a NACK asks for, at most seventeen for each entry.
func (c Control) Missing() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		if !c.IsNACK() {
			return
		}
		for b := c.body[8:]; len(b) >= 4; b = b[4:] {
			seq, mask := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
			if !yield(seq) {
				return
			}
			for i := range uint16(16) {
				if mask>>i&1 != 0 && !yield(seq+1+i) {
					return
				}
			}
		}
	}
}

// REMB is the receiver's estimate of how much may be sent to it (draft-alvestrand-rmcat-remb-03), in bits a second; ok is
// false when the packet is something else.
func (c Control) REMB() (bitrate uint64, ok bool) {
	if !c.feedback(PSFB, FormatApplication) || len(c.body) < 16 || string(c.body[8:12]) != "REMB" {
		return 0, false
	}
	if len(c.body) < 16+4*int(c.body[12]) {
		return 0, false
	}
	word := binary.BigEndian.Uint32(c.body[12:]) & 0xFFFFFF
	exp, mantissa := word>>18, uint64(word&0x3FFFF)
	if bits.Len64(mantissa)+int(exp) > 64 {
		return 1<<64 - 1, true
	}
	return mantissa << exp, true
}
