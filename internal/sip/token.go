package sip

import "io"

// tokenAlphabet has 32 letters, so that five random bits make one; all are tokens and none is upper case, for
// peers that compare tags without care.
const tokenAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// AppendToken appends n random letters, five bits each, read from rnd. It panics when rnd fails: a server
// without randomness must not go on. The caller passes crypto/rand.Reader, tests a fixed one.
func AppendToken(dst []byte, rnd io.Reader, n int) []byte {
	start := len(dst)
	for range n {
		dst = append(dst, 0)
	}
	if _, err := io.ReadFull(rnd, dst[start:]); err != nil {
		panic("sip: no random bytes: " + err.Error())
	}
	for i := start; i < len(dst); i++ {
		dst[i] = tokenAlphabet[dst[i]&31]
	}
	return dst
}

// NewTag returns a From or To tag with 80 random bits (RFC 3261 section 19.3 asks for 32).
func NewTag(rnd io.Reader) string { return string(AppendToken(nil, rnd, 16)) }

// AppendBranch appends a Via branch with its magic cookie and 80 random bits.
func AppendBranch(dst []byte, rnd io.Reader) []byte {
	return AppendToken(append(dst, MagicCookie...), rnd, 16)
}

// NewBranch returns what AppendBranch appends.
func NewBranch(rnd io.Reader) string { return string(AppendBranch(nil, rnd)) }

// NewCallID returns a Call-ID with 120 random bits, without a host: nobody needs to know ours.
func NewCallID(rnd io.Reader) string { return string(AppendToken(nil, rnd, 24)) }
