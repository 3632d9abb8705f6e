package sip

import (
	"bytes"
	"iter"
	"net/netip"
)

// Message is one SIP request or response: an index over the bytes it was parsed from. The zero value is ready
// for Parse, and Parse may be called again and again on the same Message; its index is reused.
//
// Every []byte a method returns is a slice of those bytes: valid as long as they are, not to be written to.
// Retain makes a copy that lasts.
type Message struct {
	// Source is where the message came from. The transport sets it after Parse; AppendResponse and
	// AppendForward use it to fill in received and rport (RFC 3261 section 18.2.1, RFC 3581). The zero value
	// means that this is not wanted.
	Source netip.AddrPort

	raw    []byte  // the whole message, without whatever followed its body
	fields []field // the header fields in order
	first  [numHeaders]uint8
	body   uint32 // offset of the body

	request    bool
	answerable bool
	method     Method
	cseqMethod Method
	status     uint16
	maxFwd     int16
	cseq       uint32
	start      span // method name or version
	uri        span // request URI or reason phrase
	cseqName   span
}

type span struct{ from, to uint32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to:s.to] }

// field says where one header field lies. It ends where the next begins, or at the blank line.
type field struct {
	start   uint32 // of the name
	value   uint32 // of the value, after the colon and white space
	end     uint32 // of the value, before trailing white space
	nameLen uint16
	id      HeaderID
	folded  bool // the value goes over several lines
}

// Raw returns the whole message as it arrived.
func (m *Message) Raw() []byte { return m.raw }

// Head returns start line and header fields as they arrived, with the blank line.
func (m *Message) Head() []byte { return m.raw[:m.body:m.body] }

// Body returns the body, empty when there is none.
func (m *Message) Body() []byte { return m.raw[m.body:] }

// IsRequest reports whether the message is a request.
func (m *Message) IsRequest() bool { return m.request }

// Method returns the request's method; for a response, the method of its CSeq.
func (m *Message) Method() Method {
	if m.request {
		return m.method
	}
	return m.cseqMethod
}

// MethodName returns the method's name as Method does, in the spelling of the peer.
func (m *Message) MethodName() []byte {
	if m.request {
		return m.start.of(m.raw)
	}
	return m.cseqName.of(m.raw)
}

// RequestURI returns the request URI, nil for a response.
func (m *Message) RequestURI() []byte {
	if !m.request {
		return nil
	}
	return m.uri.of(m.raw)
}

// StatusCode returns a response's status code, 0 for a request.
func (m *Message) StatusCode() int { return int(m.status) }

// Reason returns a response's reason phrase.
func (m *Message) Reason() []byte {
	if m.request {
		return nil
	}
	return m.uri.of(m.raw)
}

// Answerable reports whether the fields every response copies (Via, From, To, Call-ID, CSeq) are all there, so
// that even a request that was refused by Parse can be answered. It is false for ACK and for responses.
func (m *Message) Answerable() bool { return m.answerable }

// Header returns the value of the first field with this id, nil when there is none. An empty value is not
// nil. A folded value still has its line breaks; the typed views read them as white space.
func (m *Message) Header(id HeaderID) []byte {
	i := m.first[id]
	if i == 0 {
		return nil
	}
	f := &m.fields[i-1]
	return m.raw[f.value:f.end:f.end]
}

// Has reports whether there is a field with this id.
func (m *Message) Has(id HeaderID) bool { return m.first[id] != 0 }

// HeaderNamed returns the value of the first field with this name, compared without case, or nil. It serves
// fields that have no id; for the others it finds the compact form too.
func (m *Message) HeaderNamed(name string) []byte {
	for i := range m.fields {
		f := &m.fields[i]
		if f.id == HOther && equalFold(m.raw[f.start:f.start+uint32(f.nameLen)], name) {
			return m.raw[f.value:f.end:f.end]
		}
	}
	if id := HeaderIDOf(name); id != HOther {
		return m.Header(id)
	}
	return nil
}

// Field is one header field as it stands on the wire.
type Field struct {
	ID    HeaderID
	Name  []byte
	Value []byte // without surrounding white space, with the line breaks of folds
	Line  []byte // name, value and line end
}

// Fields walks over all header fields in the order they arrived in.
func (m *Message) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range m.fields {
			if !yield(m.Field(i)) {
				return
			}
		}
	}
}

// Len returns the number of header fields.
func (m *Message) Len() int { return len(m.fields) }

// Field returns the i-th header field, counted from 0.
func (m *Message) Field(i int) Field {
	f := &m.fields[i]
	n := f.start + uint32(f.nameLen)
	return Field{f.id, m.raw[f.start:n:n], m.raw[f.value:f.end:f.end], m.line(i)}
}

// line returns the i-th field with its line end.
func (m *Message) line(i int) []byte { return m.raw[m.fields[i].start:m.lineEnd(i)] }

func (m *Message) lineEnd(i int) uint32 {
	if i+1 < len(m.fields) {
		return m.fields[i+1].start
	}
	return m.body - 2
}

// Values walks over the values of a field: over every field of the id, and within each over the comma-separated
// values where the field is such a list. The zero value is empty; Message.Values makes one.
type Values struct {
	m    *Message
	id   HeaderID
	next int    // field to look at next
	rest []byte // what is left of the current list
}

// Values returns an iterator over the values of id. It is All without a closure, for hot paths.
func (m *Message) Values(id HeaderID) Values {
	if i := m.first[id]; i != 0 {
		return Values{m: m, id: id, next: int(i) - 1}
	}
	return Values{}
}

// Next returns the next value, and false after the last.
func (v *Values) Next() ([]byte, bool) {
	for {
		for len(v.rest) > 0 {
			var item []byte
			item, v.rest = cutList(v.rest)
			if len(item) > 0 { // ", ," is not grammar, but harmless
				return item, true
			}
		}
		for {
			if v.m == nil || v.next >= len(v.m.fields) {
				return nil, false
			}
			f := &v.m.fields[v.next]
			v.next++
			if f.id != v.id {
				continue
			}
			value := v.m.raw[f.value:f.end:f.end]
			if !headers[v.id].list {
				return value, true
			}
			v.rest = value
			break
		}
	}
}

// All walks over the values of id as Values does.
func (m *Message) All(id HeaderID) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for v := m.Values(id); ; {
			b, ok := v.Next()
			if !ok || !yield(b) {
				return
			}
		}
	}
}

// Count returns the number of values All would give.
func (m *Message) Count(id HeaderID) int {
	n := 0
	for v := m.Values(id); ; n++ {
		if _, ok := v.Next(); !ok {
			return n
		}
	}
}

// HasToken reports whether one of the comma-separated values of id is this token, compared without case:
// HasToken(HSupported, "outbound"). Parameters after the token do not matter.
func (m *Message) HasToken(id HeaderID, token string) bool {
	for v := m.Values(id); ; {
		b, ok := v.Next()
		if !ok {
			return false
		}
		if equalFold(firstToken(b), token) {
			return true
		}
	}
}

// cutList splits a list at its first comma that is neither in quotes nor in angle brackets.
func cutList(b []byte) (item, rest []byte) {
	if bytes.IndexByte(b, ',') < 0 {
		return trim(b), nil
	}
	angle := false
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if angle {
				continue // a quote has no meaning inside a URI
			}
			j := skipQuoted(b, i)
			if j < 0 {
				return trim(b), nil
			}
			i = j - 1
		case '<':
			angle = true
		case '>':
			angle = false
		case ',':
			if !angle {
				return trim(b[:i]), b[i+1:]
			}
		}
	}
	return trim(b), nil
}

// firstToken returns the token b begins with.
func firstToken(b []byte) []byte {
	i := 0
	for i < len(b) && is(b[i], cToken) {
		i++
	}
	return b[:i]
}

// Retain returns a private copy of the message, as large as it needs to be, that stays valid.
func (m *Message) Retain() *Message {
	c := new(Message)
	*c = *m
	c.raw = append(make([]byte, 0, len(m.raw)), m.raw...)
	c.fields = append(make([]field, 0, len(m.fields)), m.fields...)
	return c
}
