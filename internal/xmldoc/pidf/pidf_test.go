package pidf

import (
	"reflect"
	"strings"
	"testing"
)

// From RFC 3863 4.3.1 and RFC 4480, shortened.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<impp:presence xmlns:impp="urn:ietf:params:xml:ns:pidf"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:myex="urn:x-example" xmlns:rp="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:alice@example.test">
  <impp:tuple id="bs35r9">
    <impp:status>
      <impp:basic>open</impp:basic>
      <myex:mood>busy &amp; happy</myex:mood>
    </impp:status>
    <rp:relationship><rp:family/></rp:relationship>
    <impp:contact priority="0.8">im:alice@example.test</impp:contact>
    <impp:note xml:lang="en">Don't disturb</impp:note>
    <impp:timestamp>2001-10-27T16:49:29Z</impp:timestamp>
  </impp:tuple>
  <impp:note>on the road</impp:note>
  <dm:person id="p1"><rp:activities><rp:busy/></rp:activities></dm:person>
</impp:presence>`

// What baresip 1.0 publishes.
const baresip = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
    entity="sip:alice@example.test">
  <dm:person id="p4159"><rpid:activities/></dm:person>
  <tuple id="t4109">
    <status><basic>open</basic></status>
    <contact>sip:alice@example.test</contact>
  </tuple>
</presence>
`

func TestParse(t *testing.T) {
	d, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	tu := d.Tuples[0]
	if d.Entity != "pres:alice@example.test" || tu.ID != "bs35r9" || tu.Basic != Open || tu.Priority != "0.8" ||
		tu.Contact != "im:alice@example.test" || tu.Notes[0] != (Note{"en", "Don't disturb"}) ||
		tu.Timestamp != "2001-10-27T16:49:29Z" || d.Notes[0].Text != "on the road" {
		t.Errorf("got %+v", d)
	}
	if len(tu.Status) != 1 || tu.Status[0].Text() != "busy & happy" || len(tu.Extra) != 1 || len(d.Extra) != 1 {
		t.Errorf("extensions lost: %+v", d)
	}
	roundTrip(t, d)
}

func TestRefused(t *testing.T) {
	const open, end = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="x">`, `</presence>`
	for name, in := range map[string]string{
		"other document":  `<a/>`,
		"no entity":       `<presence xmlns="urn:ietf:params:xml:ns:pidf"/>`,
		"no id":           open + `<tuple><status/></tuple>` + end,
		"no status":       open + `<tuple id="a"/>` + end,
		"basic is open?":  open + `<tuple id="a"><status><basic>OPEN</basic></status></tuple>` + end,
		"unknown element": open + `<tupel/>` + end,
		"many tuples":     open + strings.Repeat(`<tuple id="a"><status/></tuple>`, 65) + end,
	} {
		if _, err := Parse([]byte(in)); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

func TestCompose(t *testing.T) {
	a, _ := Parse([]byte(sample))
	b, _ := Parse([]byte(baresip))
	c, _ := Parse([]byte(baresip))
	got := Compose("sip:alice@example.test", []*Doc{b, c, a})
	if len(got.Tuples) != 3 || got.Tuples[0].ID == got.Tuples[1].ID {
		t.Errorf("tuples: %+v", got.Tuples)
	}
	if len(got.Extra) != 1 || got.Extra[0].Attr("id") != "p4159" {
		t.Errorf("the newest person wins alone: %d", len(got.Extra))
	}
	if len(got.Notes) != 1 || !got.Online() {
		t.Errorf("notes %v online %v", got.Notes, got.Online())
	}
	if b.Tuples[0].ID != "t4109" || c.Tuples[0].ID != "t4109" {
		t.Error("composing changed its input")
	}
	roundTrip(t, got)
}

func roundTrip(t *testing.T, d *Doc) {
	t.Helper()
	out := d.Append(nil)
	again, err := Parse(out)
	if err != nil {
		t.Fatalf("printed form refused: %v\n%s", err, out)
	}
	if !reflect.DeepEqual(d, again) && !sameText(d, again) {
		t.Fatalf("round trip differs\n%+v\n%+v\n%s", d, again, out)
	}
}

func sameText(a, b *Doc) bool { return string(a.Append(nil)) == string(b.Append(nil)) }

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(baresip))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		out := d.Append(nil)
		if len(out) > 128<<10 {
			return // escaping made it longer than Parse takes
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("printed form refused: %v\n%q\n%q", err, b, out)
		}
		if !sameText(d, again) || d.Online() != again.Online() {
			t.Fatalf("round trip differs\n%q\n%q", out, again.Append(nil))
		}
		both := Compose("x", []*Doc{d, again})
		if len(both.Tuples) != 2*len(d.Tuples) {
			t.Fatalf("composing lost tuples")
		}
		ids := map[string]bool{}
		for _, tu := range both.Tuples {
			if ids[tu.ID] {
				t.Fatalf("id %q twice", tu.ID)
			}
			ids[tu.ID] = true
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse([]byte(baresip)); err != nil {
			b.Fatal(err)
		}
	}
}
