// Package stun is the grammar of STUN (RFC 5389, RFC 8489) and of its two relatives that Lync clients speak: the older
// draft beneath [MS-TURN], and the connectivity checks of [MS-ICE2]. Answer serves the keep-alive of SIP over UDP (RFC
// 5626 section 4.4.2 and 8). Nothing here holds state.
package stun

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

const (
	headerLen   = 20
	magicCookie = 0x2112A442

	bindingRequest  = 0x0001
	bindingSuccess  = 0x0101
	bindingError    = 0x0111
	attrErrorCode   = 0x0009
	attrUnknown     = 0x000A
	attrXorMapped   = 0x0020
	attrFingerprint = 0x8028

	// maxUnknown is how many unknown attributes are listed in a refusal.
	maxUnknown = 8
)

// Is reports whether a datagram is STUN, and not SIP or something else that shares the port (RFC 5389 section 6 and
// 8).
func Is(b []byte) bool {
	return len(b) >= headerLen && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == magicCookie &&
		int(binary.BigEndian.Uint16(b[2:]))+headerLen == len(b) && len(b)%4 == 0
}

// Answer appends to dst the answer to a Binding request that came from an address. ok is false when the datagram is
// to be ignored: it is no request, is cut short, or has a wrong fingerprint. Attributes that a server must
// understand and this one does not are refused with 420 (section 7.3.1).
func Answer(dst, req []byte, from netip.AddrPort) (answer []byte, ok bool) {
	if !Is(req) || binary.BigEndian.Uint16(req) != bindingRequest {
		return dst, false
	}
	var unknown [maxUnknown]uint16
	n, fingerprint := 0, false
	for pos := headerLen; pos < len(req); {
		typ, value, next, ok := attribute(req, pos)
		if !ok {
			return dst, false
		}
		switch {
		case typ == attrFingerprint:
			if next != len(req) || len(value) != 4 || binary.BigEndian.Uint32(value) != checksum(req[:pos]) {
				return dst, false
			}
			fingerprint = true
		case typ < 0x8000 && n < maxUnknown:
			unknown[n] = typ
			n++
		}
		pos = next
	}
	at := len(dst)
	kind := uint16(bindingSuccess)
	if n > 0 {
		kind = bindingError
	}
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = append(dst, 0, 0)                // the length, once it is known
	dst = append(dst, req[4:headerLen]...) // cookie and transaction
	if n > 0 {
		dst = appendRefusal(dst, unknown[:n])
	} else {
		dst = appendXorMapped(dst, dst[at+4:at+headerLen], from)
	}
	if fingerprint {
		setLength(dst[at:], 8)
		crc := checksum(dst[at:])
		dst = binary.BigEndian.AppendUint32(dst, attrFingerprint<<16|4)
		dst = binary.BigEndian.AppendUint32(dst, crc)
	}
	setLength(dst[at:], 0)
	return dst, true
}

// attribute cuts the attribute at pos.
func attribute(b []byte, pos int) (typ uint16, value []byte, next int, ok bool) {
	if len(b)-pos < 4 {
		return 0, nil, 0, false
	}
	typ = binary.BigEndian.Uint16(b[pos:])
	n := int(binary.BigEndian.Uint16(b[pos+2:]))
	next = pos + 4 + (n+3)&^3
	if next > len(b) {
		return 0, nil, 0, false
	}
	return typ, b[pos+4 : pos+4+n], next, true
}

// checksum is the value of a FINGERPRINT attribute after the bytes in b (section 15.5). The length in b's header
// already counts the attribute.
func checksum(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ 0x5354554E }

// setLength writes a message's length: what is there and more bytes to come.
func setLength(msg []byte, more int) {
	binary.BigEndian.PutUint16(msg[2:], uint16(len(msg)-headerLen+more))
}

// appendXorMapped appends XOR-MAPPED-ADDRESS (section 15.2). id is the magic cookie and the transaction id.
func appendXorMapped(dst, id []byte, from netip.AddrPort) []byte {
	addr := from.Addr().Unmap()
	family, size := byte(1), 4
	if addr.Is6() {
		family, size = 2, 16
	}
	dst = binary.BigEndian.AppendUint32(dst, attrXorMapped<<16|uint32(4+size))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^magicCookie>>16)
	a := addr.As16()
	for i, c := range a[16-size:] {
		dst = append(dst, c^id[i])
	}
	return dst
}

// appendRefusal appends ERROR-CODE 420 and UNKNOWN-ATTRIBUTES (sections 15.6 and 15.9).
func appendRefusal(dst []byte, unknown []uint16) []byte {
	const reason = "Unknown Attribute"
	dst = binary.BigEndian.AppendUint32(dst, attrErrorCode<<16|uint32(4+len(reason)))
	dst = append(dst, 0, 0, 4, 20)
	dst = append(dst, reason...)
	dst = append(dst, make([]byte, -len(reason)&3)...)
	dst = binary.BigEndian.AppendUint32(dst, attrUnknown<<16|uint32(2*len(unknown)))
	for _, t := range unknown {
		dst = binary.BigEndian.AppendUint16(dst, t)
	}
	if len(unknown)%2 == 1 {
		dst = append(dst, 0, 0)
	}
	return dst
}
