package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/internal/media/dtmf"
	"parley/internal/media/transport"
	"parley/internal/sdp"
)

// Kind is a medium.
type Kind uint8

// Kinds.
const (
	Audio Kind = iota
	Video
)

// String is the name that descriptions give the medium.
func (k Kind) String() string { return [...]string{"audio", "video"}[k&1] }

// Conn is the network side of a leg: a *transport.Transport.
type Conn interface {
	Handle(h transport.Handler)
	WriteRTP(pkt []byte) error
	WriteRTCP(pkt []byte) error
}

// Leg is one end of a bridge: what was agreed with a peer, or something in this process that speaks or listens.
type Leg struct {
	Transport Conn // nil for a leg in this process

	// Receive is what the peer may send, with the payload types of our description to it; Send is what the peer takes,
	// with those of its description, best first. Telephone-event and CN are among them.
	Receive, Send []sdp.Codec
	// Direction is ours towards the peer: what it does not allow is neither sent nor let through.
	Direction sdp.Direction
	Packet    time.Duration // of audio, that the peer wants (a=ptime); 20 ms

	SSRC  uint32 // of what is sent to the peer, when the description names it (a=ssrc); 0 is a random one
	CNAME string // the same for all media of a call, so that they are played in step (RFC 7022); "" is a random one

	// Extensions are the header extensions that were agreed upon (a=extmap), by identifier. What both legs have is passed
	// on, all else is stripped.
	Extensions map[uint8]string
	Feedback   Feedback

	// In a leg without Transport, what it says and who listens; either may be nil.
	Source Source
	Sink   Sink

	// Keys, if set, is told of each key that the peer presses, be it an event or, when the peer has none and the audio is
	// decoded, a tone. It must not wait, nor call the bridge.
	Keys func(dtmf.Event)
}

// Feedback is what RTCP feedback a peer understands (a=rtcp-fb). Without any it gets none.
type Feedback struct {
	NACK, PLI, FIR, REMB bool
	ReducedSize          bool // a=rtcp-rsize: feedback may come alone (RFC 5506)
}

// notPassed are header extensions that mean something between two neighbours only.
var notPassed = []string{
	"http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
	"http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02",
	"urn:ietf:params:rtp-hdrext:sdes:mid",
	"urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
	"urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
}

// Errors of legs.
var (
	errNoLeg     = errors.New("media engine: a leg has neither a transport nor anything to play or to record")
	errTwoFaces  = errors.New("media engine: a leg in this process has no transport")
	errDirection = errors.New("media engine: a leg has no codec for what is to be sent to it")
)

func (l *Leg) check(kind Kind) error {
	local := l.Source != nil || l.Sink != nil
	switch {
	case l.Transport == nil && !local:
		return errNoLeg
	case l.Transport != nil && local:
		return errTwoFaces
	case local && kind != Audio:
		return fmt.Errorf("media engine: a leg in this process has audio only")
	case l.Packet < 0 || l.Packet > maxPacketTime:
		return fmt.Errorf("media engine: packets of %v", l.Packet)
	case l.Transport != nil && l.Direction&sdp.SendOnly != 0 && len(voices(l.Send)) == 0 && kind == Audio:
		return errDirection
	}
	return nil
}

const maxPacketTime = 200 * time.Millisecond

// speaks reports whether the leg may be heard.
func (l *Leg) speaks() bool {
	return l.Transport == nil && l.Source != nil || l.Transport != nil && l.Direction&sdp.RecvOnly != 0
}

// listens reports whether something may be said to the leg.
func (l *Leg) listens() bool {
	return l.Transport == nil && l.Sink != nil || l.Transport != nil && l.Direction&sdp.SendOnly != 0
}

func isEvent(c sdp.Codec) bool { return strings.EqualFold(c.Name, "telephone-event") }
func isNoise(c sdp.Codec) bool { return strings.EqualFold(c.Name, "CN") }

// repair are formats that carry other formats. They are between two neighbours: loss is mended on each side by itself.
func isRepair(c sdp.Codec) bool {
	switch strings.ToLower(c.Name) {
	case "red", "ulpfec", "flexfec-03", "flexfec", "rtx", "x-ulpfecuc", "parityfec":
		return true
	}
	return false
}

// voices are the formats that carry the medium itself.
func voices(cs []sdp.Codec) []sdp.Codec {
	var out []sdp.Codec
	for _, c := range cs {
		if !isEvent(c) && !isNoise(c) && !isRepair(c) {
			out = append(out, c)
		}
	}
	return out
}

// mapped is the payload type of a format at another peer.
func mapped(c sdp.Codec, there []sdp.Codec) (uint8, bool) {
	for _, o := range there {
		if c.Same(o) && !isRepair(c) {
			return o.Type, true
		}
	}
	return 0, false
}

// extensionMap says which identifier at the other peer an extension has.
func extensionMap(from, to map[uint8]string) *[256]uint8 {
	var ids [256]uint8
	for id, uri := range from {
		pass := id != 0
		for _, n := range notPassed {
			pass = pass && n != uri
		}
		for there, o := range to {
			if pass && o == uri {
				ids[id] = there
			}
		}
	}
	return &ids
}
