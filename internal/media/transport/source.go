package transport

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// maxSources bounds the addresses that ICE allows.
const maxSources = 64

// source decides who may send to a component; see the package.
type source struct {
	ice    bool
	proved []netip.AddrPort // with ICE

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

// describe takes the addresses of a description without ICE, and reports whether the peer is another than before.
func (s *source) describe(named netip.AddrPort, signalling netip.Addr) bool {
	was := s.ice
	s.ice, s.signalling = false, signalling
	if named == s.named && !was {
		return false
	}
	s.named, s.peer, s.settled, s.candidate = named, named, false, netip.AddrPort{}
	return true
}

// prove notes an address from which ICE had a check with our password.
func (s *source) prove(a netip.AddrPort) {
	if slices.Contains(s.proved, a) {
		return
	}
	if len(s.proved) == maxSources {
		s.proved = slices.Delete(s.proved, 0, 1)
	}
	s.proved = append(s.proved, a)
}

// allowed reports whether an address is one that the peer may have.
func (s *source) allowed(from netip.AddrPort) bool {
	if s.ice {
		return slices.Contains(s.proved, from)
	}
	return from == s.peer || s.named.IsValid() && (from.Addr() == s.named.Addr() || from.Addr() == s.signalling)
}

// unproven judges a packet that shows nothing of its sender but the address.
func (s *source) unproven(b []byte, from netip.AddrPort, kind int) verdict {
	if s.ice {
		if s.allowed(from) {
			return known
		}
		return foreign
	}
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
	if s.ice || from == s.peer {
		s.settled = true
		return known
	}
	s.peer, s.settled = from, true
	return moved
}
