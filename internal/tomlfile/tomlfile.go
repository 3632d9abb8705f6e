// Package tomlfile reads TOML documents strictly and remembers where everything stands.
//
// The syntax is go-toml's; binding to Go values is done here, because every complaint must carry the file,
// line and column of the value it is about, all complaints should come at once, and a program that validates
// later (a reference to something that does not exist) must be able to ask for the place again.
//
// Only what a document needs is supported: structs with `toml:"name"` tags, slices, maps with string keys,
// strings, booleans, numbers, and types with UnmarshalText, which are written as TOML strings.
package tomlfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// MaxSize is the largest document that Parse accepts, in bytes: far above any deployment (80,000 users on
// 40 servers is under 100 KiB) and far below what would trouble the process.
const MaxSize = 8 << 20

// maxDepth bounds nested arrays and inline tables.
const maxDepth = 32

// Place is a position in a document, or only a path when the value did not come from a file.
type Place struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0 when unknown
	Column int    `json:"column,omitempty"` // from 1, in bytes
	Path   string `json:"path,omitempty"`   // as in "pool[2].server[0].fqdn"
}

// String is "file:line:column: path", leaving out what is unknown.
func (p Place) String() string {
	var parts []string
	switch {
	case p.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column))
	case p.File != "":
		parts = append(parts, p.File)
	}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	return strings.Join(parts, ": ")
}

// Error is one complaint about a document.
type Error struct {
	Place Place
	Text  string // what is wrong
	Fix   string // what would be right; may be empty
}

// Error prints the place, the complaint and the fix on one line.
func (e *Error) Error() string {
	s := e.Text
	if p := e.Place.String(); p != "" {
		s = p + ": " + s
	}
	if e.Fix != "" {
		s += " (" + e.Fix + ")"
	}
	return s
}

// Errors is every complaint about a document, in the order of the document. It is never empty.
type Errors []*Error

// Error prints one complaint a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single complaint.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, x := range e {
		out[i] = x
	}
	return out
}

// Document is a parsed file. It is immutable and safe for concurrent use.
type Document struct {
	file string
	root *node
}

// node is one value of a document. Exactly one of the three forms is used.
type node struct {
	place Place
	kind  unstable.Kind // Table, Array, or the kind of the scalar

	keys     []string // of a table, in document order
	children map[string]*node
	elems    []*node // of an array
	text     string  // of a scalar

	fromTables bool // an array made of [[headers]]
}

// Parse reads a document. The name file appears in places and messages only. The error is an Errors.
func Parse(file string, data []byte) (*Document, error) {
	d := &Document{file: file}
	if len(data) > MaxSize {
		return nil, Errors{{Place: Place{File: file}, Text: fmt.Sprintf("document of %d bytes is larger than the limit of %d", len(data), MaxSize)}}
	}
	// go-toml checks what a grammar cannot: keys defined twice, tables reopened, values out of range.
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		return nil, Errors{d.syntax(err)}
	}
	d.root = newTable(Place{File: file, Line: 1, Column: 1})
	b := builder{doc: d, lines: newLines(data)}
	b.p.Reset(data)
	if err := b.run(); err != nil {
		return nil, Errors{{Place: Place{File: file}, Text: err.Error()}}
	}
	return d, nil
}

func (d *Document) syntax(err error) *Error {
	e := &Error{Place: Place{File: d.file}, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		e.Place.Line, e.Place.Column = de.Position()
		e.Place.Path = strings.Join(de.Key(), ".")
	}
	return e
}

// Has reports whether the document has a value at a top-level key.
func (d *Document) Has(key string) bool { return d.root.children[key] != nil }

// Place is the position of the value at a path such as "pool[2].server[0].fqdn", or of the nearest part of
// the path that is in the document.
func (d *Document) Place(path string) Place {
	if d == nil {
		return Place{Path: path}
	}
	n, at := d.root, d.root.place
	for _, step := range splitPath(path) {
		if n = n.step(step); n == nil {
			break
		}
		at = n.place
	}
	at.Path = path
	return at
}

func (n *node) step(s string) *node {
	if n.kind == unstable.Array {
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 || i >= len(n.elems) {
			return nil
		}
		return n.elems[i]
	}
	return n.children[s]
}

// splitPath turns `a[2].b."c.d"` into a, 2, b, c.d.
func splitPath(path string) []string {
	var out []string
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			in, rest, _ := strings.Cut(path[1:], "]")
			out, path = append(out, in), rest
		case path[0] == '"':
			q, err := strconv.QuotedPrefix(path)
			if err != nil {
				return out
			}
			s, _ := strconv.Unquote(q)
			out, path = append(out, s), path[len(q):]
		default:
			i := strings.IndexAny(path, ".[")
			if i < 0 {
				i = len(path)
			}
			out, path = append(out, path[:i]), path[i:]
		}
	}
	return out
}

// Join appends a key to a path, quoting it when it is not a bare key.
func Join(path, key string) string {
	if key == "" || strings.ContainsAny(key, `.[]" `) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// At appends an index to a path.
func At(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
