package binding

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

	"parley/internal/sip"
	"parley/internal/uc"
)

// tempPrefix begins the user part of a temporary GRUU.
const tempPrefix = "tgruu."

var errNotTemp = errors.New("not a temporary GRUU of this pool")

// Coder makes and reads GRUUs (RFC 5627). A public one is the address of
// record with the instance in its gr parameter. A temporary one says nothing
// about whose it is: user and binding are encrypted in its user part, so that
// nothing has to be stored. It lives as long as the binding it was given for:
// a client that registers another contact, or over another flow, gets new ones
// and the old ones end.
type Coder struct {
	block cipher.Block
	mac   []byte
}

// NewCoder returns a coder. All members of a pool use the same secret, of any
// length; an empty one is replaced by a random one.
func NewCoder(secret []byte) *Coder {
	if len(secret) == 0 {
		secret = make([]byte, 32)
		rand.Read(secret)
	}
	derive := func(label string) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte("parley gruu " + label))
		return h.Sum(nil)
	}
	block, err := aes.NewCipher(derive("cipher"))
	if err != nil {
		panic(err) // the key has a fixed, right length
	}
	return &Coder{block: block, mac: derive("mac")}
}

// AppendPublic appends the public GRUU of an instance of a user.
func AppendPublic(dst []byte, aor uc.AOR, instance string) []byte {
	dst = append(dst, "sip:"...)
	dst = sip.AppendEscape(dst, aor.User())
	dst = append(append(append(dst, '@'), aor.Domain()...), ";gr="...)
	return appendParam(dst, instance)
}

// appendParam escapes what a URI parameter cannot carry.
func appendParam(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.!~*'()[]/:&+$", c) >= 0:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

const (
	saltLen = 8
	genLen  = 8
	macLen  = 8
)

// AppendTemp appends a temporary GRUU for b, a new one with every call.
func (c *Coder) AppendTemp(dst []byte, b *Binding) []byte {
	user := b.AOR.User()
	raw := make([]byte, saltLen+genLen+len(user), saltLen+genLen+len(user)+macLen)
	rand.Read(raw[:saltLen])
	binary.BigEndian.PutUint64(raw[saltLen:], b.Gen)
	copy(raw[saltLen+genLen:], user)
	c.crypt(raw)
	raw = append(raw, c.sum(raw, b.AOR.Domain())...)
	dst = append(dst, "sip:"+tempPrefix...)
	dst = base64.RawURLEncoding.AppendEncode(dst, raw)
	return append(append(append(dst, '@'), b.AOR.Domain()...), ";gr"...)
}

// IsTemp reports whether the user part of a URI looks like a temporary GRUU.
func IsTemp(user []byte) bool {
	return len(user) > len(tempPrefix) && string(user[:len(tempPrefix)]) == tempPrefix
}

// Temp reads the user part of a temporary GRUU at domain.
func (c *Coder) Temp(user []byte, domain string) (aor uc.AOR, gen uint64, err error) {
	if !IsTemp(user) || len(user) > 2*uc.MaxAOR {
		return "", 0, errNotTemp
	}
	raw, err := base64.RawURLEncoding.AppendDecode(nil, user[len(tempPrefix):])
	if err != nil || len(raw) <= saltLen+genLen+macLen {
		return "", 0, errNotTemp
	}
	raw, sum := raw[:len(raw)-macLen], raw[len(raw)-macLen:]
	if !hmac.Equal(sum, c.sum(raw, domain)) {
		return "", 0, errNotTemp
	}
	c.crypt(raw)
	aor, err = uc.MakeAOR(string(raw[saltLen+genLen:]), domain)
	return aor, binary.BigEndian.Uint64(raw[saltLen:]), err
}

// crypt encrypts or decrypts what follows the salt, in place.
func (c *Coder) crypt(raw []byte) {
	var iv [aes.BlockSize]byte
	copy(iv[:], raw[:saltLen])
	cipher.NewCTR(c.block, iv[:]).XORKeyStream(raw[saltLen:], raw[saltLen:])
}

func (c *Coder) sum(raw []byte, domain string) []byte {
	h := hmac.New(sha256.New, c.mac)
	h.Write(raw)
	h.Write([]byte(domain))
	return h.Sum(nil)[:macLen]
}
