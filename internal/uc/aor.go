package uc

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// AOR is a user's address of record in its canonical form: "user@domain", lower case, without scheme, port,
// parameters or escapes. Two spellings of one user compare equal as AORs, so it serves as a map key.
//
// RFC 3261 section 19.1.4 compares user parts with case; Parley does not, because people do not: the same
// decision is taken once, here, for lookup, credentials and routing.
type AOR string

// ErrAOR says that a text is not an address of record.
var ErrAOR = errors.New("uc: not an address of the form user@domain")

// MaxAOR is the longest AOR that is accepted, in bytes.
const MaxAOR = 512

// ParseAOR reads "alice@example.test", with or without "sip:" or "sips:" before it. A port, parameters or
// headers after the domain are refused: they belong to a contact, not to a user. Escapes are not undone; use
// sip.URI.AOR for an address that came from the network.
func ParseAOR(s string) (AOR, error) {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, ':'); i >= 0 && i < strings.IndexByte(s, '@') {
		if scheme := s[:i]; !strings.EqualFold(scheme, "sip") && !strings.EqualFold(scheme, "sips") {
			return "", ErrAOR
		}
		s = s[i+1:]
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", ErrAOR
	}
	return MakeAOR(s[:at], s[at+1:])
}

// MakeAOR joins a user part, already unescaped, and a domain into the canonical form.
func MakeAOR(user, domain string) (AOR, error) {
	b, err := AppendAOR(make([]byte, 0, len(user)+1+len(domain)), []byte(user), []byte(domain))
	if err != nil {
		return "", err
	}
	return AOR(b), nil
}

// AppendAOR appends the canonical form of user, already unescaped, and domain to dst. With a stack buffer as
// dst a caller can look a user up in a map without allocating.
func AppendAOR(dst, user, domain []byte) ([]byte, error) {
	if n := len(domain); n > 1 && domain[n-1] == '.' {
		domain = domain[:n-1] // a rooted name is the same domain
	}
	if len(user) == 0 || len(domain) == 0 || len(user)+len(domain)+1 > MaxAOR || !utf8.Valid(user) {
		return dst, ErrAOR // what is not UTF-8 fits neither the store nor a document
	}
	for _, c := range user {
		if c <= ' ' || c == 0x7f || c == '@' || c == '<' || c == '>' || c == '"' {
			return dst, ErrAOR
		}
		dst = append(dst, lower(c))
	}
	dst = append(dst, '@')
	if domain[0] == '[' && domain[len(domain)-1] != ']' {
		return dst, ErrAOR
	}
	for i, c := range domain {
		c = lower(c)
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		case domain[0] == '[' && (i == 0 || i == len(domain)-1 || c == ':'): // an IPv6 address
		default:
			return dst, ErrAOR
		}
		dst = append(dst, c)
	}
	return dst, nil
}

// User returns the part before the "@".
func (a AOR) User() string {
	if i := strings.LastIndexByte(string(a), '@'); i >= 0 {
		return string(a[:i])
	}
	return ""
}

// Domain returns the part after the "@".
func (a AOR) Domain() string {
	if i := strings.LastIndexByte(string(a), '@'); i >= 0 {
		return string(a[i+1:])
	}
	return ""
}

// URI returns the address as a SIP URI for display and for XML documents. It does not escape; package sip
// does that where an address goes into a message.
func (a AOR) URI() string { return "sip:" + string(a) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
