// Package categories reads and prints enhanced presence: publications of
// categories, what watchers get of them, and the faults ([MS-PRES]).
//
// What a category holds is not looked at here, but for state: unknown content is
// kept as it came.
package categories

import (
	"strconv"
	"time"

	"parley/internal/xmldoc"
)

// Names of the family.
const (
	MediaType    = "application/msrtc-event-categories+xml" // to watchers
	PublishType  = "application/msrtc-category-publish+xml"
	FaultType    = "application/msrtc-fault+xml"
	Namespace    = "http://schemas.microsoft.com/2006/09/sip/categories"
	PublishSpace = "http://schemas.microsoft.com/2006/09/sip/rich-presence"
	maxItems     = 256
	maxName      = 64
)

// ExpireType is what ends a publication.
type ExpireType string

// The types. A publication without one is bound to its endpoint.
const (
	Static   ExpireType = "static"   // stays
	Endpoint ExpireType = "endpoint" // until this endpoint signs out
	User     ExpireType = "user"     // until the last endpoint signs out
	Timed    ExpireType = "time"     // for a number of seconds
)

// Key names one publication of a user.
type Key struct {
	Name      string
	Instance  uint32
	Container uint32
}

// Category is one publication as documents carry it.
type Category struct {
	Key
	Version     uint32
	PublishTime time.Time
	ExpireType  ExpireType
	EndpointID  string
	Body        []byte // the element in it, printed; nil when the publication is gone
}

const timeFormat = "2006-01-02T15:04:05.000Z"

// Time writes a time as the family does.
func Time(t time.Time) string { return t.UTC().Format(timeFormat) }

// AppendFor prints c for a watcher, who does not learn about containers and
// versions.
func (c *Category) AppendFor(dst []byte) []byte {
	dst = c.head(dst)
	return c.tail(dst)
}

// Append prints c for its owner. One of version 0 without a body says that nothing
// of that name is published; it names no container, which is what clients look at.
func (c *Category) Append(dst []byte) []byte {
	dst = c.head(dst)
	if c.Version == 0 && len(c.Body) == 0 {
		return c.tail(dst)
	}
	dst = xmldoc.AppendAttr(dst, "container", utoa(c.Container))
	dst = xmldoc.AppendAttr(dst, "version", utoa(c.Version))
	dst = xmldoc.AppendAttr(dst, "expireType", string(c.ExpireType))
	if c.EndpointID != "" {
		dst = xmldoc.AppendAttr(dst, "endpointId", c.EndpointID)
	}
	return c.tail(dst)
}

func (c *Category) head(dst []byte) []byte {
	dst = xmldoc.AppendAttr(append(dst, "<category"...), "name", c.Name)
	dst = xmldoc.AppendAttr(dst, "instance", utoa(c.Instance))
	return xmldoc.AppendAttr(dst, "publishTime", Time(c.PublishTime))
}

func (c *Category) tail(dst []byte) []byte {
	if len(c.Body) == 0 {
		return append(dst, "/>"...)
	}
	return append(append(append(dst, '>'), c.Body...), "</category>"...)
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// Begin begins a document about the user with that URI ("sip:bob@example.test");
// End ends it.
func Begin(dst []byte, uri string) []byte {
	dst = append(dst, `<categories xmlns="`+Namespace+`"`...)
	return append(xmldoc.AppendAttr(dst, "uri", uri), '>')
}

// End ends what Begin began.
func End(dst []byte) []byte { return append(dst, "</categories>"...) }

// Doc is a document as a client reads it.
type Doc struct {
	URI        string
	Categories []Category
}

// Parse reads a categories document, as a client does.
func Parse(b []byte) (*Doc, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 1 << 20})
	if err != nil {
		return nil, err
	}
	return FromElement(root)
}

// FromElement is Parse for an element of a larger document.
func FromElement(root *xmldoc.Element) (*Doc, error) {
	if root.Name.Local != "categories" || root.Attr("uri") == "" {
		return nil, &xmldoc.Error{Text: "not a categories document, or without uri"}
	}
	d := &Doc{URI: root.Attr("uri")}
	for e := range root.Kids {
		if e.Name.Local != "category" {
			continue
		}
		c := Category{Key: Key{Name: e.Attr("name"), Instance: number(e, "instance"), Container: number(e, "container")}, Version: number(e, "version"),
			ExpireType: ExpireType(e.Attr("expireType")), EndpointID: e.Attr("endpointId"), Body: body(e)}
		if c.Name == "" {
			return nil, &xmldoc.Error{Text: "category without name"}
		}
		c.PublishTime, _ = time.Parse(time.RFC3339, e.Attr("publishTime"))
		d.Categories = append(d.Categories, c)
	}
	return d, nil
}

func number(e *xmldoc.Element, name string) uint32 {
	n, _ := strconv.ParseUint(e.Attr(name), 10, 32)
	return uint32(n)
}

// body prints the first element in e.
func body(e *xmldoc.Element) []byte {
	for k := range e.Kids {
		return k.Append(nil)
	}
	return nil
}

// Publication is one change that a user asks for.
type Publication struct {
	Key
	Version    uint32 // that the client believes to be current, 0 for none
	ExpireType ExpireType
	Expires    uint32 // seconds, of ExpireType Timed
	Delete     bool
	Body       []byte
	State      *State // of a state
}

// ParsePublish reads a publication request and for whom it is.
func ParsePublish(b []byte) (uri string, pubs []Publication, err error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil {
		return "", nil, err
	}
	list := root.Kid("publications")
	if root.Name.Local != "publish" || list == nil {
		return "", nil, &xmldoc.Error{Text: "not a publication request"}
	}
	seen := map[Key]bool{}
	for e := range list.Kids {
		if e.Name.Local != "publication" {
			continue
		}
		p, err := publication(e)
		switch {
		case err != nil:
			return "", nil, err
		case seen[p.Key]:
			return "", nil, &xmldoc.Error{Text: "a publication occurs twice"}
		case len(pubs) >= maxItems:
			return "", nil, &xmldoc.Error{Text: "too many publications"}
		}
		seen[p.Key] = true
		pubs = append(pubs, p)
	}
	if len(pubs) == 0 {
		return "", nil, &xmldoc.Error{Text: "no publications"}
	}
	return list.AttrFold("uri"), pubs, nil
}

func publication(e *xmldoc.Element) (p Publication, err error) {
	p.Name = e.AttrFold("categoryName")
	if p.Name == "" || len(p.Name) > maxName {
		return p, &xmldoc.Error{Text: "publication without category, or its name is too long"}
	}
	for _, f := range [...]struct {
		name string
		to   *uint32
	}{{"instance", &p.Instance}, {"container", &p.Container}, {"version", &p.Version}, {"expires", &p.Expires}} {
		text := e.AttrFold(f.name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return p, &xmldoc.Error{Text: f.name + " is not a number"}
		}
		*f.to = uint32(n)
	}
	switch p.ExpireType = ExpireType(e.AttrFold("expireType")); p.ExpireType {
	case "":
		p.ExpireType = Endpoint
	case Static, Endpoint, User, Timed:
	default:
		return p, &xmldoc.Error{Text: "unknown expireType"}
	}
	p.Body = body(e)
	p.Delete = p.Body == nil && e.AttrFold("expires") == "0"
	if p.Name == "state" && p.Body != nil {
		if p.State, err = ParseState(e.Kid("state")); err != nil {
			return p, err
		}
	}
	return p, nil
}

// AppendPublish writes what ParsePublish reads.
func AppendPublish(dst []byte, uri string, pubs []Publication) []byte {
	dst = append(dst, `<publish xmlns="`+PublishSpace+`"><publications`...)
	dst = append(xmldoc.AppendAttr(dst, "uri", uri), '>')
	for _, p := range pubs {
		dst = xmldoc.AppendAttr(append(dst, "<publication"...), "categoryName", p.Name)
		dst = xmldoc.AppendAttr(dst, "instance", utoa(p.Instance))
		dst = xmldoc.AppendAttr(dst, "container", utoa(p.Container))
		dst = xmldoc.AppendAttr(dst, "version", utoa(p.Version))
		dst = xmldoc.AppendAttr(dst, "expireType", string(p.ExpireType))
		if p.Delete || p.Expires > 0 {
			dst = xmldoc.AppendAttr(dst, "expires", utoa(p.Expires))
		}
		dst = append(append(append(dst, '>'), p.Body...), "</publication>"...)
	}
	return append(dst, "</publications></publish>"...)
}

// Conflict is an operation whose version was not the current one. Index counts the
// operations of the request from 1.
type Conflict struct {
	Index            int
	Version, Current uint32
}

// AppendFault prints the body of a 409. The curVersion is what keeps clients from
// trying for ever.
func AppendFault(dst []byte, conflicts []Conflict) []byte {
	dst = append(dst, `<Fault xmlns="http://schemas.microsoft.com/2006/09/sip/fault"><Faultcode>Client.BadCall.WrongDelta</Faultcode><details>`...)
	for _, c := range conflicts {
		dst = xmldoc.AppendAttr(append(dst, "<operation"...), "index", strconv.Itoa(c.Index))
		dst = xmldoc.AppendAttr(dst, "version", utoa(c.Version))
		dst = append(xmldoc.AppendAttr(dst, "curVersion", utoa(c.Current)), "/>"...)
	}
	return append(dst, "</details></Fault>"...)
}
