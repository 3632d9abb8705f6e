package resourcelists

import (
	"reflect"
	"strings"
	"testing"
)

// From RFC 5367 5, with a nested list and a repetition.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <list>
    <entry uri="sip:bob@example.test"><display-name>Bob</display-name></entry>
    <list name="close"><entry uri="sip:carol@example.test"/><external anchor="http://x/"/></list>
    <entry uri="sip:bob@example.test"/>
  </list>
</resource-lists>`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(sample), 10)
	want := []Entry{{"sip:bob@example.test", "Bob"}, {"sip:carol@example.test", ""}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Parse([]byte(sample), 1); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("limit: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b, 100)
		if err != nil {
			return
		}
		again, err := Parse(Append(nil, l), 100)
		if err != nil || len(l) != len(again) || len(l) > 0 && !reflect.DeepEqual(l, again) {
			t.Fatalf("round trip: %v\n%q", err, b)
		}
	})
}
