package rlmi

import (
	"reflect"
	"testing"
)

// From RFC 4662 5.2, shortened.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:adam-friends@example.test" version="7" fullState="true">
  <name xml:lang="en">Buddy List</name>
  <resource uri="sip:bob@example.test"><name>Bob</name>
    <instance id="juwigmtboe" state="active" cid="bUZBsM@pres.example.test"/></resource>
  <resource uri="sip:dave@example.test"><instance id="hqzsuxtfyq" state="terminated" reason="rejected"/></resource>
  <resource uri="sip:jim@elsewhere.test"/>
</list>`

func TestRoundTrip(t *testing.T) {
	l, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if l.Version != 7 || !l.FullState || len(l.Resources) != 3 || l.Resources[0].Instances[0].CID != "bUZBsM@pres.example.test" ||
		l.Resources[1].Instances[0].Reason != "rejected" {
		t.Errorf("got %+v", l)
	}
	again, err := Parse(l.Append(nil))
	if err != nil || !reflect.DeepEqual(l, again) {
		t.Errorf("round trip: %v\n%+v\n%+v", err, l, again)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		out := l.Append(nil)
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("round trip: %v\n%q\n%q", err, b, out)
		}
	})
}
