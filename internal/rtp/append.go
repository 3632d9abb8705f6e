package rtp

import (
	"encoding/binary"
	"math/bits"
)

// MaxReports is how many reports one SR or RR holds.
const MaxReports = 31

// maxCNAME is the longest text of an item (RFC 3550 6.5).
const maxCNAME = 255

// control appends the head of a packet whose body has so many octets, a multiple of four.
func control(dst []byte, typ, count uint8, body int) []byte {
	dst = append(dst, 0x80|count&0x1F, typ)
	return binary.BigEndian.AppendUint16(dst, uint16(body/4))
}

// AppendSR appends a sender report with at most MaxReports reports; more are left out.
func AppendSR(dst []byte, ssrc uint32, s Sender, reports ...Report) []byte {
	reports = reports[:min(len(reports), MaxReports)]
	dst = control(dst, SR, uint8(len(reports)), 24+reportLen*len(reports))
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = binary.BigEndian.AppendUint64(dst, s.NTP)
	dst = binary.BigEndian.AppendUint32(dst, s.Timestamp)
	dst = binary.BigEndian.AppendUint32(dst, s.Packets)
	dst = binary.BigEndian.AppendUint32(dst, s.Octets)
	return appendReports(dst, reports)
}

// AppendRR appends a receiver report with at most MaxReports reports; more are left out.
func AppendRR(dst []byte, ssrc uint32, reports ...Report) []byte {
	reports = reports[:min(len(reports), MaxReports)]
	dst = control(dst, RR, uint8(len(reports)), 4+reportLen*len(reports))
	return appendReports(binary.BigEndian.AppendUint32(dst, ssrc), reports)
}

func appendReports(dst []byte, reports []Report) []byte {
	for _, r := range reports {
		lost := uint32(min(max(r.Lost, -1<<23), 1<<23-1)) & 0xFFFFFF
		dst = binary.BigEndian.AppendUint32(dst, r.SSRC)
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Fraction)<<24|lost)
		dst = binary.BigEndian.AppendUint32(dst, r.Highest)
		dst = binary.BigEndian.AppendUint32(dst, r.Jitter)
		dst = binary.BigEndian.AppendUint32(dst, r.LastSR)
		dst = binary.BigEndian.AppendUint32(dst, r.SinceSR)
	}
	return dst
}

// AppendSDES appends a source description with a canonical name, of which 255 octets count.
func AppendSDES(dst []byte, ssrc uint32, cname string) []byte {
	cname = cname[:min(len(cname), maxCNAME)]
	n := (4 + 2 + len(cname) + 4) &^ 3
	dst = control(dst, SDES, 1, n)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, sdesCNAME, byte(len(cname)))
	dst = append(dst, cname...)
	for range n - 6 - len(cname) {
		dst = append(dst, 0)
	}
	return dst
}

// AppendBYE appends the farewell of a source.
func AppendBYE(dst []byte, ssrc uint32) []byte {
	return binary.BigEndian.AppendUint32(control(dst, BYE, 1, 4), ssrc)
}

func feedback(dst []byte, typ, format uint8, ssrc, media uint32, fci int) []byte {
	dst = control(dst, typ, format, 8+fci)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	return binary.BigEndian.AppendUint32(dst, media)
}

// AppendPLI appends a picture loss indication of ssrc about media.
func AppendPLI(dst []byte, ssrc, media uint32) []byte {
	return feedback(dst, PSFB, FormatPLI, ssrc, media, 0)
}

// AppendFIR appends a request for a whole picture; number is that of the last request, and one more for a new one.
func AppendFIR(dst []byte, ssrc, media uint32, number uint8) []byte {
	dst = feedback(dst, PSFB, FormatFIR, ssrc, 0, 8)
	dst = binary.BigEndian.AppendUint32(dst, media)
	return append(dst, number, 0, 0, 0)
}

// AppendNACK appends a request for the packets of media with these sequence numbers, which are in ascending order.
func AppendNACK(dst []byte, ssrc, media uint32, missing []uint16) []byte {
	at := len(dst)
	dst = feedback(dst, RTPFB, FormatNACK, ssrc, media, 0)
	for len(missing) > 0 {
		first, mask := missing[0], uint16(0)
		for missing = missing[1:]; len(missing) > 0; missing = missing[1:] {
			d := missing[0] - first
			if d == 0 || d > 16 {
				break
			}
			mask |= 1 << (d - 1)
		}
		dst = binary.BigEndian.AppendUint16(dst, first)
		dst = binary.BigEndian.AppendUint16(dst, mask)
	}
	binary.BigEndian.PutUint16(dst[at+2:], uint16((len(dst)-at)/4-1))
	return dst
}

// AppendREMB appends an estimate of how many bits a second may be sent for media. The format keeps 18 bits of it.
func AppendREMB(dst []byte, ssrc, media uint32, bitrate uint64) []byte {
	exp := max(bits.Len64(bitrate)-18, 0)
	dst = feedback(dst, PSFB, FormatApplication, ssrc, 0, 12)
	dst = append(dst, "REMB"...)
	dst = binary.BigEndian.AppendUint32(dst, 1<<24|uint32(exp)<<18|uint32(bitrate>>exp))
	return binary.BigEndian.AppendUint32(dst, media)
}

// NTP is a moment in the format of NTP (RFC 3550 4): seconds since 1900 in the upper half, their fraction in the lower.
// It takes Unix time in nanoseconds.
func NTP(unix int64) uint64 {
	const to1900 = 2208988800
	s, ns := unix/1e9, unix%1e9
	return uint64(s+to1900)<<32 | uint64(ns)<<32/1e9
}

// Middle is the middle 32 bits of an NTP time, in units of 1/65536 s: what reports refer to.
func Middle(ntp uint64) uint32 { return uint32(ntp >> 16) }
