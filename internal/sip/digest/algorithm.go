package digest

import (
	"crypto/md5"
	"crypto/sha256"
)

// Algorithm is a digest algorithm.
type Algorithm uint8

// The algorithms. The session variants (MD5-sess, SHA-256-sess) and SHA-512-256 are not implemented: no SIP
// endpoint we know asks for them, and RFC 8760 section 2.4 lets a server choose what it offers.
const (
	Unsupported Algorithm = iota
	MD5
	SHA256
)

// String returns the name RFC 8760 registers.
func (a Algorithm) String() string {
	switch a {
	case MD5:
		return "MD5"
	case SHA256:
		return "SHA-256"
	}
	return "unsupported"
}

// Size returns the length of the algorithm's hash, and so of its HA1, in bytes; 0 when it is unsupported.
func (a Algorithm) Size() int {
	switch a {
	case MD5:
		return md5.Size
	case SHA256:
		return sha256.Size
	}
	return 0
}

// algorithmOf reads the algorithm parameter. Without one it is MD5 (RFC 7616 section 3.3).
func algorithmOf(v []byte) Algorithm {
	switch {
	case v == nil || equalFold(v, "MD5"):
		return MD5
	case equalFold(v, "SHA-256"):
		return SHA256
	}
	return Unsupported
}

// sum appends the hash of data in lower-case hex.
func (a Algorithm) appendHex(dst, data []byte) []byte {
	if a == SHA256 {
		h := sha256.Sum256(data)
		return appendHex(dst, h[:])
	}
	h := md5.Sum(data)
	return appendHex(dst, h[:])
}

// HA1 returns the hash of "user:realm:password", Size bytes, the form in which a password is stored. It
// returns nil for an unsupported algorithm.
func HA1(a Algorithm, user, realm, password string) []byte {
	data := []byte(user + ":" + realm + ":" + password)
	switch a {
	case MD5:
		h := md5.Sum(data)
		return h[:]
	case SHA256:
		h := sha256.Sum256(data)
		return h[:]
	}
	return nil
}

func appendHex(dst, b []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range b {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if x, y := b[i], s[i]; x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
