package people_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/directory"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/people"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/xmldoc/soap"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, people.Spec) }

func TestFind(t *testing.T) {
	users := []*directory.User{
		{AOR: "carol@example.test", Name: "Carol Ann Jones", Enabled: true, Phones: []string{"tel:+15550103"}},
		{AOR: "bob@example.test", Name: "Bob Smith", Enabled: true, Profile: directory.Profile{Company: "Example Ltd", Title: "Engineer", Country: "NZ"}},
		{AOR: "dave@example.test", Enabled: true},
		{AOR: "bobby@example.test", Name: "Bobby Jones", Enabled: false},
	}
	for _, row := range []struct {
		rows []soap.Row
		want string
	}{
		{[]soap.Row{{Attrib: "givenName", Value: "BO"}}, "sip:bob@example.test"},
		{[]soap.Row{{Attrib: "givenName", Value: "dave"}}, "sip:dave@example.test"},
		{[]soap.Row{{Attrib: "sn", Value: "jones"}}, "sip:carol@example.test"},
		{[]soap.Row{{Attrib: "sn", Value: "ann j"}}, "sip:carol@example.test"},
		{[]soap.Row{{Attrib: "mail", Value: "bob@"}}, "sip:bob@example.test"},
		{[]soap.Row{{Attrib: "msRTCSIP-PrimaryUserAddress", Value: "sip:bob@example.test"}}, "sip:bob@example.test"},
		{[]soap.Row{{Attrib: "givenName", Value: "carol"}, {Attrib: "sn", Value: "smith"}}, ""},
		{[]soap.Row{{Attrib: "company", Value: "x"}}, ""},
		{[]soap.Row{{Attrib: "company", Value: "example"}, {Attrib: "c", Value: "nz"}}, "sip:bob@example.test"},
		{[]soap.Row{{Attrib: "givenName", Value: " "}}, ""},
		{nil, ""},
	} {
		found, more := people.Find(users, row.rows, 10)
		var got []string
		for _, p := range found {
			got = append(got, p.URI)
		}
		if strings.Join(got, " ") != row.want || more {
			t.Errorf("%v: %q", row.rows, got)
		}
	}
	if found, more := people.Find(users, []soap.Row{{Attrib: "mail", Value: "b"}}, 1); len(found) != 1 || more || found[0].Title != "Engineer" || found[0].Company != "Example Ltd" {
		t.Errorf("%v %t", found, more)
	}
	if found, more := people.Find(users[:3], []soap.Row{{Attrib: "msRTCSIP-PrimaryUserAddress", Value: "c"}, {Attrib: "telephoneNumber", Value: "+1555"}}, 1); len(found) != 1 || more || found[0].Phone != "+15550103" {
		t.Errorf("%v %t", found, more)
	}
}

func TestSearch(t *testing.T) {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{people.Spec, registrar.Spec}})
	n.AddUsers("alice", "bob", "bobby")
	a := servicetest.Dial(t, n, "tcp", "alice")
	ask := func(code int, ctype, body string) *phone.Message {
		m := a.Request("SERVICE", "sip:example.test", "sip:example.test", phone.Header{Name: "Content-Type", Value: ctype})
		m.Body = body
		return a.Ask(code, m)
	}
	r := soap.Request{Method: "directorySearch", Args: map[string]string{"maxResults": "1"}, Rows: []soap.Row{{Attrib: "givenName", Value: "bob"}}}
	m := ask(200, "application/SOAP+xml", string(r.Append(nil, "maxResults")))
	if !strings.Contains(m.Body, `uri="sip:bob@example.test"`) || !strings.Contains(m.Body, "moreAvailable>true<") {
		t.Errorf("found\n%s", m)
	}
	ask(501, "application/SOAP+xml", strings.ReplaceAll(string(r.Append(nil)), "directorySearch", "x"))
	ask(400, "application/SOAP+xml", "x")
	ask(415, "text/plain", "x")
}
