package turn

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"parley/internal/stun"
)

// Secret is what relay and issuer of credentials share: passwords are HMACs of user names under it. It is never shown.
type Secret []byte

// String keeps the secret out of logs.
func (Secret) String() string { return "secret" }

// Credentials are a user name and a password, good until Expires.
type Credentials struct {
	Username, Password string
	Expires            time.Time
}

// Errors of Check. A server tells clients apart what is expired and what is not ours in the Lync dialect only.
var (
	ErrExpired = errors.New("turn: credentials are expired")
	ErrUnknown = errors.New("turn: not a user name of ours")
)

// Issue makes the customary form of time-limited credentials: the time of expiry and an identity, and the HMAC-SHA1 of
// that in base64. Other relays that know the secret take them too.
func (s Secret) Issue(identity string, expires time.Time) Credentials {
	name := strconv.FormatInt(expires.Unix(), 10) + ":" + identity
	return Credentials{name, base64.StdEncoding.EncodeToString(s.mac(name)), expires}
}

// A user name of a media relay authentication service: form, a reserved octet, expiry in Unix time, the keyed number of the
// user, and four random octets, in base64. It has no name in it, and no padding.
const (
	blobForm = 1
	blobLen  = 1 + 1 + 4 + idLen + 4
	idLen    = 8
)

// IssueOpaque makes credentials in the form that Lync clients expect, which is base64 throughout. Browsers use the two
// strings as they are; Lync clients what they decode to.
func (s Secret) IssueOpaque(identity string, expires time.Time) Credentials {
	b := make([]byte, blobLen)
	b[0] = blobForm
	binary.BigEndian.PutUint32(b[2:], uint32(expires.Unix()))
	id := s.id(identity)
	copy(b[6:], id[:])
	for {
		rand.Read(b[6+idLen:])
		if password := s.mac(string(b)); whole(b) && whole(password) {
			return Credentials{base64.StdEncoding.EncodeToString(b), base64.StdEncoding.EncodeToString(password), expires}
		}
	}
}

// whole reports whether nothing of b is lost on clients that take quotes and zeros off both ends before they make the key, as
// libnice does.
func whole(b []byte) bool { return len(bytes.Trim(b, "\"\x00")) == len(b) }

// UserID stands for a user: the same for all credentials of one identity, and no name.
type UserID [idLen]byte

// id is keyed, so that nobody can try addresses on it.
func (s Secret) id(identity string) (id UserID) {
	m := hmac.New(sha256.New, s)
	m.Write([]byte("user\x00" + strings.ToLower(identity)))
	copy(id[:], m.Sum(nil))
	return id
}

func (s Secret) mac(name string) []byte {
	m := hmac.New(sha1.New, s)
	m.Write([]byte(name))
	return m.Sum(nil)
}

// Check finds out whose a user name is and which key MESSAGE-INTEGRITY must have been made with, in a realm. That the key
// fits is for the caller to see: a forged name has a key that nobody knows. On ErrExpired the key is given too.
func (s Secret) Check(name, realm string, d stun.Dialect, now time.Time) (UserID, []byte, error) {
	blob, password := name, ""
	if d != stun.MSTURN {
		if id, key, err := s.checkREST(name, realm, now); err != ErrUnknown {
			return id, key, err
		}
		raw, err := base64.StdEncoding.DecodeString(name)
		if err != nil {
			return UserID{}, nil, ErrUnknown
		}
		blob = string(raw)
		password = base64.StdEncoding.EncodeToString(s.mac(blob))
	} else {
		password = string(s.mac(blob))
	}
	if len(blob) != blobLen || blob[0] != blobForm {
		return UserID{}, nil, ErrUnknown
	}
	key := stun.LongTermKey(name, realm, password)
	id := UserID([]byte(blob[6:]))
	if now.Unix() >= int64(binary.BigEndian.Uint32([]byte(blob[2:6]))) {
		return id, key, ErrExpired
	}
	return id, key, nil
}

func (s Secret) checkREST(name, realm string, now time.Time) (UserID, []byte, error) {
	text, identity, ok := strings.Cut(name, ":")
	expires, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || len(text) > 12 || text[0] == '-' || text[0] == '+' {
		return UserID{}, nil, ErrUnknown
	}
	key := stun.LongTermKey(name, realm, base64.StdEncoding.EncodeToString(s.mac(name)))
	if now.Unix() >= expires {
		return s.id(identity), key, ErrExpired
	}
	return s.id(identity), key, nil
}
