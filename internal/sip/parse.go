package sip

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const version = "SIP/2.0"

// Parse indexes raw, which is a whole datagram or what Framer cut from a stream, and checks what a transaction
// needs. The message keeps raw; it must not change while the message is used. lim nil means DefaultLimits.
//
// With an error m still describes what could be read: Answerable tells whether a 400 can be sent. The first
// thing wrong is the one reported.
func (m *Message) Parse(raw []byte, lim *Limits) error {
	lim = lim.or()
	*m = Message{fields: m.fields[:0], maxFwd: -1}
	if len(raw) > lim.MaxMessage {
		return &ParseError{513, lim.MaxMessage, "a message of at most that size"}
	}
	m.raw = raw
	pos, first := m.parseStart(raw)
	if pos < 0 {
		m.raw = raw[:0]
		return first
	}
	head, err := m.index(raw, pos, lim)
	if first == nil {
		first = err
	}
	m.body = uint32(head)
	m.answerable = m.request && m.method != ACK &&
		m.first[HVia] != 0 && m.first[HFrom] != 0 && m.first[HTo] != 0 && m.first[HCallID] != 0 && m.first[HCSeq] != 0
	if e := m.checkFields(); first == nil {
		first = e
	}
	if e := m.cutBody(lim); first == nil {
		first = e
	}
	if first != nil {
		return first
	}
	return nil
}

// parseStart reads the start line and returns where the fields begin. When it cannot even find that, it
// returns -1.
func (m *Message) parseStart(raw []byte) (int, *ParseError) {
	nl := bytes.IndexByte(raw, '\n')
	if nl < 1 || raw[nl-1] != '\r' {
		return -1, bad(max(nl, 0), "a start line ending in CR LF")
	}
	line := raw[:nl-1]
	if len(line) >= 4 && (string(line[:4]) == "SIP/" || equalFold(line[:4], "SIP/")) {
		return m.parseStatusLine(line, nl+1)
	}
	m.request = true
	i := 0
	for i < len(line) && is(line[i], cToken) {
		i++
	}
	m.start = span{0, uint32(i)}
	m.method = MethodOf(line[:i])
	if i == 0 || i == len(line) || line[i] != ' ' {
		return nl + 1, bad(i, "a method and one space")
	}
	u := i + 1
	j := bytes.IndexByte(line[u:], ' ')
	if j < 1 {
		m.uri = span{uint32(u), uint32(len(line))}
		return nl + 1, bad(u, "a request URI and one space")
	}
	j += u
	m.uri = span{uint32(u), uint32(j)}
	v := line[j+1:]
	switch {
	case string(v) == version:
		return nl + 1, nil
	case equalFold(v, version): // RFC 3261 section 7.1: compared without case
		return nl + 1, nil
	case isVersion(v):
		return nl + 1, &ParseError{505, j + 1, version}
	}
	// Either white space inside the URI or after the version, or not SIP at all.
	return nl + 1, bad(j+1, version+" and the end of the line")
}

func isVersion(v []byte) bool {
	if len(v) < 7 || !equalFold(v[:4], "SIP/") {
		return false
	}
	dot := bytes.IndexByte(v, '.')
	return dot > 4 && dot < len(v)-1 && number(v[4:dot]) && number(v[dot+1:])
}

func (m *Message) parseStatusLine(line []byte, next int) (int, *ParseError) {
	sp := bytes.IndexByte(line, ' ')
	if sp < 0 || !equalFold(line[:sp], version) {
		return next, &ParseError{505, 0, version + " and one space"}
	}
	m.start = span{0, uint32(sp)}
	code := line[sp+1:]
	if len(code) < 3 || !number(code[:3]) || code[0] < '1' || code[0] > '6' || len(code) > 3 && code[3] != ' ' {
		return next, bad(sp+1, "a status code from 100 to 699")
	}
	m.status = uint16(code[0]-'0')*100 + uint16(code[1]-'0')*10 + uint16(code[2]-'0')
	// The grammar wants a space even before an empty reason; some gateways leave it out.
	m.uri = span{uint32(min(sp+5, len(line))), uint32(len(line))}
	return next, nil
}

// index reads the header fields from pos on and returns where the body begins.
func (m *Message) index(raw []byte, pos int, lim *Limits) (int, *ParseError) {
	var first *ParseError
	fields := m.fields
	begin, lines := pos, 0
	for {
		i := bytes.IndexByte(raw[pos:], '\n')
		if i < 0 {
			m.fields = fields
			return m.closeHead(pos), or(first, bad(pos, "CR LF at the end of a header field, and a blank line after them"))
		}
		nl := pos + i
		lines++
		if i == 1 && raw[pos] == '\r' {
			break
		}
		colon := findColon(raw, pos, nl)
		n := colon
		for n > pos && (raw[n-1] == ' ' || raw[n-1] == '\t') {
			n--
		}
		id := headerID(raw, pos, n-pos)

		folded := false
		for nl+1 < len(raw) && (raw[nl+1] == ' ' || raw[nl+1] == '\t') {
			if i = bytes.IndexByte(raw[nl+1:], '\n'); i < 0 {
				break // found again, and reported, at the top of the loop
			}
			folded = true
			lines++
			nl += 1 + i
		}
		switch {
		case len(fields) >= lim.MaxHeaders:
			m.fields = fields
			return m.closeHead(pos), &ParseError{513, pos, "no further header fields"}
		case nl-pos > lim.MaxHeaderLine:
			m.fields = fields
			return m.closeHead(pos), &ParseError{513, pos, "a shorter header field"}
		case nl > lim.MaxHead:
			m.fields = fields
			return m.closeHead(pos), &ParseError{513, pos, "fewer bytes of header fields"}
		}

		v, e := colon+1, nl-1
		for v < e && (raw[v] == ' ' || raw[v] == '\t' || folded && is(raw[v], cLWS)) {
			v++
		}
		for v < e && is(raw[e-1], cLWS) {
			e--
		}
		// Written in place: building a field and then copying it is slower than all the rest.
		if len(fields) == cap(fields) {
			fields = append(fields, field{})
		} else {
			fields = fields[:len(fields)+1]
		}
		f := &fields[len(fields)-1]
		f.start, f.value, f.end = uint32(pos), uint32(min(v, e)), uint32(e)
		f.nameLen, f.id, f.folded = uint16(n-pos), id, folded

		if raw[nl-1] != '\r' {
			first = or(first, bad(nl-1, "CR before LF"))
		}
		if id == HOther { // the names that have an id are tokens
			if i := allIn(raw[pos:n], cToken); i >= 0 || colon == nl || n == pos || n-pos > 255 {
				first = or(first, bad(pos+max(i, 0), "a header field name and a colon"))
			}
		} else if m.first[id] == 0 {
			m.first[id] = uint8(len(fields))
		} else if headers[id].single {
			first = or(first, bad(pos, "only one "+headers[id].name))
		}
		pos = nl + 1
	}
	m.fields = fields
	// A CR on its own may be a line end for somebody behind us and hide a field from us.
	if first == nil && bytes.Count(raw[begin:pos], crByte) != lines-1 {
		first = bad(begin, "no CR without LF")
	}
	return pos + 2, first
}

// findColon returns the index of the first colon in raw[from:to], or to. It looks at eight bytes at a time, since
// this is the first thing done to every line.
func findColon(raw []byte, from, to int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	const colons = ':' * ones
	for from+8 <= len(raw) {
		x := binary.LittleEndian.Uint64(raw[from:]) ^ colons
		if hit := (x - ones) &^ x & tops; hit != 0 {
			return min(from+bits.TrailingZeros64(hit)/8, to)
		}
		if from += 8; from >= to {
			return to
		}
	}
	for from < to && raw[from] != ':' {
		from++
	}
	return from
}

var crByte = []byte{'\r'}

// closeHead ends a head that cannot be read beyond pos, and gives it a blank line, so that every reader of the
// index finds one and a request can still be answered. It copies, because the bytes after the head are not ours;
// this happens only to broken messages. It returns the length of the head.
func (m *Message) closeHead(pos int) int {
	m.raw = append(m.raw[:pos:pos], '\r', '\n')
	return len(m.raw)
}

func or(a, b *ParseError) *ParseError {
	if a != nil {
		return a
	}
	return b
}

// checkFields checks the fields a transaction needs.
func (m *Message) checkFields() *ParseError {
	end := int(m.body)
	switch {
	case m.first[HVia] == 0:
		return bad(end, "a Via")
	case m.first[HFrom] == 0:
		return bad(end, "a From")
	case m.first[HTo] == 0:
		return bad(end, "a To")
	case m.first[HCallID] == 0:
		return bad(end, "a Call-ID")
	case m.first[HCSeq] == 0:
		return bad(end, "a CSeq")
	}
	if id := &m.fields[m.first[HCallID]-1]; id.value == id.end {
		return bad(int(id.value), "a Call-ID that is not empty")
	}
	if e := m.parseCSeq(); e != nil {
		return e
	}
	if v := m.Header(HMaxForwards); v != nil {
		n, exact, ok := parseUint(v)
		if !ok || !exact || n > 255 { // RFC 3261 section 20.22
			return bad(m.at(HMaxForwards), "Max-Forwards from 0 to 255")
		}
		m.maxFwd = int16(n)
	}
	if v := m.Header(HDate); v != nil && !validDate(v) {
		return bad(m.at(HDate), "a date in GMT as in RFC 3261 section 20.17")
	}
	return nil
}

func (m *Message) parseCSeq() *ParseError {
	v, off := m.Header(HCSeq), m.at(HCSeq)
	i := 0
	for i < len(v) && digit(v[i]) {
		i++
	}
	n, exact, ok := parseUint(v[:i])
	// RFC 3261 section 8.1.1.5 asks for less than 2^31; we take whatever fits 32 bits.
	if !ok || !exact {
		return bad(off, "a CSeq number below 2^32")
	}
	j := skipLWS(v, i)
	if j == i || j == len(v) || allIn(v[j:], cToken) >= 0 {
		return bad(off+i, "white space and a method in CSeq")
	}
	m.cseq = n
	m.cseqName = span{uint32(off + j), uint32(off + len(v))}
	m.cseqMethod = MethodOf(v[j:])
	if m.request && (m.cseqMethod != m.method || m.method == OtherMethod && string(v[j:]) != string(m.MethodName())) {
		return bad(off+j, "the method of the request in CSeq")
	}
	return nil
}

// at returns the offset of the value of the first field with this id; there must be one.
func (m *Message) at(id HeaderID) int { return int(m.fields[m.first[id]-1].value) }

// cutBody checks Content-Length and cuts off what follows the body.
func (m *Message) cutBody(lim *Limits) *ParseError {
	body := len(m.raw) - int(m.body)
	v := m.Header(HContentLength)
	if v == nil {
		if body > lim.MaxBody {
			return &ParseError{413, int(m.body), "a smaller body"}
		}
		return nil // RFC 3261 section 18.3: on datagrams the body reaches to the end
	}
	n, exact, ok := parseUint(v)
	switch {
	case !ok:
		return bad(m.at(HContentLength), "Content-Length as a number")
	case !exact || int64(n) > int64(body):
		return bad(m.at(HContentLength), "as many bytes of body as Content-Length says")
	case int(n) > lim.MaxBody:
		return &ParseError{413, m.at(HContentLength), "a smaller body"}
	}
	m.raw = m.raw[:int(m.body)+int(n)]
	return nil
}

// validDate checks "Sat, 13 Nov 2010 23:29:00 GMT".
func validDate(v []byte) bool {
	const pattern = "Aaa, 00 Aaa 0000 00:00:00 GMT"
	if len(v) != len(pattern) {
		return false
	}
	for i := range len(pattern) {
		switch p := pattern[i]; {
		case p == '0' && !digit(v[i]):
			return false
		case (i < 3 || i > 7 && i < 11) && (lower(v[i]) < 'a' || lower(v[i]) > 'z'):
			return false
		case (p == ' ' || p == ',' || p == ':') && v[i] != p:
			return false
		}
	}
	return string(v[26:]) == "GMT"
}
