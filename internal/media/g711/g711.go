// Package g711 is the telephone codec of ITU-T G.711 in both laws: PCMU (µ-law) and PCMA (A-law), one octet a
// sample at 8000 samples a second, as RTP carries them (RFC 3551 4.5.14).
//
// Samples are linear 16 bit. The quantiser follows the ITU's own software tool library (G.191): a sample that
// lies exactly on a decision value of the negative half goes to the interval nearer to zero, where G.711 itself
// leaves the choice open. Functions keep no state, allocate nothing and may be called at the same time.
package g711

import "math/bits"

// SilenceU and SilenceA are the octets of a sample of no amplitude, to fill frames that carry nothing.
const (
	SilenceU = 0xFF
	SilenceA = 0xD5
)

const (
	bias = 33     // G.711 shifts the µ-law magnitude by it, so that each segment begins at a power of two
	clip = 0x1FFF // the greatest biased magnitude, 13 bits
)

var linearU, linearA [256]int16

func init() {
	for i := range 256 {
		linearU[i], linearA[i] = expandU(byte(i)), expandA(byte(i))
	}
}

// LinearU is the sample that a µ-law octet stands for.
func LinearU(b byte) int16 { return linearU[b] }

// LinearA is the sample that an A-law octet stands for.
func LinearA(b byte) int16 { return linearA[b] }

// expandU computes G.711 table 2: the octet is sent inverted, sign, three bits of segment, four of step.
func expandU(b byte) int16 {
	b = ^b
	m := (int16(b&0x0F)<<1+bias)<<(b>>4&7) - bias
	if b&0x80 != 0 {
		m = -m
	}
	return m << 2 // 14 bits to 16
}

// expandA computes G.711 table 1: even bits are sent inverted, a set sign is positive.
func expandA(b byte) int16 {
	b ^= 0x55
	seg := b >> 4 & 7
	m := int16(b&0x0F)<<4 + 8
	if seg > 0 {
		m = (m + 0x100) << (seg - 1)
	}
	if b&0x80 == 0 {
		m = -m
	}
	return m
}

// CompressU is the µ-law octet of a sample.
func CompressU(s int16) byte {
	sign := byte(s>>15) & 0x80
	m := min(uint16(s^s>>15)>>2+bias, clip) // one's complement: the negative half is its mirror
	seg := bits.Len16(m) - 6
	return ^(sign | byte(seg)<<4 | byte(m>>(seg+1))&0x0F)
}

// CompressA is the A-law octet of a sample.
func CompressA(s int16) byte {
	sign := ^byte(s>>15) & 0x80
	m := uint16(s^s>>15) >> 4 // 0..2047
	seg := max(bits.Len16(m)-4, 0)
	if seg > 1 {
		m >>= seg - 1
	}
	return (sign | byte(seg)<<4 | byte(m)&0x0F) ^ 0x55
}

// EncodeU writes the µ-law octets of src to dst and returns how many: the shorter of both lengths.
func EncodeU(dst []byte, src []int16) int {
	n := min(len(dst), len(src))
	dst = dst[:n]
	for i, s := range src[:n] {
		dst[i] = CompressU(s)
	}
	return n
}

// EncodeA writes the A-law octets of src to dst and returns how many: the shorter of both lengths.
func EncodeA(dst []byte, src []int16) int {
	n := min(len(dst), len(src))
	dst = dst[:n]
	for i, s := range src[:n] {
		dst[i] = CompressA(s)
	}
	return n
}

// DecodeU writes the samples of the µ-law octets in src to dst and returns how many: the shorter of both lengths.
func DecodeU(dst []int16, src []byte) int {
	n := min(len(dst), len(src))
	dst = dst[:n]
	for i, b := range src[:n] {
		dst[i] = linearU[b]
	}
	return n
}

// DecodeA writes the samples of the A-law octets in src to dst and returns how many: the shorter of both lengths.
func DecodeA(dst []int16, src []byte) int {
	n := min(len(dst), len(src))
	dst = dst[:n]
	for i, b := range src[:n] {
		dst[i] = linearA[b]
	}
	return n
}
