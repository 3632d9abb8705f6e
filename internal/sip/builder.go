package sip

import "strconv"

// Builder writes a new message from top to bottom: Request or Status first, then Header in any number, then
// Body or End. The zero value is ready; Reset reuses a buffer. No value can break out of its line: CR and LF
// become spaces.
type Builder struct {
	buf []byte
}

// Reset begins anew, in buf's memory.
func (b *Builder) Reset(buf []byte) *Builder {
	b.buf = buf[:0]
	return b
}

// Request writes the request line.
func (b *Builder) Request(method, uri string) *Builder {
	b.buf = appendClean(b.buf, method)
	b.buf = append(b.buf, ' ')
	b.buf = appendClean(b.buf, uri)
	b.buf = append(b.buf, " SIP/2.0\r\n"...)
	return b
}

// Status writes the status line; an empty reason takes the usual one.
func (b *Builder) Status(code int, reason string) *Builder {
	if reason == "" {
		reason = StatusText(code)
	}
	b.buf = append(b.buf, "SIP/2.0 "...)
	b.buf = strconv.AppendInt(b.buf, int64(code), 10)
	b.buf = append(b.buf, ' ')
	b.buf = appendClean(b.buf, reason)
	b.buf = append(b.buf, '\r', '\n')
	return b
}

// Header writes a header field.
func (b *Builder) Header(name, value string) *Builder {
	b.buf = appendField(b.buf, name, value)
	return b
}

// HeaderBytes is Header for a value in a []byte.
func (b *Builder) HeaderBytes(name string, value []byte) *Builder {
	b.buf = appendField(b.buf, name, value)
	return b
}

// HeaderInt is Header for a number.
func (b *Builder) HeaderInt(name string, value int64) *Builder {
	b.buf = append(b.buf, name...)
	b.buf = append(b.buf, ':', ' ')
	b.buf = strconv.AppendInt(b.buf, value, 10)
	b.buf = append(b.buf, '\r', '\n')
	return b
}

// Headers writes header fields.
func (b *Builder) Headers(hs ...Header) *Builder {
	b.buf = appendHeaders(b.buf, hs)
	return b
}

// CSeq writes the CSeq field.
func (b *Builder) CSeq(n uint32, method string) *Builder {
	b.buf = append(b.buf, "CSeq: "...)
	b.buf = strconv.AppendUint(b.buf, uint64(n), 10)
	b.buf = append(b.buf, ' ')
	b.buf = appendClean(b.buf, method)
	b.buf = append(b.buf, '\r', '\n')
	return b
}

// Body writes Content-Type, Content-Length, the blank line and the body, and returns the message.
func (b *Builder) Body(ctype string, body []byte) []byte {
	b.buf = appendBody(b.buf, ctype, body)
	return b.buf
}

// End ends a message without body and returns it.
func (b *Builder) End() []byte { return b.Body("", nil) }

// Bytes returns what has been written so far.
func (b *Builder) Bytes() []byte { return b.buf }
