package dialog_test

import (
	"errors"
	"strings"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/dialog"
	"parley/internal/sip/siptest"
)

const inviteText = `
	INVITE sip:bob@example.test SIP/2.0
	Via: SIP/2.0/UDP p2;branch=z9hG4bK2
	Via: SIP/2.0/UDP pc33;branch=z9hG4bK1
	Record-Route: <sip:p2;lr>, <sip:p1;lr>
	From: "Alice" <sip:alice@example.test;x=y>;tag=a;foo=bar
	To: Bob
	 <sip:bob@example.test>
	Call-ID: c1
	CSeq: 10 INVITE
	Contact: <sip:alice@pc33>
	Session-Expires: 1800;refresher=UAC
	Min-SE: 90
	`

const okText = `
	SIP/2.0 200 OK
	Via: SIP/2.0/UDP pc33;branch=z9hG4bK1
	Record-Route: <sip:p2;lr>, <sip:p1;lr>
	From: "Alice" <sip:alice@example.test;x=y>;tag=a;foo=bar
	To: Bob <sip:bob@example.test>;tag=b
	Call-ID: c1
	CSeq: 10 INVITE
	Contact: <sip:bob@desk:5062;transport=tcp>
	Session-Expires: 1200;refresher=uas
	`

func edit(s string, oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(s) }

func request(t *testing.T, d *dialog.Dialog, method string) *sip.Message {
	t.Helper()
	var b sip.Builder
	return complete(t, d.Request(&b, method))
}

// complete adds the Via that the transaction layer adds, and parses.
func complete(t *testing.T, b *sip.Builder) *sip.Message {
	t.Helper()
	return siptest.ParseBytes(t, b.Header("Via", "SIP/2.0/UDP me;branch=z9hG4bKx").End())
}

func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func code(err error) int {
	var e *sip.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func routesOf(m *sip.Message) string {
	var all []string
	for r := range m.All(sip.HRoute) {
		all = append(all, string(r))
	}
	return strings.Join(all, " ")
}

// RFC 3261 section 12.1.1: the answering side.
func TestUAS(t *testing.T) {
	invite := siptest.Parse(t, inviteText)
	d, err := dialog.NewUAS(invite, "b")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "id", d.ID, dialog.ID{CallID: "c1", Local: "b", Remote: "a"})
	eq(t, "state", d.State, dialog.Early)
	eq(t, "caller", d.Caller, false)
	eq(t, "route set", strings.Join(d.RouteSet, " "), "<sip:p2;lr> <sip:p1;lr>")
	eq(t, "target", d.RemoteTarget, "sip:alice@pc33")
	eq(t, "remote seq", d.RemoteSeq, 10)
	eq(t, "local seq", d.LocalSeq, 0)
	eq(t, "session", d.Session, dialog.Session{Expires: 1800, MinSE: 90, Refresher: "uac"})
	d.Confirm()
	eq(t, "state", d.State, dialog.Confirmed)

	bye := request(t, d, "BYE")
	eq(t, "request URI", string(bye.RequestURI()), "sip:alice@pc33")
	eq(t, "routes", routesOf(bye), "<sip:p2;lr> <sip:p1;lr>")
	eq(t, "From", string(bye.Header(sip.HFrom)), "Bob <sip:bob@example.test>;tag=b")
	eq(t, "To", string(bye.Header(sip.HTo)), `"Alice" <sip:alice@example.test;x=y>;tag=a`)
	seq, _ := bye.CSeq()
	eq(t, "CSeq", seq, 1)
	eq(t, "the peer finds the dialog", dialog.IDOf(bye), dialog.ID{CallID: "c1", Local: "a", Remote: "b"})
}

// RFC 3261 section 12.1.2: the asking side; the route set is reversed.
func TestUAC(t *testing.T) {
	invite, ok := siptest.Parse(t, inviteText), siptest.Parse(t, okText)
	d, err := dialog.NewUAC(invite, ok)
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "id", d.ID, dialog.IDOf(ok))
	eq(t, "id", d.ID, dialog.ID{CallID: "c1", Local: "a", Remote: "b"})
	eq(t, "state", d.State, dialog.Confirmed)
	eq(t, "route set", strings.Join(d.RouteSet, " "), "<sip:p1;lr> <sip:p2;lr>")
	eq(t, "session", d.Session, dialog.Session{Expires: 1200, Refresher: "uas"})
	info := request(t, d, "INFO")
	seq, _ := info.CSeq()
	eq(t, "CSeq", seq, 11)
	eq(t, "request URI", string(info.RequestURI()), "sip:bob@desk:5062;transport=tcp")

	// Section 13.2.2.4: the ACK has the number of its INVITE, whatever was sent since.
	var b sip.Builder
	ack := complete(t, d.Ack(&b, 10))
	seq, method := ack.CSeq()
	eq(t, "CSeq", seq, 10)
	eq(t, "method", method, sip.ACK)
	eq(t, "next", d.LocalSeq, 11)
}

// RFC 3261 sections 12.1.2 and 13.2.2.4: a 2xx gives the final target and route set of an early dialog.
func TestEarlyBecomesConfirmed(t *testing.T) {
	invite := siptest.Parse(t, inviteText)
	ringing := siptest.Parse(t, edit(okText, "200 OK", "180 Ringing", ", <sip:p1;lr>", "", "desk", "lobby"))
	d, err := dialog.NewUAC(invite, ringing)
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "state", d.State, dialog.Early)
	eq(t, "routes", strings.Join(d.RouteSet, " "), "<sip:p2;lr>")
	if err := d.Response(siptest.Parse(t, okText)); err != nil {
		t.Fatal(err)
	}
	eq(t, "state", d.State, dialog.Confirmed)
	eq(t, "target", d.RemoteTarget, "sip:bob@desk:5062;transport=tcp")
	eq(t, "routes", strings.Join(d.RouteSet, " "), "<sip:p1;lr> <sip:p2;lr>")

	// Section 12.2.1.2: later responses do not change the route set any more.
	if err := d.Response(siptest.Parse(t, edit(okText, ", <sip:p1;lr>", ""))); err != nil {
		t.Fatal(err)
	}
	eq(t, "routes", strings.Join(d.RouteSet, " "), "<sip:p1;lr> <sip:p2;lr>")
}

func TestNoDialog(t *testing.T) {
	invite := siptest.Parse(t, inviteText)
	for name, s := range map[string]string{
		"100":                edit(okText, "200 OK", "100 Trying"),
		"486":                edit(okText, "200 OK", "486 Busy Here"),
		"180 without To tag": edit(okText, "200 OK", "180 Ringing", ";tag=b", ""),
		"no Contact":         edit(okText, "Contact", "X-Contact"),
		"Contact *":          edit(okText, "<sip:bob@desk:5062;transport=tcp>", "*"),
		"two Contacts":       edit(okText, "Contact: ", "Contact: <sip:x>, "),
	} {
		if _, err := dialog.NewUAC(invite, siptest.Parse(t, s)); err == nil {
			t.Errorf("%s makes a dialog", name)
		}
	}
	for name, s := range map[string]string{
		"no Contact":  edit(inviteText, "Contact", "X-Contact"),
		"bad Contact": edit(inviteText, "<sip:alice@pc33>", "<sip:alice@pc33 SIP/2.0>"),
		"bad From":    edit(inviteText, `"Alice"`, `"Alice`),
		"bad To":      edit(inviteText, "To: Bob", "To: \"Bob"),
	} {
		_, err := dialog.NewUAS(siptest.Parse(t, s), "b")
		eq(t, name, code(err), 400)
	}
	// An RFC 2543 peer has no tags; a missing one is null.
	d, err := dialog.NewUAS(siptest.Parse(t, edit(inviteText, ";tag=a", "")), "b")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "To", string(request(t, d, "BYE").Header(sip.HTo)), `"Alice" <sip:alice@example.test;x=y>`)
}

func inDialog(t *testing.T, method, cseq, extra string) *sip.Message {
	t.Helper()
	return siptest.Parse(t, method+` sip:bob@desk SIP/2.0
	Via: SIP/2.0/UDP pc33;branch=z9hG4bK9
	From: <sip:alice@example.test>;tag=a
	To: <sip:bob@example.test>;tag=b
	Call-ID: c1
	CSeq: `+cseq+" "+method+"\n"+extra)
}

// RFC 3261 section 12.2.2.
func TestReceive(t *testing.T) {
	d, err := dialog.NewUAS(siptest.Parse(t, inviteText), "b")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "older", code(d.Receive(inDialog(t, "INFO", "9", ""))), 500)
	eq(t, "newer", d.Receive(inDialog(t, "INFO", "17", "Contact: <sip:elsewhere>\n")), nil)
	eq(t, "INFO does not refresh", d.RemoteTarget, "sip:alice@pc33")
	eq(t, "ACK of the first INVITE", d.Receive(inDialog(t, "ACK", "10", "")), nil)
	eq(t, "older than the INFO", code(d.Receive(inDialog(t, "UPDATE", "16", "Contact: <sip:x>\n"))), 500)
	eq(t, "target", d.RemoteTarget, "sip:alice@pc33")
	eq(t, "two Contacts", code(d.Receive(inDialog(t, "UPDATE", "18", "Contact: <sip:x>, <sip:y>\n"))), 400)
	eq(t, "not counted", d.RemoteSeq, 17)
	eq(t, "UPDATE", d.Receive(inDialog(t, "UPDATE", "18", "Contact: <sip:alice@new>\n")), nil)
	eq(t, "target", d.RemoteTarget, "sip:alice@new")
	eq(t, "BYE", d.Receive(inDialog(t, "BYE", "19", "")), nil)
	eq(t, "state", d.State, dialog.Terminated)
	eq(t, "after the end", code(d.Receive(inDialog(t, "INFO", "20", ""))), 481)
}

// RFC 3261 section 12.2.1.2 and 15.1.1: what a response does to the dialog.
func TestResponses(t *testing.T) {
	response := func(status, method, extra string) *sip.Message {
		return siptest.Parse(t, "SIP/2.0 "+status+`
	Via: SIP/2.0/UDP me;branch=z9hG4bKx
	From: <sip:alice@example.test>;tag=a
	To: <sip:bob@example.test>;tag=b
	Call-ID: c1
	CSeq: 11 `+method+"\n"+extra)
	}
	for _, c := range []struct {
		status, method, extra string
		state                 dialog.State
		target                string
	}{
		{"200 OK", "INFO", "Contact: <sip:x>\n", dialog.Confirmed, "sip:bob@desk:5062;transport=tcp"},
		{"200 OK", "INVITE", "Contact: <sip:x>\n", dialog.Confirmed, "sip:x"},
		{"180 Ringing", "INVITE", "Contact: <sip:x>\n", dialog.Confirmed, "sip:bob@desk:5062;transport=tcp"},
		{"488 Not Acceptable Here", "INVITE", "", dialog.Confirmed, "sip:bob@desk:5062;transport=tcp"},
		{"481 Gone", "INFO", "", dialog.Terminated, "sip:bob@desk:5062;transport=tcp"},
		{"408 Request Timeout", "UPDATE", "", dialog.Terminated, "sip:bob@desk:5062;transport=tcp"},
		{"200 OK", "BYE", "", dialog.Terminated, "sip:bob@desk:5062;transport=tcp"},
		{"503 Busy", "BYE", "", dialog.Terminated, "sip:bob@desk:5062;transport=tcp"},
		{"100 Trying", "BYE", "", dialog.Confirmed, "sip:bob@desk:5062;transport=tcp"},
	} {
		d, err := dialog.NewUAC(siptest.Parse(t, inviteText), siptest.Parse(t, okText))
		if err != nil {
			t.Fatal(err)
		}
		eq(t, c.status, d.Response(response(c.status, c.method, c.extra)), nil)
		eq(t, c.status+" to "+c.method, d.State, c.state)
		eq(t, "target", d.RemoteTarget, c.target)
	}
	d, err := dialog.NewUAC(siptest.Parse(t, inviteText), siptest.Parse(t, edit(okText, "200 OK", "183 Progress")))
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "refusal", d.Response(response("486 Busy Here", "INVITE", "")), nil)
	eq(t, "early dialog after 486", d.State, dialog.Terminated)
}

// RFC 3261 section 12.2.1.1: a strict router gets itself in the request URI, and the target goes last.
func TestStrictRoute(t *testing.T) {
	d, err := dialog.NewUAC(siptest.Parse(t, inviteText), siptest.Parse(t, edit(okText, "<sip:p1;lr>", "<sip:old?Subject=x>")))
	if err != nil {
		t.Fatal(err)
	}
	m := request(t, d, "BYE")
	eq(t, "request URI", string(m.RequestURI()), "sip:old")
	eq(t, "routes", routesOf(m), "<sip:p2;lr> <sip:bob@desk:5062;transport=tcp>")
	eq(t, "route set", strings.Join(d.RouteSet, " "), "<sip:old?Subject=x> <sip:p2;lr>")
}

// RFC 3261 section 12.1: a dialog made over sips is secure.
func TestSecure(t *testing.T) {
	d, err := dialog.NewUAS(siptest.Parse(t, edit(inviteText, "INVITE sip:", "INVITE sips:")), "b")
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "secure", d.Secure, true)
}

// The peer's Contact is put into our request line; it must not be able to write more than that.
func TestRequestIsOneMessage(t *testing.T) {
	d := &dialog.Dialog{ID: dialog.ID{CallID: "c", Local: "a", Remote: "b\r\nX: y"}, LocalURI: "<sip:a>", RemoteURI: "<sip:b>", RemoteTarget: "sip:x\r\nX: y"}
	var b sip.Builder
	if strings.Contains(string(d.Request(&b, "BYE").Bytes()), "\nX: y") {
		t.Errorf("%s", b.Bytes())
	}
}
