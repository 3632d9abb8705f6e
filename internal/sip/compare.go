package sip

import "bytes"

const maxCompared = 1024

// Equal compares two URIs by the rules of RFC 3261 section 19.1.4 for sip and sips, of RFC 3966 section 4 for
// tel, and byte by byte for the rest. Since parameters are compared each with each, URIs of more than a kilobyte
// are only equal when they are identical.
func (u *URI) Equal(v *URI) bool {
	if bytes.Equal(u.Raw, v.Raw) {
		return true
	}
	if len(u.Raw) > maxCompared || len(v.Raw) > maxCompared {
		return false
	}
	if u.Kind != v.Kind || u.Secure != v.Secure {
		return false
	}
	switch u.Kind {
	case SIPURI:
		return equalEscaped(u.User, v.User, false) && (u.User == nil) == (v.User == nil) &&
			equalEscaped(u.Password, v.Password, false) && (u.Password == nil) == (v.Password == nil) &&
			equalFold(u.Host, v.Host) && u.Port == v.Port &&
			equalParams(u.Params, v.Params) && equalURIHeaders(u.Headers, v.Headers)
	case TelURI:
		return equalNumber(u.User, v.User) && equalTelParams(u.Params, v.Params) && equalTelParams(v.Params, u.Params)
	}
	return false
}

// EqualURI parses and compares two URIs. Malformed ones equal nothing.
func EqualURI(a, b []byte) bool {
	var u, v URI
	return parseURI(a, &u) == nil && parseURI(b, &v) == nil && u.Equal(&v)
}

// equalParams compares URI parameters: those in both must be equal; user, ttl, method, maddr and transport must
// be in both or in neither; others in one only are ignored.
func equalParams(a, b Params) bool {
	return paramsWithin(a, b) && paramsWithin(b, a)
}

func paramsWithin(a, b Params) bool {
	for {
		name, value, rest, more := a.cut()
		if !more {
			return true
		}
		a = rest
		other, there := getEscaped(b, name)
		if there && !equalEscaped(value, other, true) {
			return false
		}
		if !there {
			for _, n := range [...]string{"user", "ttl", "method", "maddr", "transport"} {
				if equalFold(name, n) {
					return false
				}
			}
		}
	}
}

// getEscaped is Params.Get for a name that may have escapes, or stand for one that has.
func getEscaped(p Params, name []byte) ([]byte, bool) {
	for {
		n, v, rest, more := p.cut()
		if !more {
			return nil, false
		}
		if equalEscaped(n, name, true) {
			return v, true
		}
		p = rest
	}
}

// equalURIHeaders compares header components: the same ones with the same values, in any order.
func equalURIHeaders(a, b []byte) bool {
	return len(a) == len(b) && len(a) == 0 || headersWithin(a, b) && headersWithin(b, a)
}

func headersWithin(a, b []byte) bool {
	for len(a) > 0 {
		var item []byte
		item, a, _ = bytes.Cut(a, []byte("&"))
		name, value, _ := bytes.Cut(item, []byte("="))
		found := false
		for rest := b; len(rest) > 0 && !found; {
			item, rest, _ = bytes.Cut(rest, []byte("&"))
			n, v, _ := bytes.Cut(item, []byte("="))
			found = equalEscaped(n, name, true) && equalEscaped(v, value, false)
		}
		if !found {
			return false
		}
	}
	return true
}

// equalEscaped compares with escapes undone, on request without case. An escaped reserved character differs from
// the bare one in the grammar; users do not see the difference, and every element we know treats them alike.
func equalEscaped(a, b []byte, fold bool) bool {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		x, y := a[i], b[j]
		if x == '%' && i+2 < len(a) && is(a[i+1], cHex) && is(a[i+2], cHex) {
			x = unhex(a[i+1])<<4 | unhex(a[i+2])
			i += 2
		}
		if y == '%' && j+2 < len(b) && is(b[j+1], cHex) && is(b[j+2], cHex) {
			y = unhex(b[j+1])<<4 | unhex(b[j+2])
			j += 2
		}
		if x != y && !(fold && lower(x) == lower(y)) {
			return false
		}
		i, j = i+1, j+1
	}
	return i == len(a) && j == len(b)
}

// equalNumber compares telephone numbers without their visual separators.
func equalNumber(a, b []byte) bool {
	i, j := 0, 0
	for {
		for i < len(a) && separator(a[i]) {
			i++
		}
		for j < len(b) && separator(b[j]) {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i, j = i+1, j+1
	}
}

func separator(c byte) bool { return c == '-' || c == '.' || c == '(' || c == ')' }

func equalTelParams(a, b Params) bool {
	for {
		name, value, rest, more := a.cut()
		if !more {
			return true
		}
		a = rest
		other, there := getEscaped(b, name)
		if !there {
			return false
		}
		if equalFold(name, "ext") {
			if !equalNumber(value, other) {
				return false
			}
		} else if !equalEscaped(value, other, true) {
			return false
		}
	}
}
