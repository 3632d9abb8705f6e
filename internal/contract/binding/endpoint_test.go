package binding

import (
	"strings"
	"testing"

	"parley/internal/sip"
)

// Values of published 200 OK responses.
func TestEndpointNames(t *testing.T) {
	if got := InstanceOf("c8ca638a15"); got != "urn:uuid:34d859db-6585-5f91-a3b4-de853c15347d" {
		t.Errorf("instance %s", got)
	}
	for instance, want := range map[string]string{
		"urn:uuid:34d859db-6585-5f91-a3b4-de853c15347d": "21nYNIVlkV-jtN6FPBU0fQAA",
		"urn:uuid:C1589240-E660-594F-A8B3-4B55F358CBC1": "QJJYwWDmT1mos0tV81jLwQAA",
		"urn:uuid:34d859db-6585-5f91-a3b4-de853c15347":  "",
		"urn:uuid:34d859db-6585-5f91-a3b4-de853c15347x": "",
		"urn:uuid:34d859db06585-5f91-a3b4-de853c15347d": "",
		"urn:mac:0": "", "": "",
	} {
		if got, ok := EndpointID(instance); got != want || ok != (want != "") {
			t.Errorf("%s: %q", instance, got)
		}
	}
	uri, ok := AppendEndpoint(nil, "alice@example.test", InstanceOf("c8ca638a15"))
	if want := "sip:alice@example.test;opaque=user:epid:21nYNIVlkV-jtN6FPBU0fQAA;gruu"; !ok || string(uri) != want {
		t.Errorf("%s", uri)
	}
	var u sip.URI
	if err := sip.ParseURI(uri, &u); err != nil {
		t.Fatal(err)
	}
	if id, ok := EndpointOf(&u); !ok || id != "21nYNIVlkV-jtN6FPBU0fQAA" {
		t.Errorf("read %q", id)
	}
	plain := strings.Replace(string(uri), ";gruu", "", 1)
	if err := sip.ParseURI([]byte(plain), &u); err != nil {
		t.Fatal(err)
	}
	if _, ok := EndpointOf(&u); ok {
		t.Error("without the flag it is none")
	}
}
