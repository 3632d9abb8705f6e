package presence

import (
	"strings"
	"time"

	"parley/internal/person"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/pidf"
)

// The two languages meet here: documents of standard devices become states, and
// what the states come to becomes a document.

const rpid = "urn:ietf:params:xml:ns:pidf:rpid"

// activities are those of RFC 4480 that say something about availability.
var activities = map[string]struct {
	availability int
	token        string
}{
	"on-the-phone": {person.Busy, "on-the-phone"},
	"busy":         {person.Busy, ""},
	"meeting":      {person.Busy, "in-a-meeting"},
	"appointment":  {person.Busy, ""},
	"presentation": {9000, "in-presentation"},
	"away":         {person.Away, ""},
	"sleeping":     {person.Away, ""},
	"vacation":     {person.Away, "off-work"},
	"holiday":      {person.Away, "off-work"},
}

// states are what the documents of devices say, as the states of machines.
func states(docs []published) []person.Instance {
	var out []person.Instance
	for _, d := range docs {
		s := &categories.State{Type: categories.MachineState, Availability: person.Offline}
		if d.doc.Online() {
			s.Availability = person.Available
			if name := activity(d.doc); name != "" {
				a := activities[name]
				s.Availability = a.availability
				if a.token != "" {
					s.Activity = &categories.Activity{Token: a.token}
				}
			}
		}
		out = append(out, person.Instance{State: s, Published: d.at})
	}
	return out
}

// activity finds the first known activity of a document: of the person, else of a
// tuple.
func activity(d *pidf.Doc) string {
	in := func(es []*xmldoc.Element) string {
		for _, e := range es {
			if e.Is(pidf.DataModel, "person") {
				e = e.Kid("activities")
			}
			if !e.Is(rpid, "activities") {
				continue
			}
			for k := range e.Kids {
				if _, ok := activities[k.Name.Local]; ok {
					return k.Name.Local
				}
			}
		}
		return ""
	}
	if name := in(d.Extra); name != "" {
		return name
	}
	for i := range d.Tuples {
		for _, es := range [...][]*xmldoc.Element{d.Tuples[i].Status, d.Tuples[i].Extra} {
			if name := in(es); name != "" {
				return name
			}
		}
	}
	return ""
}

// document makes a document of what somebody's states come to.
func aggregateDoc(uri string, r person.Result, note string) *pidf.Doc {
	t := pidf.Tuple{ID: "aggregate", Basic: pidf.Open, Contact: uri}
	name := ""
	switch a := r.Availability; {
	case a >= 18000:
		t.Basic, t.Contact = pidf.Closed, ""
	case a >= 12000, a >= 4500 && a < 6000:
		name = "away"
	case a >= 6000:
		name = "busy"
	}
	if r.Activity != nil && name == "busy" {
		for n, known := range activities {
			if known.token != "" && known.token == r.Activity.Token {
				name = n
			}
		}
	}
	if !r.LastActive.IsZero() {
		t.Timestamp = r.LastActive.UTC().Format(time.RFC3339)
	}
	d := &pidf.Doc{Entity: uri, Tuples: []pidf.Tuple{t}}
	if name != "" {
		act := xmldoc.New(rpid, "activities", xmldoc.Node{Elem: xmldoc.New(rpid, name)})
		who := xmldoc.New(pidf.DataModel, "person", xmldoc.Node{Elem: act})
		who.Attrs = append(who.Attrs, xmldoc.Attr("id", "aggregate"))
		d.Extra = append(d.Extra, who)
	}
	if note = strings.TrimSpace(note); note != "" {
		d.Notes = []pidf.Note{{Text: note}}
	}
	return d
}
