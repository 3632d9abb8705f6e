package sip

import "strconv"

// ForwardEdit is what a proxy changes in a request it passes on. The zero value decrements Max-Forwards (or
// inserts 70) and changes nothing else.
type ForwardEdit struct {
	RequestURI      []byte           // new request URI; nil keeps the old one
	Via             []byte           // value of the Via put on top: "SIP/2.0/TLS host:port;branch=z9hG4bK..."
	RecordRoute     [][]byte         // Record-Route values put on top, the first one topmost
	RemoveRoutes    int              // how many Route values to take off the top first
	Routes          [][]byte         // Route values then put on top, the first one topmost
	Path            [][]byte         // Path values put on top
	Append          []Header         // fields put at the end
	Drop            func(Field) bool // which of the received fields to leave out; nil leaves none out
	KeepMaxForwards bool             // do not touch Max-Forwards
	Body            *Body            // takes the place of the body; nil keeps it
}

// Body is a body that takes the place of the one a message came with. The fields that say what the old one was and
// how it was encoded and how long it is go with it. It is not changed by those who pass the message on.
type Body struct {
	Type string // of Content-Type
	Data []byte
}

// describes reports whether a field says something of the body that no longer holds when there is another.
func describes(id HeaderID) bool {
	return id == HContentType || id == HContentLength || id == HContentEncoding
}

// AppendForward appends the request m with the edits of e to dst and returns it. It copies once; fields that
// no edit concerns keep their spelling, order and line breaks. Where m.Source is set, received and rport are
// filled in to the Via the request came with. A Content-Length is added if there was none.
//
// m must have been parsed without error.
func AppendForward(dst []byte, m *Message, e *ForwardEdit) []byte {
	raw := m.raw
	from := uint32(0) // what is not copied yet begins here
	if len(m.fields) > 0 {
		from = m.fields[0].start
	}
	if e.RequestURI != nil {
		dst = append(dst, raw[:m.uri.from]...)
		dst = appendClean(dst, e.RequestURI)
		dst = append(dst, raw[m.uri.to:from]...)
	} else {
		dst = append(dst, raw[:from]...)
	}
	if e.Via != nil {
		dst = appendField(dst, "Via", e.Via)
	}
	dst = appendFields(dst, "Record-Route", e.RecordRoute)
	dst = appendFields(dst, "Route", e.Routes)
	dst = appendFields(dst, "Path", e.Path)
	if m.maxFwd < 0 && !e.KeepMaxForwards {
		dst = append(dst, "Max-Forwards: 70\r\n"...)
	}

	strip := e.RemoveRoutes
	topVia := m.Source.IsValid()
	for i := range m.fields {
		f := &m.fields[i]
		switch {
		case e.Drop != nil && e.Drop(m.Field(i)), e.Body != nil && describes(f.id):
			dst = append(dst, raw[from:f.start]...)
			from = m.lineEnd(i)
		case f.id == HVia && topVia:
			topVia = false
			dst = append(dst, raw[from:f.value]...)
			item, rest := cutList(raw[f.value:f.end])
			dst = appendReceived(dst, item, m.Source)
			from = f.end
			if len(rest) > 0 {
				from = f.end - uint32(len(rest)) - 1
			}
		case f.id == HRoute && strip > 0:
			dst = append(dst, raw[from:f.start]...)
			from = m.lineEnd(i)
			rest := raw[f.value:f.end]
			for strip > 0 && len(rest) > 0 {
				var item []byte
				if item, rest = cutList(rest); len(item) > 0 {
					strip--
				}
			}
			if rest = trim(rest); len(rest) > 0 {
				dst = appendField(dst, "Route", rest)
			}
		case f.id == HMaxForwards && !e.KeepMaxForwards:
			dst = append(dst, raw[from:f.value]...)
			dst = strconv.AppendInt(dst, int64(max(m.maxFwd-1, 0)), 10)
			from = f.end
		}
	}
	dst = append(dst, raw[from:m.body-2]...)
	return m.finish(dst, e.Append, e.Body)
}

// ResponseEdit is what a proxy changes in a response it passes on.
type ResponseEdit struct {
	KeepVia bool             // do not take the topmost Via off
	Append  []Header         // fields put at the end
	Drop    func(Field) bool // which of the received fields to leave out; nil leaves none out
	Body    *Body            // takes the place of the body; nil keeps it
}

// AppendResponseForward appends the response m without its topmost Via value, which was ours, to dst. e may be
// nil. Everything else keeps its spelling.
func AppendResponseForward(dst []byte, m *Message, e *ResponseEdit) []byte {
	if e == nil {
		e = &ResponseEdit{}
	}
	raw := m.raw
	from := uint32(0)
	topVia := !e.KeepVia
	for i := range m.fields {
		f := &m.fields[i]
		switch {
		case e.Drop != nil && e.Drop(m.Field(i)), e.Body != nil && describes(f.id):
			dst = append(dst, raw[from:f.start]...)
			from = m.lineEnd(i)
		case f.id == HVia && topVia:
			dst = append(dst, raw[from:f.start]...)
			from = m.lineEnd(i)
			rest := raw[f.value:f.end]
			for topVia && len(rest) > 0 {
				var item []byte
				item, rest = cutList(rest)
				topVia = len(item) == 0
			}
			if rest = trim(rest); len(rest) > 0 {
				dst = append(dst, raw[f.start:f.value]...)
				dst = append(dst, rest...)
				from = f.end
			}
		}
	}
	dst = append(dst, raw[from:m.body-2]...)
	return m.finish(dst, e.Append, e.Body)
}

// finish appends what comes after the received fields: ours, a Content-Length if one is missing, the blank
// line and the body, which another may have taken the place of.
func (m *Message) finish(dst []byte, extra []Header, body *Body) []byte {
	dst = appendHeaders(dst, extra)
	if body != nil {
		if len(body.Data) > 0 {
			dst = appendField(dst, "Content-Type", body.Type)
		}
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(body.Data)), 10)
		dst = append(dst, "\r\n\r\n"...)
		return append(dst, body.Data...)
	}
	if m.first[HContentLength] == 0 {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(m.raw)-int(m.body)), 10)
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, '\r', '\n')
	return append(dst, m.raw[m.body:]...)
}

func appendField[T []byte | string](dst []byte, name string, value T) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = appendClean(dst, value)
	return append(dst, '\r', '\n')
}

func appendFields(dst []byte, name string, values [][]byte) []byte {
	for _, v := range values {
		dst = appendField(dst, name, v)
	}
	return dst
}

func appendHeaders(dst []byte, hs []Header) []byte {
	for i := range hs {
		dst = appendClean(dst, hs[i].Name)
		dst = append(dst, ':', ' ')
		dst = appendClean(dst, hs[i].Value)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendClean appends v with CR and LF as spaces, so that no value can end its line.
func appendClean[T []byte | string](dst []byte, v T) []byte {
	n := len(dst)
	dst = append(dst, v...)
	for i := n; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return dst
}
