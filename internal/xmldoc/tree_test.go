package xmldoc

import (
	"strings"
	"testing"
)

func TestAccepted(t *testing.T) {
	for name, row := range map[string]struct{ in, want string }{
		"white space between elements goes": {"<a>\n <b/>\n</a>", `<a><b/></a>`},
		"white space in text stays":         {"<a> x </a>", `<a> x </a>`},
		"prefixes are chosen anew":          {`<q:a xmlns:q="urn:x"><q:b r:c="1" xmlns:r="urn:y"/></q:a>`, `<a xmlns="urn:x"><b xmlns:n1="urn:y" n1:c="1"/></a>`},
		"customary prefix":                  {`<a xmlns="urn:x"><b xmlns="urn:ietf:params:xml:ns:pidf:data-model"/></a>`, `<a xmlns="urn:x"><dm:b xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"/></a>`},
		"leaving the default namespace":     {`<a xmlns="urn:x"><b xmlns=""><c xmlns="urn:x"/></b></a>`, `<a xmlns="urn:x"><b xmlns=""><n1:c xmlns:n1="urn:x"/></b></a>`},
		"entities and references":           {`<a b="&quot;&#10;">&lt;&amp;&#x41;</a>`, `<a b="&#34;&#10;">&lt;&amp;A</a>`},
		"character data sections":           {`<a><![CDATA[<x>]]></a>`, `<a>&lt;x&gt;</a>`},
		"comments go":                       {`<!-- x --><a><!-- y --></a>`, `<a/>`},
		"language":                          {`<a xml:lang="ko">x</a>`, `<a xml:lang="ko">x</a>`},
		"declaration":                       {`<?xml version="1.0" encoding="utf-8" standalone="yes"?><a/>`, `<a/>`},
		"byte order mark":                   {"\ufeff<a/>", `<a/>`},
	} {
		e, err := Parse([]byte(row.in), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := string(e.Append(nil)); got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, row.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, in := range map[string]string{
		"document type":          `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`,
		"unknown entity":         `<a>&x;</a>`,
		"processing instruction": `<?php x?><a/>`,
		"style sheet":            `<a><?xml-stylesheet href="x"?></a>`,
		"undeclared prefix":      `<x:a/>`,
		"undeclared attribute":   `<a x:b="1"/>`,
		"prefix out of scope":    `<a><b xmlns:x="urn:x"/><x:c/></a>`,
		"attribute twice":        `<a b="1" b="2"/>`,
		"attribute twice by URI": `<a xmlns:x="urn:x" xmlns:y="urn:x" x:b="1" y:b="2"/>`,
		"second root":            `<a/><b/>`,
		"text after root":        `<a/>x`,
		"nothing":                ``,
		"open":                   `<a>`,
		"crossed":                `<a><b></a></b>`,
		"other encoding":         `<?xml version="1.0" encoding="utf-16"?><a/>`,
		"not UTF-8":              "<a>\xff</a>",
		"too deep":               strings.Repeat("<a>", 30) + strings.Repeat("</a>", 30),
		"too many":               "<a>" + strings.Repeat("<b/>", 5000) + "</a>",
		"too large":              "<a>" + strings.Repeat(" ", 200<<10) + "</a>",
	} {
		if e, err := Parse([]byte(in), Limits{}); err == nil {
			t.Errorf("%s accepted as %s", name, e.Append(nil))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<q:a xmlns:q="urn:x"><q:b r:c="1" xmlns:r="urn:y"/>text<d xmlns=""/></q:a>`))
	f.Add([]byte(`<?xml version="1.0"?><a b="&quot;"> <![CDATA[<x>]]> </a>`))
	f.Add([]byte(`<!DOCTYPE a><a/>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b, Limits{})
		if err != nil {
			return
		}
		out := e.Append(nil)
		again, err := Parse(out, Limits{Bytes: 8 * len(out)})
		if err != nil {
			t.Fatalf("printed form refused: %v\n%q\n%q", err, b, out)
		}
		if !Equal(e, again) {
			t.Fatalf("round trip differs\n%q\n%q\n%q", b, out, again.Append(nil))
		}
	})
}
