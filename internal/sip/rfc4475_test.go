package sip_test

import (
	"bytes"
	"errors"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/siptest"
)

// What becomes of a torture message. Refusals name the step that finds the fault: Parse, which every message
// goes through, or Validate, which a request goes through before it is served.
const (
	accept   = "accept"   // well-formed, or tolerated; what is to be done is said in why
	parse    = "parse"    // refused by Parse
	validate = "validate" // refused by Validate
	drop     = "drop"     // a response or a request that cannot be answered: refused and not answered
)

var torture = []struct {
	name    string
	verdict string
	code    int // of the refusal
	why     string
	check   func(*testing.T, *sip.Message)
}{
	// Section 3.1.1, valid messages.
	{"wsinv", accept, 0, "3.1.1.1: folding and white space everywhere is well-formed", checkWsinv},
	{"intmeth", accept, 0, "3.1.1.2: every character the grammar allows, in method, user part, names, quotes", checkIntmeth},
	{"esc01", accept, 0, "3.1.1.3: escapes in the user part are not structure", checkEsc01},
	{"escnull", accept, 0, "3.1.1.4: %00 is a character like others", checkEscnull},
	{"esc02", accept, 0, "3.1.1.5: a percent sign outside a URI escapes nothing", checkEsc02},
	{"lwsdisp", accept, 0, "3.1.1.6: no space is needed between display name and <", func(t *testing.T, m *sip.Message) {
		from, err := m.From()
		eq(t, "display", string(from.Display), "caller")
		eq(t, "uri", string(from.URI), "sip:caller@example.com")
		eq(t, "error", err, nil)
	}},
	{"longreq", accept, 0, "3.1.1.7: long values are no fault", func(t *testing.T, m *sip.Message) {
		eq(t, "Vias", m.Count(sip.HVia), 34)
		eq(t, "From tag length", len(m.FromTag()), 155)
	}},
	{"dblreq", accept, 0, "3.1.1.8: in a datagram what follows the body is ignored", func(t *testing.T, m *sip.Message) {
		eq(t, "method", m.Method(), sip.REGISTER)
		eq(t, "body", len(m.Body()), 0)
		eq(t, "end of message", string(m.Raw()[len(m.Raw())-8:]), "h: 0\r\n\r\n")
	}},
	{"semiuri", accept, 0, "3.1.1.9: a semicolon in the user part is not a parameter", func(t *testing.T, m *sip.Message) {
		var u sip.URI
		eq(t, "error", sip.ParseURI(m.RequestURI(), &u), nil)
		eq(t, "user", string(u.User), "user;par=u%40example.net")
		eq(t, "host", string(u.Host), "example.com")
		eq(t, "params", len(u.Params), 0)
		eq(t, "accepts", m.Count(sip.HAccept), 6)
	}},
	{"transports", accept, 0, "3.1.1.10: unknown transports in Via are let through", func(t *testing.T, m *sip.Message) {
		var got []string
		for b := range m.All(sip.HVia) {
			var v sip.Via
			eq(t, "error", sip.ParseVia(b, &v), nil)
			got = append(got, string(v.Transport))
		}
		eq(t, "transports", len(got), 5)
		eq(t, "fourth", got[3], "UNKNOWN")
	}},
	{"mpart01", accept, 0, "3.1.1.11: bodies are bytes", checkMpart01},
	{"unreason", accept, 0, "3.1.1.12: a reason phrase may be UTF-8", func(t *testing.T, m *sip.Message) {
		eq(t, "code", m.StatusCode(), 200)
		eq(t, "reason", string(m.Reason()), "= 2**3 * 5**2 но сто девяносто девять - простое")
	}},
	{"noreason", accept, 0, "3.1.1.13: a reason phrase may be empty", func(t *testing.T, m *sip.Message) {
		eq(t, "code", m.StatusCode(), 100)
		eq(t, "reason", string(m.Reason()), "")
	}},

	// Section 3.1.2, invalid messages.
	{"badinv01", validate, 400, "3.1.2.1: commas and semicolons in Via and Contact", nil},
	{"clerr", parse, 400, "3.1.2.2: Content-Length beyond the end of the datagram", nil},
	{"ncl", parse, 400, "3.1.2.3: Content-Length below zero", nil},
	{"scalar02", parse, 400, "3.1.2.4: CSeq and Max-Forwards out of range", nil},
	{"scalarlg", drop, 400, "3.1.2.5: a response with such numbers is discarded", nil},
	{"quotbal", validate, 400, "3.1.2.6: a display name whose quotes do not close", nil},
	{"ltgtruri", validate, 400, "3.1.2.7: a request URI in angle brackets", nil},
	{"lwsruri", parse, 400, "3.1.2.8: white space in the request URI", nil},
	{"lwsstart", parse, 400, "3.1.2.9: two spaces in the start line", nil},
	{"trws", parse, 400, "3.1.2.10: white space at the end of the start line; the RFC also allows to ignore it", nil},
	{"escruri", validate, 400, "3.1.2.11: header fields in the request URI", nil},
	{"baddate", parse, 400, "3.1.2.12: a date in another zone than GMT", nil},
	{"regbadct", validate, 400, "3.1.2.13: a Contact with ? that is not in angle brackets", nil},
	{"badaspec", validate, 400, "3.1.2.14: spaces within the angle brackets; the RFC also allows to ignore them", nil},
	{"baddn", validate, 400, "3.1.2.15: a comma in a display name without quotes", nil},
	{"badvers", parse, 505, "3.1.2.16: a version we do not speak", nil},
	{"mismatch01", parse, 400, "3.1.2.17: CSeq names another method", nil},
	{"mismatch02", parse, 400, "3.1.2.18: the same with an unknown method; 501 would do too", nil},
	{"bigcode", drop, 400, "3.1.2.19: a status code that is none", nil},

	// Section 3.2, transaction layer.
	{"badbranch", accept, 0, "3.2.1: the cookie alone is not unique; the transaction layer matches it the RFC 2543 way", func(t *testing.T, m *sip.Message) {
		v, err := m.TopVia()
		eq(t, "error", err, nil)
		eq(t, "magic", v.Magic(), false)
	}},

	// Section 3.3, application layer.
	{"insuf", drop, 400, "3.3.1: without From, To and Call-ID there is nothing to copy into an answer", nil},
	{"unkscm", accept, 0, "3.3.2: a scheme nobody knows; routing answers 416", otherScheme("nobodyKnowsThisScheme")},
	{"novelsc", accept, 0, "3.3.3: a scheme that is registered, but not ours; routing answers 416", otherScheme("soap.beep")},
	{"unksm2", accept, 0, "3.3.4: other schemes in From and To are grammar; the registrar refuses a To that is no user of ours", func(t *testing.T, m *sip.Message) {
		to, err := m.To()
		eq(t, "error", err, nil)
		var u sip.URI
		eq(t, "error", to.ParseURI(&u), nil)
		eq(t, "kind", u.Kind, sip.OtherURI)
		if _, err := u.AOR(); err == nil {
			t.Error("an isbn is an address of record")
		}
	}},
	{"bext01", accept, 0, "3.3.5: the server answers 420 with what it does not support", func(t *testing.T, m *sip.Message) {
		eq(t, "Require", m.Count(sip.HRequire), 2)
		eq(t, "has", m.HasToken(sip.HProxyRequire, "nordoanyproxiessupportthis"), true)
	}},
	{"invut", accept, 0, "3.3.6: a server that has to read the body answers 415, a proxy forwards it", func(t *testing.T, m *sip.Message) {
		ct, ok := m.ContentType()
		eq(t, "type", ok && ct.Is("application/UnknownFormat"), true)
	}},
	{"regaut01", accept, 0, "3.3.7: an unknown scheme is as good as no credentials: 401", nil},
	{"multi01", parse, 400, "3.3.8: fields that may occur once occur twice", nil},
	{"mcl01", parse, 400, "3.3.9: two Content-Lengths", nil},
	{"bcast", accept, 0, "3.3.10: the top Via decides whose response it is; the stack drops it unless that is ours", func(t *testing.T, m *sip.Message) {
		v, err := m.TopVia()
		eq(t, "error", err, nil)
		eq(t, "host", string(v.Host), "192.0.2.198")
	}},
	{"zeromf", accept, 0, "3.3.11: a proxy answers 483, the destination serves it", func(t *testing.T, m *sip.Message) {
		eq(t, "Max-Forwards", m.MaxForwards(), 0)
	}},
	{"cparam01", accept, 0, "3.3.12: without brackets the parameter is the field's", func(t *testing.T, m *sip.Message) {
		n := contactOf(t, m)
		eq(t, "uri", string(n.URI), "sip:+19725552222@gw1.example.net")
		eq(t, "param", n.Params.Has("unknownparam"), true)
	}},
	{"cparam02", accept, 0, "3.3.13: in brackets it is the URI's", func(t *testing.T, m *sip.Message) {
		n := contactOf(t, m)
		var u sip.URI
		eq(t, "error", n.ParseURI(&u), nil)
		eq(t, "uri param", u.Params.Has("unknownparam"), true)
		eq(t, "field param", n.Params.Has("unknownparam"), false)
	}},
	{"regescrt", accept, 0, "3.3.14: a Contact may have headers in its URI", func(t *testing.T, m *sip.Message) {
		n := contactOf(t, m)
		var u sip.URI
		eq(t, "error", n.ParseURI(&u), nil)
		eq(t, "headers", string(u.Headers), "Route=%3Csip:sip.example.com%3E")
	}},
	{"sdp01", accept, 0, "3.3.15: the server that cannot make text/nobodyKnowsThis answers 406", nil},

	// Section 3.4, compatibility.
	{"inv2543", accept, 0, "3.4.1: an RFC 2543 request: no branch, no From tag, no Max-Forwards, no Content-Length", func(t *testing.T, m *sip.Message) {
		v, err := m.TopVia()
		eq(t, "error", err, nil)
		eq(t, "branch", v.Branch == nil, true)
		eq(t, "From tag", m.FromTag() == nil, true)
		eq(t, "Max-Forwards", m.MaxForwards(), -1)
		eq(t, "body", len(m.Body()), 105)
	}},
}

func TestRFC4475(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range torture {
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			raw := siptest.Raw(c.name)
			var m sip.Message
			step, err := parse, m.Parse(raw, nil)
			if err == nil {
				step, err = validate, m.Validate()
			}
			if c.verdict == accept {
				if err != nil {
					t.Fatalf("%s: %v (%s)", step, err, c.why)
				}
				if !bytes.HasPrefix(raw, m.Raw()) {
					t.Error("the bytes changed")
				}
				if c.check != nil {
					c.check(t, &m)
				}
				return
			}
			var pe *sip.ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("accepted (%s)", c.why)
			}
			var answer *sip.Error
			if !errors.As(err, &answer) || answer.Code != pe.Code {
				t.Errorf("%v does not turn into an answer", err)
			}
			want := c.verdict
			if want == drop {
				want = parse
			}
			if step != want || pe.Code != c.code {
				t.Errorf("%s refuses with %d (%v), want %s with %d (%s)", step, pe.Code, err, want, c.code, c.why)
			}
			if pe.Offset < 0 || pe.Offset > len(raw) {
				t.Errorf("offset %d of %d", pe.Offset, len(raw))
			}
			if m.Answerable() != (c.verdict != drop) {
				t.Errorf("Answerable = %v", m.Answerable())
			}
			if m.Answerable() {
				checkAnswer(t, &m, pe.Code)
			}
		})
	}
	for _, c := range siptest.RFC4475() {
		if !seen[c.Name] {
			t.Errorf("%s has no verdict", c.Name)
		}
	}
	eq(t, "messages", len(torture), 49)
}

// checkAnswer builds the answer to a refused request and reads it back.
func checkAnswer(t *testing.T, m *sip.Message, code int) {
	t.Helper()
	out := sip.AppendResponse(nil, m, code, "", "tag1")
	var r sip.Message
	err := r.Parse(out, nil)
	var pe *sip.ParseError
	if err != nil && !errors.As(err, &pe) {
		t.Fatalf("%v in\n%s", err, out)
	}
	if r.StatusCode() != code || r.Count(sip.HVia) != m.Count(sip.HVia) || !bytes.Equal(r.CallID(), m.CallID()) {
		t.Errorf("the answer does not match:\n%s", out)
	}
}

func otherScheme(scheme string) func(*testing.T, *sip.Message) {
	return func(t *testing.T, m *sip.Message) {
		var u sip.URI
		eq(t, "error", sip.ParseURI(m.RequestURI(), &u), nil)
		eq(t, "kind", u.Kind, sip.OtherURI)
		eq(t, "scheme", string(u.Scheme), scheme)
	}
}

func contactOf(t *testing.T, m *sip.Message) (n sip.NameAddr) {
	t.Helper()
	vals := m.Values(sip.HContact)
	b, _ := vals.Next()
	if err := sip.ParseNameAddr(b, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func checkWsinv(t *testing.T, m *sip.Message) {
	seq, method := m.CSeq()
	eq(t, "CSeq", seq, 9)
	eq(t, "method", method, sip.INVITE)
	eq(t, "Max-Forwards", m.MaxForwards(), 68)
	eq(t, "To tag", string(m.ToTag()), "1918181833n")
	eq(t, "From tag", string(m.FromTag()), "98asjd8")
	from, _ := m.From()
	eq(t, "display name", string(from.DisplayName()), `J Rosenberg \"`)
	var got []sip.Via
	for b := range m.All(sip.HVia) {
		var v sip.Via
		eq(t, "error", sip.ParseVia(b, &v), nil)
		got = append(got, v)
	}
	eq(t, "Vias", len(got), 3)
	eq(t, "host", string(got[0].Host), "192.0.2.2")
	eq(t, "branch", string(got[0].Branch), "390skdjuw")
	eq(t, "transport", string(got[1].Transport), "TCP")
	eq(t, "host", string(got[1].Host), "spindle.example.com")
	eq(t, "branch", string(got[1].Branch), "z9hG4bK9ikj8")
	eq(t, "branch", string(got[2].Branch), "z9hG4bK30239")
	if s := m.Header(sip.HSubject); s == nil || len(s) != 0 {
		t.Errorf("Subject %q", s)
	}
	eq(t, "unknown field", string(m.HeaderNamed("unknownheaderwithunusualvalue")), ";;,,;;,;")
	c := contactOf(t, m)
	p, _ := c.Param("newparam")
	eq(t, "newparam", string(p), "newvalue")
	q, ok := c.Q()
	eq(t, "q", q, 330)
	eq(t, "q ok", ok, true)
	eq(t, "body", len(m.Body()), 150)
}

func checkIntmeth(t *testing.T, m *sip.Message) {
	eq(t, "method", string(m.MethodName()), "!interesting-Method0123456789_*+`.%indeed'~")
	to, err := m.To()
	eq(t, "error", err, nil)
	eq(t, "display", string(to.DisplayName()), "BEL:\x07 NUL:\x00 DEL:\x7f")
	var u sip.URI
	eq(t, "error", sip.ParseURI(m.RequestURI(), &u), nil)
	eq(t, "user", string(u.User), "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
	eq(t, "password", string(u.Password), "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
	eq(t, "From tag", string(m.FromTag()), "_token~1'+`*%!-.")
	eq(t, "field", len(m.HeaderNamed("extensionHeader-!.%*+_`'~")) > 0, true)
}

func checkEsc01(t *testing.T, m *sip.Message) {
	var u sip.URI
	eq(t, "error", sip.ParseURI(m.RequestURI(), &u), nil)
	eq(t, "user", string(sip.AppendUnescape(nil, u.User)), "sips:user@example.com")
	eq(t, "host", string(u.Host), "example.net")
	to, _ := m.To()
	eq(t, "same user", sip.EqualURI(to.URI, []byte("sip:user@example.com")), true)
	n := contactOf(t, m)
	eq(t, "error", n.ParseURI(&u), nil)
	eq(t, "equal", sip.EqualURI(n.URI, []byte("sip:caller@host5.example.net;lr;name=value%2541")), true)
}

func checkEscnull(t *testing.T, m *sip.Message) {
	var users []string
	for b := range m.All(sip.HContact) {
		var n sip.NameAddr
		var u sip.URI
		eq(t, "error", sip.ParseNameAddr(b, &n), nil)
		eq(t, "error", n.ParseURI(&u), nil)
		users = append(users, string(sip.AppendUnescape(nil, u.User)))
	}
	eq(t, "users", len(users), 2)
	eq(t, "first", users[0], "\x00")
	eq(t, "second", users[1], "\x00\x00")
}

func checkEsc02(t *testing.T, m *sip.Message) {
	eq(t, "method", m.Method(), sip.OtherMethod)
	eq(t, "name", string(m.MethodName()), "RE%47IST%45R")
	eq(t, "Contacts", m.Count(sip.HContact), 2)
	v, _ := m.TopVia()
	eq(t, "branch", string(v.Branch), "z9hG4bK209%fzsnel234")
	to, _ := m.To()
	eq(t, "display", string(to.DisplayName()), "%Z%45")
}

func checkMpart01(t *testing.T, m *sip.Message) {
	ct, ok := m.ContentType()
	eq(t, "multipart", ok && ct.Is("multipart/mixed"), true)
	var parts []sip.Part
	for p, err := range sip.Parts(ct.Params, m.Body()) {
		eq(t, "error", err, nil)
		parts = append(parts, p)
	}
	eq(t, "parts", len(parts), 2)
	eq(t, "text", string(parts[0].Body), "Hello")
	eq(t, "type", string(parts[1].Header("content-type")), "application/octet-stream")
	eq(t, "binary", len(parts[1].Body) > 300, true)
}

func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}
