// Package krb checks the Kerberos tokens of Lync-protocol clients with a keytab ([MS-SIPAE], RFC 4121): an AP-REQ for
// sip/HOST without an answer, and MIC tokens as signatures. It stands apart from sigauth for the library it needs.
package krb

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"parley/internal/sip/sigauth"
)

// skew is how far the clock of a client may be off ([MS-KILE], [MS-SIPAE] 3.1).
const skew = 5 * time.Minute

// Acceptor checks tokens for one service principal. It is safe for concurrent use.
type Acceptor struct {
	host   string
	keytab *keytab.Keytab
	used   replays
}

var _ sigauth.Acceptor = (*Acceptor)(nil)

// New returns an acceptor for sip/host. keys is the content of a keytab file with keys of that principal.
func New(host string, keys []byte) (*Acceptor, error) {
	kt := keytab.New()
	if err := unmarshal(kt, keys); err != nil {
		return nil, fmt.Errorf("unreadable keytab: %w", err)
	}
	for _, e := range kt.Entries {
		if c := e.Principal.Components; len(c) == 2 && c[0] == "sip" && c[1] == host && aes(e.Key.KeyType) {
			return &Acceptor{host: host, keytab: kt}, nil
		}
	}
	return nil, fmt.Errorf("the keytab has no AES key of sip/%s", host)
}

func unmarshal(kt *keytab.Keytab, b []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("malformed")
		}
	}()
	return kt.Unmarshal(b)
}

// aes reports whether keys of a type sign as RFC 4121 says. Those of RC4 sign in an older way, which is not
// implemented: no realm has needed them since 2008.
func aes(kind int32) bool {
	switch kind {
	case etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA1_96,
		etypeID.AES128_CTS_HMAC_SHA256_128, etypeID.AES256_CTS_HMAC_SHA384_192:
		return true
	}
	return false
}

var errReplay = errors.New("the Kerberos token was used before")

// tokenHead is the mechanism and the kind of the token: Kerberos 5, AP-REQ (RFC 4121 section 4.1).
var tokenHead = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01, 0x00}

// Accept implements sigauth.Acceptor.
func (a *Acceptor) Accept(token []byte, now time.Time) (out sigauth.Accepted, err error) {
	defer func() {
		if p := recover(); p != nil {
			// The library trusts in the form of what it reads, which comes from the network.
			err = fmt.Errorf("%w: %v", sigauth.ErrToken, p)
		}
	}()
	body, ok := unwrap(token)
	if !ok {
		return out, sigauth.ErrToken
	}
	var req messages.APReq
	if err := req.Unmarshal(body); err != nil {
		return out, sigauth.ErrToken
	}
	name := req.Ticket.SName.NameString
	if len(name) != 2 || name[0] != "sip" || name[1] != a.host {
		return out, fmt.Errorf("%w: the ticket is for another service", sigauth.ErrCredentials)
	}
	if err := req.Ticket.DecryptEncPart(a.keytab, &req.Ticket.SName); err != nil {
		return out, fmt.Errorf("%w: ticket: %v", sigauth.ErrCredentials, err)
	}
	part := &req.Ticket.DecryptedEncPart
	if err := req.DecryptAuthenticator(part.Key); err != nil {
		return out, fmt.Errorf("%w: %v", sigauth.ErrCredentials, err)
	}
	auth := &req.Authenticator
	if !auth.CName.Equal(part.CName) || auth.CRealm != part.CRealm {
		return out, fmt.Errorf("%w: ticket of somebody else", sigauth.ErrCredentials)
	}
	made := auth.CTime.Add(time.Duration(auth.Cusec) * time.Microsecond)
	if d := now.Sub(made); d > skew || d < -skew {
		return out, sigauth.ErrClockSkew
	}
	start := part.StartTime
	if start.IsZero() {
		start = part.AuthTime
	}
	if start.Sub(now) > skew || now.Sub(part.EndTime) > 0 {
		return out, fmt.Errorf("%w: the ticket is not valid now", sigauth.ErrCredentials)
	}
	if !a.used.first(req.EncryptedAuthenticator.Cipher, now) {
		return out, errReplay
	}
	k := &keys{key: part.Key}
	if len(auth.SubKey.KeyValue) > 0 {
		k.key = auth.SubKey
	}
	if !aes(k.key.KeyType) {
		return out, sigauth.ErrNegotiation
	}
	k.seq.Store(uint64(auth.SeqNumber)) // without an answer both sides count from the client's number
	return sigauth.Accepted{User: part.CName.PrincipalNameString(), Realm: part.CRealm, Keys: k, Expires: part.EndTime}, nil
}

// unwrap takes the framing of the GSS token off (RFC 2743 section 3.1).
func unwrap(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != 0x60 {
		return nil, false
	}
	n, b := int(b[1]), b[2:]
	if n >= 0x80 {
		size := n & 0x7f
		if size == 0 || size > 3 || len(b) < size {
			return nil, false
		}
		n = 0
		for _, c := range b[:size] {
			n = n<<8 | int(c)
		}
		b = b[size:]
	}
	if n != len(b) {
		return nil, false
	}
	return bytes.CutPrefix(b, tokenHead)
}

// keys sign with MIC tokens (RFC 4121 section 4.2.6.1).
type keys struct {
	key types.EncryptionKey
	seq atomic.Uint64
}

const (
	micHead        = 16
	sentByAcceptor = 1
)

func (k *keys) Sign(dst, text []byte) []byte {
	head := [micHead]byte{4, 4, sentByAcceptor, 0xff, 0xff, 0xff, 0xff, 0xff}
	binary.BigEndian.PutUint64(head[8:], k.seq.Add(1)-1)
	return append(append(dst, head[:]...), k.sum(text, head[:], keyusage.GSSAPI_ACCEPTOR_SIGN)...)
}

func (k *keys) Verify(text, signature []byte) bool {
	want := [8]byte{4, 4, 0, 0xff, 0xff, 0xff, 0xff, 0xff} // from the initiator, with its own subkey
	if len(signature) <= micHead || !bytes.Equal(signature[:8], want[:]) {
		return false
	}
	sum := k.sum(text, signature[:micHead], keyusage.GSSAPI_INITIATOR_SIGN)
	return len(sum) > 0 && hmac.Equal(sum, signature[micHead:])
}

// sum is the checksum over text and the head of the token.
func (k *keys) sum(text, head []byte, usage uint32) []byte {
	e, err := crypto.GetEtype(k.key.KeyType)
	if err != nil {
		return nil // Accept has checked the type
	}
	sum, err := e.GetChecksumHash(k.key.KeyValue, append(append(make([]byte, 0, len(text)+len(head)), text...), head...), usage)
	if err != nil {
		return nil
	}
	return sum
}

// replays remembers the authenticators of the last minutes, in two generations (RFC 4120 section 3.2.3).
type replays struct {
	mu        sync.Mutex
	cur, prev map[[16]byte]struct{}
	began     time.Time // of cur
}

func (r *replays) first(authenticator []byte, now time.Time) bool {
	sum := sha256.Sum256(authenticator)
	key := [16]byte(sum[:16])
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := now.Sub(r.began); r.cur == nil || d > 2*skew {
		r.prev, r.cur, r.began = r.cur, map[[16]byte]struct{}{}, now
		if d > 4*skew {
			r.prev = nil
		}
	}
	if _, ok := r.cur[key]; ok {
		return false
	}
	if _, ok := r.prev[key]; ok {
		return false
	}
	r.cur[key] = struct{}{}
	return true
}
