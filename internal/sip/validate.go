package sip

import "bytes"

// Validate checks the grammar of what a server is going to read: request URI, Via, From, To, Contact, Route,
// Record-Route and Path. Parse must have gone well. The answer to what it finds is 400. It does not judge whether the
// server wants the request: a URI of any scheme passes, and routing says 416 to those it does not know.
func (m *Message) Validate() error {
	if e := m.validate(); e != nil {
		return e
	}
	return nil
}

func (m *Message) validate() *ParseError {
	var u URI
	if m.request {
		if e := parseURI(m.RequestURI(), &u); e != nil {
			e.Offset += int(m.uri.from)
			return e
		}
		if len(u.Headers) > 0 { // RFC 3261 section 19.1.1, table 1
			return bad(int(m.uri.from), "a request URI without headers")
		}
	}
	for i := range m.fields {
		f := &m.fields[i]
		var e *ParseError
		switch f.id {
		case HVia:
			e = eachValue(m, f, checkVia)
		case HFrom, HTo:
			e = checkAddr(m.raw[f.value:f.end])
		case HContact, HRoute, HRecordRoute, HPath:
			e = eachValue(m, f, checkAddr)
		}
		if e != nil {
			e.Offset += int(f.value)
			return e
		}
	}
	return nil
}

// eachValue checks every value of a list. Offsets are within the field's value.
func eachValue(m *Message, f *field, check func([]byte) *ParseError) *ParseError {
	all := m.raw[f.value:f.end]
	for rest := all; ; {
		var item []byte
		item, rest = cutList(rest)
		if len(item) > 0 {
			if e := check(item); e != nil {
				e.Offset += bytes.Index(all, item) // of an equal item before it, the same is true
				return e
			}
		}
		if len(rest) == 0 {
			return nil
		}
	}
}

func checkVia(b []byte) *ParseError {
	var v Via
	return parseVia(b, &v)
}

func checkAddr(b []byte) *ParseError {
	var n NameAddr
	if e := parseNameAddr(b, &n); e != nil || n.Star {
		return e
	}
	var u URI
	e := parseURI(n.URI, &u)
	if e != nil {
		at := len(b) - len(n.Params) - len(n.URI)
		if b[len(b)-len(n.Params)-1] == '>' {
			at--
		}
		e.Offset += at
	}
	return e
}
