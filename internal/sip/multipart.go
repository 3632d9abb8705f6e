package sip

import (
	"bytes"
	"iter"
)

// MediaType is a Content-Type or one value of Accept, as slices of it.
type MediaType struct {
	Type    []byte // "application"
	Subtype []byte // "sdp"
	Params  Params
}

// ParseMediaType reads "type/subtype;params". White space around the slash is allowed.
func ParseMediaType(v []byte, m *MediaType) error {
	*m = MediaType{}
	i := skipLWS(v, 0)
	start := i
	for i < len(v) && is(v[i], cToken) {
		i++
	}
	m.Type = v[start:i:i]
	j := skipLWS(v, i)
	if i == start || j == len(v) || v[j] != '/' {
		return bad(i, "a media type and a slash")
	}
	i = skipLWS(v, j+1)
	start = i
	for i < len(v) && is(v[i], cToken) {
		i++
	}
	m.Subtype = v[start:i:i]
	if i == start {
		return bad(i, "a media subtype")
	}
	if k := checkParams(v[i:]); k >= 0 {
		return bad(i+k, "a parameter")
	}
	m.Params = Params(v[i:])
	return nil
}

// Is compares with "type/subtype" without case.
func (m *MediaType) Is(name string) bool {
	n := len(m.Type)
	return len(name) == n+1+len(m.Subtype) && equalFold(m.Type, name[:n]) && name[n] == '/' && equalFold(m.Subtype, name[n+1:])
}

// ContentType returns the message's media type; ok is false when there is none or it is malformed.
func (m *Message) ContentType() (t MediaType, ok bool) {
	v := m.Header(HContentType)
	return t, v != nil && ParseMediaType(v, &t) == nil
}

// Part is one part of a multipart body (RFC 2046 section 5.1) as slices of the body.
type Part struct {
	Head []byte // header fields, each with its line end
	Body []byte
}

// Header returns the value of the part's first header field of this name, with the line breaks of folds, or
// nil.
func (p *Part) Header(name string) []byte {
	for h := p.Head; len(h) > 0; {
		var line []byte
		line, h = cutLine(h)
		n, v, ok := bytes.Cut(line, []byte(":"))
		if ok && equalFold(trim(n), name) {
			return trim(v)
		}
	}
	return nil
}

// cutLine takes one header field with its folds off.
func cutLine(b []byte) (line, rest []byte) {
	for i := 0; i < len(b); i++ {
		if b[i] == '\n' && (i+1 == len(b) || b[i+1] != ' ' && b[i+1] != '\t') {
			return b[:i+1], b[i+1:]
		}
	}
	return b, nil
}

// MaxParts is how many parts of one body are looked at.
const MaxParts = 64

// Parts walks over the parts of a multipart body. params are those of its media type, for the boundary. A body
// that ends without the closing boundary ends with an error, after the parts that were whole; so does one with
// more than MaxParts. Nothing is decoded: Content-Transfer-Encoding other than binary is the caller's business,
// and SIP messages use binary (RFC 3261 section 7.4.1).
func Parts(params Params, body []byte) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		v, _ := params.Get("boundary")
		boundary := Unquote(v)
		if len(boundary) == 0 || len(boundary) > 70 {
			yield(Part{}, bad(0, "a boundary of 1 to 70 characters"))
			return
		}
		_, pos, last, ok := cutBoundary(body, 0, boundary)
		for n := 0; ok && !last; n++ {
			start := pos
			var end int
			if end, pos, last, ok = cutBoundary(body, pos, boundary); !ok {
				break
			}
			if n == MaxParts {
				yield(Part{}, bad(start, "fewer parts"))
				return
			}
			end = max(end, start) // two boundary lines in a row
			if !yield(splitPart(body[start:end:end]), nil) {
				return
			}
		}
		if !ok {
			yield(Part{}, bad(len(body), "the closing boundary"))
		}
	}
}

// cutBoundary finds the next boundary line from pos on. end is where what precedes it ends, next where the
// line after it begins, last whether it was the closing one.
func cutBoundary(body []byte, pos int, boundary []byte) (end, next int, last, ok bool) {
	for pos <= len(body) {
		i := bytes.Index(body[pos:], boundary)
		if i < 0 {
			return 0, 0, false, false
		}
		b := pos + i - 2 // of the dashes
		pos += i + 1
		if b < 0 || body[b] != '-' || body[b+1] != '-' || b > 0 && body[b-1] != '\n' {
			continue
		}
		next = b + 2 + len(boundary)
		if bytes.HasPrefix(body[next:], []byte("--")) {
			last = true
			next += 2
		}
		for next < len(body) && (body[next] == ' ' || body[next] == '\t') {
			next++
		}
		switch {
		case bytes.HasPrefix(body[next:], []byte("\r\n")):
			next += 2
		case bytes.HasPrefix(body[next:], []byte("\n")):
			next++
		case next == len(body) && last:
		default:
			last = false
			continue // a longer boundary that begins like ours
		}
		// The line end before the dashes belongs to the boundary.
		end = b
		if end > 0 {
			end--
		}
		if end > 0 && body[end-1] == '\r' {
			end--
		}
		return end, next, last, true
	}
	return 0, 0, false, false
}

// splitPart divides a part at its first blank line.
func splitPart(b []byte) Part {
	for rest := b; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if i == 0 || i == 1 && rest[0] == '\r' {
			at := len(b) - len(rest)
			return Part{b[:at:at], rest[i+1:]}
		}
		rest = rest[i+1:]
	}
	return Part{Head: b}
}
