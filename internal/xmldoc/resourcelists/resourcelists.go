// Package resourcelists reads lists of resources (RFC 4826 3), as a request
// carries them for a subscription to several people at once (RFC 5367).
package resourcelists

import "parley/internal/xmldoc"

// Namespace and MediaType name the document.
const (
	Namespace = "urn:ietf:params:xml:ns:resource-lists"
	MediaType = "application/resource-lists+xml"
)

// Entry is one resource.
type Entry struct {
	URI  string
	Name string
}

// Parse returns the entries of all lists in the document, nested ones
// included, each URI once, at most max of them; more is an error. References
// to lists elsewhere are not followed.
func Parse(b []byte, max int) ([]Entry, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil {
		return nil, err
	}
	if !root.Is(Namespace, "resource-lists") {
		return nil, &xmldoc.Error{Text: "not a resource-lists document"}
	}
	c := collector{max: max, seen: map[string]bool{}}
	if err := c.walk(root); err != nil {
		return nil, err
	}
	return c.out, nil
}

type collector struct {
	max  int
	seen map[string]bool
	out  []Entry
}

func (c *collector) walk(e *xmldoc.Element) error {
	for k := range e.Kids {
		switch {
		case k.Is(Namespace, "list"):
			if err := c.walk(k); err != nil {
				return err
			}
		case k.Is(Namespace, "entry"):
			uri := k.Attr("uri")
			if uri == "" {
				return &xmldoc.Error{Text: "entry without uri"}
			}
			if c.seen[uri] {
				continue
			}
			if len(c.out) >= c.max {
				return &xmldoc.Error{Text: "too many entries"}
			}
			c.seen[uri] = true
			c.out = append(c.out, Entry{uri, displayName(k)})
		}
	}
	return nil
}

func displayName(e *xmldoc.Element) string {
	for k := range e.Kids {
		if k.Is(Namespace, "display-name") {
			return k.Text()
		}
	}
	return ""
}

// Append prints entries as a document with one list.
func Append(dst []byte, entries []Entry) []byte {
	dst = append(dst, xmldoc.Header+`<resource-lists xmlns="`+Namespace+`"><list>`...)
	for _, e := range entries {
		dst = append(xmldoc.AppendText(append(dst, `<entry uri="`...), e.URI), `">`...)
		if e.Name != "" {
			dst = append(xmldoc.AppendText(append(dst, "<display-name>"...), e.Name), "</display-name>"...)
		}
		dst = append(dst, "</entry>"...)
	}
	return append(dst, "</list></resource-lists>\n"...)
}
