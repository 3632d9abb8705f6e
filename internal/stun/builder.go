package stun

import (
	"encoding/binary"
	"net/netip"
)

// Builder writes one message behind octets that are there already. The zero value is not usable; see Start.
type Builder struct {
	buf     []byte
	start   int
	dialect Dialect
}

// Start begins a message behind dst. The id is the whole of the sixteen octets; see NewID for a first one.
func Start(dst []byte, t Type, id [16]byte, d Dialect) Builder {
	b := Builder{dst, len(dst), d}
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(t))
	b.buf = append(b.buf, 0, 0)
	b.buf = append(b.buf, id[:]...)
	return b
}

// NewID makes a transaction id of a dialect out of 16 random octets.
func NewID(random [16]byte, d Dialect) [16]byte {
	if d != MSTURN {
		binary.BigEndian.PutUint32(random[:], magicCookie)
	}
	return random
}

// Add writes an attribute.
func (b *Builder) Add(a Attr, value []byte) {
	b.head(a, len(value))
	b.buf = append(b.buf, value...)
	b.fill(len(value))
}

// AddString writes an attribute that is text.
func (b *Builder) AddString(a Attr, value string) {
	b.head(a, len(value))
	b.buf = append(b.buf, value...)
	b.fill(len(value))
}

// AddUint32 writes an attribute of four octets.
func (b *Builder) AddUint32(a Attr, v uint32) {
	b.head(a, 4)
	b.buf = binary.BigEndian.AppendUint32(b.buf, v)
}

// AddUint64 writes an attribute of eight octets.
func (b *Builder) AddUint64(a Attr, v uint64) {
	b.head(a, 8)
	b.buf = binary.BigEndian.AppendUint64(b.buf, v)
}

// AddAddr writes an address as it is.
func (b *Builder) AddAddr(a Attr, addr netip.AddrPort) { b.addr(a, addr, [16]byte{}) }

// AddXorAddr writes an address hidden by the transaction id (RFC 8489 14.2).
func (b *Builder) AddXorAddr(a Attr, addr netip.AddrPort) {
	b.addr(a, addr, [16]byte(b.buf[b.start+4:b.start+headerLen]))
}

func (b *Builder) addr(a Attr, to netip.AddrPort, mask [16]byte) {
	ip := to.Addr().Unmap()
	family, size := byte(1), 4
	if ip.Is6() {
		family, size = 2, 16
	}
	b.head(a, 4+size)
	b.buf = append(b.buf, 0, family)
	b.buf = binary.BigEndian.AppendUint16(b.buf, to.Port()^binary.BigEndian.Uint16(mask[:]))
	raw := ip.As16()
	for i, c := range raw[16-size:] {
		b.buf = append(b.buf, c^mask[i])
	}
}

// AddError writes ERROR-CODE (RFC 8489 14.8).
func (b *Builder) AddError(code int, reason string) {
	b.head(ErrorCode, 4+len(reason))
	b.buf = append(b.buf, 0, 0, byte(code/100), byte(code%100))
	b.buf = append(b.buf, reason...)
	b.fill(len(reason))
}

// Finish ends the message with MESSAGE-INTEGRITY if there is a key, and with FINGERPRINT if wanted, and returns the
// buffer.
func (b *Builder) Finish(key []byte, withFingerprint bool) []byte {
	trailer := 0
	if withFingerprint {
		trailer = fingerprLen
	}
	if key != nil {
		text := b.buf[b.start:]
		length := len(text) + integrityLen - headerLen
		if b.dialect == MSICE || b.dialect == MSICEOld {
			length += trailer
		}
		b.head(MessageIntegrity, integrityLen-4)
		b.buf = integrity(b.buf, text, length, b.dialect, key)
	}
	msg := b.buf[b.start:]
	setLength(msg, trailer)
	if withFingerprint {
		sum := fingerprint(msg, b.dialect)
		b.head(Fingerprint, 4)
		b.buf = binary.BigEndian.AppendUint32(b.buf, sum)
	}
	return b.buf
}

func (b *Builder) head(a Attr, size int) {
	if b.dialect == MSICE || b.dialect == MSICEOld {
		size = (size + 3) &^ 3
	}
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(a))
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(size))
}

func (b *Builder) fill(size int) {
	if b.dialect != MSTURN {
		b.buf = append(b.buf, make([]byte, -size&3)...)
	}
}

// AddFramed writes an attribute whose value is a packet behind its length (RFC 4571 2).
func (b *Builder) AddFramed(a Attr, packet []byte) {
	b.head(a, 2+len(packet))
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(len(packet)))
	b.buf = append(b.buf, packet...)
	b.fill(2 + len(packet))
}
