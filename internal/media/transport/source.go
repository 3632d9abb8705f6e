package transport

import (
	"encoding/binary"
	"net/netip"
)

// source decides who may send to a component without ICE; see the package.
type source struct {
	named      netip.AddrPort // of the description
	signalling netip.Addr
	peer       netip.AddrPort // who it is
	settled    bool           // the peer has sent

	// A source that is not the peer shows itself by two packets in order.
	candidate netip.AddrPort
	ssrc      uint32
	next      uint16
}

// verdict is what is done with a packet.
type verdict uint8

const (
	foreign verdict = iota // dropped
	known                  // taken
	moved                  // taken, and from now on it is the peer
)

// describe takes the addresses of a description, and reports whether the peer is another than before.
func (s *source) describe(named netip.AddrPort, signalling netip.Addr) bool {
	s.signalling = signalling
	if named == s.named {
		return false
	}
	s.named, s.peer, s.settled, s.candidate = named, named, false, netip.AddrPort{}
	return true
}

// allowed reports whether an address is one that the peer may have.
func (s *source) allowed(from netip.AddrPort) bool {
	return from == s.peer || s.named.IsValid() && (from.Addr() == s.named.Addr() || from.Addr() == s.signalling)
}

// plain judges a packet that proves nothing.
func (s *source) plain(b []byte, from netip.AddrPort, kind int) verdict {
	if from == s.peer {
		s.settled = true
		return known
	}
	if s.settled || !s.allowed(from) {
		return foreign
	}
	if kind == rtp {
		ssrc, seq := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])
		inOrder := from == s.candidate && ssrc == s.ssrc && seq == s.next
		s.candidate, s.ssrc, s.next = from, ssrc, seq+1
		if !inOrder {
			return foreign
		}
	}
	s.peer, s.settled = from, true
	return moved
}

// proven judges a packet from an allowed address that was protected by the right key.
func (s *source) proven(from netip.AddrPort) verdict {
	s.settled = true
	if from == s.peer {
		return known
	}
	s.peer = from
	return moved
}
