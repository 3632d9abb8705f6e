package transport

import "encoding/binary"

// kindOf tells RTCP from RTP where they share a port, by the second octet (RFC 5761 4).
func kindOf(b []byte) int {
	if len(b) > 1 && b[1] >= 192 && b[1] <= 223 {
		return rtcp
	}
	return rtp
}

// wellFormed reports whether a packet, plain or protected, has a header that is whole, of the version of RFC 3550.
func wellFormed(b []byte, kind int) bool {
	if kind == rtcp {
		return len(b) >= 8 && b[0]>>6 == 2
	}
	if len(b) < 12 || b[0]>>6 != 2 {
		return false
	}
	size := 12 + 4*int(b[0]&15)
	if b[0]&0x10 != 0 {
		if len(b) < size+4 {
			return false
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(b[size+2:]))
	}
	return len(b) >= size
}
