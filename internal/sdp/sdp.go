// Package sdp reads, changes and writes session descriptions (RFC 8866), and knows the rules of offer and answer (RFC
// 3264) for audio, video and data, with ICE (RFC 8839), SDES (RFC 4568), DTLS (RFC 8842), a shared port for RTCP (RFC
// 5761) and BUNDLE (RFC 9143). The attributes of Lync clients that are known are read; all others pass through.
//
// A description is kept as the lines that it came in. What nobody changes is written as it was received, to the octet:
// order, spelling, spaces, ends of lines, and attributes that no specification names.
//
// Nothing here waits, and nothing keeps a reference to the octets it was given. A Description is not safe for
// concurrent changes.
package sdp

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Limits of what is parsed. A Lync client's offer has some 100 lines, a browser's with video some 200.
const (
	MaxSize  = 64 << 10
	MaxLines = 2000
	MaxMedia = 64
)

// Error is what is wrong with a description, and where. SIP answers 400; 488 is for one that is right and not
// acceptable.
type Error struct {
	Line   int // from 1; 0 for the whole
	Reason string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return "session description: " + e.Reason
	}
	return fmt.Sprintf("session description, line %d: %s", e.Line, e.Reason)
}

func wrong(line int, format string, args ...any) error {
	return &Error{line, fmt.Sprintf(format, args...)}
}

// Line is one line: a letter, and everything after the equals sign as it was received.
type Line struct {
	Type  byte
	Value string
	end   string // as received; "\r\n" for our own
}

// NewLine returns a line to be added.
func NewLine(t byte, value string) Line { return Line{t, value, "\r\n"} }

// Attribute returns the line of an attribute; an empty value gives a property attribute, without a colon.
func Attribute(name, value string) Line {
	if value != "" {
		name += ":" + value
	}
	return NewLine('a', name)
}

// attribute reports whether the line is the attribute name, and its value.
func (l Line) attribute(name string) (value string, ok bool) {
	if l.Type != 'a' || !strings.HasPrefix(l.Value, name) {
		return "", false
	}
	if rest := l.Value[len(name):]; rest == "" {
		return "", true
	} else if rest[0] == ':' {
		return rest[1:], true
	}
	return "", false
}

// Lines is a part of a description: the session's, or those of one of its media.
type Lines []Line

// First returns the value of the first line of a type.
func (ls Lines) First(t byte) (value string, ok bool) {
	for _, l := range ls {
		if l.Type == t {
			return l.Value, true
		}
	}
	return "", false
}

// Attr returns the value of the first attribute of a name; "" with ok for a property attribute. Names are compared
// with case, as RFC 8866 has them.
func (ls Lines) Attr(name string) (value string, ok bool) {
	for _, l := range ls {
		if v, ok := l.attribute(name); ok {
			return v, true
		}
	}
	return "", false
}

// Has reports whether there is an attribute of a name.
func (ls Lines) Has(name string) bool { _, ok := ls.Attr(name); return ok }

// Attrs goes through the values of all attributes of a name.
func (ls Lines) Attrs(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, l := range ls {
			if v, ok := l.attribute(name); ok && !yield(v) {
				return
			}
		}
	}
}

// Add appends lines.
func (ls *Lines) Add(lines ...Line) { *ls = append(*ls, lines...) }

// Remove takes out all attributes of the names.
func (ls *Lines) Remove(names ...string) {
	*ls = slices.DeleteFunc(*ls, func(l Line) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := l.attribute(n); return ok })
	})
}

// Set gives an attribute one value: in the place of its first line, or as a new line at the end.
func (ls *Lines) Set(name, value string) {
	at := slices.IndexFunc(*ls, func(l Line) bool { _, ok := l.attribute(name); return ok })
	if at < 0 {
		ls.Add(Attribute(name, value))
		return
	}
	line := Attribute(name, value)
	line.end = (*ls)[at].end
	tail := Lines(slices.Clone((*ls)[at+1:]))
	tail.Remove(name)
	*ls = append(append((*ls)[:at], line), tail...)
}

// replace gives the first line of a type another value, or inserts one before the first line of the types after.
func (ls *Lines) replace(t byte, value, after string) {
	for i := range *ls {
		if (*ls)[i].Type == t {
			(*ls)[i].Value = value
			return
		}
	}
	at := slices.IndexFunc(*ls, func(l Line) bool { return strings.IndexByte(after, l.Type) >= 0 })
	if at < 0 {
		at = len(*ls)
	}
	*ls = slices.Insert(*ls, at, NewLine(t, value))
}

// Description is a session description.
type Description struct {
	Session Lines
	Media   []*Media
	tail    string // empty lines at the end, as some mail bodies have them
}

// Media is one media description: its m= line, which is also the first of its Lines, and what follows.
type Media struct {
	Lines
	m MLine
}

// Parse reads a description. It wants v=0 first, then o= and s= in the session, m= lines that can be read, and the
// types that RFC 8866 names. The order of other lines is not looked at: nothing here depends on it. Lines may end with
// LF alone (RFC 8866 5), values may be empty (an empty s= is common), and there may be empty lines at the end.
func Parse(b []byte) (*Description, error) {
	if len(b) > MaxSize {
		return nil, wrong(0, "%d octets, %d are allowed", len(b), MaxSize)
	}
	text := string(b)
	body := strings.TrimRight(text, "\r\n")
	d := &Description{}
	last := text[len(body):] // the end of the last line
	for _, end := range []string{"\r\n", "\n"} {
		if strings.HasPrefix(last, end) {
			last, d.tail = end, last[len(end):]
			break
		}
	}
	if last == "\r" || last != "" && last[0] == '\r' && last != "\r\n" {
		return nil, wrong(0, "a carriage return alone at the end")
	}
	part := &d.Session
	n := 0
	for pos := 0; pos < len(body); {
		if n++; n > MaxLines {
			return nil, wrong(n, "more than %d lines", MaxLines)
		}
		line, end := body[pos:], last
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line, end = line[:i], "\n"
			if strings.HasSuffix(line, "\r") {
				line, end = line[:i-1], "\r\n"
			}
		}
		pos += len(line) + len(end)
		if len(line) < 2 || line[1] != '=' {
			return nil, wrong(n, "want a letter and an equals sign")
		}
		if strings.IndexByte("vosiuepcbtrzkam", line[0]) < 0 {
			return nil, wrong(n, "unknown type %q", line[0])
		}
		if strings.ContainsAny(line, "\r\x00") {
			return nil, wrong(n, "a control character")
		}
		l := Line{line[0], line[2:], end}
		switch {
		case n == 1 && (l.Type != 'v' || l.Value != "0"):
			return nil, wrong(n, "want v=0")
		case l.Type == 'm':
			m, err := parseMLine(l.Value)
			if err != nil {
				return nil, wrong(n, "%v", err)
			}
			if len(d.Media) == MaxMedia {
				return nil, wrong(n, "more than %d media", MaxMedia)
			}
			d.Media = append(d.Media, &Media{m: m})
			part = &d.Media[len(d.Media)-1].Lines
		case len(d.Media) > 0 && strings.IndexByte("vostrzuep", l.Type) >= 0:
			return nil, wrong(n, "%c= belongs to the session, not to a medium", l.Type)
		}
		part.Add(l)
	}
	for _, t := range []byte("vos") {
		if _, ok := d.Session.First(t); !ok {
			return nil, wrong(0, "no %c= line", t)
		}
	}
	return d, nil
}

// Append appends the description as it is sent. A value that was given a line end is cut there, so that no value can
// bring in a line of its own.
func (d *Description) Append(dst []byte) []byte {
	begin := len(dst)
	dst = d.Session.append(dst, begin)
	for _, m := range d.Media {
		dst = m.append(dst, begin)
	}
	return append(dst, d.tail...)
}

func (ls Lines) append(dst []byte, begin int) []byte {
	for _, l := range ls {
		if len(dst) > begin && dst[len(dst)-1] != '\n' { // what was the last line has no end
			dst = append(dst, "\r\n"...)
		}
		v := l.Value
		if i := strings.IndexAny(v, "\r\n\x00"); i >= 0 {
			v = v[:i]
		}
		dst = append(append(append(dst, l.Type, '='), v...), l.end...)
	}
	return dst
}

// Clone returns a copy that can be changed without changing d.
func (d *Description) Clone() *Description {
	c := &Description{slices.Clone(d.Session), make([]*Media, len(d.Media)), d.tail}
	for i, m := range d.Media {
		c.Media[i] = &Media{slices.Clone(m.Lines), m.m}
	}
	return c
}
