// Package rtp is the grammar of RTP and RTCP (RFC 3550), of header extensions (RFC 8285) and of feedback (RFC 4585,
// RFC 5104, REMB): views of packets that were received, which are read and changed where they lie, and functions that
// append new ones. Nothing is allocated, and nothing is kept.
//
// Every length in a packet is a claim of whoever sent it. Parse and ParseControl check them all; what they return can
// be read without further care.
package rtp

import "errors"

// Errors of packets that are not what they should be. Such a packet is dropped; RTP has no answer to it.
var (
	ErrShort   = errors.New("rtp: packet is shorter than it says")
	ErrVersion = errors.New("rtp: not version 2")
	ErrPadding = errors.New("rtp: padding is longer than the packet")
	ErrType    = errors.New("rtcp: not a packet type of RTCP")
)

// IsControl reports whether a packet on a port that RTP and RTCP share is RTCP (RFC 5761 4).
func IsControl(b []byte) bool { return len(b) >= 2 && b[1] >= 192 && b[1] <= 223 }
