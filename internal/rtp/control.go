package rtp

import "encoding/binary"

// Packet types of RTCP.
const (
	SR    = 200 // sender report
	RR    = 201 // receiver report
	SDES  = 202 // source description
	BYE   = 203
	APP   = 204
	RTPFB = 205 // transport feedback (RFC 4585): NACK, transport-cc
	PSFB  = 206 // payload-specific feedback: PLI, FIR, REMB
	XR    = 207 // extended report (RFC 3611)
)

// Formats of feedback, in Control.Count.
const (
	FormatNACK        = 1  // of RTPFB, RFC 4585 6.2.1
	FormatTransportCC = 15 // of RTPFB, draft-holmer-rmcat-transport-wide-cc-extensions-01
	FormatPLI         = 1  // of PSFB, RFC 4585 6.3.1
	FormatFIR         = 4  // of PSFB, RFC 5104 4.3.1
	FormatApplication = 15 // of PSFB, RFC 4585 6.4: REMB and what Lync clients say
)

// Control is one packet of a compound that ParseControl has checked.
type Control struct {
	Type  uint8
	Count uint8  // of reports, chunks or sources; the format of feedback
	body  []byte // behind the first four octets, without padding
}

// ParseControl takes the first packet off a compound (RFC 3550 6.1) and returns what follows it. A compound may also
// be a single packet of any type (RFC 5506). Types that are not known are returned like others.
func ParseControl(b []byte) (c Control, rest []byte, err error) {
	if len(b) < 4 {
		return Control{}, nil, ErrShort
	}
	if b[0]>>6 != 2 {
		return Control{}, nil, ErrVersion
	}
	if b[1] < 192 || b[1] > 223 {
		return Control{}, nil, ErrType
	}
	n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return Control{}, nil, ErrShort
	}
	c = Control{Type: b[1], Count: b[0] & 0x1F, body: b[4:n]}
	if b[0]&0x20 != 0 {
		pad := int(b[n-1])
		if pad == 0 || pad > len(c.body) {
			return Control{}, nil, ErrPadding
		}
		c.body = c.body[:len(c.body)-pad]
	}
	if len(c.body) < c.least() {
		return Control{}, nil, ErrShort
	}
	return c, b[n:], nil
}

// least is how long the fixed part of a type is, with as many reports or sources as the packet says.
func (c Control) least() int {
	switch n := int(c.Count); c.Type {
	case SR:
		return 24 + reportLen*n
	case RR:
		return 4 + reportLen*n
	case BYE:
		return 4 * n
	case APP:
		return 8
	case RTPFB, PSFB:
		return 8
	case XR:
		return 4
	}
	return 0
}

// SSRC is who sent a packet; 0 for types that do not say it in their first word.
func (c Control) SSRC() uint32 {
	if c.Type == SDES || len(c.body) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(c.body)
}

// Sender is what a sender report says of its sender (RFC 3550 6.4.1).
type Sender struct {
	NTP       uint64 // wall clock in the format of NTP, of a clock that only the sender knows
	Timestamp uint32 // the same moment on the clock of its RTP packets
	Packets   uint32
	Octets    uint32 // of payload
}

// Sender returns the sender's part of an SR; ok is false for other types.
func (c Control) Sender() (s Sender, ok bool) {
	if c.Type != SR {
		return s, false
	}
	b := c.body[4:]
	return Sender{
		NTP:       binary.BigEndian.Uint64(b),
		Timestamp: binary.BigEndian.Uint32(b[8:]),
		Packets:   binary.BigEndian.Uint32(b[12:]),
		Octets:    binary.BigEndian.Uint32(b[16:]),
	}, true
}

const reportLen = 24

// Report is what a receiver says of a source (RFC 3550 6.4.1).
type Report struct {
	SSRC     uint32 // of whom it speaks
	Fraction uint8  // lost since the last report, of 256
	Lost     int32  // since the beginning; of 24 bits on the wire, and less than nothing when packets came twice
	Highest  uint32 // sequence number, with the count of its cycles above
	Jitter   uint32 // in units of the timestamp
	LastSR   uint32 // the middle of the NTP time of the last SR that it has had of the source; 0 for none
	SinceSR  uint32 // and how long ago that was, in 1/65536 s
}

// Reports is how many reports an SR or RR has.
func (c Control) Reports() int {
	if c.Type == SR || c.Type == RR {
		return int(c.Count)
	}
	return 0
}

// Report returns report number i, from 0.
func (c Control) Report(i int) Report {
	b := c.body[4+reportLen*i:]
	if c.Type == SR {
		b = b[20:]
	}
	lost := binary.BigEndian.Uint32(b[4:])
	return Report{
		SSRC:     binary.BigEndian.Uint32(b),
		Fraction: b[4],
		Lost:     int32(lost<<8) >> 8,
		Highest:  binary.BigEndian.Uint32(b[8:]),
		Jitter:   binary.BigEndian.Uint32(b[12:]),
		LastSR:   binary.BigEndian.Uint32(b[16:]),
		SinceSR:  binary.BigEndian.Uint32(b[20:]),
	}
}

// Sources is how many sources a BYE names.
func (c Control) Sources() int {
	if c.Type == BYE {
		return int(c.Count)
	}
	return 0
}

// Source is source number i of a BYE, from 0.
func (c Control) Source(i int) uint32 { return binary.BigEndian.Uint32(c.body[4*i:]) }

// CNAME returns the canonical name of the first source of an SDES that says one.
func (c Control) CNAME() (ssrc uint32, name []byte, ok bool) {
	if c.Type != SDES {
		return 0, nil, false
	}
	b := c.body
	for range c.Count {
		if len(b) < 4 {
			return 0, nil, false
		}
		ssrc = binary.BigEndian.Uint32(b)
		at := 4
		for at < len(b) && b[at] != 0 {
			if at+2 > len(b) || at+2+int(b[at+1]) > len(b) {
				return 0, nil, false
			}
			item := b[at+2 : at+2+int(b[at+1])]
			if b[at] == sdesCNAME {
				return ssrc, item, true
			}
			at += 2 + len(item)
		}
		b = b[min((at+4)&^3, len(b)):] // at least one octet of zero, up to the next word
	}
	return 0, nil, false
}

const sdesCNAME = 1
