package digest

import (
	"errors"
	"strconv"
)

// AppendChallenge appends the value of a WWW-Authenticate or Proxy-Authenticate field that asks for qop auth.
// A server that takes several algorithms sends one field for each, the preferred first (RFC 8760 section 2.4).
// The realm must not have quotes or backslashes in it.
func AppendChallenge(dst []byte, a Algorithm, realm string, nonce []byte, stale bool) []byte {
	dst = append(dst, `Digest realm="`...)
	dst = append(dst, realm...)
	dst = append(dst, `", nonce="`...)
	dst = append(dst, nonce...)
	dst = append(dst, `", algorithm=`...)
	dst = append(dst, a.String()...)
	dst = append(dst, `, qop="auth"`...)
	if stale {
		dst = append(dst, ", stale=true"...)
	}
	return dst
}

// ErrChallenge says that a challenge asks for something that is not implemented.
var ErrChallenge = errors.New("digest: the challenge's algorithm or qop is not supported")

// Answer is what a client brings to a challenge.
type Answer struct {
	Method   string
	URI      string // digest-uri, usually the request URI
	Username string
	HA1      []byte // of Username, the challenge's realm and the password, in the challenge's algorithm
	CNonce   string // random, made by the caller; a token
	NC       uint32 // 1 for the first request under a nonce, then counting up
	Body     []byte // for auth-int
}

// Append appends the value of the Authorization or Proxy-Authorization field that answers c. It chooses auth
// where it is offered, then auth-int, and the form without qop where neither is.
func (a *Answer) Append(dst []byte, c *Challenge) ([]byte, error) {
	cr := Credentials{
		Username: []byte(a.Username), Realm: c.Realm, Nonce: c.Nonce, URI: []byte(a.URI),
		CNonce: []byte(a.CNonce), NC: a.NC, NCText: appendNC(nil, a.NC), Algorithm: c.Algorithm,
	}
	switch {
	case c.Auth:
		cr.QOP = Auth
	case c.AuthInt:
		cr.QOP = AuthInt
	}
	if c.Algorithm == Unsupported || len(a.HA1) != c.Algorithm.Size() {
		return dst, ErrChallenge
	}
	var buf [maxHex]byte
	cr.Response = cr.response(buf[:0], []byte(a.Method), a.HA1, a.Body)
	return cr.append(dst, c.Opaque), nil
}

// append prints the credentials.
func (c *Credentials) append(dst, opaque []byte) []byte {
	quoted := func(name string, v []byte) {
		dst = append(dst, name...)
		dst = append(dst, '=', '"')
		for _, ch := range v {
			if ch != '\r' && ch != '\n' {
				dst = append(dst, ch)
			}
		}
		dst = append(dst, '"')
	}
	dst = append(dst, "Digest "...)
	quoted("username", c.Username)
	quoted(", realm", c.Realm)
	quoted(", nonce", c.Nonce)
	quoted(", uri", c.URI)
	quoted(", response", c.Response)
	dst = append(dst, ", algorithm="...)
	dst = append(dst, c.Algorithm.String()...)
	if c.QOP != NoQOP {
		quoted(", cnonce", c.CNonce)
		dst = append(dst, ", qop="...)
		dst = append(dst, c.QOP.String()...)
		dst = append(dst, ", nc="...)
		dst = append(dst, c.NCText...)
	}
	if opaque != nil {
		quoted(", opaque", opaque)
	}
	return dst
}

func appendNC(dst []byte, nc uint32) []byte {
	var b [8]byte
	s := strconv.AppendUint(b[:0], uint64(nc), 16)
	for range 8 - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}
