package sigauth

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"parley/internal/sip"
	"parley/internal/uc"
)

// Keys sign for the server and verify what the client signed. They are safe for concurrent use.
type Keys interface {
	// Sign appends the signature of text to dst.
	Sign(dst, text []byte) []byte
	// Verify reports whether the client's signature of text is right.
	Verify(text, signature []byte) bool
}

// Why a message is not believed.
var (
	ErrUnsigned  = errors.New("the message is not signed")
	ErrUnknown   = errors.New("the security association is not known, or has ended")
	ErrSignature = errors.New("the signature is wrong")
	ErrReplay    = errors.New("the message was seen before")
)

// Association is what a handshake made: from then on client and server sign every message to each other.
// It is safe for concurrent use; whoever sends calls AppendSigned in the order of sending.
type Association struct {
	Scheme   Scheme
	AOR      uc.AOR    // the user who signed in
	EPID     string    // which of his devices, empty when it did not say
	Opaque   string    // its name in header fields
	Owner    any       // whatever the owner of the session keeps here; it is set once, right after Step or Verify
	Expires  time.Time // afterwards the client has to begin anew
	version  int
	realm    []byte
	target   []byte
	keys     Keys
	opaque   []byte
	verifies struct {
		sync.Mutex
		window Window
	}
	signs struct {
		sync.Mutex
		num  uint64
		salt rand.PCG
		text []byte
	}
}

// maxText bounds the memory that is kept for texts between messages.
const maxText = 4096

// Verify checks the client's signature of m, whose Authorization says p.
func (a *Association) Verify(m *sip.Message, p *Parameters, now time.Time) error {
	if p.Scheme != a.Scheme || string(p.Opaque) != a.Opaque || !now.Before(a.Expires) {
		return ErrUnknown
	}
	if p.Signature == nil {
		return ErrUnsigned
	}
	num, err := strconv.ParseUint(string(p.Num), 10, 32)
	var signature [maxSignature]byte
	if err != nil || string(p.Realm) != string(a.realm) || string(p.TargetName) != string(a.target) ||
		len(p.Signature) > 2*len(signature) || len(p.Signature)%2 != 0 {
		return ErrSignature
	}
	n, err := hex.Decode(signature[:], p.Signature)
	if err != nil {
		return ErrSignature
	}
	q := *p
	q.Version = a.version
	a.verifies.Lock()
	defer a.verifies.Unlock()
	var buf [1024]byte
	if !a.keys.Verify(AppendText(buf[:0], m, &q), signature[:n]) {
		return ErrSignature
	}
	if !a.verifies.window.Accept(uint32(num)) {
		return ErrReplay
	}
	return nil
}

// maxSignature is longer than any: a Kerberos token has up to 60 bytes.
const maxSignature = 128

// AppendSigned appends m, a message to the client in its final form, with the header field that signs it. Nothing
// is allocated once dst is large enough.
func (a *Association) AppendSigned(dst []byte, m *sip.Message) []byte {
	s := &a.signs
	s.Lock()
	defer s.Unlock()
	s.num++
	var rnd [8]byte
	var num [20]byte
	p := Parameters{
		Scheme: a.Scheme, Version: a.version, Realm: a.realm, TargetName: a.target, Opaque: a.opaque,
		Rand: appendHex32(rnd[:0], uint32(s.salt.Uint64()>>32)), Num: strconv.AppendUint(num[:0], s.num, 10),
	}
	s.text = AppendText(s.text[:0], m, &p)
	var raw [maxSignature]byte
	var signature [2 * maxSignature]byte
	p.Signature = hex.AppendEncode(signature[:0], a.keys.Sign(raw[:0], s.text))
	if cap(s.text) > maxText {
		s.text = nil
	}
	dst = appendHead(dst, m)
	dst = append(dst, "Authentication-Info: "...)
	dst = p.AppendInfo(dst)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, m.Body()...)
}

// appendHead appends start line and fields of m, without what was signed for or by somebody else: the client reads
// the first field of these it finds.
func appendHead(dst []byte, m *sip.Message) []byte {
	head := m.Head()
	head = head[:len(head)-len("\r\n")]
	if !m.Has(sip.HAuthorization) && !m.Has(sip.HProxyAuthorization) && !m.Has(sip.HAuthenticationInfo) && !m.Has(sip.HProxyAuthenticationInfo) {
		return append(dst, head...)
	}
	start := bytes.IndexByte(head, '\n') + 1
	dst = append(dst, head[:start]...)
	for i := range m.Len() {
		switch f := m.Field(i); f.ID {
		case sip.HAuthorization, sip.HProxyAuthorization, sip.HAuthenticationInfo, sip.HProxyAuthenticationInfo:
		default:
			dst = append(dst, f.Line...)
		}
	}
	return dst
}

func appendHex32(dst []byte, v uint32) []byte {
	const digits = "0123456789ABCDEF"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}
