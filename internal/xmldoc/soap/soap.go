// Package soap reads the SOAP 1.1 envelopes that clients send in SERVICE
// requests to change their contact list or to search the directory, and writes
// the answers ([MS-SIP]).
package soap

import (
	"strconv"
	"strings"

	"parley/internal/xmldoc"
)

// Names of the family. Clients write the media type with capitals and without; it
// compares without case.
const (
	MediaType = "application/SOAP+xml"
	Envelope  = "http://schemas.xmlsoap.org/soap/envelope/"
	Namespace = "http://schemas.microsoft.com/winrtc/2002/11/sip"
)

const (
	maxRows  = 32
	maxValue = 1024
)

// Request is a method with its arguments.
type Request struct {
	Method string            // "setContact"
	Args   map[string]string // text of its child elements by local name
	Rows   []Row             // of the arrays beside the method
}

// Row is one row of an array: an attribute of people and the value it must have.
type Row struct{ Attrib, Value string }

// Arg returns an argument.
func (r *Request) Arg(name string) string { return r.Args[name] }

// DeltaNum returns the number of the list the request was made on, and false
// when it does not say.
func (r *Request) DeltaNum() (int64, bool) {
	n, err := strconv.ParseInt(r.Args["deltaNum"], 10, 64)
	return n, err == nil && n >= 0
}

// Parse reads a request. The namespace of the method is not looked at.
func Parse(b []byte) (*Request, error) {
	root, err := xmldoc.Parse(b, xmldoc.Limits{Bytes: 32 << 10, Elements: 256})
	if err != nil {
		return nil, err
	}
	if !root.Is(Envelope, "Envelope") {
		return nil, &xmldoc.Error{Text: "not a SOAP envelope"}
	}
	body := root.Kid("Body")
	if body == nil {
		return nil, &xmldoc.Error{Text: "envelope without body"}
	}
	var r *Request
	var rows []Row
	for e := range body.Kids {
		if e.Name.Local == "Array" {
			for row := range e.Kids {
				if row.Name.Local == "row" {
					rows = append(rows, Row{row.AttrFold("attrib"), row.AttrFold("value")})
				}
			}
			continue
		}
		if r != nil {
			return nil, &xmldoc.Error{Text: "more than one method"}
		}
		r = &Request{Method: e.Name.Local, Args: map[string]string{}}
		for arg := range e.Kids {
			text := arg.Text()
			if len(text) > maxValue {
				return nil, &xmldoc.Error{Text: arg.Name.Local + " is too long"}
			}
			r.Args[arg.Name.Local] = text
		}
	}
	if r == nil {
		return nil, &xmldoc.Error{Text: "no method in the body"}
	}
	if len(rows) > maxRows {
		return nil, &xmldoc.Error{Text: "too many rows"}
	}
	r.Rows = rows
	return r, nil
}

// Answer begins the answer to a method, Finish ends it; what is written between
// them is the method's content.
func Answer(dst []byte) []byte {
	return append(dst, `<SOAP-ENV:Envelope xmlns:SOAP-ENV="`+Envelope+`" xmlns:m="`+Namespace+`"><SOAP-ENV:Body>`...)
}

// Finish ends what Answer began.
func Finish(dst []byte) []byte { return append(dst, `</SOAP-ENV:Body></SOAP-ENV:Envelope>`...) }

// Append writes a request, for clients and tests.
func (r *Request) Append(dst []byte, order ...string) []byte {
	dst = Answer(dst)
	dst = append(append(append(dst, "<m:"...), r.Method...), '>')
	for _, name := range order {
		dst = xmldoc.AppendElement(dst, "m:"+name, r.Args[name])
	}
	dst = append(append(append(dst, "</m:"...), r.Method...), '>')
	if len(r.Rows) > 0 {
		dst = append(dst, `<m:Array>`...)
		for _, row := range r.Rows {
			dst = xmldoc.AppendAttr(append(dst, "<m:row"...), "m:attrib", row.Attrib)
			dst = append(xmldoc.AppendAttr(dst, "m:value", row.Value), "/>"...)
		}
		dst = append(dst, "</m:Array>"...)
	}
	return Finish(dst)
}

// Person is one row of the answer to a search. URI must not be empty: clients
// crash on a row without it.
type Person struct {
	URI, DisplayName, Title, Office, Phone, Company, City, State, Country, Email string
}

// AppendFound writes the answer to a directorySearch.
func AppendFound(dst []byte, people []Person, more bool) []byte {
	dst = Answer(dst)
	dst = append(dst, `<m:directorySearch><m:moreAvailable>`...)
	dst = strconv.AppendBool(dst, more)
	dst = append(dst, `</m:moreAvailable></m:directorySearch><m:Array>`...)
	for _, p := range people {
		if strings.TrimSpace(p.URI) == "" {
			continue
		}
		dst = append(dst, "<m:row"...)
		for _, a := range [...]struct{ name, value string }{
			{"uri", p.URI}, {"displayName", p.DisplayName}, {"title", p.Title}, {"office", p.Office}, {"phone", p.Phone},
			{"company", p.Company}, {"city", p.City}, {"state", p.State}, {"country", p.Country}, {"email", p.Email},
		} {
			dst = xmldoc.AppendAttr(dst, a.name, a.value)
		}
		dst = append(dst, "/>"...)
	}
	return Finish(append(dst, "</m:Array>"...))
}
