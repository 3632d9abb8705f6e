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

// Framer cuts messages from a stream. It remembers how far it has looked, so that a peer who sends a byte at a
// time costs a byte's work at a time. The zero value is ready; it holds no bytes of its own.
type Framer struct {
	scan   int   // where to go on looking for the end of the line
	line   int   // where that line begins
	head   int   // length of start line and fields with the blank line, once known
	total  int   // length of the whole message, once known
	length int64 // Content-Length, -1 when there was none
	pinged bool  // the last frame was CR LF and may be half a ping
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
	if f.scan == 0 {
		f.length = -1
	}
	for {
		i := bytes.IndexByte(buf[f.scan:], '\n')
		if i < 0 {
			f.scan = len(buf)
			if f.scan > lim.MaxHead {
				return &ParseError{513, lim.MaxHead, "fewer bytes of header fields"}
			}
			if f.scan-f.line > lim.MaxHeaderLine {
				return &ParseError{513, f.line, "a shorter header field"}
			}
			return nil
		}
		nl := f.scan + i
		if nl > lim.MaxHead {
			return &ParseError{513, lim.MaxHead, "fewer bytes of header fields"}
		}
		if nl-f.line > lim.MaxHeaderLine {
			return &ParseError{513, f.line, "a shorter header field"}
		}
		f.scan = nl + 1
		if nl == f.line+1 && buf[f.line] == '\r' {
			f.head = nl + 1
			return f.measure(buf, lim)
		}
		f.line = nl + 1
	}
}

// measure finds Content-Length in the head and from it the length of the message.
func (f *Framer) measure(buf []byte, lim *Limits) *ParseError {
	head := buf[:f.head]
	for pos := bytes.IndexByte(head, '\n') + 1; pos < len(head); {
		nl := pos + bytes.IndexByte(head[pos:], '\n')
		if c := head[pos]; c|0x20 == 'c' || c|0x20 == 'l' {
			if e := f.contentLength(head, pos); e != nil {
				return e
			}
		}
		pos = nl + 1
	}
	switch {
	case f.length < 0:
		// RFC 3261 section 18.3: without it a stream cannot be cut.
		return bad(f.head, "a Content-Length, since this is a stream")
	case f.length > int64(lim.MaxBody):
		return &ParseError{413, f.head, "a smaller body"}
	case f.length+int64(f.head) > int64(lim.MaxMessage):
		return &ParseError{513, f.head, "a smaller message"}
	}
	f.total = f.head + int(f.length)
	return nil
}

// contentLength reads the field at pos if it is a Content-Length.
func (f *Framer) contentLength(head []byte, pos int) *ParseError {
	n := pos
	for is(head[n], cToken) {
		n++
	}
	if HeaderIDOf(head[pos:n]) != HContentLength {
		return nil
	}
	for head[n] == ' ' || head[n] == '\t' {
		n++
	}
	if head[n] != ':' {
		return bad(n, "a colon after Content-Length")
	}
	if f.length >= 0 {
		return bad(pos, "only one Content-Length")
	}
	n++
	end := n
	for {
		end += bytes.IndexByte(head[end:], '\n') + 1
		if head[end] != ' ' && head[end] != '\t' {
			break
		}
	}
	v, _, ok := parseUint(trim(head[n:end]))
	if !ok {
		return bad(n, "Content-Length as a number")
	}
	f.length = int64(v)
	return nil
}

// Frame is Framer.Next for a buffer that is looked at only once.
func Frame(buf []byte, lim *Limits) (n int, kind FrameKind, err error) {
	var f Framer
	return f.Next(buf, lim)
}
