package webticket

import (
	"bytes"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
)

// canonical returns the first element with this local name in a document that xmldoc has accepted, as it stands and
// in its exclusive canonical form (RFC 3741, without comments). Some clients sign the one, some the other.
func canonical(doc []byte, local string) (raw, canon []byte, err error) {
	dec := xml.NewDecoder(bytes.NewReader(doc))
	scopes := []map[string]string{{"": "", "xml": "http://www.w3.org/XML/1998/namespace"}} // prefixes as they are in force
	var rendered []map[string]string                                                       // as they are written, within the element
	var names []xml.Name
	start := int64(-1)
	for {
		at := dec.InputOffset()
		tok, err := dec.RawToken()
		if err != nil {
			return nil, nil, errors.New("no element " + local)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			scope := scopes[len(scopes)-1]
			own := false
			for _, a := range t.Attr {
				if prefix, ok := declares(a.Name); ok {
					if !own {
						next := make(map[string]string, len(scope)+1)
						for k, v := range scope {
							next[k] = v
						}
						scope, own = next, true
					}
					scope[prefix] = a.Value
				}
			}
			scopes, names = append(scopes, scope), append(names, t.Name)
			if start < 0 && t.Name.Local == local {
				start, names = at, []xml.Name{t.Name}
				rendered = []map[string]string{{"": ""}}
			}
			if start >= 0 {
				var now map[string]string
				canon, now = appendStart(canon, t, scope, rendered[len(rendered)-1])
				rendered = append(rendered, now)
			}
		case xml.EndElement:
			scopes = scopes[:len(scopes)-1]
			if len(names) > 0 {
				names = names[:len(names)-1]
			}
			if start >= 0 {
				rendered = rendered[:len(rendered)-1]
				canon = append(append(append(canon, "</"...), qualified(t.Name)...), '>')
				if len(names) == 0 {
					return doc[start:dec.InputOffset()], canon, nil
				}
			}
		case xml.CharData:
			if start >= 0 {
				canon = append(canon, textEscapes.Replace(string(t))...)
			}
		}
	}
}

var (
	textEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	attrEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
)

func declares(n xml.Name) (prefix string, ok bool) {
	switch {
	case n.Space == "xmlns":
		return n.Local, true
	case n.Space == "" && n.Local == "xmlns":
		return "", true
	}
	return "", false
}

func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// appendStart writes a start tag: first the namespaces that it makes use of and that are not written around it, then
// the attributes by namespace and name.
func appendStart(dst []byte, t xml.StartElement, scope, around map[string]string) ([]byte, map[string]string) {
	used := map[string]bool{t.Name.Space: true}
	var attrs []xml.Attr
	for _, a := range t.Attr {
		if _, ok := declares(a.Name); ok {
			continue
		}
		attrs = append(attrs, a)
		if a.Name.Space != "" {
			used[a.Name.Space] = true
		}
	}
	var prefixes []string
	for p := range used {
		if have, ok := around[p]; p != "xml" && (!ok || have != scope[p]) {
			prefixes = append(prefixes, p)
		}
	}
	slices.Sort(prefixes)
	now := around
	if len(prefixes) > 0 {
		now = map[string]string{}
		for k, v := range around {
			now[k] = v
		}
	}
	dst = append(append(dst, '<'), qualified(t.Name)...)
	for _, p := range prefixes {
		now[p] = scope[p]
		dst = append(dst, " xmlns"...)
		if p != "" {
			dst = append(append(dst, ':'), p...)
		}
		dst = append(append(append(dst, `="`...), attrEscapes.Replace(scope[p])...), '"')
	}
	space := func(a xml.Attr) string {
		if a.Name.Space == "" {
			return ""
		}
		return scope[a.Name.Space]
	}
	slices.SortFunc(attrs, func(a, b xml.Attr) int {
		if c := strings.Compare(space(a), space(b)); c != 0 {
			return c
		}
		return strings.Compare(a.Name.Local, b.Name.Local)
	})
	for _, a := range attrs {
		dst = append(append(append(dst, ' '), qualified(a.Name)...), `="`...)
		dst = append(append(dst, attrEscapes.Replace(a.Value)...), '"')
	}
	return append(dst, '>'), now
}
