package directory

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"unicode/utf16"

	"golang.org/x/crypto/md4"

	"parley/internal/uc"
)

// Secret is a verifier. It prints as [redacted]; convert to []byte to use it.
// It is shared: it must not be modified.
type Secret []byte

// String and its relatives keep a verifier out of every log and document.
func (Secret) String() string               { return "[redacted]" }
func (Secret) GoString() string             { return "[redacted]" }
func (Secret) LogValue() slog.Value         { return slog.StringValue("[redacted]") }
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Algorithm is a digest algorithm that has verifiers.
type Algorithm uint8

// The algorithms (RFC 7616, RFC 8760).
const (
	MD5 Algorithm = iota + 1
	SHA256
)

// verifiers is everything a password leaves behind. A digest verifier belongs
// to one spelling of the user name, so there are two of each: for "alice" and
// for "alice@example.test". The NT hash is what NTLM needs.
type verifiers struct {
	userMD5, userSHA256 Secret
	fullMD5, fullSHA256 Secret
	nt                  Secret
}

func newVerifiers(aor uc.AOR, password string) *verifiers {
	user, domain := aor.User(), aor.Domain()
	return &verifiers{
		userMD5: ha1(MD5, user, domain, password), userSHA256: ha1(SHA256, user, domain, password),
		fullMD5: ha1(MD5, string(aor), domain, password), fullSHA256: ha1(SHA256, string(aor), domain, password),
		nt: ntHash(password),
	}
}

// ha1 is H(username ":" realm ":" password), RFC 7616 section 3.4.2.
func ha1(alg Algorithm, username, realm, password string) Secret {
	text := []byte(username + ":" + realm + ":" + password)
	if alg == MD5 {
		sum := md5.Sum(text)
		return hex.AppendEncode(nil, sum[:])
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(nil, sum[:])
}

// ntHash is NTOWFv1 of [MS-NLMP] 3.3.1: MD4 over the password in UTF-16LE.
func ntHash(password string) Secret {
	h := md4.New()
	for _, u := range utf16.Encode([]rune(password)) {
		h.Write([]byte{byte(u), byte(u >> 8)})
	}
	return h.Sum(nil)
}

func (v *verifiers) digest(alg Algorithm, full bool) Secret {
	switch {
	case alg == MD5 && full:
		return v.fullMD5
	case alg == MD5:
		return v.userMD5
	case alg == SHA256 && full:
		return v.fullSHA256
	case alg == SHA256:
		return v.userSHA256
	}
	return nil
}

// check compares in constant time.
func (v *verifiers) check(aor uc.AOR, password string) bool {
	return subtle.ConstantTimeCompare(v.fullSHA256, ha1(SHA256, string(aor), aor.Domain(), password)) == 1
}

// sealedForm is how verifiers stand in the store, before sealing. Names never
// change their meaning.
type sealedForm struct {
	UserMD5    string `json:"md5"`
	UserSHA256 string `json:"sha256"`
	FullMD5    string `json:"md5_full"`
	FullSHA256 string `json:"sha256_full"`
	NT         []byte `json:"nt"`
}

func (v *verifiers) encode() []byte {
	b, err := json.Marshal(sealedForm{string(v.userMD5), string(v.userSHA256), string(v.fullMD5), string(v.fullSHA256), v.nt})
	if err != nil {
		panic(err) // strings and bytes always encode
	}
	return b
}

func decodeVerifiers(b []byte) (*verifiers, error) {
	var f sealedForm
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("verifiers: %w", err)
	}
	return &verifiers{Secret(f.UserMD5), Secret(f.UserSHA256), Secret(f.FullMD5), Secret(f.FullSHA256), f.NT}, nil
}

// place is what a user's verifiers are sealed for.
func place(userID string) string { return "directory/credential/" + userID }
