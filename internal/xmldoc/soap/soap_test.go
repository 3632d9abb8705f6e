package soap

import (
	"strings"
	"testing"

	"parley/internal/xmldoc"
)

const setContact = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="http://schemas.microsoft.com/winrtc/2002/11/sip"><s:Body>
 <m:setContact><m:displayName>Bob</m:displayName><m:groups>1 2</m:groups><m:subscribed>true</m:subscribed>
  <m:URI>sip:bob@example.test</m:URI><m:externalURI/><m:deltaNum>7</m:deltaNum></m:setContact></s:Body></s:Envelope>`

func TestSetContact(t *testing.T) {
	r, err := Parse([]byte(setContact))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := r.DeltaNum(); r.Method != "setContact" || r.Arg("URI") != "sip:bob@example.test" || r.Arg("groups") != "1 2" || n != 7 || !ok {
		t.Errorf("read %+v", r)
	}
}

func TestSearch(t *testing.T) {
	r, err := Parse([]byte(`<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>
<m:directorySearch xmlns:m="http://schemas.microsoft.com/winrtc/2002/11/sip"><m:filter m:href="#searchArray"/><m:maxResults>100</m:maxResults></m:directorySearch>
<m:Array xmlns:m="http://schemas.microsoft.com/winrtc/2002/11/sip" m:id="searchArray"><m:row m:attrib="givenName" m:value="bob"/></m:Array></SOAP-ENV:Body></SOAP-ENV:Envelope>`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "directorySearch" || len(r.Rows) != 1 || r.Rows[0] != (Row{"givenName", "bob"}) || r.Arg("maxResults") != "100" {
		t.Errorf("read %+v", r)
	}
}

// A row without uri crashes the client.
func TestFoundHasURIs(t *testing.T) {
	b := AppendFound(nil, []Person{{DisplayName: "nobody"}, {URI: "sip:bob@example.test", DisplayName: `B "<`}}, true)
	root, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for row := range root.Kid("Body").Kid("Array").Kids {
		rows++
		if row.Attr("uri") == "" || row.Attr("displayName") != `B "<` {
			t.Errorf("row %+v", row)
		}
	}
	if rows != 1 || !strings.Contains(string(b), "<m:moreAvailable>true<") {
		t.Errorf("%d rows in %s", rows, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(setContact))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		var order []string
		for name := range r.Args {
			order = append(order, name)
		}
		again, err := Parse(r.Append(nil, order...))
		if err != nil || again.Method != r.Method || len(again.Args) != len(r.Args) || len(again.Rows) != len(r.Rows) {
			t.Fatalf("%v: %+v became %+v", err, r, again)
		}
	})
}
