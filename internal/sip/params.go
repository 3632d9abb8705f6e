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

// checkParams checks header parameters and returns the offset of what is wrong, or -1.
func checkParams(b []byte) int {
	for i := skipLWS(b, 0); i < len(b); {
		if _, _, i = scanParam(b, i); i < 0 {
			return ^i
		}
	}
	return -1
}

// scanParam reads the header parameter at b[i] (generic-param of RFC 3261 section 25.1), beginning with its ";",
// and returns the index after it and white space. When something is wrong at offset x, next is ^x. Empty
// parameters, as in ";;", are let through: some phones end their lists with ";".
func scanParam(b []byte, i int) (name, value []byte, next int) {
	if b[i] != ';' {
		return nil, nil, ^i
	}
	i = skipLWS(b, i+1)
	start := i
	for i < len(b) && is(b[i], cToken) {
		i++
	}
	name = b[start:i:i]
	i = skipLWS(b, i)
	if i == len(b) || b[i] != '=' {
		return name, b[i:i:i], i
	}
	if len(name) == 0 {
		return nil, nil, ^i
	}
	i = skipLWS(b, i+1)
	start = i
	switch {
	case i == len(b) || b[i] == ';': // "tag=" is wrong, but loses nothing
	case b[i] == '"':
		if i = skipQuoted(b, i); i < 0 {
			return nil, nil, ^start
		}
	default:
		// A token or a host; an IPv6 address has brackets or, in received, none. Sites also send "<", ">" and
		// "@" unquoted, e.g. +sip.instance of old clients; only what ends a value is refused.
		for i < len(b) && !is(b[i], cEnd) {
			i++
		}
		if i == start {
			return nil, nil, ^i
		}
	}
	return name, b[start:i:i], skipLWS(b, i)
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
