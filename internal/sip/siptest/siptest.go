// Package siptest holds SIP messages and small helpers for tests: every message of RFC 4475, messages as real
// phones send them, and a way to write messages as readable text.
package siptest

import (
	"embed"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"

	"parley/internal/sip"
)

//go:embed testdata
var testdata embed.FS

// Capture is a message as it was on the wire.
type Capture struct {
	Name string // file name without extension
	Raw  []byte
}

// RFC4475 returns the 49 torture messages of RFC 4475, by the names the RFC gives them.
func RFC4475() []Capture { return load("testdata/rfc4475") }

// Phones returns requests and responses in the style of common phones and servers.
func Phones() []Capture { return load("testdata/phones") }

// All returns every capture, as seeds for fuzzing.
func All() []Capture { return append(RFC4475(), Phones()...) }

func load(dir string) []Capture {
	names, err := fs.Glob(testdata, path.Join(dir, "*.sip"))
	if err != nil || len(names) == 0 {
		panic("siptest: no captures in " + dir)
	}
	all := make([]Capture, 0, len(names))
	for _, n := range names {
		b, err := testdata.ReadFile(n)
		if err != nil {
			panic(err)
		}
		all = append(all, Capture{strings.TrimSuffix(path.Base(n), ".sip"), b})
	}
	return all
}

// Raw returns one capture by name.
func Raw(name string) []byte {
	for _, c := range All() {
		if c.Name == name {
			return c.Raw
		}
	}
	panic("siptest: no capture " + name)
}

// Text turns a message written in a test into bytes: line ends become CR LF, white space before the start line
// goes away, and the blank line and a right Content-Length are added where they are missing. Indentation by
// tabs is removed from the head, so that a raw string can be indented with the code.
func Text(s string) []byte {
	s = strings.TrimLeft(strings.ReplaceAll(s, "\r\n", "\n"), " \t\n")
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimLeft(l, "\t")
	}
	s = strings.Join(lines, "\n")
	head, body, _ := strings.Cut(s, "\n\n")
	head = strings.TrimRight(head, "\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	if !hasLength(head) {
		head += "\nContent-Length: " + strconv.Itoa(len(body))
	}
	return []byte(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)
}

func hasLength(head string) bool {
	for l := range strings.Lines(head) {
		name, _, _ := strings.Cut(l, ":")
		if sip.HeaderIDOf([]byte(strings.TrimSpace(name))) == sip.HContentLength {
			return true
		}
	}
	return false
}

// Parse parses a message written as for Text and fails the test if it is not good.
func Parse(t testing.TB, s string) *sip.Message {
	t.Helper()
	return ParseBytes(t, Text(s))
}

// ParseBytes parses raw and fails the test if it is not good.
func ParseBytes(t testing.TB, raw []byte) *sip.Message {
	t.Helper()
	m := new(sip.Message)
	if err := m.Parse(raw, nil); err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return m
}
