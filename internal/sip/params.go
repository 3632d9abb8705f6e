package sip

import "iter"

// Params is a list of parameters ";name=value;flag" as it stands in a URI or a header field. White space around
// ";" and "=" and quoted values are understood; in URIs neither occurs.
type Params []byte

// Get returns the value of a parameter, compared without case. A flag without "=" is there with an empty
// value. Quotes are kept; Unquote removes them.
func (p Params) Get(name string) (value []byte, ok bool) {
	for {
		n, v, rest, more := p.cut()
		if !more {
			return nil, false
		}
		if equalFold(n, name) {
			return v, true
		}
		p = rest
	}
}

// Has reports whether there is such a parameter.
func (p Params) Has(name string) bool {
	_, ok := p.Get(name)
	return ok
}

// All walks over the parameters in order.
func (p Params) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for {
			n, v, rest, more := p.cut()
			if !more || !yield(n, v) {
				return
			}
			p = rest
		}
	}
}

// cut takes the first parameter off. Parameters without a name, as in ";;", are passed over.
func (p Params) cut() (name, value []byte, rest Params, ok bool) {
	b := []byte(p)
	i := 0
	for i < len(b) && (b[i] == ';' || is(b[i], cLWS)) {
		i++
	}
	if i == len(b) {
		return nil, nil, nil, false
	}
	start := i
	for i < len(b) && b[i] != '=' && b[i] != ';' {
		i++
	}
	name = trim(b[start:i])
	if i == len(b) || b[i] == ';' {
		return name, b[i:i:i], b[i:], true
	}
	i = skipLWS(b, i+1)
	start = i
	for i < len(b) && b[i] != ';' {
		if b[i] == '"' {
			j := skipQuoted(b, i)
			if j < 0 {
				i = len(b)
				break
			}
			i = j
			continue
		}
		i++
	}
	return name, trim(b[start:i]), b[i:], true
}

// checkParams checks header parameters (generic-param of RFC 3261 section 25.1) and returns the offset of
// what is wrong, or -1. Empty parameters, as in ";;", are let through: some phones end their lists with ";".
func checkParams(b []byte) int {
	i := skipLWS(b, 0)
	for i < len(b) {
		if b[i] != ';' {
			return i
		}
		name := skipLWS(b, i+1)
		for i = name; i < len(b) && is(b[i], cToken); i++ {
		}
		named := i > name
		i = skipLWS(b, i)
		if i == len(b) || b[i] != '=' {
			continue
		}
		if !named {
			return i
		}
		i = skipLWS(b, i+1)
		switch {
		case i == len(b) || b[i] == ';': // "tag=" is wrong, but loses nothing
		case b[i] == '"':
			j := skipQuoted(b, i)
			if j < 0 {
				return i
			}
			i = j
		default:
			// A token or a host; an IPv6 address has brackets or, in received, none. Sites also send "<",
			// ">" and "@" unquoted, e.g. +sip.instance of old clients; only what ends a value is refused.
			start := i
			for i < len(b) && !is(b[i], cLWS) && b[i] != ';' && b[i] != ',' && b[i] != '"' {
				i++
			}
			if i == start {
				return i
			}
		}
		i = skipLWS(b, i)
	}
	return -1
}

// Unquote returns the text of a quoted string without its quotes and escapes, or b itself when it has no
// quotes. It allocates only when there are escapes.
func Unquote(b []byte) []byte {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return b
	}
	b = b[1 : len(b)-1]
	for i := range b {
		if b[i] == '\\' {
			return unescapeQuoted(b, i)
		}
	}
	return b
}

func unescapeQuoted(b []byte, i int) []byte {
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for ; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// AppendQuoted appends s as a quoted string. CR and LF become spaces.
func AppendQuoted[T []byte | string](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\r', '\n':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
