package sip

import "bytes"

// FrameKind says what Framer found at the beginning of a stream's buffer.
type FrameKind uint8

// The kinds of frame.
const (
	NeedMore     FrameKind = iota // nothing whole yet: read more
	FrameMessage                  // a message
	FramePing                     // CR LF CR LF, to be answered with CR LF (RFC 5626 section 4.4.1)
	FrameCRLF                     // a lone CR LF: the answer to a ping, or padding
)

// String returns the kind's name.
func (k FrameKind) String() string {
	return [...]string{"need more", "message", "ping", "CRLF"}[k]
}

// Framer cuts messages from a stream. It remembers how far it has looked, so that a peer who sends a byte at a
// time costs a byte's work at a time. The zero value is ready; it holds no bytes of its own.
type Framer struct {
	scan   int  // where to go on looking for the end of the line
	line   int  // where that line begins
	length int  // where the Content-Length field begins, 0 before it was seen
	head   int  // length of start line and fields with the blank line, once known
	total  int  // length of the whole message, once known
	pinged bool // the last frame was CR LF and may be half a ping
}

// Next looks at buf, which begins where the last frame ended, and returns how long the first frame is and what
// it is. With NeedMore, n is how many bytes the buffer will have to hold for the message at hand, 0 when that is
// not known; call Next again with the same beginning and more bytes.
//
// An error cannot be recovered from: the stream has lost its place. n is then the length of the head if all of
// it arrived, so that the request can be parsed and answered before the stream is closed.
func (f *Framer) Next(buf []byte, lim *Limits) (n int, kind FrameKind, err error) {
	lim = lim.or()
	if f.total == 0 {
		if f.scan == 0 && len(buf) > 0 && buf[0] == '\r' {
			return f.crlf(buf)
		}
		if e := f.readHead(buf, lim); e != nil {
			return f.head, NeedMore, e
		}
		if f.total == 0 {
			return 0, NeedMore, nil
		}
	}
	if len(buf) < f.total {
		return f.total, NeedMore, nil
	}
	n = f.total
	*f = Framer{}
	return n, FrameMessage, nil
}

func (f *Framer) crlf(buf []byte) (int, FrameKind, error) {
	switch {
	case len(buf) == 1:
		return 0, NeedMore, nil
	case buf[1] != '\n':
		return 0, NeedMore, bad(1, "LF after CR")
	case f.pinged:
		f.pinged = false
		return 2, FramePing, nil
	case len(buf) >= 4 && buf[2] == '\r' && buf[3] == '\n':
		return 4, FramePing, nil
	}
	f.pinged = true
	return 2, FrameCRLF, nil
}

// readHead goes through the lines of the head until the blank one and then knows the message's length.
func (f *Framer) readHead(buf []byte, lim *Limits) *ParseError {
	for {
		i := bytes.IndexByte(buf[f.scan:], '\n')
		nl := f.scan + i
		if i < 0 {
			nl = len(buf)
		}
		switch {
		case nl > lim.MaxHead:
			return &ParseError{513, lim.MaxHead, "fewer bytes of header fields"}
		case nl-f.line > lim.MaxHeaderLine:
			return &ParseError{513, f.line, "a shorter header field"}
		case i < 0:
			f.scan = nl
			return nil
		case nl == f.line+1 && buf[f.line] == '\r':
			f.head = nl + 1
			return f.measure(buf[:f.head], lim)
		}
		// Most names do not begin with c or l and need no further look.
		if c := buf[f.line] | 0x20; (c == 'c' || c == 'l') && f.line > 0 {
			if e := f.note(buf[f.line:nl]); e != nil {
				return e
			}
		}
		f.scan = nl + 1
		f.line = f.scan
	}
}

// note remembers where the Content-Length is, if line is it.
func (f *Framer) note(line []byte) *ParseError {
	n := 0
	for n < len(line) && is(line[n], cToken) {
		n++
	}
	if HeaderIDOf(line[:n]) != HContentLength {
		return nil
	}
	if f.length > 0 {
		return bad(f.line, "only one Content-Length")
	}
	f.length = f.line
	return nil
}

// measure reads the Content-Length and from it knows the length of the message.
func (f *Framer) measure(head []byte, lim *Limits) *ParseError {
	if f.length == 0 {
		// RFC 3261 section 18.3: without it a stream cannot be cut.
		return bad(f.head, "a Content-Length, since this is a stream")
	}
	end := f.length
	for {
		end += bytes.IndexByte(head[end:], '\n') + 1
		if head[end] != ' ' && head[end] != '\t' { // not a fold
			break
		}
	}
	_, value, colon := bytes.Cut(head[f.length:end], []byte(":"))
	n, _, ok := parseUint(trim(value))
	switch {
	case !colon || !ok:
		return bad(f.length, "Content-Length as a number")
	case int64(n) > int64(lim.MaxBody):
		return &ParseError{413, f.head, "a smaller body"}
	case int64(n)+int64(f.head) > int64(lim.MaxMessage):
		return &ParseError{513, f.head, "a smaller message"}
	}
	f.total = f.head + int(n)
	return nil
}

// Frame is Framer.Next for a buffer that is looked at only once.
func Frame(buf []byte, lim *Limits) (n int, kind FrameKind, err error) {
	var f Framer
	return f.Next(buf, lim)
}
