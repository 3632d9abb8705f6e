// Package dtmf carries the digits that people press during a call: as named events in RTP (RFC 4733), and as the two
// tones of ITU-T Q.23 in the audio, made and recognised.
package dtmf

import "encoding/binary"

// Event is a named event of RFC 4733 3.2: 0 to 9, star, pound, A to D, flash.
type Event uint8

// Events that are not the digit of their number.
const (
	Star  Event = 10
	Pound Event = 11
	Flash Event = 16
)

const digits = "0123456789*#ABCD"

// ParseDigit is the event of a digit; letters in either case, "!" for flash as in SIP INFO.
func ParseDigit(c byte) (e Event, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return Event(c - '0'), true
	case c == '*':
		return Star, true
	case c == '#':
		return Pound, true
	case c >= 'A' && c <= 'D':
		return Event(c-'A') + 12, true
	case c >= 'a' && c <= 'd':
		return Event(c-'a') + 12, true
	case c == '!':
		return Flash, true
	}
	return 0, false
}

// Digit is the character of an event, or 0 for one that is none of ours.
func (e Event) Digit() byte {
	switch {
	case int(e) < len(digits):
		return digits[e]
	case e == Flash:
		return '!'
	}
	return 0
}

// Payload is the payload of RFC 4733 2.3.
type Payload struct {
	Event    Event
	End      bool
	Volume   uint8  // -dBm0, 0 to 63
	Duration uint16 // in units of the timestamp
}

// Append appends the four octets.
func (p Payload) Append(dst []byte) []byte {
	b := min(p.Volume, 63)
	if p.End {
		b |= 0x80
	}
	return binary.BigEndian.AppendUint16(append(dst, byte(p.Event), b), p.Duration)
}

// ParsePayload reads the first event of a payload. The reserved bit is ignored, as the RFC says; ok is false for a
// payload that is too short.
func ParsePayload(b []byte) (p Payload, ok bool) {
	if len(b) < 4 {
		return Payload{}, false
	}
	return Payload{Event(b[0]), b[1]&0x80 != 0, b[1] & 0x3F, binary.BigEndian.Uint16(b[2:])}, true
}
