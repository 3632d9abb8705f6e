package stack

import (
	"encoding/binary"
	"hash/maphash"

	"parley/internal/sip"
)

// key names a server transaction: a keyed hash of 128 bits over what RFC 3261 17.2.3 compares. Nobody outside
// can aim at a collision, and chance would need 2^64 transactions.
type key [2]uint64

// key computes the key of a request whose topmost Via is v. ACK and CANCEL get the key of the INVITE they are for.
func (s *Stack) key(m *sip.Message, v *sip.Via) key {
	var h, g maphash.Hash
	h.SetSeed(s.seed)
	g.SetSeed(s.tags)
	mix := func(b []byte) {
		h.Write(b)
		h.WriteByte(0)
		g.Write(b)
		g.WriteByte(0)
	}
	if v.Magic() {
		host, port := v.SentBy()
		mix(v.Branch)
		mix(host)
		var p [2]byte
		binary.BigEndian.PutUint16(p[:], port)
		mix(p[:])
	} else {
		// RFC 2543: no branch that can be relied on. The tag of To is left out, as an ACK has one where its
		// INVITE had none; within a dialog the CSeq differs anyway.
		var n [4]byte
		cseq, _ := m.CSeq()
		binary.BigEndian.PutUint32(n[:], cseq)
		mix(n[:])
		mix(m.RequestURI())
		mix(m.FromTag())
		mix(m.CallID())
		mix(v.Raw)
	}
	// The method, where ACK and CANCEL count as the INVITE they are for.
	switch method := m.Method(); method {
	case sip.INVITE, sip.ACK, sip.CANCEL:
		h.WriteByte(byte(sip.INVITE))
		g.WriteByte(byte(sip.INVITE))
	case sip.OtherMethod:
		mix(m.MethodName())
	default:
		h.WriteByte(byte(method))
		g.WriteByte(byte(method))
	}
	return key{h.Sum64(), g.Sum64()}
}

// toTag returns the To tag of every answer made here for the transaction k. It is the same for every copy of a
// request, so an answer without state repeats itself, and for the ACK to it, so that can be told apart.
func (s *Stack) toTag(k key) [tagLen]byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], k[0])
	binary.BigEndian.PutUint64(b[8:], k[1])
	var t [tagLen]byte
	Base32(t[:], maphash.Bytes(s.tags, b[:]))
	return t
}

const (
	tagLen    = 13
	branchLen = 13
	// branchMark tells our branches from those of other elements behind the same address.
	branchMark = "p."
)

const alphabet = "0123456789abcdefghijklmnopqrstuv"

// Base32 writes all 64 bits of v into the first 13 bytes of dst, in letters that may stand in a token.
func Base32(dst []byte, v uint64) {
	_ = dst[12]
	for i := range 13 {
		dst[i] = alphabet[v&31]
		v >>= 5
	}
}

// unbase32 reads what Base32 wrote.
func unbase32(b []byte) (v uint64, ok bool) {
	if len(b) < 13 {
		return 0, false
	}
	for i := 12; i >= 0; i-- {
		c := b[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'v':
			c -= 'a' - 10
		default:
			return 0, false
		}
		if i == 12 && c > 15 { // the last digit has only four bits
			return 0, false
		}
		v = v<<5 | uint64(c)
	}
	return v, true
}

// parseBranch finds the number of a client transaction in a branch of ours.
func parseBranch(b []byte) (id uint64, ok bool) {
	const from = len(sip.MagicCookie) + len(branchMark)
	if len(b) < from+branchLen || string(b[:from]) != sip.MagicCookie+branchMark {
		return 0, false
	}
	return unbase32(b[from : from+branchLen])
}

// BranchSuffix returns what the writer of a request appended to its branch (Hop.Suffix), nil when branch is not
// one of this stack's form.
func BranchSuffix(branch []byte) []byte {
	const n = len(sip.MagicCookie) + len(branchMark) + branchLen
	if len(branch) <= n+1 || branch[n] != '.' {
		return nil
	}
	if _, ok := parseBranch(branch); !ok {
		return nil
	}
	return branch[n+1:]
}
