package xmldoc

import (
	"encoding/xml"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Header is the XML declaration that documents start with.
const Header = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// prefixes are the customary ones; they have no meaning to a correct reader,
// and help the incorrect ones.
var prefixes = map[string]string{
	"urn:ietf:params:xml:ns:pidf":                     "p",
	"urn:ietf:params:xml:ns:pidf:data-model":          "dm",
	"urn:ietf:params:xml:ns:pidf:rpid":                "rpid",
	"urn:ietf:params:xml:ns:pidf:cipid":               "ci",
	"urn:ietf:params:xml:ns:pidf:caps":                "caps",
	"urn:ietf:params:xml:ns:pidf:timed-status":        "ts",
	"urn:ietf:params:xml:ns:resource-lists":           "rl",
	"urn:ietf:params:xml:ns:rlmi":                     "rlmi",
	"http://www.w3.org/2001/XMLSchema-instance":       "xsi",
	"urn:ietf:params:xml:ns:pidf:geopriv10":           "gp",
	"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr": "ca",
	"http://www.opengis.net/gml":                      "gml",
}

// Append prints e after dst, declaring each namespace on the element that
// first needs it. The namespace of e becomes the default one.
func (e *Element) Append(dst []byte) []byte {
	w := writer{dst: dst}
	w.element(e, true)
	return w.dst
}

// AppendInside prints e as part of a document whose default namespace is
// space and which declares nothing else.
func (e *Element) AppendInside(dst []byte, space string) []byte {
	w := writer{dst: dst, deflt: space}
	w.element(e, false)
	return w.dst
}

type binding struct{ space, prefix string }

type writer struct {
	dst   []byte
	deflt string    // default namespace in scope
	bound []binding // prefixes in scope
}

func (w *writer) element(e *Element, root bool) {
	deflt, bound := w.deflt, len(w.bound)
	var name string
	declareDefault := false
	switch {
	case e.Name.Space == XMLNamespace:
		name = "xml:" + e.Name.Local
	case root || e.Name.Space == "":
		declareDefault = w.deflt != e.Name.Space
		w.deflt = e.Name.Space
		name = e.Name.Local
	case e.Name.Space == w.deflt:
		name = e.Name.Local
	default:
		name = w.prefix(e.Name.Space) + ":" + e.Name.Local
	}
	w.dst = append(append(w.dst, '<'), name...)
	attrs := make([]string, len(e.Attrs))
	for i, a := range e.Attrs {
		switch a.Name.Space {
		case "":
			attrs[i] = a.Name.Local
		case XMLNamespace:
			attrs[i] = "xml:" + a.Name.Local
		default:
			attrs[i] = w.prefix(a.Name.Space) + ":" + a.Name.Local
		}
	}
	if declareDefault {
		w.attr("xmlns", w.deflt)
	}
	for _, b := range w.bound[bound:] {
		w.attr("xmlns:"+b.prefix, b.space)
	}
	for i, a := range e.Attrs {
		w.attr(attrs[i], a.Value)
	}
	if len(e.Nodes) == 0 {
		w.dst = append(w.dst, "/>"...)
	} else {
		w.dst = append(w.dst, '>')
		for _, n := range e.Nodes {
			if n.Elem != nil {
				w.element(n.Elem, false)
			} else {
				w.dst = AppendText(w.dst, n.Text)
			}
		}
		w.dst = append(append(append(w.dst, "</"...), name...), '>')
	}
	w.deflt, w.bound = deflt, w.bound[:bound]
}

// prefix returns the prefix of a namespace, binding a fresh one if needed.
func (w *writer) prefix(space string) string {
	for _, b := range w.bound {
		if b.space == space {
			return b.prefix
		}
	}
	p, ok := prefixes[space]
	if !ok {
		p = "n" + strconv.Itoa(len(w.bound)+1)
	}
	w.bound = append(w.bound, binding{space, p})
	return p
}

func (w *writer) attr(name, value string) {
	w.dst = append(append(append(w.dst, ' '), name...), `="`...)
	w.dst = append(AppendText(w.dst, value), '"')
}

// AppendText appends s with everything escaped that is special in text or in
// an attribute. Characters XML cannot carry become U+FFFD.
func AppendText(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '"':
			dst = append(dst, "&#34;"...)
		case r == '\t':
			dst = append(dst, "&#9;"...)
		case r == '\n':
			dst = append(dst, "&#10;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...)
		case r < 0x20 || r == 0xFFFE || r == 0xFFFF:
			dst = append(dst, "\ufffd"...)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// New makes an element of a namespace.
func New(space, local string, nodes ...Node) *Element {
	return &Element{Name: xml.Name{Space: space, Local: local}, Nodes: nodes}
}

// Equal reports whether two trees say the same: names, attributes in order,
// content.
func Equal(a, b *Element) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Name != b.Name || len(a.Attrs) != len(b.Attrs) || len(a.Nodes) != len(b.Nodes) {
		return false
	}
	for i := range a.Attrs {
		if a.Attrs[i] != b.Attrs[i] {
			return false
		}
	}
	for i := range a.Nodes {
		x, y := a.Nodes[i], b.Nodes[i]
		if (x.Elem == nil) != (y.Elem == nil) || x.Text != y.Text || x.Elem != nil && !Equal(x.Elem, y.Elem) {
			return false
		}
	}
	return true
}

// TrimmedText makes a text node, or none when s is empty.
func TrimmedText(s string) []Node {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	return []Node{{Text: s}}
}

// AppendAttr appends ` name="value"` with the value escaped.
func AppendAttr(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(AppendText(dst, value), '"')
}

// AppendElement appends an element that holds text only.
func AppendElement(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = AppendText(dst, text)
	return append(append(append(dst, "</"...), name...), '>')
}

// Attr makes an attribute without namespace.
func Attr(name, value string) xml.Attr {
	return xml.Attr{Name: xml.Name{Local: name}, Value: value}
}
