package rtp

import "encoding/binary"

// HeaderLen is the length of a header without contributing sources and extensions.
const HeaderLen = 12

// Packet is a view of an RTP packet that Parse has checked. Its setters change the packet where it lies.
type Packet struct {
	raw []byte
	ext int // where the extension begins, or the payload when there is none
	at  int // where the payload begins
	end int // and where it ends: behind it is padding
}

// Parse checks a packet and returns a view of it, which holds b.
func Parse(b []byte) (Packet, error) {
	if len(b) < HeaderLen {
		return Packet{}, ErrShort
	}
	if b[0]>>6 != 2 {
		return Packet{}, ErrVersion
	}
	p := Packet{raw: b, ext: HeaderLen + 4*int(b[0]&0x0F), end: len(b)}
	p.at = p.ext
	if p.extended() {
		if len(b) < p.ext+4 {
			return Packet{}, ErrShort
		}
		p.at += 4 + 4*int(binary.BigEndian.Uint16(b[p.ext+2:]))
	}
	if p.at > len(b) {
		return Packet{}, ErrShort
	}
	if b[0]&0x20 != 0 {
		n := int(b[len(b)-1])
		if n == 0 || n > len(b)-p.at {
			return Packet{}, ErrPadding
		}
		p.end -= n
	}
	return p, nil
}

func (p Packet) extended() bool { return p.raw[0]&0x10 != 0 }

// Bytes is the whole packet as it is now.
func (p Packet) Bytes() []byte { return p.raw }

// Payload is what the packet carries, without padding.
func (p Packet) Payload() []byte { return p.raw[p.at:p.end] }

// Padding is how many octets of padding follow the payload, the one that says so included.
func (p Packet) Padding() int { return len(p.raw) - p.end }

// Marker is the marker bit: the first packet after a silence (audio), the last one of a picture (video).
func (p Packet) Marker() bool { return p.raw[1]&0x80 != 0 }

// SetMarker sets or clears the marker bit.
func (p Packet) SetMarker(m bool) {
	p.raw[1] &= 0x7F
	if m {
		p.raw[1] |= 0x80
	}
}

// Type is the payload type, 0 to 127.
func (p Packet) Type() uint8 { return p.raw[1] & 0x7F }

// SetType changes the payload type.
func (p Packet) SetType(t uint8) { p.raw[1] = p.raw[1]&0x80 | t&0x7F }

// Seq is the sequence number.
func (p Packet) Seq() uint16 { return binary.BigEndian.Uint16(p.raw[2:]) }

// SetSeq changes the sequence number.
func (p Packet) SetSeq(s uint16) { binary.BigEndian.PutUint16(p.raw[2:], s) }

// Timestamp is the timestamp, in units of the clock of the payload type.
func (p Packet) Timestamp() uint32 { return binary.BigEndian.Uint32(p.raw[4:]) }

// SetTimestamp changes the timestamp.
func (p Packet) SetTimestamp(t uint32) { binary.BigEndian.PutUint32(p.raw[4:], t) }

// SSRC is the source.
func (p Packet) SSRC() uint32 { return binary.BigEndian.Uint32(p.raw[8:]) }

// SetSSRC changes the source.
func (p Packet) SetSSRC(s uint32) { binary.BigEndian.PutUint32(p.raw[8:], s) }

// CSRCs is how many contributing sources there are.
func (p Packet) CSRCs() int { return int(p.raw[0] & 0x0F) }

// CSRC is the contributing source number i, from 0; that of the dominant speaker comes first (MS-RTP).
func (p Packet) CSRC(i int) uint32 { return binary.BigEndian.Uint32(p.raw[HeaderLen+4*i:]) }

// Extension is the profile and the octets of the header extension; ok is false when there is none.
func (p Packet) Extension() (profile uint16, data []byte, ok bool) {
	if !p.extended() {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(p.raw[p.ext:]), p.raw[p.ext+4 : p.at], true
}

// WithoutExtension returns the packet without its header extension. The header is moved over it, so that the packet
// begins later in the same octets, and p is no longer valid.
func (p Packet) WithoutExtension() Packet {
	n := p.at - p.ext
	if n == 0 {
		return p
	}
	copy(p.raw[n:], p.raw[:p.ext])
	p.raw = p.raw[n:]
	p.raw[0] &^= 0x10
	p.at, p.end = p.ext, p.end-n
	return p
}

// Header is what a new packet begins with.
type Header struct {
	Marker    bool
	Type      uint8
	Seq       uint16
	Timestamp uint32
	SSRC      uint32
}

// Append appends the header to dst.
func (h Header) Append(dst []byte) []byte {
	t := h.Type & 0x7F
	if h.Marker {
		t |= 0x80
	}
	dst = append(dst, 0x80, t)
	dst = binary.BigEndian.AppendUint16(dst, h.Seq)
	dst = binary.BigEndian.AppendUint32(dst, h.Timestamp)
	return binary.BigEndian.AppendUint32(dst, h.SSRC)
}
