package sigauth

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode/utf16"
)

// The negotiate flags of [MS-NLMP] 2.2.2.5 that matter here.
const (
	flagUnicode         = 1 << 0
	flagSign            = 1 << 4
	flagDatagram        = 1 << 6
	flagNTLM            = 1 << 9
	flagAlwaysSign      = 1 << 15
	flagTargetDomain    = 1 << 16
	flagExtendedSession = 1 << 19
	flagIdentify        = 1 << 20
	flagTargetInfo      = 1 << 23
	flagVersion         = 1 << 25
	flag128             = 1 << 29
	flagKeyExchange     = 1 << 30
	flag56              = 1 << 31
)

// challengeFlags has what clients insist on, and 128 bit keys.
const challengeFlags = flagUnicode | flagSign | flagDatagram | flagNTLM | flagAlwaysSign | flagTargetDomain |
	flagExtendedSession | flagIdentify | flagTargetInfo | flagVersion | flag128 | flagKeyExchange | flag56

// requiredFlags must come back, or the keys would be weaker or made in another way.
const requiredFlags = flagUnicode | flagSign | flagDatagram | flagNTLM | flagExtendedSession | flag128 | flagKeyExchange

// Names are what a server says of itself in an NTLM challenge.
type Names struct {
	NetBIOSDomain   string // at most 15 characters, upper case
	NetBIOSComputer string
	DNSDomain       string
	DNSComputer     string
	DNSTree         string
}

// NamesOf makes the names of the host fqdn: the first label is the computer, the rest the domain.
func NamesOf(fqdn string) Names {
	host, domain, _ := strings.Cut(fqdn, ".")
	if domain == "" {
		domain = host
	}
	first, _, _ := strings.Cut(domain, ".")
	return Names{NetBIOSDomain: netBIOS(first), NetBIOSComputer: netBIOS(host), DNSDomain: domain, DNSComputer: fqdn, DNSTree: domain}
}

func netBIOS(s string) string { return strings.ToUpper(s[:min(len(s), 15)]) }

var ntlmSignature = []byte("NTLMSSP\x00")

// ntlmVersion is a Windows version and the NTLM revision, for show ([MS-NLMP] 2.2.2.10).
var ntlmVersion = []byte{6, 1, 0xb0, 0x1d, 0, 0, 0, 15}

// appendNTLMChallenge appends a CHALLENGE_MESSAGE ([MS-NLMP] 2.2.1.2). No timestamp is offered: a client then
// uses its own clock, which shows how far it is off.
func appendNTLMChallenge(dst []byte, n *Names, flags uint32, challenge [8]byte) []byte {
	const head = 56
	target := appendUTF16(nil, n.NetBIOSDomain)
	var info []byte
	for _, av := range []struct {
		id   uint16
		name string
	}{{2, n.NetBIOSDomain}, {1, n.NetBIOSComputer}, {4, n.DNSDomain}, {3, n.DNSComputer}, {5, n.DNSTree}} {
		value := appendUTF16(nil, av.name)
		info = binary.LittleEndian.AppendUint16(info, av.id)
		info = binary.LittleEndian.AppendUint16(info, uint16(len(value)))
		info = append(info, value...)
	}
	info = append(info, 0, 0, 0, 0)
	part := func(size, at int) {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(size))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(size))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(at))
	}
	dst = append(dst, ntlmSignature...)
	dst = binary.LittleEndian.AppendUint32(dst, 2)
	part(len(target), head)
	dst = binary.LittleEndian.AppendUint32(dst, flags)
	dst = append(dst, challenge[:]...)
	dst = append(dst, make([]byte, 8)...)
	part(len(info), head+len(target))
	dst = append(dst, ntlmVersion...)
	dst = append(dst, target...)
	return append(dst, info...)
}

// Errors of tokens and handshakes. They say why a client is refused, for logs and ms-diagnostics.
var (
	ErrToken       = errors.New("malformed token")
	ErrNegotiation = errors.New("the client does not take the offered security")
	ErrCredentials = errors.New("user name or password is wrong")
	ErrClockSkew   = errors.New("the clocks of client and server differ too much")
)

// ntlmResponse is an AUTHENTICATE_MESSAGE ([MS-NLMP] 2.2.1.3), as far as it is used.
type ntlmResponse struct {
	domain, user string
	flags        uint32
	proof        []byte // of the NTLMv2 response
	blob         []byte // the rest of it, which the proof covers
	sessionKey   []byte // encrypted
	made         time.Time
}

// parseNTLMResponse reads an AUTHENTICATE_MESSAGE, which must have these flags. The parts are slices of b.
func parseNTLMResponse(b []byte, required uint32) (r ntlmResponse, err error) {
	const head = 64
	if len(b) < head || !bytes.Equal(b[:8], ntlmSignature) || binary.LittleEndian.Uint32(b[8:]) != 3 {
		return r, ErrToken
	}
	part := func(at int) ([]byte, bool) {
		size, from := int(binary.LittleEndian.Uint16(b[at:])), int64(binary.LittleEndian.Uint32(b[at+4:]))
		if size == 0 {
			return nil, true
		}
		if from < head || from+int64(size) > int64(len(b)) {
			return nil, false
		}
		return b[from : from+int64(size)], true
	}
	r.flags = binary.LittleEndian.Uint32(b[60:])
	nt, ok1 := part(20)
	domain, ok2 := part(28)
	user, ok3 := part(36)
	key, ok4 := part(52)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return r, ErrToken
	}
	if r.flags&required != required {
		return r, ErrNegotiation
	}
	// An NTLMv2 response has a proof and at least the fixed part of the blob; a shorter one is NTLMv1.
	if len(nt) < 16+28 {
		return r, ErrNegotiation
	}
	r.proof, r.blob = nt[:16], nt[16:]
	if r.blob[0] != 1 || r.blob[1] != 1 || len(key) != 16 && required&flagKeyExchange != 0 {
		return r, ErrToken
	}
	if r.domain, err = fromUTF16(domain, 255); err != nil {
		return r, err
	}
	if r.user, err = fromUTF16(user, 320); err != nil {
		return r, err
	}
	r.sessionKey = key
	r.made = fromFileTime(binary.LittleEndian.Uint64(r.blob[8:]))
	return r, nil
}

// verify checks the response to challenge with MD4 of the password and returns the key of the session.
func (r *ntlmResponse) verify(ntHash []byte, challenge [8]byte) (session [16]byte, ok bool) {
	for _, user := range upperForms(r.user) {
		owf := hmacMD5(ntHash, appendUTF16(appendUTF16(nil, user), r.domain)) // NTOWFv2
		if !hmac.Equal(hmacMD5(owf, challenge[:], r.blob), r.proof) {
			continue
		}
		if len(r.sessionKey) != len(session) {
			return session, true // no keys are wanted
		}
		// SessionBaseKey is KeyExchangeKey for NTLMv2 (3.4.5.1).
		c, _ := rc4.NewCipher(hmacMD5(owf, r.proof)) // the key has a right length
		c.XORKeyStream(session[:], r.sessionKey)
		return session, true
	}
	return session, false
}

// upperForms returns the user name in upper case: as Windows makes it, and as clients do that know ASCII only.
func upperForms(user string) []string {
	forms := []string{strings.ToUpper(user)}
	ascii := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, user)
	if ascii != forms[0] {
		forms = append(forms, ascii)
	}
	return forms
}

// sequence is the sequence number of every message: [MS-SIPAE] has one number for all, as messages may overtake
// each other.
const sequence = 100

// ntlmKey signs in one direction. Since RC4 begins anew with every message of a datagram session and the number
// is always the same, so are the eight bytes of key stream a signature is masked with.
type ntlmKey struct {
	sign [16]byte
	mask [8]byte
}

// The texts keys are made with ([MS-NLMP] 3.4.5.2, 3.4.5.3), with their final NUL.
const (
	clientSigning = "session key to client-to-server signing key magic constant\x00"
	serverSigning = "session key to server-to-client signing key magic constant\x00"
	clientSealing = "session key to client-to-server sealing key magic constant\x00"
	serverSealing = "session key to server-to-client sealing key magic constant\x00"
)

func newNTLMKey(session [16]byte, signing, sealing string) (k ntlmKey) {
	k.sign = md5.Sum(append(session[:], signing...))
	seal := md5.Sum(append(session[:], sealing...))
	seal = md5.Sum(binary.LittleEndian.AppendUint32(seal[:], sequence)) // 3.4.4.2, connectionless
	c, _ := rc4.NewCipher(seal[:])                                      // the key has a right length
	c.XORKeyStream(k.mask[:], k.mask[:])
	return k
}

// append appends the signature of text (3.4.4.2).
func (k *ntlmKey) append(dst, text []byte) []byte {
	var seq [4]byte
	binary.LittleEndian.PutUint32(seq[:], sequence)
	sum := hmacMD5(k.sign[:], seq[:], text)
	dst = append(dst, 1, 0, 0, 0)
	for i, m := range k.mask {
		dst = append(dst, sum[i]^m)
	}
	return append(dst, seq[:]...)
}

func ntlmKeys(session [16]byte) Keys {
	return &ntlmKeyPair{newNTLMKey(session, clientSigning, clientSealing), newNTLMKey(session, serverSigning, serverSealing)}
}

type ntlmKeyPair struct{ client, server ntlmKey }

func (k *ntlmKeyPair) Sign(dst, text []byte) []byte { return k.server.append(dst, text) }

func (k *ntlmKeyPair) Verify(text, signature []byte) bool {
	var buf [16]byte
	return hmac.Equal(k.client.append(buf[:0], text), signature)
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func appendUTF16(dst []byte, s string) []byte {
	for _, r := range s {
		if r1, r2 := utf16.EncodeRune(r); r1 != 0xfffd {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(r1))
			r = r2
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(r))
	}
	return dst
}

// fromUTF16 decodes at most limit characters.
func fromUTF16(b []byte, limit int) (string, error) {
	if len(b)%2 != 0 || len(b) > 2*limit {
		return "", ErrToken
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	s := string(utf16.Decode(units))
	if strings.ContainsAny(s, "\x00\r\n") {
		return "", ErrToken
	}
	return s, nil
}

// fileTimeEpoch is 1 January 1970 in the 100 ns steps since 1601 of a FILETIME.
const fileTimeEpoch = 116444736000000000

func fromFileTime(t uint64) time.Time {
	d := int64(min(t, 1<<62)) - fileTimeEpoch
	return time.Unix(d/1e7, d%1e7*100)
}

func toFileTime(t time.Time) uint64 {
	return uint64(t.Unix()*1e7 + int64(t.Nanosecond())/100 + fileTimeEpoch)
}
