package webticket

import (
	"testing"
	"time"
)

func TestTicketInTheHeader(t *testing.T) {
	i := New([]byte("secret"), "x")
	envelope := func(assertion string) []byte {
		return []byte(`<soap:Envelope xmlns:soap="` + soapNS + `"><soap:Header><Security>` + assertion + `</Security></soap:Header><soap:Body><Do/></soap:Body></soap:Envelope>`)
	}
	a := string(i.Assertion(&Ticket{AOR: "alice@example.test", Audience: "/b", Issued: now, Expires: now.Add(time.Hour)}))
	ticket, e, err := i.Header(envelope(a), now, "/a", "/B")
	if err != nil || ticket.AOR != "alice@example.test" || Path(e, "Body", "Do") == nil {
		t.Fatalf("%v %+v", err, ticket)
	}
	for want, try := range map[error]func() error{
		ErrAudience: func() error { _, _, err := i.Header(envelope(a), now, "/a"); return err },
		ErrExpired:  func() error { _, _, err := i.Header(envelope(a), now.Add(time.Hour), "/a", "/b"); return err },
		ErrNone:     func() error { _, _, err := i.Header(envelope(""), now, "/a"); return err },
		ErrInvalid:  func() error { _, _, err := New([]byte("other"), "x").Header(envelope(a), now, "/a", "/b"); return err },
	} {
		if err := try(); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, e, err := i.Header([]byte("<x"), now, "/b"); err == nil || e != nil {
		t.Error("read what is no XML")
	}
}

func FuzzHeader(f *testing.F) {
	i := New([]byte("secret"), "x")
	f.Add([]byte(`<a><Header><Security><Assertion xmlns="` + samlNS + `"/></Security></Header></a>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if _, _, err := i.Header(doc, now, "/abs"); err == nil {
			t.Error("accepted a ticket that was never issued")
		}
	})
}
