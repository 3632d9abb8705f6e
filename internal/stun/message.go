package stun

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"iter"
	"net/netip"
)

// Dialect says how attributes are laid out and protected. Header, attribute numbers and addresses are one grammar.
type Dialect uint8

const (
	// RFC is RFC 5389 and 8489, and so RFC 8445 and 8656: attributes fill up to four octets.
	RFC Dialect = iota
	// MSTURN is [MS-TURN] over draft-ietf-behave-turn-08: attributes are not filled up, the transaction id is 16 octets
	// without a cookie in the header, and what MESSAGE-INTEGRITY covers is filled with zeros up to 64 octets.
	MSTURN
	// MSICE is the checks of [MS-ICE2]: RFC 5389, with the zeros that fill an attribute up counted in its length (so that
	// one who fills nothing up reads it as well), and MESSAGE-INTEGRITY filled up as in MSTURN over the length as it is
	// on the wire.
	MSICE
	// MSICEOld is MSICE with a FINGERPRINT whose table of remainders has one wrong entry, as the first implementations
	// had it. They say no MSImplementationVersion.
	MSICEOld
)

// Type is the method and the class of a message.
type Type uint16

// The methods and classes that are used here. NNNRequest of another class is NNNRequest|Indication and so on.
const (
	BindingRequest          Type = 0x0001
	AllocateRequest         Type = 0x0003
	RefreshRequest          Type = 0x0004 // RFC 8656; MSTURN has SendRequest here
	SendIndication          Type = 0x0016
	DataIndication          Type = 0x0017
	CreatePermissionRequest Type = 0x0008
	ChannelBindRequest      Type = 0x0009

	MSSendRequest                 Type = 0x0004
	MSSetActiveDestinationRequest Type = 0x0006
	MSDataIndication              Type = 0x0115

	Indication Type = 0x0010
	Success    Type = 0x0100
	Failure    Type = 0x0110
)

// Class is the part of a type that tells requests, indications and answers apart: 0 for a request.
func (t Type) Class() Type { return t & 0x0110 }

// Method is a type without its class, which is the type of the request.
func (t Type) Method() Type { return t &^ 0x0110 }

// Attr is the number of an attribute.
type Attr uint16

// Attributes of RFC 8489, 8445 and 8656.
const (
	MappedAddress          Attr = 0x0001
	Username               Attr = 0x0006
	MessageIntegrity       Attr = 0x0008
	ErrorCode              Attr = 0x0009
	UnknownAttributes      Attr = 0x000A
	ChannelNumber          Attr = 0x000C
	Lifetime               Attr = 0x000D
	XorPeerAddress         Attr = 0x0012
	Data                   Attr = 0x0013
	Realm                  Attr = 0x0014
	Nonce                  Attr = 0x0015
	XorRelayedAddress      Attr = 0x0016
	RequestedAddressFamily Attr = 0x0017
	EvenPort               Attr = 0x0018
	RequestedTransport     Attr = 0x0019
	DontFragment           Attr = 0x001A
	XorMappedAddress       Attr = 0x0020
	ReservationToken       Attr = 0x0022
	Priority               Attr = 0x0024
	UseCandidate           Attr = 0x0025
	Software               Attr = 0x8022
	AlternateServer        Attr = 0x8023
	Fingerprint            Attr = 0x8028
	IceControlled          Attr = 0x8029
	IceControlling         Attr = 0x802A
)

// Attributes of [MS-TURN] and [MS-ICE2]. Nonce and Realm have each other's number there.
const (
	MSAlternateServer         Attr = 0x000E
	MSMagicCookie             Attr = 0x000F // the first attribute of every message
	MSBandwidth               Attr = 0x0010
	MSDestinationAddress      Attr = 0x0011
	MSRemoteAddress           Attr = 0x0012
	MSNonce                   Attr = 0x0014
	MSRealm                   Attr = 0x0015
	MSVersion                 Attr = 0x8008
	MSXorMappedAddress        Attr = 0x8020
	MSSequenceNumber          Attr = 0x8050 // 20 octets of connection id, 4 of number
	MSCandidateIdentifier     Attr = 0x8054
	MSImplementationVersion   Attr = 0x8070
	MSMagic                        = 0x72C64BC6 // the value of MSMagicCookie
	requiredBelow             Attr = 0x8000
	integrityLen, fingerprLen      = 4 + sha1.Size, 4 + 4
)

// Required reports whether one who does not know the attribute must refuse the request (420).
func (a Attr) Required() bool { return a < requiredBelow }

// MaxAttributes bounds what is read of one message.
const MaxAttributes = 48

// ErrMalformed is matched when octets are not a message.
var ErrMalformed = errors.New("stun: malformed message")

// Message is a message as it came. It refers to the octets it was parsed from.
type Message struct {
	Raw     []byte
	Dialect Dialect
}

// Parse checks that b is exactly one message, all of whose attributes are whole. In the dialects with a cookie in the
// header the cookie must be there.
func Parse(b []byte, d Dialect) (Message, error) {
	if len(b) < headerLen || b[0]&0xC0 != 0 || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerLen {
		return Message{}, ErrMalformed
	}
	if d != MSTURN && (len(b)%4 != 0 || binary.BigEndian.Uint32(b[4:]) != magicCookie) {
		return Message{}, ErrMalformed
	}
	m, n := Message{b, d}, 0
	for pos := headerLen; pos < len(b); n++ {
		_, _, next, ok := m.cut(pos)
		if !ok || n == MaxAttributes {
			return Message{}, ErrMalformed
		}
		pos = next
	}
	return m, nil
}

// Type is the method and class.
func (m Message) Type() Type { return Type(binary.BigEndian.Uint16(m.Raw)) }

// ID is the transaction id, the cookie of RFC 5389 included.
func (m Message) ID() (id [16]byte) { copy(id[:], m.Raw[4:]); return }

// cut takes the attribute at pos apart.
func (m Message) cut(pos int) (a Attr, value []byte, next int, ok bool) {
	if m.Dialect != MSTURN {
		t, v, next, ok := attribute(m.Raw, pos)
		return Attr(t), v, next, ok
	}
	if len(m.Raw)-pos < 4 {
		return 0, nil, 0, false
	}
	next = pos + 4 + int(binary.BigEndian.Uint16(m.Raw[pos+2:]))
	if next > len(m.Raw) {
		return 0, nil, 0, false
	}
	return Attr(binary.BigEndian.Uint16(m.Raw[pos:])), m.Raw[pos+4 : next], next, true
}

// Attributes yields the attributes in order. What follows MESSAGE-INTEGRITY is not covered by it and left out, but for
// FINGERPRINT (RFC 8489 14.5).
func (m Message) Attributes() iter.Seq2[Attr, []byte] {
	return func(yield func(Attr, []byte) bool) {
		after := false
		for pos := headerLen; pos < len(m.Raw); {
			a, v, next, ok := m.cut(pos)
			if !ok || (!after || a == Fingerprint) && !yield(a, v) {
				return
			}
			after = after || a == MessageIntegrity
			pos = next
		}
	}
}

// Get returns the first attribute of a kind.
func (m Message) Get(want Attr) (value []byte, ok bool) {
	for a, v := range m.Attributes() {
		if a == want {
			return v, true
		}
	}
	return nil, false
}

// Uint32 returns an attribute of four octets.
func (m Message) Uint32(a Attr) (v uint32, ok bool) {
	b, ok := m.Get(a)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// Addr returns an attribute that is an address, as it is written: see XorAddr for those that are hidden.
func (m Message) Addr(a Attr) (netip.AddrPort, bool) { return m.addr(a, nil) }

// XorAddr returns an attribute that is an address hidden by the transaction id (RFC 8489 14.2).
func (m Message) XorAddr(a Attr) (netip.AddrPort, bool) { return m.addr(a, m.Raw[4:headerLen]) }

// DecodeXorAddr reads the value of such an attribute, for those that occur more than once.
func (m Message) DecodeXorAddr(v []byte) (netip.AddrPort, bool) {
	return decodeAddr(v, m.Raw[4:headerLen])
}

func (m Message) addr(a Attr, id []byte) (netip.AddrPort, bool) {
	v, ok := m.Get(a)
	if !ok {
		return netip.AddrPort{}, false
	}
	return decodeAddr(v, id)
}

func decodeAddr(v, id []byte) (netip.AddrPort, bool) {
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	var raw [18]byte
	n := copy(raw[:], v[2:])
	if id != nil {
		for i := range 2 {
			raw[i] ^= id[i]
		}
		for i := range n - 2 {
			raw[2+i] ^= id[i]
		}
	}
	port := binary.BigEndian.Uint16(raw[:])
	switch {
	case v[1] == 1 && len(v) == 8:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[2:6])), port), true
	case v[1] == 2 && len(v) == 20:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[2:18])), port), true
	}
	return netip.AddrPort{}, false
}

// Code returns what ERROR-CODE says (RFC 8489 14.8); 0 when there is none.
func (m Message) Code() int {
	if v, ok := m.Get(ErrorCode); ok && len(v) >= 4 {
		return int(v[2]&7)*100 + int(v[3])
	}
	return 0
}

// at returns where an attribute begins, or -1.
func (m Message) at(want Attr) int {
	for pos := headerLen; pos < len(m.Raw); {
		a, _, next, ok := m.cut(pos)
		if !ok {
			break
		}
		if a == want {
			return pos
		}
		pos = next
	}
	return -1
}

// CheckIntegrity reports whether the message carries MESSAGE-INTEGRITY made with key, without telling by its time where
// a wrong one differs.
func (m Message) CheckIntegrity(key []byte) bool {
	pos := m.at(MessageIntegrity)
	if pos < 0 || len(m.Raw)-pos < integrityLen || binary.BigEndian.Uint16(m.Raw[pos+2:]) != sha1.Size {
		return false
	}
	length := pos + integrityLen - headerLen
	if m.Dialect == MSICE || m.Dialect == MSICEOld {
		length = len(m.Raw) - headerLen
	}
	var sum [sha1.Size]byte
	integrity(sum[:0], m.Raw[:pos], length, m.Dialect, key)
	return subtle.ConstantTimeCompare(sum[:], m.Raw[pos+4:pos+integrityLen]) == 1
}

// CheckFingerprint reports whether the message ends in the FINGERPRINT of its dialect (RFC 8489 14.7).
func (m Message) CheckFingerprint() bool {
	pos := m.at(Fingerprint)
	if pos < 0 || pos != len(m.Raw)-fingerprLen || binary.BigEndian.Uint16(m.Raw[pos+2:]) != 4 {
		return false
	}
	return binary.BigEndian.Uint32(m.Raw[pos+4:]) == fingerprint(m.Raw[:pos], m.Dialect)
}

// LongTermKey is the key of long-term credentials (RFC 8489 9.2.2), in the dialects alike.
func LongTermKey(username, realm, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return sum[:]
}

// integrity appends the HMAC over text, the message up to the attribute, as if its header had length.
func integrity(dst, text []byte, length int, d Dialect, key []byte) []byte {
	mac := hmac.New(sha1.New, key)
	mac.Write(text[:2])
	mac.Write(binary.BigEndian.AppendUint16(nil, uint16(length)))
	mac.Write(text[4:])
	if d != RFC {
		var zeros [63]byte
		mac.Write(zeros[:-len(text)&63])
	}
	return mac.Sum(dst)
}

// lyncTable is the table of remainders of CRC-32 with an entry that lost a digit in the first implementation of
// [MS-ICE2] and that all others have since repeated.
var lyncTable = func() *crc32.Table {
	t := *crc32.IEEETable
	for i, v := range t {
		if v == 0x8bbeb8ea {
			t[i] = 0x08bbe8ea
		}
	}
	return &t
}()

func fingerprint(b []byte, d Dialect) uint32 {
	if d == MSICEOld {
		return crc32.Checksum(b, lyncTable) ^ 0x5354554E
	}
	return checksum(b)
}
