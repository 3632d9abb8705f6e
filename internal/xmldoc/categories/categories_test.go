package categories

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const publish = `<publish xmlns="http://schemas.microsoft.com/2006/09/sip/rich-presence">
 <publications uri="sip:alice@example.test">
  <publication categoryName="state" instance="536870912" container="2" version="0" expireType="static">
   <state xmlns="http://schemas.microsoft.com/2006/09/sip/state" manual="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="userState">
    <availability>3500</availability><endpointLocation/></state></publication>
  <publication categoryName="note" instance="0" container="200" version="3" expireType="static" expires="0"/>
 </publications></publish>`

func TestPublish(t *testing.T) {
	uri, pubs, err := ParsePublish([]byte(publish))
	if err != nil || uri != "sip:alice@example.test" || len(pubs) != 2 {
		t.Fatalf("%v: %q %+v", err, uri, pubs)
	}
	if p := pubs[0]; p.Key != (Key{"state", 536870912, 2}) || p.ExpireType != Static || p.Delete || p.State.Type != UserState || !p.State.Manual || p.State.Availability != 3500 ||
		string(p.Body) != `<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" manual="true" xsi:type="userState"><availability>3500</availability><endpointLocation/></state>` {
		t.Errorf("state %+v %s", p, p.Body)
	}
	if p := pubs[1]; !p.Delete || p.Version != 3 || p.Body != nil {
		t.Errorf("note %+v", p)
	}
}

func TestRefused(t *testing.T) {
	one := func(attrs, body string) string {
		return `<publish><publications uri="sip:a@example.test"><publication ` + attrs + `>` + body + `</publication></publications></publish>`
	}
	for name, in := range map[string]string{
		"empty availability": one(`categoryName="state"`, `<state><availability/></state>`),
		"no availability":    one(`categoryName="state"`, `<state/>`),
		"other element":      one(`categoryName="state"`, `<x/>`),
		"expire type":        one(`categoryName="note" expireType="x"`, ``),
		"container":          one(`categoryName="note" container="-1"`, ``),
		"no name":            one(``, ``),
		"twice":              strings.Replace(one(`categoryName="note"`, ``), "</publications>", `<publication categoryName="note"/></publications>`, 1),
		"nothing":            `<publish><publications uri="sip:a@example.test"/></publish>`,
	} {
		if _, pubs, err := ParsePublish([]byte(in)); err == nil {
			t.Errorf("%s accepted: %+v", name, pubs)
		}
	}
}

func TestSpelling(t *testing.T) {
	c := Category{Key{"note", 0, 200}, 4, time.UnixMilli(1704067200000), Static, "", []byte("<note/>")}
	if got, want := string(c.Append(nil)), `<category name="note" instance="0" publishTime="2024-01-01T00:00:00.000Z" container="200" version="4" expireType="static"><note/></category>`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	c.Body = nil
	if got, want := string(c.AppendFor(nil)), `<category name="note" instance="0" publishTime="2024-01-01T00:00:00.000Z"/>`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got := string(AppendFault(nil, []Conflict{{2, 0, 5}})); !strings.Contains(got, `<Faultcode>Client.BadCall.WrongDelta</Faultcode><details><operation index="2" version="0" curVersion="5"/></details>`) {
		t.Errorf("fault %s", got)
	}
}

func FuzzPublish(f *testing.F) {
	f.Add([]byte(publish))
	f.Fuzz(func(t *testing.T, b []byte) {
		uri, pubs, err := ParsePublish(b)
		if err != nil {
			return
		}
		uri2, again, err := ParsePublish(AppendPublish(nil, uri, pubs))
		if err != nil && strings.Contains(err.Error(), "too l") {
			return // the printed form may be larger than what is read
		}
		if err != nil || uri != uri2 || len(again) != len(pubs) {
			t.Fatalf("%v: %+v became %+v", err, pubs, again)
		}
		for i := range pubs {
			// A body in no namespace takes that of the document into which it is written.
			body := strings.Replace(string(again[i].Body), ` xmlns="http://schemas.microsoft.com/2006/09/sip/rich-presence"`, "", 1)
			if pubs[i].Key != again[i].Key || string(pubs[i].Body) != string(again[i].Body) && string(pubs[i].Body) != body || pubs[i].Delete != again[i].Delete {
				t.Fatalf("%+v: %s became %s", pubs[i].Key, pubs[i].Body, again[i].Body)
			}
			if s := pubs[i].State; s != nil {
				if _, body, err := ParsePublish(AppendPublish(nil, "x", []Publication{{Key: Key{Name: "state"}, ExpireType: Static, Body: s.Append(nil, "")}})); err != nil || body[0].State.Availability != s.Availability {
					t.Fatalf("%v: state %+v", err, s)
				}
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(End((&Category{Key: Key{"note", 1, 2}, Body: []byte("<a/>")}).Append(Begin(nil, "sip:bob@example.test"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		out := Begin(nil, d.URI)
		for i := range d.Categories {
			out = d.Categories[i].Append(out)
		}
		if again, err := Parse(End(out)); err == nil && !reflect.DeepEqual(again.URI, d.URI) {
			t.Fatalf("%+v became %+v", d, again)
		}
	})
}
