package xmldoc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Element is one element with its attributes and content in document order.
type Element struct {
	Name  xml.Name
	Attrs []xml.Attr // without namespace declarations
	Nodes []Node
}

// Node is one piece of content: an element, or text when Elem is nil.
type Node struct {
	Elem *Element
	Text string
}

// Limits bound what Parse accepts. A zero field takes the default.
type Limits struct {
	Bytes    int // size of the document; default 128 KiB
	Depth    int // nesting of elements; default 24
	Elements int // elements in all; default 4096
	Attrs    int // attributes of one element; default 32
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Bytes, 128<<10)
	set(&l.Depth, 24)
	set(&l.Elements, 4096)
	set(&l.Attrs, 32)
	return l
}

// Error says where a document was refused and why.
type Error struct {
	Offset int64 // bytes from the start, near the fault
	Text   string
}

func (e *Error) Error() string { return fmt.Sprintf("xml at byte %d: %s", e.Offset, e.Text) }

// XMLNamespace is what the reserved prefix xml stands for.
const XMLNamespace = "http://www.w3.org/XML/1998/namespace"

// Parse reads one document and returns its root element.
func Parse(b []byte, lim Limits) (*Element, error) {
	lim = lim.withDefaults()
	if len(b) > lim.Bytes {
		return nil, &Error{int64(lim.Bytes), "document too large"}
	}
	p := parser{dec: xml.NewDecoder(bytes.NewReader(b)), lim: lim}
	root, err := p.document()
	if err == nil {
		return root, nil
	}
	var own *Error
	if errors.As(err, &own) {
		return nil, own
	}
	return nil, &Error{p.dec.InputOffset(), err.Error()}
}

type parser struct {
	dec      *xml.Decoder
	lim      Limits
	elements int
	scopes   []string // namespaces declared by open elements, innermost last
}

func (p *parser) fail(text string) error { return &Error{p.dec.InputOffset(), text} }

func (p *parser) document() (*Element, error) {
	var root *Element
	for {
		t, err := p.dec.Token()
		if err == io.EOF {
			if root == nil {
				return nil, p.fail("no element")
			}
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, p.fail("second root element")
			}
			if root, err = p.element(t, 1); err != nil {
				return nil, err
			}
		case xml.CharData:
			if len(bytes.TrimSpace(bytes.TrimPrefix(t, []byte("\ufeff")))) != 0 {
				return nil, p.fail("text outside the root element")
			}
		default:
			if err := p.other(t); err != nil {
				return nil, err
			}
		}
	}
}

// other accepts comments and the XML declaration, and refuses the rest.
func (p *parser) other(t xml.Token) error {
	switch t := t.(type) {
	case xml.Comment:
		return nil
	case xml.ProcInst:
		if t.Target == "xml" {
			return nil
		}
		return p.fail("processing instruction")
	case xml.Directive:
		return p.fail("document type declaration")
	}
	return p.fail("unexpected token")
}

func (p *parser) element(start xml.StartElement, depth int) (*Element, error) {
	if depth > p.lim.Depth {
		return nil, p.fail("nested too deeply")
	}
	if p.elements++; p.elements > p.lim.Elements {
		return nil, p.fail("too many elements")
	}
	if len(start.Attr) > p.lim.Attrs {
		return nil, p.fail("too many attributes")
	}
	outer := len(p.scopes)
	defer func() { p.scopes = p.scopes[:outer] }()
	e := &Element{Name: start.Name}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			if a.Name.Space == "xmlns" && a.Value == "" {
				return nil, p.fail("prefix bound to nothing")
			}
			if a.Value == "xmlns" {
				return nil, p.fail("reserved namespace") // encoding/xml uses it as a mark
			}
			p.scopes = append(p.scopes, a.Value)
			continue
		}
		e.Attrs = append(e.Attrs, a)
	}
	if err := p.checkName(e.Name); err != nil {
		return nil, err
	}
	for i, a := range e.Attrs {
		if err := p.checkName(a.Name); err != nil {
			return nil, err
		}
		for _, b := range e.Attrs[:i] {
			if b.Name == a.Name {
				return nil, p.fail("attribute given twice")
			}
		}
	}
	return e, p.content(e, depth)
}

// checkName refuses prefixes that nobody declared, which encoding/xml passes on
// as if they were namespaces, and local names that could not stand without
// their prefix. Names begin with an ASCII letter in every family we read.
func (p *parser) checkName(n xml.Name) error {
	if n.Local == "" || strings.Contains(n.Local, ":") {
		return p.fail("bad name")
	}
	if c := n.Local[0]; c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') {
		return p.fail("bad name")
	}
	if n.Space == "" || n.Space == XMLNamespace {
		return nil
	}
	for i := len(p.scopes) - 1; i >= 0; i-- {
		if p.scopes[i] == n.Space {
			return nil
		}
	}
	return p.fail("undeclared prefix")
}

func (p *parser) content(e *Element, depth int) error {
	var text []byte
	flush := func() {
		if len(text) > 0 {
			e.Nodes = append(e.Nodes, Node{Text: string(text)})
			text = text[:0]
		}
	}
	for {
		t, err := p.dec.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			flush()
			kid, err := p.element(t, depth+1)
			if err != nil {
				return err
			}
			e.Nodes = append(e.Nodes, Node{Elem: kid})
		case xml.EndElement:
			flush()
			e.dropIndent()
			return nil
		case xml.CharData:
			text = append(text, t...)
		default:
			if err := p.other(t); err != nil {
				return err
			}
		}
	}
}

// dropIndent removes white space between elements; text alone is left as it is.
func (e *Element) dropIndent() {
	elements := false
	for _, n := range e.Nodes {
		elements = elements || n.Elem != nil
	}
	if !elements {
		return
	}
	kept := e.Nodes[:0]
	for _, n := range e.Nodes {
		if n.Elem != nil || strings.TrimSpace(n.Text) != "" {
			kept = append(kept, n)
		}
	}
	e.Nodes = kept
}

// Is reports whether e has this namespace and local name.
func (e *Element) Is(space, local string) bool {
	return e != nil && e.Name.Local == local && e.Name.Space == space
}

// Attr returns the value of the attribute without namespace of that name.
func (e *Element) Attr(local string) string {
	for _, a := range e.Attrs {
		if a.Name.Space == "" && a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// Lang returns xml:lang, or "".
func (e *Element) Lang() string {
	for _, a := range e.Attrs {
		if a.Name.Space == XMLNamespace && a.Name.Local == "lang" {
			return a.Value
		}
	}
	return ""
}

// Text returns the character data directly inside e, without white space
// around it.
func (e *Element) Text() string {
	if len(e.Nodes) == 1 && e.Nodes[0].Elem == nil {
		return strings.TrimSpace(e.Nodes[0].Text)
	}
	var b strings.Builder
	for _, n := range e.Nodes {
		b.WriteString(n.Text)
	}
	return strings.TrimSpace(b.String())
}

// Kids calls yield for each child element until it returns false.
func (e *Element) Kids(yield func(*Element) bool) {
	for _, n := range e.Nodes {
		if n.Elem != nil && !yield(n.Elem) {
			return
		}
	}
}

// Kid returns the first child element with this local name, whatever its
// namespace, or nil.
func (e *Element) Kid(local string) *Element {
	for k := range e.Kids {
		if k.Name.Local == local {
			return k
		}
	}
	return nil
}

// KidText returns the text of the first child element with this local name, "" when
// there is none.
func (e *Element) KidText(local string) string {
	if k := e.Kid(local); k != nil {
		return k.Text()
	}
	return ""
}

// AttrFold returns the value of the first attribute with this local name
// without regard to case and namespace: for families whose writers are not
// careful about either.
func (e *Element) AttrFold(local string) string {
	for _, a := range e.Attrs {
		if strings.EqualFold(a.Name.Local, local) {
			return a.Value
		}
	}
	return ""
}
