package mras

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// asOpenClientsSend is a request as pidgin-sipe writes it.
const asOpenClientsSend = `<request requestID="4711" from="sip:bob@example.test" version="1.0" to="sip:mras@server.example.test"` +
	` xmlns="http://schemas.microsoft.com/2006/09/sip/mrasp" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
	`<credentialsRequest credentialsRequestID="4711"><identity>sip:bob@example.test</identity><location>intranet</location>` +
	`<duration>480</duration></credentialsRequest></request>`

var asked = &Request{ID: "4711", From: "sip:bob@example.test", To: "sip:mras@server.example.test", Version: "1.0",
	Asks: []Ask{{ID: "4711", Identity: "sip:bob@example.test", Location: Intranet, Duration: 8 * time.Hour}}}

func TestRequest(t *testing.T) {
	for _, text := range []string{asOpenClientsSend, string(asked.Append(nil))} {
		if got, err := ParseRequest([]byte(text)); err != nil || !reflect.DeepEqual(got, asked) {
			t.Errorf("%v: %+v", err, got)
		}
	}
	for name, change := range map[string][2]string{
		"another document":   {"<request ", "<response "},
		"another namespace":  {"mrasp", "mrasq"},
		"no number":          {`requestID="4711"`, `requestID=""`},
		"no identity":        {"<identity>sip:bob@example.test</identity>", ""},
		"unknown location":   {"intranet", "elsewhere"},
		"no minutes":         {"480", "long"},
		"minutes below zero": {"480", "-1"},
		"zero minutes":       {"480", "0"},
		"nothing asked for":  {"credentialsRequest c", "otherRequest c"},
		"long identity":      {"<identity>sip:bob", "<identity>sip:" + strings.Repeat("b", 600)},
	} {
		text := strings.Replace(asOpenClientsSend, change[0], change[1], 1)
		if name == "nothing asked for" {
			text = strings.Replace(text, "</credentialsRequest>", "</otherRequest>", 1)
		}
		if got, err := ParseRequest([]byte(text)); err == nil || errors.Is(err, ErrVersion) {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
	for _, version := range []string{"", "3.0", "1", "x.y"} {
		text := strings.Replace(asOpenClientsSend, `version="1.0"`, `version="`+version+`"`, 1)
		if got, err := ParseRequest([]byte(text)); !errors.Is(err, ErrVersion) || got.ID != "4711" {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func TestResponse(t *testing.T) {
	r := Response{Request: &Request{ID: "4711", From: asked.From, To: asked.To, Version: "1.0"}, Reason: OK, Given: []Given{{ID: "4711", Username: "AQ+/", Password: "cw==",
		Duration: time.Hour, Relays: []Relay{{Internet, "192.0.2.10", 3478, 443}, {Internet, "2001:db8::10", 3478, 0}}}}}
	b := r.Append(nil)
	for _, part := range []string{`requestID="4711"`, `reasonPhrase="OK"`, "<username>AQ+/</username>", "<duration>60</duration>", "<udpPort>3478</udpPort>", "<hostName>192.0.2.10</hostName>"} {
		if !strings.Contains(string(b), part) {
			t.Errorf("no %s in %s", part, b)
		}
	}
	if got, err := ParseResponse(b); err != nil || !reflect.DeepEqual(*got, r) {
		t.Errorf("%v: %+v", err, got)
	}
	no := Response{Reason: Malformed}
	if got, err := ParseResponse(no.Append(nil)); err != nil || got.Reason != Malformed || len(got.Given) != 0 {
		t.Errorf("%v: %+v", err, got)
	}
}

// FuzzRequest: what is read can be printed and is read again as the same.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(asOpenClientsSend))
	f.Add(asked.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err != nil {
			return
		}
		if len(r.Asks) == 0 || len(r.Asks) > maxAsks {
			t.Errorf("%d asks", len(r.Asks))
		}
		again, err := ParseRequest(r.Append(nil))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%v: %+v, was %+v", err, again, r)
		}
		(&Response{Request: r, Reason: OK}).Append(nil)
	})
}

// FuzzResponse is FuzzRequest for responses.
func FuzzResponse(f *testing.F) {
	r := Response{Request: asked, Reason: OK, Given: []Given{{ID: "1", Username: "u", Password: "p", Duration: time.Hour, Relays: []Relay{{Internet, "h", 1, 2}}}}}
	f.Add(r.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResponse(b)
		if err != nil {
			return
		}
		if again, err := ParseResponse(r.Append(nil)); err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%v: %+v, was %+v", err, again, r)
		}
	})
}
