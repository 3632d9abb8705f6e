package digest

// scanner walks over the comma-separated parameters of a credentials or challenge value. White space includes
// the line breaks of folded fields.
type scanner struct {
	b     []byte
	name  []byte
	value []byte // without quotes
	bad   bool   // the walk ended at something that is not a parameter
}

// next reads the next parameter. Empty list elements are passed over (RFC 9110 section 5.6.1.2).
func (s *scanner) next() bool {
	i := 0
	for i < len(s.b) && (space(s.b[i]) || s.b[i] == ',') {
		i++
	}
	b := s.b[i:]
	if len(b) == 0 {
		s.b = nil
		return false
	}
	i = 0
	for i < len(b) && token(b[i]) {
		i++
	}
	s.name = b[:i]
	j := skipSpace(b, i)
	if i == 0 || j == len(b) || b[j] != '=' {
		return s.fail()
	}
	j = skipSpace(b, j+1)
	if j < len(b) && b[j] == '"' {
		i = j + 1
		for j = i; j < len(b) && b[j] != '"'; j++ {
			if b[j] == '\\' {
				j++
			}
			if j < len(b) && (b[j] == '\r' || b[j] == '\n') {
				return s.fail() // a fold within quotes: nobody agrees on what is hashed then
			}
		}
		if j >= len(b) {
			return s.fail()
		}
		s.value = b[i:j:j]
		j++
	} else {
		i = j
		for j < len(b) && b[j] != ',' && b[j] != '"' && b[j] != '\\' && !space(b[j]) {
			j++
		}
		s.value = b[i:j:j]
		if i == j {
			return s.fail()
		}
	}
	if j = skipSpace(b, j); j < len(b) && b[j] != ',' {
		return s.fail()
	}
	s.b = b[j:]
	return true
}

func (s *scanner) fail() bool {
	s.bad = true
	return false
}

// pick returns to if name is want, for a switch on lengths.
func pick(name []byte, want string, to *[]byte) *[]byte {
	if equalFold(name, want) {
		return to
	}
	return nil
}

// cutScheme takes "Digest" and the white space after it off.
func cutScheme(v []byte) ([]byte, error) {
	i := skipSpace(v, 0)
	j := i
	for j < len(v) && token(v[j]) {
		j++
	}
	if !equalFold(v[i:j], "Digest") {
		return nil, ErrScheme
	}
	if k := skipSpace(v, j); k > j {
		return v[k:], nil
	}
	return nil, ErrSyntax
}

func cutComma(b []byte) (item, rest []byte) {
	for i, c := range b {
		if c == ',' {
			return trim(b[:i]), b[i+1:]
		}
	}
	return trim(b), nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && space(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && space(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// parseNC reads eight hex digits (RFC 7616 section 3.4).
func parseNC(v []byte, to *uint32) bool {
	if len(v) != 8 {
		return false
	}
	var n uint32
	for _, c := range v {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return false
		}
		n = n<<4 | uint32(c)
	}
	*to = n
	return true
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && space(b[i]) {
		i++
	}
	return i
}

// token reports whether c may be part of a token (RFC 3261 section 25.1).
func token(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '!', '%', '*', '_', '+', '`', '\'', '~':
		return true
	}
	return false
}
