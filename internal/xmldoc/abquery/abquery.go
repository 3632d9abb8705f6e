// Package abquery reads and prints the address book web query ([MS-DLX]): the
// operation SearchAbEntry, by which a client finds people over HTTP.
package abquery

import (
	"strconv"
	"strings"

	"parley/internal/xmldoc"
)

// Names of the family.
const (
	Namespace = "DistributionListExpander"
	Operation = "SearchAbEntry"
	Action    = Namespace + "/IAddressBook/" + Operation
)

const (
	maxRows  = 32
	maxNames = 64
	maxValue = 256 // bytes of a value or a name
)

// Query is what a client looks for: people for whom every row holds, or for whom
// one of the attributes of Basic does.
type Query struct {
	Rows    []Row
	Basic   *Basic   // instead of Rows
	DialPad bool     // values are digits typed on a telephone keypad
	Max     int      // entries wanted at most; 0 when the client does not say
	Return  []string // attributes wanted; none means the usual ones
}

// Row is an attribute and how its value begins.
type Row struct{ Attribute, Value string }

// Basic is one text that some of the attributes begin with.
type Basic struct {
	Attributes []string
	Value      string
}

// Parse reads the element SearchAbEntry, whatever its namespace.
func Parse(e *xmldoc.Element) (*Query, error) {
	fail := func(text string) (*Query, error) { return nil, &xmldoc.Error{Text: text} }
	if e == nil || e.Name.Local != Operation {
		return fail("no " + Operation)
	}
	r := e.Kid("AbEntryRequest")
	if r == nil {
		return fail("no AbEntryRequest")
	}
	q := new(Query)
	change, basic := r.Kid("ChangeSearch"), r.Kid("BasicSearch")
	switch {
	case (change == nil) == (basic == nil):
		return fail("want one of ChangeSearch and BasicSearch")
	case change != nil:
		for row := range change.Kids {
			on, value := row.KidText("SearchOn"), row.KidText("Value")
			if row.Name.Local != "AbEntryRequest.ChangeSearchQuery" || on == "" {
				return fail("a row without SearchOn")
			}
			if len(on) > maxValue || len(value) > maxValue {
				return fail("a row is too long")
			}
			if q.Rows = append(q.Rows, Row{on, value}); len(q.Rows) > maxRows {
				return fail("too many rows")
			}
		}
		if q.Rows == nil {
			return fail("no rows")
		}
	default:
		if verb := basic.KidText("Verb"); verb != "BeginsWith" {
			return fail("the verb is not BeginsWith")
		}
		names, ok := list(basic.KidText("SearchList"))
		q.Basic = &Basic{names, basic.KidText("Value")}
		if !ok || names == nil || len(q.Basic.Value) > maxValue {
			return fail("no attributes to search, too many, or a value that is too long")
		}
	}
	if m := r.Kid("Metadata"); m != nil {
		var ok bool
		if q.Return, ok = list(m.KidText("ReturnList")); !ok {
			return fail("too many attributes to return")
		}
		q.DialPad = strings.EqualFold(m.KidText("FromDialPad"), "true")
		if text := m.KidText("MaxResultNum"); text != "" {
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return fail("MaxResultNum is not a number")
			}
			q.Max = int(n)
		}
	}
	return q, nil
}

func list(text string) (names []string, ok bool) {
	if text == "" {
		return nil, true
	}
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if names = append(names, name); len(names) > maxNames || len(name) > maxValue {
			return nil, false
		}
	}
	return names, true
}

// Append prints what Parse reads, for tests and clients.
func (q *Query) Append(dst []byte) []byte {
	dst = append(dst, `<`+Operation+` xmlns="`+Namespace+`"><AbEntryRequest>`...)
	if q.Basic != nil {
		dst = append(dst, "<BasicSearch>"...)
		dst = xmldoc.AppendElement(dst, "SearchList", strings.Join(q.Basic.Attributes, ","))
		dst = xmldoc.AppendElement(dst, "Value", q.Basic.Value)
		dst = append(dst, "<Verb>BeginsWith</Verb></BasicSearch>"...)
	} else {
		dst = append(dst, `<ChangeSearch xmlns:q1="`+Namespace+`" xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/"`...)
		dst = append(xmldoc.AppendAttr(dst, "soapenc:arrayType", "q1:AbEntryRequest.ChangeSearchQuery["+strconv.Itoa(len(q.Rows))+"]"), '>')
		for _, r := range q.Rows {
			dst = xmldoc.AppendElement(append(dst, "<AbEntryRequest.ChangeSearchQuery>"...), "SearchOn", r.Attribute)
			dst = append(xmldoc.AppendElement(dst, "Value", r.Value), "</AbEntryRequest.ChangeSearchQuery>"...)
		}
		dst = append(dst, "</ChangeSearch>"...)
	}
	dst = append(dst, "<Metadata><FromDialPad>"...)
	dst = append(strconv.AppendBool(dst, q.DialPad), "</FromDialPad>"...)
	if q.Max > 0 {
		dst = append(strconv.AppendInt(append(dst, "<MaxResultNum>"...), int64(q.Max), 10), "</MaxResultNum>"...)
	}
	dst = xmldoc.AppendElement(dst, "ReturnList", strings.Join(q.Return, ","))
	return append(dst, `</Metadata></AbEntryRequest></`+Operation+`>`...)
}

// Entry is one person or group that was found.
type Entry []Attribute

// Attribute is a name with its values. One without values is not printed.
type Attribute struct {
	Name   string
	Values []string
	Multi  bool // printed as a list, even of one
}

// AppendAnswer prints the answer.
func AppendAnswer(dst []byte, found []Entry) []byte {
	dst = append(dst, `<`+Operation+`Response xmlns="`+Namespace+`"><`+Operation+`Result><Items>`...)
	for _, e := range found {
		dst = append(dst, "<AbEntry><Attributes>"...)
		for _, a := range e {
			if len(a.Values) == 0 {
				continue
			}
			dst = xmldoc.AppendElement(append(dst, "<Attribute>"...), "Name", a.Name)
			if a.Multi {
				dst = append(dst, "<Values>"...)
				for _, v := range a.Values {
					dst = xmldoc.AppendElement(dst, "string", v)
				}
				dst = append(dst, "</Values>"...)
			} else {
				dst = xmldoc.AppendElement(dst, "Value", a.Values[0])
			}
			dst = append(dst, "</Attribute>"...)
		}
		dst = append(dst, "</Attributes></AbEntry>"...)
	}
	return append(dst, `</Items></`+Operation+`Result></`+Operation+`Response>`...)
}
