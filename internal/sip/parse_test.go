package sip_test

import (
	"errors"
	"strings"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/siptest"
)

const good = `
	OPTIONS sip:example.test SIP/2.0
	Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa
	From: <sip:alice@example.test>;tag=1
	To: <sip:bob@example.test>
	Call-ID: c1
	CSeq: 1 OPTIONS
	`

// Every refusal has its code and points at the place.
func TestParseRefusals(t *testing.T) {
	small := &sip.Limits{MaxMessage: 2000, MaxHead: 900, MaxHeaders: 10, MaxHeaderLine: 200, MaxBody: 100}
	replace := func(old, new string) []byte {
		return []byte(strings.Replace(string(siptest.Text(good)), old, new, 1))
	}
	for _, c := range []struct {
		name string
		raw  []byte
		code int
		at   string // the offset is where this begins
	}{
		{"empty", nil, 400, ""},
		{"no line end", []byte("OPTIONS sip:a SIP/2.0"), 400, ""},
		{"leading blank line", append([]byte("\r\n"), siptest.Text(good)...), 400, ""},
		{"bare LF in start line", replace("SIP/2.0\r\n", "SIP/2.0\n"), 400, ""},
		{"not SIP", replace("SIP/2.0\r\n", "HTTP/1.1\r\n"), 400, "HTTP"},
		{"version 3", replace("SIP/2.0\r\n", "SIP/3.0\r\n"), 505, "SIP/3.0"},
		{"no method", replace("OPTIONS ", " "), 400, ""},
		{"no URI", replace("sip:example.test ", ""), 400, "SIP/2.0\r\n"},
		{"two URIs", replace("sip:example.test ", "sip:a sip:b "), 400, "sip:b"},
		{"no colon", replace("Call-ID:", "Call-ID"), 400, " c1"},
		{"empty name", replace("Call-ID:", ":"), 400, ": c1"},
		{"folded first line", replace("Via:", " Via:"), 400, " Via"},
		{"bare LF", replace("c1\r\n", "c1\n"), 400, ""},
		{"bare CR", replace("c1\r\n", "c1\rX-Hidden: y\r\n"), 400, "Via"},
		{"no blank line", []byte(strings.TrimSuffix(string(siptest.Text(good)), "\r\n")), 400, ""},
		{"head cut off", []byte(strings.TrimSuffix(string(siptest.Text(good)), "\r\n\r\n")), 400, "Content-Length"},
		{"no Via", replace("Via:", "X-Via:"), 400, ""},
		{"no From", replace("From:", "X-From:"), 400, ""},
		{"no To", replace("To:", "X-To:"), 400, ""},
		{"no Call-ID", replace("Call-ID:", "X-Call-ID:"), 400, ""},
		{"no CSeq", replace("CSeq:", "X-CSeq:"), 400, ""},
		{"empty Call-ID", replace("c1", " "), 400, ""},
		{"two To, one compact", replace("To:", "t: <sip:x>\r\nTo:"), 400, "To: <"},
		{"CSeq without method", replace("1 OPTIONS", "1"), 400, ""},
		{"CSeq without number", replace("1 OPTIONS", "OPTIONS"), 400, "OPTIONS\r"},
		{"CSeq too large", replace("1 OPTIONS", "4294967296 OPTIONS"), 400, "4294967296"},
		{"CSeq of other method", replace("1 OPTIONS", "1 INVITE"), 400, "INVITE"},
		{"CSeq method in other case", replace("1 OPTIONS", "1 options"), 400, "options"},
		{"Max-Forwards too large", replace("CSeq", "Max-Forwards: 256\r\nCSeq"), 400, "256"},
		{"Max-Forwards not a number", replace("CSeq", "Max-Forwards: -1\r\nCSeq"), 400, "-1"},
		{"date without day", replace("CSeq", "Date: 13 Nov 2010 23:29:00 GMT\r\nCSeq"), 400, "13 Nov"},
		{"Content-Length with sign", replace("Length: 0", "Length: +1"), 400, "+1"},
		{"Content-Length of 20 digits", replace("Length: 0", "Length: 18446744073709551616"), 400, "18446"},
		{"Content-Length too large", replace("Length: 0", "Length: 1"), 400, "1\r\n\r\n"},
		{"message too large", replace("c1", strings.Repeat("c", 2000)), 513, ""},
		{"line too large", replace("c1", strings.Repeat("c", 200)), 513, "Call-ID"},
		{"folded line too large", replace("c1", strings.Repeat("c\r\n ", 50)), 513, "Call-ID"},
		{"too many fields", replace("CSeq", strings.Repeat("Z: 1\r\n", 6)+"CSeq"), 513, "CSeq"},
		{"head too large", replace("CSeq", strings.Repeat("Z: "+strings.Repeat("y", 190)+"\r\n", 4)+"CSeq"), 513, ""},
		{"body too large", replace("Length: 0\r\n\r\n", "Length: 101\r\n\r\n"+strings.Repeat("b", 101)), 413, "101"},
		{"body without length too large", replace("Content-Length: 0\r\n\r\n", "\r\n"+strings.Repeat("b", 101)), 413, "bbb"},
		{"response version", replace("OPTIONS sip:example.test SIP/2.0", "SIP/3.0 200 OK"), 505, ""},
		{"response code 99", replace("OPTIONS sip:example.test SIP/2.0", "SIP/2.0 099 OK"), 400, "099"},
		{"response code 700", replace("OPTIONS sip:example.test SIP/2.0", "SIP/2.0 700 OK"), 400, "700"},
		{"response code 4 digits", replace("OPTIONS sip:example.test SIP/2.0", "SIP/2.0 2000 OK"), 400, "2000"},
	} {
		var m sip.Message
		err := m.Parse(c.raw, small)
		var pe *sip.ParseError
		if !errors.As(err, &pe) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if pe.Code != c.code {
			t.Errorf("%s: %d (%v), want %d", c.name, pe.Code, err, c.code)
		}
		if want := strings.Index(string(c.raw), c.at); c.at != "" && pe.Offset != want {
			t.Errorf("%s: offset %d (%v), want %d", c.name, pe.Offset, err, want)
		}
		touchAll(&m)
		if m.Answerable() {
			checkAnswer(t, &m, pe.Code)
		}
	}
}

// What the grammar allows, or what somebody sends and we let pass.
func TestParseTolerances(t *testing.T) {
	for name, s := range map[string]string{
		"version in lower case (RFC 3261 7.1)":    strings.Replace(good, "SIP/2.0\n", "sip/2.0\n", 1),
		"CSeq above 2^31":                         strings.Replace(good, "CSeq: 1", "CSeq: 4294967295", 1),
		"CSeq 0":                                  strings.Replace(good, "CSeq: 1", "CSeq: 000", 1),
		"status line without reason and space":    strings.Replace(good, "OPTIONS sip:example.test SIP/2.0", "SIP/2.0 200", 1),
		"two Contacts, two unknown, two Subjects": good + "m: <sip:a>\nContact: <sip:b>\nZ: 1\nZ: 2\nSubject: a\nSubject: b\n",
		"a Date":                                      good + "Date: Sat, 13 Nov 2010 23:29:00 GMT\n",
		"Content-Length with leading zeros":           good + "Content-Length: 0000000\n",
		"a name with every token character":           good + "-.!%*_+`'~: x\n",
		"a value with tabs and 8-bit characters":      good + "Z:\t\xe9 \t\n",
		"an empty value, and one that is folded":      good + "Z:\nW:\n \n",
		"white space before the colon (7.3.1 HCOLON)": good + "Z \t : y\n",
	} {
		var m sip.Message
		if err := m.Parse(siptest.Text(s), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseReuse(t *testing.T) {
	var m sip.Message
	for _, c := range siptest.All() {
		var fresh sip.Message
		a, b := m.Parse(c.Raw, nil), fresh.Parse(c.Raw, nil)
		if (a == nil) != (b == nil) || m.Len() != fresh.Len() || m.Method() != fresh.Method() || m.StatusCode() != fresh.StatusCode() ||
			string(m.Head()) != string(fresh.Head()) || string(m.Body()) != string(fresh.Body()) {
			t.Errorf("%s: a reused Message differs", c.Name)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	var m sip.Message
	for _, c := range siptest.Phones() {
		if err := m.Parse(c.Raw, nil); err != nil {
			t.Fatal(c.Name, err)
		}
		n := testing.AllocsPerRun(100, func() {
			if m.Parse(c.Raw, nil) != nil || m.Validate() != nil {
				t.Error(c.Name)
			}
			m.TopVia()
			m.FromTag()
			m.ToTag()
			m.HasToken(sip.HSupported, "path")
			m.HeaderNamed("ms-keep-alive")
			for v := m.Values(sip.HContact); ; {
				b, ok := v.Next()
				if !ok {
					break
				}
				var n sip.NameAddr
				var u sip.URI
				if sip.ParseNameAddr(b, &n) != nil || n.ParseURI(&u) != nil {
					t.Error(c.Name)
				}
				var buf [128]byte
				u.AppendAOR(buf[:0])
				n.Instance()
				n.Expires()
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", c.Name, n)
		}
	}
}

func TestViews(t *testing.T) {
	m := siptest.Parse(t, `
	REGISTER sip:example.test SIP/2.0
	v: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKa;rport
	f: "Alice \"A\" Smith" <sip:alice@example.test>;tag=1
	t: sip:alice@example.test;tag=2
	i: c1
	CSeq: 7 REGISTER
	Supported: path, "not,a,token", outbound;x
	k: gruu
	Contact: <sip:a,b@192.0.2.1>;expires=60;q=0.5, "x,y" <sip:c@192.0.2.2>
	m: *
	Expires: 99999999999
	Session-Expires: 1800;refresher=uac
	Retry-After: 18 (busy, sorry)
	X-Custom: value
	`)
	var contacts []string
	for v := range m.All(sip.HContact) {
		contacts = append(contacts, string(v))
	}
	eq(t, "contacts", strings.Join(contacts, "|"), `<sip:a,b@192.0.2.1>;expires=60;q=0.5|"x,y" <sip:c@192.0.2.2>|*`)
	eq(t, "count", m.Count(sip.HContact), 3)
	eq(t, "supported", m.Count(sip.HSupported), 4)
	for token, want := range map[string]bool{"PATH": true, "outbound": true, "gruu": true, "a": false, "pat": false} {
		eq(t, token, m.HasToken(sip.HSupported, token), want)
	}
	n, ok := m.Expires()
	eq(t, "Expires", n, 1<<32-1)
	eq(t, "ok", ok, true)
	n, _ = m.Seconds(sip.HSessionExpires)
	eq(t, "Session-Expires", n, 1800)
	n, _ = m.Seconds(sip.HRetryAfter)
	eq(t, "Retry-After", n, 18)
	_, ok = m.Seconds(sip.HMinSE)
	eq(t, "Min-SE", ok, false)
	eq(t, "custom", string(m.HeaderNamed("x-custom")), "value")
	eq(t, "by name", string(m.HeaderNamed("Call-Id")), "c1")
	eq(t, "missing", m.HeaderNamed("X-Missing") == nil, true)
	eq(t, "To tag", string(m.ToTag()), "2")
	from, err := m.From()
	eq(t, "error", err, nil)
	eq(t, "name", string(from.DisplayName()), `Alice "A" Smith`)
	via, err := m.TopVia()
	eq(t, "error", err, nil)
	eq(t, "host", string(via.Host), "[2001:db8::1]")
	eq(t, "port", via.Port, 5061)
	eq(t, "rport", via.HasRPort, true)
	eq(t, "magic", via.Magic(), true)
	keep := m.Retain()
	eq(t, "retained", string(keep.Raw()), string(m.Raw()))
	eq(t, "own bytes", &keep.Raw()[0] != &m.Raw()[0], true)
}

// The names and compact forms of the IANA registry of SIP header fields that RFC 3261, 3265, 3515, 3841, 3892,
// 4028 and 8224 made.
func TestHeaderNames(t *testing.T) {
	for name, id := range map[string]sip.HeaderID{
		"a": sip.HAcceptContact, "b": sip.HReferredBy, "c": sip.HContentType, "d": sip.HRequestDisposition, "e": sip.HContentEncoding,
		"f": sip.HFrom, "i": sip.HCallID, "j": sip.HRejectContact, "k": sip.HSupported, "l": sip.HContentLength, "m": sip.HContact,
		"o": sip.HEvent, "r": sip.HReferTo, "s": sip.HSubject, "t": sip.HTo, "u": sip.HAllowEvents, "v": sip.HVia, "x": sip.HSessionExpires,
		"y": sip.HIdentity, "V": sip.HVia, "via": sip.HVia, "VIA": sip.HVia, "cONTENT-lENGTH": sip.HContentLength,
		"": sip.HOther, "q": sip.HOther, "@": sip.HOther, "Vi": sip.HOther, "Vias": sip.HOther, "\xf6": sip.HOther, "X-Via": sip.HOther,
	} {
		eq(t, name, sip.HeaderIDOf([]byte(name)), id)
	}
	for id := sip.HVia; id.String() != ""; id++ {
		eq(t, id.String(), sip.HeaderIDOf([]byte(strings.ToLower(id.String()))), id)
	}
}

func TestMethods(t *testing.T) {
	for m := sip.INVITE; m.String() != "OTHER"; m++ {
		eq(t, m.String(), sip.MethodOf([]byte(m.String())), m)
		eq(t, "lower case", sip.MethodOf([]byte(strings.ToLower(m.String()))), sip.OtherMethod)
	}
}

// Limits that are not set take the defaults, and no message has more fields than the index can count.
func TestLimits(t *testing.T) {
	many := good + strings.Repeat("Z: 1\n", 255)
	var m sip.Message
	for _, lim := range []*sip.Limits{nil, {}, {MaxHeaders: 100000}, {MaxBody: 10}, &sip.ServerLimits} {
		if err := m.Parse(siptest.Text(good), lim); err != nil {
			t.Errorf("%+v: %v", lim, err)
		}
		if err := m.Parse(siptest.Text(many), lim); err == nil || m.Len() != 255 {
			t.Errorf("%+v: %d fields, %v", lim, m.Len(), err)
		}
	}
	if err := m.Parse([]byte(strings.Repeat(":\r\n", 1000)), nil); err == nil || m.Len() > 255 {
		t.Errorf("%d broken fields", m.Len())
	}
}

func TestErrorTexts(t *testing.T) {
	var m sip.Message
	err := m.Parse([]byte("OPTIONS sip:a SIP/4.0\r\n\r\n"), nil)
	if err == nil || err.Error() != "sip: expected SIP/2.0 at byte 14" {
		t.Error(err)
	}
	var e *sip.Error
	if !errors.As(err, &e) || e.Error() != "505 Version Not Supported: expected SIP/2.0 at byte 14" {
		t.Error(e)
	}
	cause := errors.New("why")
	if e = (&sip.Error{Code: 500, Err: cause}); !errors.Is(e, cause) || e.Error() != "500 Server Internal Error: why" {
		t.Error(e)
	}
}
