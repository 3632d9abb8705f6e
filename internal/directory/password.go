package directory

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/md4" // the NT hash is defined by it

	"parley/internal/sip/digest"
	"parley/internal/uc"
)

// Algorithm is a digest algorithm that has verifiers.
type Algorithm = digest.Algorithm

// The algorithms (RFC 7616, RFC 8760).
const (
	MD5    = digest.MD5
	SHA256 = digest.SHA256
)

// Secret is a verifier. It prints as [redacted] in every way; convert it to
// []byte to use it. It is shared and must not be modified.
type Secret []byte

const redacted = "[redacted]"

// Format prints [redacted] for every verb, also %x.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// MarshalText keeps the secret out of JSON and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue keeps the secret out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Equal compares in constant time.
func (s Secret) Equal(other []byte) bool { return subtle.ConstantTimeCompare(s, other) == 1 }

// verifiers are all forms in which a password is kept. A client hashes the user
// name as it was typed, so there is one for each form of the name.
type verifiers struct {
	short struct{ md5, sha256 Secret } // user name "alice"
	full  struct{ md5, sha256 Secret } // user name "alice@example.test"
	nt    Secret                       // for NTLM
}

// newVerifiers hashes a password for a user; the realm is the SIP domain.
func newVerifiers(aor uc.AOR, password string) *verifiers {
	v := &verifiers{nt: ntHash(password)}
	user, realm := aor.User(), aor.Domain()
	v.short.md5 = digest.HA1(MD5, user, realm, password)
	v.short.sha256 = digest.HA1(SHA256, user, realm, password)
	v.full.md5 = digest.HA1(MD5, string(aor), realm, password)
	v.full.sha256 = digest.HA1(SHA256, string(aor), realm, password)
	return v
}

// ntHash is MD4 of the password in UTF-16LE ([MS-NLMP] section 3.3.1, NTOWFv1).
// It serves as the password itself in NTLM, which is why verifiers are sealed.
func ntHash(password string) Secret {
	units := utf16.Encode([]rune(password))
	text := make([]byte, 0, 2*len(units))
	for _, u := range units {
		text = binary.LittleEndian.AppendUint16(text, u)
	}
	h := md4.New()
	h.Write(text)
	return h.Sum(nil)
}

func (v *verifiers) ha1(full bool, alg Algorithm) Secret {
	form := &v.short
	if full {
		form = &v.full
	}
	switch alg {
	case MD5:
		return form.md5
	case SHA256:
		return form.sha256
	}
	return nil
}

// The kinds of verifier in their stored form. A number is never used again.
const (
	kindShortMD5    = 1
	kindShortSHA256 = 2
	kindFullMD5     = 3
	kindFullSHA256  = 4
	kindNT          = 5
)

// encode writes kind, length and value of each.
func (v *verifiers) encode() []byte {
	var out []byte
	for _, one := range []struct {
		kind  byte
		value Secret
	}{{kindShortMD5, v.short.md5}, {kindShortSHA256, v.short.sha256}, {kindFullMD5, v.full.md5}, {kindFullSHA256, v.full.sha256}, {kindNT, v.nt}} {
		out = append(append(out, one.kind, byte(len(one.value))), one.value...)
	}
	return out
}

var errVerifiers = errors.New("malformed password verifiers")

// decodeVerifiers reads what encode wrote. Kinds of a newer version are passed
// over: a password set there works here as far as this version can use it.
func decodeVerifiers(b []byte) (*verifiers, error) {
	v := &verifiers{}
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return nil, errVerifiers
		}
		kind, value := b[0], Secret(b[2:2+int(b[1])])
		b = b[2+int(b[1]):]
		var slot *Secret
		want := 16
		switch kind {
		case kindShortMD5:
			slot = &v.short.md5
		case kindShortSHA256:
			slot, want = &v.short.sha256, 32
		case kindFullMD5:
			slot = &v.full.md5
		case kindFullSHA256:
			slot, want = &v.full.sha256, 32
		case kindNT:
			slot = &v.nt
		default:
			continue
		}
		if len(value) != want {
			return nil, errVerifiers
		}
		*slot = value
	}
	return v, nil
}

// place names where verifiers are sealed for: they open for no other user.
func place(userID string) string { return "directory/verifiers/" + userID }

// MinPassword is the least length of a password in characters.
const MinPassword = 8

const maxPassword = 256 // bytes

// checkPassword refuses what would be guessed first. Longer rules (classes of
// characters, expiry) make passwords worse, not better (NIST SP 800-63B
// section 5.1.1.2), so there are none.
func checkPassword(aor uc.AOR, name, password string) error {
	switch {
	case password == "":
		return invalid("password", "the password is empty")
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return invalid("password", "the password holds characters that cannot be typed")
	case len(password) > maxPassword:
		return invalid("password", "the password has %d bytes, want at most %d", len(password), maxPassword)
	case utf8.RuneCountInString(password) < MinPassword:
		return invalid("password", "the password has %d characters, want at least %d", utf8.RuneCountInString(password), MinPassword)
	}
	simple := strings.ToLower(password)
	for _, known := range []string{string(aor), aor.User(), aor.Domain(), strings.ToLower(name)} {
		if simple == known {
			return invalid("password", "the password is the user's own name or address")
		}
	}
	if strings.Trim(simple, simple[:1]) == "" {
		return invalid("password", "the password is one character repeated")
	}
	if common[simple] {
		return invalid("password", "the password is among those that are tried first")
	}
	return nil
}

// common are the long enough ones of the passwords that guessing starts with.
var common = map[string]bool{
	"password": true, "password1": true, "password123": true, "passw0rd": true, "12345678": true, "123456789": true,
	"1234567890": true, "87654321": true, "qwertyui": true, "qwertyuiop": true, "qwerty123": true, "1q2w3e4r": true,
	"1qaz2wsx": true, "iloveyou": true, "sunshine": true, "princess": true, "football": true, "baseball": true,
	"superman": true, "trustno1": true, "welcome1": true, "letmein1": true, "changeme": true, "changeit": true,
	"administrator": true, "abcdefgh": true, "abcd1234": true, "asdfghjk": true, "11223344": true, "parley123": true,
}
