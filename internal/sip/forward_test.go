package sip_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/siptest"
)

func siptestText(s string) []byte { return siptest.Text(s) }

func lines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.TrimLeft(s, "\n"), "\t", ""), "\n", "\r\n")
}

func diff(t *testing.T, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// One request with every edit. Fields nobody edits keep folds, spacing, names and order.
func TestAppendForward(t *testing.T) {
	m := siptest.Parse(t, `
	INVITE sip:bob@example.test SIP/2.0
	v:  SIP/2.0/UDP  host.invalid:5060;rport;branch=z9hG4bKa;x="a;b" , SIP/2.0/TCP other
	Max-Forwards:   70
	ROUTE: <sip:p1;lr>,
	 <sip:p2;lr>;x="," , <sip:p3;lr>
	Route: <sip:p4;lr>
	f: Alice
	 <sip:alice@example.test>;tag=1
	To: <sip:bob@example.test>
	i: c1
	CSeq: 1   INVITE
	Proxy-Authorization: Digest x
	Contact: <sip:alice@h>;methods="INVITE, MESSAGE"
	l: 3

	abc`)
	m.Source = netip.MustParseAddrPort("[::ffff:192.0.2.9]:1234")
	out := sip.AppendForward([]byte("before|"), m, &sip.ForwardEdit{
		RequestURI:   []byte("sip:bob@192.0.2.20"),
		Via:          []byte("SIP/2.0/TLS me;branch=z9hG4bKb"),
		RecordRoute:  [][]byte{[]byte("<sip:me;lr>"), []byte("<sip:me2;lr>")},
		RemoveRoutes: 2,
		Routes:       [][]byte{[]byte("<sip:edge;lr>")},
		Path:         [][]byte{[]byte("<sip:path;lr>")},
		Append:       []sip.Header{{Name: "P-Asserted-Identity", Value: "<sip:alice@example.test>"}},
		Drop:         func(f sip.Field) bool { return f.ID == sip.HProxyAuthorization },
	})
	diff(t, out, "before|"+lines(`
	INVITE sip:bob@192.0.2.20 SIP/2.0
	Via: SIP/2.0/TLS me;branch=z9hG4bKb
	Record-Route: <sip:me;lr>
	Record-Route: <sip:me2;lr>
	Route: <sip:edge;lr>
	Path: <sip:path;lr>
	v:  SIP/2.0/UDP  host.invalid:5060;branch=z9hG4bKa;x="a;b";received=192.0.2.9;rport=1234, SIP/2.0/TCP other
	Max-Forwards:   69
	Route: <sip:p3;lr>
	Route: <sip:p4;lr>
	f: Alice
	 <sip:alice@example.test>;tag=1
	To: <sip:bob@example.test>
	i: c1
	CSeq: 1   INVITE
	Contact: <sip:alice@h>;methods="INVITE, MESSAGE"
	l: 3
	P-Asserted-Identity: <sip:alice@example.test>

	abc`))
}

// Max-Forwards and Content-Length are added where they are missing (RFC 3261 sections 16.6 step 3, 18.3).
func TestAppendForwardAddsWhatIsMissing(t *testing.T) {
	m := siptest.ParseBytes(t, siptest.Raw("inv2543"))
	var o sip.Message
	if err := o.Parse(sip.AppendForward(nil, m, &sip.ForwardEdit{}), nil); err != nil {
		t.Fatal(err)
	}
	eq(t, "Max-Forwards", o.MaxForwards(), 70)
	eq(t, "Content-Length", string(o.Header(sip.HContentLength)), "105")
	eq(t, "body", string(o.Body()), string(m.Body()))
	if n, kind, err := sip.Frame(o.Raw(), nil); n != len(o.Raw()) || kind != sip.FrameMessage {
		t.Error(n, kind, err)
	}
}

// Another body takes the fields with it that speak of the old one, under whatever name.
func TestAnotherBody(t *testing.T) {
	body := &sip.Body{Type: "application/sdp", Data: []byte("v=0\r\n")}
	m := siptest.Parse(t, `
	INVITE sip:bob@example.test SIP/2.0
	Via: SIP/2.0/UDP a;branch=z9hG4bKa
	c: multipart/alternative;boundary=x
	From: <sip:alice@example.test>;tag=1
	Content-Encoding: gzip
	To: <sip:bob@example.test>
	i: c1
	CSeq: 1 INVITE
	Content-Length: 3
	Subject: lunch

	abc`)
	diff(t, sip.AppendForward(nil, m, &sip.ForwardEdit{KeepMaxForwards: true, Body: body}), lines(`
	INVITE sip:bob@example.test SIP/2.0
	Via: SIP/2.0/UDP a;branch=z9hG4bKa
	From: <sip:alice@example.test>;tag=1
	To: <sip:bob@example.test>
	i: c1
	CSeq: 1 INVITE
	Subject: lunch
	Content-Type: application/sdp
	Content-Length: 5

	v=0
	`))
	r := siptest.Parse(t, `
	SIP/2.0 200 OK
	Via: SIP/2.0/UDP us;branch=z9hG4bKus, SIP/2.0/UDP a;branch=z9hG4bKa
	From: <sip:alice@example.test>;tag=1
	To: <sip:bob@example.test>;tag=2
	i: c1
	CSeq: 1 INVITE
	Content-Type: application/sdp
	l: 3

	abc`)
	diff(t, sip.AppendResponseForward(nil, r, &sip.ResponseEdit{Body: &sip.Body{}}), lines(`
	SIP/2.0 200 OK
	Via: SIP/2.0/UDP a;branch=z9hG4bKa
	From: <sip:alice@example.test>;tag=1
	To: <sip:bob@example.test>;tag=2
	i: c1
	CSeq: 1 INVITE
	Content-Length: 0

	`))
}

func TestRemoveRoutes(t *testing.T) {
	for n, want := range []string{"a|b|c|d", "b|c|d", "c|d", "d", "", ""} {
		m := siptest.Parse(t, good+"Route: <sip:a>\nRoute: <sip:b> ,, <sip:c>\nRoute: <sip:d>\n")
		var o sip.Message
		if err := o.Parse(sip.AppendForward(nil, m, &sip.ForwardEdit{RemoveRoutes: n}), nil); err != nil {
			t.Fatal(err)
		}
		var got []string
		for r := range o.All(sip.HRoute) {
			got = append(got, strings.Trim(string(r), "<>sip:"))
		}
		eq(t, "routes", strings.Join(got, "|"), want)
	}
}

// received and rport by RFC 3261 section 18.2.1 and RFC 3581 section 4.
func TestReceived(t *testing.T) {
	for _, c := range []struct{ via, src, want string }{
		{"SIP/2.0/UDP 192.0.2.1:5060;branch=b", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1:5060;branch=b"},
		{"SIP/2.0/UDP 192.0.2.1:5060;branch=b", "192.0.2.1:9", "SIP/2.0/UDP 192.0.2.1:5060;branch=b"},
		{"SIP/2.0/UDP 192.0.2.1;rport;branch=b", "192.0.2.1:9", "SIP/2.0/UDP 192.0.2.1;branch=b;received=192.0.2.1;rport=9"},
		{"SIP/2.0/UDP phone.invalid;branch=b", "192.0.2.1:9", "SIP/2.0/UDP phone.invalid;branch=b;received=192.0.2.1"},
		{"SIP/2.0/UDP 10.0.0.1 ; rport ; branch=b", "192.0.2.1:9", "SIP/2.0/UDP 10.0.0.1 ; branch=b;received=192.0.2.1;rport=9"},
		{"SIP/2.0/UDP 10.0.0.1;received=6.6.6.6;rport=6;branch=b", "192.0.2.1:9", "SIP/2.0/UDP 10.0.0.1;branch=b;received=192.0.2.1;rport=9"},
		{"SIP/2.0/UDP 192.0.2.1;received=6.6.6.6", "192.0.2.1:9", "SIP/2.0/UDP 192.0.2.1"},
		{"SIP/2.0/TCP [2001:db8::1]", "[2001:db8::1]:9", "SIP/2.0/TCP [2001:db8::1]"},
		{"SIP/2.0/TCP [2001:db8::2];rport", "[2001:db8::1%eth0]:9", "SIP/2.0/TCP [2001:db8::2];received=2001:db8::1;rport=9"},
	} {
		m := siptest.Parse(t, strings.Replace(good, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", c.via, 1))
		m.Source = netip.MustParseAddrPort(c.src)
		var o sip.Message
		if err := o.Parse(sip.AppendResponse(nil, m, 200, "", "t"), nil); err != nil {
			t.Fatal(err)
		}
		eq(t, c.via+" from "+c.src, string(o.Header(sip.HVia)), c.want)
		if err := o.Parse(sip.AppendForward(nil, m, &sip.ForwardEdit{}), nil); err != nil {
			t.Fatal(err)
		}
		eq(t, c.via+" forwarded", string(o.Header(sip.HVia)), c.want)
	}
}

func TestAppendResponse(t *testing.T) {
	m := siptest.Parse(t, `
	INVITE sip:bob@example.test SIP/2.0
	Via: SIP/2.0/UDP p;branch=z9hG4bKp, SIP/2.0/UDP q
	v: SIP/2.0/UDP r
	Record-Route: <sip:p;lr>
	From: Alice <sip:alice@example.test>;tag=1
	t:  Bob <sip:bob@example.test>
	Call-ID: c1
	Timestamp: 54
	CSeq: 7 INVITE
	Subject: x
	`)
	diff(t, sip.AppendResponse(nil, m, 100, "", ""), lines(`
	SIP/2.0 100 Trying
	Via: SIP/2.0/UDP p;branch=z9hG4bKp, SIP/2.0/UDP q
	v: SIP/2.0/UDP r
	From: Alice <sip:alice@example.test>;tag=1
	t:  Bob <sip:bob@example.test>
	Call-ID: c1
	CSeq: 7 INVITE
	Timestamp: 54
	Content-Length: 0

	`))
	r := sip.Response{Code: 200, ToTag: "9", RecordRoute: true, ContentType: "application/sdp", Body: []byte("v=0"),
		Headers: []sip.Header{{Name: "Contact", Value: "<sip:bob@h>\r\nX-Evil: 1"}}}
	diff(t, r.Append(nil, m), lines(`
	SIP/2.0 200 OK
	Via: SIP/2.0/UDP p;branch=z9hG4bKp, SIP/2.0/UDP q
	v: SIP/2.0/UDP r
	Record-Route: <sip:p;lr>
	From: Alice <sip:alice@example.test>;tag=1
	t:  Bob <sip:bob@example.test>;tag=9
	Call-ID: c1
	CSeq: 7 INVITE
	Contact: <sip:bob@h>  X-Evil: 1
	Content-Type: application/sdp
	Content-Length: 3

	v=0`))
	tagged := siptest.Parse(t, strings.Replace(good, "bob@example.test>", "bob@example.test>;tag=old", 1))
	out := sip.AppendError(nil, tagged, &sip.Error{Code: 503, Reason: "Busy", Headers: []sip.Header{{Name: "Retry-After", Value: "3"}}}, "new")
	if !bytes.Contains(out, []byte(";tag=old\r\n")) || bytes.Contains(out, []byte("new")) || !bytes.HasPrefix(out, []byte("SIP/2.0 503 Busy\r\n")) || !bytes.Contains(out, []byte("Retry-After: 3\r\n")) {
		t.Errorf("%s", out)
	}
}

func TestAppendResponseForward(t *testing.T) {
	const head = "SIP/2.0 200 OK\n"
	const rest = "From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nl: 0\n"
	for in, want := range map[string]string{
		"Via: SIP/2.0/UDP a\nVia: SIP/2.0/UDP b\n":           "Via: SIP/2.0/UDP b\n",
		"Via: SIP/2.0/UDP a , SIP/2.0/UDP b,SIP/2.0/TCP c\n": "Via: SIP/2.0/UDP b,SIP/2.0/TCP c\n",
		"v : SIP/2.0/UDP a,\n SIP/2.0/UDP b\n":               "v : SIP/2.0/UDP b\n",
		"Via: SIP/2.0/UDP a\n":                               "",
	} {
		m := siptest.Parse(t, head+in+rest)
		diff(t, sip.AppendResponseForward(nil, m, nil), lines(head+want+rest+"\n"))
	}
	m := siptest.Parse(t, head+"Via: SIP/2.0/UDP a\n"+rest)
	out := sip.AppendResponseForward(nil, m, &sip.ResponseEdit{KeepVia: true, Append: []sip.Header{{Name: "Z", Value: "1"}},
		Drop: func(f sip.Field) bool { return f.ID == sip.HTo }})
	diff(t, out, lines(strings.Replace(head+"Via: SIP/2.0/UDP a\n"+rest+"Z: 1\n\n", "To: <sip:c@d>;tag=2\n", "", 1)))
}

// RFC 3261 sections 17.1.1.3 and 9.1.
func TestAppendAckAndCancel(t *testing.T) {
	invite := siptest.Parse(t, `
	INVITE sip:bob@192.0.2.4 SIP/2.0
	Via: SIP/2.0/UDP pc33;branch=z9hG4bKkjshdyff, SIP/2.0/UDP below
	To: Bob <sip:bob@example.test>
	From: Alice <sip:alice@example.test>;tag=88sja8x
	Max-Forwards: 70
	Route: <sip:p;lr>
	Call-ID: 987asjd97y7atg
	CSeq: 986759 INVITE
	`)
	resp := siptest.ParseBytes(t, sip.AppendResponse(nil, invite, 486, "", "99sa0xk"))
	const common = `
	Via: SIP/2.0/UDP pc33;branch=z9hG4bKkjshdyff
	Route: <sip:p;lr>
	Max-Forwards: 70
	From: Alice <sip:alice@example.test>;tag=88sja8x
	Call-ID: 987asjd97y7atg
	CSeq: 986759 `
	diff(t, sip.AppendAck(nil, invite, resp), lines("ACK sip:bob@192.0.2.4 SIP/2.0"+common+"ACK\nTo: Bob <sip:bob@example.test>;tag=99sa0xk\nContent-Length: 0\n\n"))
	cancel := siptest.ParseBytes(t, sip.AppendCancel(nil, invite, sip.Header{Name: "Reason", Value: "SIP;cause=200"}))
	eq(t, "method", cancel.Method(), sip.CANCEL)
	eq(t, "To tag", cancel.ToTag() == nil, true)
	eq(t, "Vias", cancel.Count(sip.HVia), 1)
	eq(t, "Reason", string(cancel.Header(sip.HReason)), "SIP;cause=200")
	seq, method := cancel.CSeq()
	eq(t, "CSeq", seq, 986759)
	eq(t, "CSeq method", method, sip.CANCEL)
}

func TestBuilder(t *testing.T) {
	var b sip.Builder
	out := b.Request("MESSAGE", "sip:bob@example.test").Header("Via", "SIP/2.0/TCP me;branch=z9hG4bKx").
		HeaderBytes("From", []byte("<sip:a@b>;tag=1")).Header("To", "<sip:bob@example.test>\r\n\r\nevil").Header("Call-ID", "x").
		CSeq(3, "MESSAGE").HeaderInt("Max-Forwards", 70).Headers(sip.Header{Name: "X", Value: "y"}).Body("text/plain", []byte("hi"))
	m := siptest.ParseBytes(t, out)
	eq(t, "body", string(m.Body()), "hi")
	eq(t, "To", string(m.Header(sip.HTo)), "<sip:bob@example.test>    evil")
	eq(t, "type", string(m.Header(sip.HContentType)), "text/plain")
	eq(t, "fields", m.Len(), 9)
	out = b.Reset(out).Status(180, "").Header("Via", "SIP/2.0/TCP a").Header("From", "<sip:a@b>").Header("To", "<sip:c@d>").Header("Call-ID", "x").CSeq(1, "INVITE").End()
	m = siptest.ParseBytes(t, out)
	eq(t, "code", m.StatusCode(), 180)
	eq(t, "reason", string(m.Reason()), "Ringing")
}

func TestTokens(t *testing.T) {
	rnd := strings.NewReader(strings.Repeat("\x00\x21\xff", 100))
	eq(t, "tag", sip.NewTag(rnd), "ab7ab7ab7ab7ab7a")
	branch := sip.NewBranch(rnd)
	eq(t, "branch", strings.HasPrefix(branch, sip.MagicCookie) && len(branch) == 23, true)
	eq(t, "call id", len(sip.NewCallID(rnd)), 24)
}

func TestErrors(t *testing.T) {
	eq(t, "text", (&sip.Error{Code: 404, Diagnostic: "no such user"}).Error(), "404 Not Found: no such user")
	eq(t, "formatted", sip.Errorf(500, "CSeq %d", 1).Error(), "500 Server Internal Error: CSeq 1")
	for code, want := range map[int]string{199: "Early Dialog Terminated", 150: "Session Progress", 250: "OK", 399: "Redirected", 499: "Request Failure", 599: "Server Failure", 699: "Global Failure"} {
		eq(t, "reason", sip.StatusText(code), want)
	}
}

func TestParts(t *testing.T) {
	const b = "--b\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nX: 1\r\n\r\none\r\n--bb\r\ntwo\r\n--b  \r\n\r\n\r\n--b\r\n--b--"
	parts := func(boundary, body string) (out []string) {
		for p, err := range sip.Parts(sip.Params(";boundary="+boundary), []byte(body)) {
			if err != nil {
				return append(out, "error")
			}
			out = append(out, string(p.Header("x"))+":"+string(p.Body))
		}
		return out
	}
	for _, c := range []struct{ boundary, body, want string }{
		{"b", b, "1:one\r\n--bb\r\ntwo|:|:"},
		{`"b"`, "preamble\r\n" + b + "\r\nepilogue --b\r\n", "1:one\r\n--bb\r\ntwo|:|:"},
		{"b", strings.TrimSuffix(b, "--b--"), "1:one\r\n--bb\r\ntwo|:|error"},
		{"b", "", "error"},
		{"b", "--b--", ""},
		{"b", "x--b--", "error"},
		{"", b, "error"},
		{"b", "--b\nX: 2\n\nunix\n--b--\n", "2:unix"},
		{"b", strings.Repeat("--b\r\n\r\n\r\n", 70) + "--b--", strings.Repeat(":|", 64) + "error"},
	} {
		eq(t, c.boundary, strings.Join(parts(c.boundary, c.body), "|"), c.want)
	}
}
