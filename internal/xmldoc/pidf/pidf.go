// Package pidf reads, prints and composes presence documents (RFC 3863, with
// the data model of RFC 4479 kept as it came).
package pidf

import (
	"strconv"

	"parley/internal/xmldoc"
)

// Namespaces of the elements this package knows by name.
const (
	Namespace  = "urn:ietf:params:xml:ns:pidf"
	DataModel  = "urn:ietf:params:xml:ns:pidf:data-model"
	MediaType  = "application/pidf+xml"
	maxTuples  = 64
	maxNotes   = 64
	maxForeign = 64
)

// Basic is the basic status of a tuple.
type Basic uint8

// Unknown means that the tuple does not say.
const (
	Unknown Basic = iota
	Open
	Closed
)

func (b Basic) String() string {
	switch b {
	case Open:
		return "open"
	case Closed:
		return "closed"
	}
	return ""
}

// Doc is one presence document.
type Doc struct {
	Entity string // URI of the presentity, as written
	Tuples []Tuple
	Notes  []Note
	Extra  []*xmldoc.Element // foreign elements: person, device, ...
}

// Tuple is one service or device of the presentity.
type Tuple struct {
	ID        string
	Basic     Basic
	Status    []*xmldoc.Element // foreign elements inside status
	Extra     []*xmldoc.Element // foreign elements after status
	Contact   string
	Priority  string // of Contact: "0" to "1" with three decimals, or ""
	Notes     []Note
	Timestamp string // RFC 3339 text, or ""
}

// Note is a remark for people.
type Note struct {
	Lang string
	Text string
}

// Parse reads a presence document.
func Parse(b []byte) (*Doc, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil {
		return nil, err
	}
	return FromElement(root)
}

// FromElement reads a presence document that has been parsed already.
func FromElement(root *xmldoc.Element) (*Doc, error) {
	if !root.Is(Namespace, "presence") {
		return nil, &xmldoc.Error{Text: "not a presence document"}
	}
	d := &Doc{Entity: root.Attr("entity")}
	if d.Entity == "" {
		return nil, &xmldoc.Error{Text: "presence without entity"}
	}
	for e := range root.Kids {
		switch {
		case e.Is(Namespace, "tuple"):
			t, err := tuple(e)
			if err != nil {
				return nil, err
			}
			d.Tuples = append(d.Tuples, t)
		case e.Is(Namespace, "note"):
			d.Notes = append(d.Notes, Note{e.Lang(), e.Text()})
		case e.Name.Space == Namespace:
			return nil, &xmldoc.Error{Text: "unknown element " + e.Name.Local}
		default:
			d.Extra = append(d.Extra, e)
		}
	}
	if len(d.Tuples) > maxTuples || len(d.Notes) > maxNotes || len(d.Extra) > maxForeign {
		return nil, &xmldoc.Error{Text: "too many tuples, notes or extensions"}
	}
	return d, nil
}

func tuple(e *xmldoc.Element) (Tuple, error) {
	t := Tuple{ID: e.Attr("id")}
	if t.ID == "" {
		return t, &xmldoc.Error{Text: "tuple without id"}
	}
	status := false
	for k := range e.Kids {
		switch {
		case k.Is(Namespace, "status"):
			status = true
			for s := range k.Kids {
				if !s.Is(Namespace, "basic") {
					t.Status = append(t.Status, s)
					continue
				}
				switch s.Text() {
				case "open":
					t.Basic = Open
				case "closed":
					t.Basic = Closed
				default:
					return t, &xmldoc.Error{Text: "basic status is neither open nor closed"}
				}
			}
		case k.Is(Namespace, "contact"):
			t.Contact, t.Priority = k.Text(), k.Attr("priority")
		case k.Is(Namespace, "note"):
			t.Notes = append(t.Notes, Note{k.Lang(), k.Text()})
		case k.Is(Namespace, "timestamp"):
			t.Timestamp = k.Text()
		case k.Name.Space == Namespace:
			return t, &xmldoc.Error{Text: "unknown element " + k.Name.Local}
		default:
			t.Extra = append(t.Extra, k)
		}
	}
	if !status {
		return t, &xmldoc.Error{Text: "tuple without status"}
	}
	if len(t.Notes) > maxNotes || len(t.Extra)+len(t.Status) > maxForeign {
		return t, &xmldoc.Error{Text: "too many notes or extensions"}
	}
	return t, nil
}

// Append prints d after dst, with the XML declaration.
func (d *Doc) Append(dst []byte) []byte {
	dst = append(dst, xmldoc.Header+`<presence xmlns="`+Namespace+`" entity="`...)
	dst = append(xmldoc.AppendText(dst, d.Entity), `">`...)
	for i := range d.Tuples {
		dst = d.Tuples[i].append(dst)
	}
	dst = appendNotes(dst, d.Notes)
	for _, e := range d.Extra {
		dst = e.AppendInside(dst, Namespace)
	}
	return append(dst, "</presence>\n"...)
}

func (t *Tuple) append(dst []byte) []byte {
	dst = append(xmldoc.AppendText(append(dst, `<tuple id="`...), t.ID), `"><status>`...)
	if t.Basic != Unknown {
		dst = append(append(append(dst, "<basic>"...), t.Basic.String()...), "</basic>"...)
	}
	for _, e := range t.Status {
		dst = e.AppendInside(dst, Namespace)
	}
	dst = append(dst, "</status>"...)
	for _, e := range t.Extra {
		dst = e.AppendInside(dst, Namespace)
	}
	if t.Contact != "" {
		dst = append(dst, "<contact"...)
		if t.Priority != "" {
			dst = append(xmldoc.AppendText(append(dst, ` priority="`...), t.Priority), '"')
		}
		dst = append(xmldoc.AppendText(append(dst, '>'), t.Contact), "</contact>"...)
	}
	dst = appendNotes(dst, t.Notes)
	if t.Timestamp != "" {
		dst = append(xmldoc.AppendText(append(dst, "<timestamp>"...), t.Timestamp), "</timestamp>"...)
	}
	return append(dst, "</tuple>"...)
}

func appendNotes(dst []byte, notes []Note) []byte {
	for _, n := range notes {
		dst = append(dst, "<note"...)
		if n.Lang != "" {
			dst = append(xmldoc.AppendText(append(dst, ` xml:lang="`...), n.Lang), '"')
		}
		dst = append(xmldoc.AppendText(append(dst, '>'), n.Text), "</note>"...)
	}
	return dst
}

// Online reports whether any tuple is open.
func (d *Doc) Online() bool {
	for i := range d.Tuples {
		if d.Tuples[i].Basic == Open {
			return true
		}
	}
	return false
}

// Compose makes one document of what several devices published, newest first
// (RFC 4480 leaves the policy to the presence agent). Tuples and devices of
// all are kept, with ids made unique; there is one person, so the person and
// the document notes of the newest document that has them win.
func Compose(entity string, docs []*Doc) *Doc {
	out := &Doc{Entity: entity}
	ids := map[string]bool{}
	person := false
	for i, d := range docs {
		for _, t := range d.Tuples {
			t.ID = uniqueID(ids, t.ID, i)
			out.Tuples = append(out.Tuples, t)
		}
		if len(out.Notes) == 0 {
			out.Notes = d.Notes
		}
		had := person
		for _, e := range d.Extra {
			if e.Is(DataModel, "person") {
				if had {
					continue
				}
				person = true
			}
			out.Extra = append(out.Extra, withID(e, ids, i))
		}
	}
	return out
}

func uniqueID(ids map[string]bool, id string, doc int) string {
	for n := 0; ids[id]; n++ {
		id += "-" + strconv.Itoa(doc+n)
	}
	ids[id] = true
	return id
}

// withID returns e, or a copy with another id attribute when that id is taken.
func withID(e *xmldoc.Element, ids map[string]bool, doc int) *xmldoc.Element {
	id := e.Attr("id")
	if id == "" {
		return e
	}
	unique := uniqueID(ids, id, doc)
	if unique == id {
		return e
	}
	c := *e
	c.Attrs = append(c.Attrs[:0:0], e.Attrs...)
	for i := range c.Attrs {
		if c.Attrs[i].Name.Space == "" && c.Attrs[i].Name.Local == "id" {
			c.Attrs[i].Value = unique
		}
	}
	return &c
}
