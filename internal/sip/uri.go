package sip

import (
	"bytes"

	"parley/internal/uc"
)

// URIKind tells how a URI is read.
type URIKind uint8

// The kinds of URI.
const (
	OtherURI URIKind = iota // any other scheme; routing answers 416 to the ones it does not know
	SIPURI                  // sip: or sips: (RFC 3261 section 19.1)
	TelURI                  // tel: (RFC 3966)
)

// URI is a parsed URI whose parts are slices of the bytes it was parsed from, escapes and all.
type URI struct {
	Raw      []byte
	Scheme   []byte
	User     []byte // the number for tel:, nil when there is no user part
	Password []byte
	Host     []byte // an IPv6 address has its brackets
	Params   Params // from the first ";" on
	Headers  []byte // what follows "?"
	Port     uint16 // 0 when absent
	Kind     URIKind
	Secure   bool // sips:
}

// ParseURI reads b, which must be a URI and nothing else, into u. A scheme other than sip, sips and tel gives
// an OtherURI without further checks than those of its characters.
func ParseURI(b []byte, u *URI) error {
	if e := parseURI(b, u); e != nil {
		return e
	}
	return nil
}

func parseURI(b []byte, u *URI) *ParseError {
	*u = URI{Raw: b}
	colon := bytes.IndexByte(b, ':')
	if colon < 1 {
		return bad(0, "a URI scheme and a colon")
	}
	u.Scheme = b[:colon]
	switch {
	case colon == 3 && equalFold(u.Scheme, "sip"):
		u.Kind = SIPURI
	case colon == 4 && equalFold(u.Scheme, "sips"):
		u.Kind, u.Secure = SIPURI, true
	case colon == 3 && equalFold(u.Scheme, "tel"):
		return parseTel(b, u)
	default:
		return parseOther(b, u)
	}
	i := colon + 1
	if at := bytes.IndexByte(b[i:], '@'); at >= 0 {
		if e := u.userinfo(b, i, i+at); e != nil {
			return e
		}
		i += at + 1
	}
	return u.hostport(b, i)
}

// userinfo reads the part before the "@".
func (u *URI) userinfo(b []byte, from, to int) *ParseError {
	end := to
	if c := bytes.IndexByte(b[from:to], ':'); c >= 0 {
		end = from + c
		u.Password = b[end+1 : to : to]
		if e := allIn(u.Password, cUser); e >= 0 {
			return bad(end+1+e, "a character of a password")
		}
	}
	u.User = b[from:end:end]
	if from == end {
		return bad(from, "a user before the @")
	}
	for i := from; i < to; i++ {
		c := b[i]
		if c == '%' {
			if i+2 >= to || !is(b[i+1], cHex) || !is(b[i+2], cHex) {
				return bad(i, "two hex digits after %")
			}
		} else if c != ':' && !is(c, cUser) {
			return bad(i, "a character of a user part")
		}
	}
	return nil
}

// hostport reads host, port, parameters and headers from b[i] to the end.
func (u *URI) hostport(b []byte, i int) *ParseError {
	start := i
	i, e := scanHost(b, i)
	if e != nil {
		return e
	}
	u.Host = b[start:i:i]
	if i < len(b) && b[i] == ':' {
		start = i + 1
		for i++; i < len(b) && digit(b[i]); i++ {
		}
		port, ok := parsePort(b[start:i])
		if !ok {
			return bad(start, "a port from 1 to 65535")
		}
		u.Port = port
	}
	if i < len(b) && b[i] == ';' {
		start = i
		for i < len(b) && b[i] != '?' {
			if c := b[i]; c == '%' {
				if i+2 >= len(b) || !is(b[i+1], cHex) || !is(b[i+2], cHex) {
					return bad(i, "two hex digits after %")
				}
			} else if c != ';' && c != '=' && !is(c, cParam) {
				return bad(i, "a character of a URI parameter")
			}
			i++
		}
		u.Params = Params(b[start:i:i])
	}
	if i < len(b) && b[i] == '?' {
		if j := allIn(b[i+1:], cURI); j >= 0 {
			return bad(i+1+j, "a character of a URI header")
		}
		u.Headers = b[i+1:]
		i = len(b)
	}
	if i < len(b) {
		return bad(i, "the end of the URI")
	}
	return nil
}

// scanHost returns the index after the host name or address at b[i].
func scanHost(b []byte, i int) (int, *ParseError) {
	start := i
	if i < len(b) && b[i] == '[' {
		end := bytes.IndexByte(b[i:], ']')
		if end < 3 {
			return i, bad(i, "an IPv6 address in brackets")
		}
		for _, c := range b[i+1 : i+end] {
			if !is(c, cHex) && c != ':' && c != '.' {
				return i, bad(i, "an IPv6 address in brackets")
			}
		}
		return i + end + 1, nil
	}
	for i < len(b) && is(b[i], cHost) {
		i++
	}
	if i == start {
		return i, bad(i, "a host")
	}
	return i, nil
}

func parsePort(b []byte) (uint16, bool) {
	n, exact, ok := parseUint(b)
	if !ok || !exact || n == 0 || n > 65535 {
		return 0, false
	}
	return uint16(n), true
}

func parseTel(b []byte, u *URI) *ParseError {
	u.Kind = TelURI
	i := 4
	for i < len(b) && b[i] != ';' {
		// Digits, visual separators, and the letters and signs of local numbers (RFC 3966 section 3).
		if c := b[i]; !is(c, cHex) && c != '+' && c != '-' && c != '.' && c != '(' && c != ')' && c != '*' && c != '#' {
			return bad(i, "a digit of a telephone number")
		}
		i++
	}
	if i == 4 {
		return bad(i, "a telephone number")
	}
	u.User = b[4:i:i]
	if j := allIn(b[i:], cURI); j >= 0 {
		return bad(i+j, "a character of a URI parameter")
	}
	u.Params = Params(b[i:])
	return nil
}

func parseOther(b []byte, u *URI) *ParseError {
	for i, c := range u.Scheme {
		letter := lower(c) >= 'a' && lower(c) <= 'z'
		if !letter && (i == 0 || !digit(c) && c != '+' && c != '-' && c != '.') {
			return bad(i, "a character of a URI scheme")
		}
	}
	i := len(u.Scheme) + 1
	if i == len(b) {
		return bad(i, "something after the scheme")
	}
	if j := allIn(b[i:], cURI); j >= 0 {
		return bad(i+j, "a character of a URI")
	}
	return nil
}

// Param returns a URI parameter.
func (u *URI) Param(name string) ([]byte, bool) { return u.Params.Get(name) }

// AOR returns the address of record a sip or sips URI stands for: user, with its escapes undone, and host in
// canonical form. A port and parameters are left out.
func (u *URI) AOR() (uc.AOR, error) {
	var buf [128]byte
	b, err := u.AppendAOR(buf[:0])
	if err != nil {
		return "", err
	}
	return uc.AOR(b), nil
}

// AppendAOR appends the address of record to dst, without allocating when dst is large enough.
func (u *URI) AppendAOR(dst []byte) ([]byte, error) {
	if u.Kind != SIPURI {
		return dst, uc.ErrAOR
	}
	if bytes.IndexByte(u.User, '%') < 0 {
		return uc.AppendAOR(dst, u.User, u.Host)
	}
	var buf [128]byte
	return uc.AppendAOR(dst, AppendUnescape(buf[:0], u.User), u.Host)
}

// AppendUnescape appends b with its %XX escapes undone. A "%" without two hex digits stays as it is.
func AppendUnescape(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '%' && i+2 < len(b) && is(b[i+1], cHex) && is(b[i+2], cHex) {
			c = unhex(b[i+1])<<4 | unhex(b[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendEscape appends a text for the user part of a URI, with escapes where the grammar wants them.
func AppendEscape[T []byte | string](dst []byte, s T) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; is(c, cUser) && c != '%' && c != '#' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}
