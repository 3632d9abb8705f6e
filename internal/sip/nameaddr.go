package sip

import "bytes"

// NameAddr is an address as From, To, Contact, Route and others carry it: with or without display name and
// angle brackets. Its parts are slices of the bytes it was parsed from.
type NameAddr struct {
	Raw     []byte
	Display []byte // as written, with quotes if it has any
	URI     []byte // without brackets; nil for a Contact of "*"
	Params  Params // the field's parameters, not those of the URI
	Star    bool   // the Contact "*"
}

// ParseNameAddr reads b, one value of an address field, into n. Without angle brackets everything from the
// first ";" on belongs to the field and not to the URI (RFC 3261 section 20). The URI itself is not parsed.
func ParseNameAddr(b []byte, n *NameAddr) error {
	if e := parseNameAddr(b, n); e != nil {
		return e
	}
	return nil
}

func parseNameAddr(b []byte, n *NameAddr) *ParseError {
	*n = NameAddr{Raw: b}
	i := skipLWS(b, 0)
	if i == len(b) {
		return bad(i, "an address")
	}
	start := i
	if b[i] == '"' {
		j := skipQuoted(b, i)
		if j < 0 {
			return bad(i, "the closing quote of the display name")
		}
		n.Display = b[i:j:j]
		if i = skipLWS(b, j); i == len(b) || b[i] != '<' {
			return bad(i, "< after the display name")
		}
	} else if b[i] != '<' {
		j := bytes.IndexByte(b[i:], '<')
		if j < 0 || bytes.IndexByte(b[i:i+j], ';') >= 0 {
			return n.bare(b, i)
		}
		n.Display = trim(b[i : i+j])
		// Tokens only, says the grammar. Unicode letters without quotes are common and do no harm.
		for k, c := range n.Display {
			if !is(c, cToken|cLWS) && c < 0x80 {
				return bad(start+k, "a display name of tokens, or quotes around it")
			}
		}
		i += j
	}
	end := bytes.IndexByte(b[i:], '>')
	if end < 0 {
		return bad(i, "> after the URI")
	}
	n.URI = b[i+1 : i+end : i+end]
	if len(n.URI) == 0 {
		return bad(i+1, "a URI")
	}
	i += end + 1
	if j := checkParams(b[i:]); j >= 0 {
		return bad(i+j, "a header parameter")
	}
	n.Params = Params(b[i:])
	return nil
}

// bare reads an address without angle brackets.
func (n *NameAddr) bare(b []byte, i int) *ParseError {
	if b[i] == '*' && skipLWS(b, i+1) == len(b) {
		n.Star = true
		return nil
	}
	j := i
	for j < len(b) && b[j] != ';' && !is(b[j], cLWS) {
		// A URI with one of these must be in brackets (RFC 3261 section 20.10).
		if c := b[j]; c == '?' || c == ',' || c == '"' || c == '>' {
			return bad(j, "angle brackets around such a URI")
		}
		j++
	}
	n.URI = b[i:j:j]
	if j == i {
		return bad(i, "a URI")
	}
	if k := checkParams(b[j:]); k >= 0 {
		return bad(j+k, "a header parameter")
	}
	n.Params = Params(b[j:])
	return nil
}

// Param returns a header parameter such as tag, expires or q.
func (n *NameAddr) Param(name string) ([]byte, bool) { return n.Params.Get(name) }

// ParseURI parses the address's URI into u.
func (n *NameAddr) ParseURI(u *URI) error { return ParseURI(n.URI, u) }

// DisplayName returns the display name without quotes and escapes.
func (n *NameAddr) DisplayName() []byte { return Unquote(n.Display) }

// Expires returns a Contact's expires parameter. A number that does not fit is 2^32-1; one that cannot be read
// counts as missing (RFC 3261 section 10.3 step 7 takes the default for it).
func (n *NameAddr) Expires() (uint32, bool) {
	v, ok := n.Params.Get("expires")
	if !ok {
		return 0, false
	}
	s, _, ok := parseUint(v)
	return s, ok
}

// Q returns a Contact's q parameter in thousandths, 1000 when it is missing. A malformed one is 0 with ok
// false.
func (n *NameAddr) Q() (q int, ok bool) {
	v, there := n.Params.Get("q")
	if !there {
		return 1000, true
	}
	return ParseQ(v)
}

// ParseQ reads a qvalue, "0" to "1" with up to three decimals, in thousandths.
func ParseQ(v []byte) (int, bool) {
	if len(v) == 0 || len(v) > 5 || v[0] != '0' && v[0] != '1' {
		return 0, false
	}
	q := int(v[0]-'0') * 1000
	if len(v) > 1 {
		if v[1] != '.' {
			return 0, false
		}
		scale := 100
		for _, c := range v[2:] {
			if !digit(c) {
				return 0, false
			}
			q += int(c-'0') * scale
			scale /= 10
		}
	}
	return q, q <= 1000
}

// Instance returns a Contact's +sip.instance (RFC 5626 section 4.1) without quotes and angle brackets, nil
// when there is none.
func (n *NameAddr) Instance() []byte {
	v, ok := n.Params.Get("+sip.instance")
	if !ok {
		return nil
	}
	v = Unquote(v)
	if len(v) > 2 && v[0] == '<' && v[len(v)-1] == '>' {
		v = v[1 : len(v)-1]
	}
	return v
}

// RegID returns a Contact's reg-id (RFC 5626 section 4.2), 0 when there is none or it is not a number above 0.
func (n *NameAddr) RegID() uint32 {
	v, _ := n.Params.Get("reg-id")
	id, exact, ok := parseUint(v)
	if !ok || !exact {
		return 0
	}
	return id
}
