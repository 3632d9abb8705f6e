package sip_test

import (
	"strings"
	"testing"

	"parley/internal/sip"
)

func TestParseURI(t *testing.T) {
	for _, c := range []struct{ in, scheme, user, password, host, port, params, headers string }{
		{"sip:example.test", "sip", "", "", "example.test", "0", "", ""},
		{"sip:alice@example.test", "sip", "alice", "", "example.test", "0", "", ""},
		{"sips:alice:secret@example.test:5061;transport=tcp?subject=a&x=", "sips", "alice", "secret", "example.test", "5061", ";transport=tcp", "subject=a&x="},
		{"sip:[2001:db8::10]:5070;lr", "sip", "", "", "[2001:db8::10]", "5070", ";lr", ""},
		{"sip:+1-212-555-1212:1234@gateway.test;user=phone", "sip", "+1-212-555-1212", "1234", "gateway.test", "0", ";user=phone", ""},
		{"sip:alice;day=tuesday@atlanta.test", "sip", "alice;day=tuesday", "", "atlanta.test", "0", "", ""},
		{"sip:#31#+4930123@example.test", "sip", "#31#+4930123", "", "example.test", "0", "", ""}, // dialled codes
		{"tel:+358-555-1234567;postd=pp22", "tel", "+358-555-1234567", "", "", "0", ";postd=pp22", ""},
		{"tel:7042;phone-context=example.test", "tel", "7042", "", "", "0", ";phone-context=example.test", ""},
		{"urn:service:sos", "urn", "", "", "", "0", "", ""},
		{"http://example.test/a?b", "http", "", "", "", "0", "", ""},
	} {
		var u sip.URI
		if err := sip.ParseURI([]byte(c.in), &u); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got := []string{string(u.Scheme), string(u.User), string(u.Password), string(u.Host), itoa(int(u.Port)), string(u.Params), string(u.Headers)}
		want := []string{c.scheme, c.user, c.password, c.host, c.port, c.params, c.headers}
		eq(t, c.in, strings.Join(got, "|"), strings.Join(want, "|"))
	}
	for _, in := range []string{
		"", "sip", "sip:", ":a", "sip:@example.test", "sip:a b@example.test", "sip:a@", "sip:a@b@c", "sip:a@b:0", "sip:a@b:65536", "sip:a@b:x",
		"sip:a@[::1", "sip:a@[xyz]", "sip:a%4@b", "sip:a%zz@b", "sip:a@b;x=%1", "sip:a@b;x=\"y\"", "sip:a@b?x=<y>", "sip:a@b,c", "<sip:a@b>", " sip:a@b",
		"sip:a@b ", "sip:a\x00@b", "sip:a@b\x80", "tel:", "tel:alice", "1a:x", "a_b:x", "urn: x",
	} {
		var u sip.URI
		if err := sip.ParseURI([]byte(in), &u); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// RFC 3261 section 19.1.4 gives these as examples, the non-equivalent ones included.
func TestEqualURI(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false}, // user parts differ in case
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false}, // the RFC's note on transitivity
		{"sip:bob@biloxi.com", "sips:bob@biloxi.com", false},
		{"sip:bob@biloxi.com", "sip:biloxi.com", false},
		{"sip:bob:x@biloxi.com", "sip:bob@biloxi.com", false},
		{"sip:bob@biloxi.com;maddr=192.0.2.1", "sip:bob@biloxi.com", false},
		{"sip:bob@biloxi.com;ttl=1", "sip:bob@biloxi.com;TTL=1", true},
		{"tel:+358-555-1234567", "tel:+3585551234567", true},
		{"tel:+358-555-1234567;ext=1-2", "tel:+358(555)1234567;EXT=12", true},
		{"tel:+358-555-1234567;ext=12", "tel:+358-555-1234567", false},
		{"tel:7042;phone-context=Example.test", "tel:7042;phone-context=example.TEST", true},
		{"urn:service:sos", "urn:service:sos", true},
		{"urn:service:sos", "urn:service:SOS", false},
		{"garbage", "garbage", false},
		{"sip:a@b;x=" + strings.Repeat("y", 1024), "sip:a@b;X=" + strings.Repeat("y", 1024), false}, // too long to compare
	} {
		eq(t, c.a+" and "+c.b, sip.EqualURI([]byte(c.a), []byte(c.b)), c.want)
		eq(t, c.b+" and "+c.a, sip.EqualURI([]byte(c.b), []byte(c.a)), c.want)
	}
}

func TestURIAOR(t *testing.T) {
	for in, want := range map[string]string{
		"sip:Alice@Example.TEST:5061;transport=tls": "alice@example.test",
		"sip:%61lice@example.test":                  "alice@example.test",
		"sips:+4930123;ext=1@example.test":          "+4930123;ext=1@example.test",
		"sip:example.test":                          "",
		"sip:a%40b@example.test":                    "", // an escaped @ cannot be told from ours
		"sip:a%00@example.test":                     "",
		"tel:+4930123":                              "",
	} {
		var u sip.URI
		if err := sip.ParseURI([]byte(in), &u); err != nil {
			t.Fatal(in, err)
		}
		got, err := u.AOR()
		eq(t, in, string(got), want)
		eq(t, in, err == nil, want != "")
	}
}

func TestGRUU(t *testing.T) {
	uri := string(sip.AppendGRUU(nil, []byte("sip:alice@example.test"), []byte("urn:uuid:f81d4fae-7dec\"<")))
	eq(t, "gruu", uri, "sip:alice@example.test;gr=urn:uuid:f81d4fae-7dec%22%3C")
	var u sip.URI
	eq(t, "error", sip.ParseURI([]byte(uri), &u), nil)
	eq(t, "is", u.IsGRUU(), true)
	eq(t, "instance", string(u.GRUU()), "urn:uuid:f81d4fae-7dec\"<")
	eq(t, "ob", u.Outbound(), false)
	eq(t, "opaque", u.Opaque() == nil, true)
	eq(t, "error", sip.ParseURI([]byte("sip:alice@example.test;opaque=user:epid:a%2Bb;gruu;ob"), &u), nil)
	eq(t, "is", u.IsGRUU(), false)
	eq(t, "opaque", string(u.Opaque()), "user:epid:a+b")
	eq(t, "ob", u.Outbound(), true)
}

func TestParseNameAddr(t *testing.T) {
	for _, c := range []struct{ in, display, uri, tag string }{
		{`<sip:a@b>`, "", "sip:a@b", ""},
		{`<sip:a@b>;tag=x`, "", "sip:a@b", "x"},
		{`sip:a@b;tag=x`, "", "sip:a@b", "x"},
		{"sip:a@b\r\n ;\ttag = x ", "", "sip:a@b", "x"},
		{`Alice Smith <sip:a@b>;x;TAG=x`, "Alice Smith", "sip:a@b", "x"},
		{`"A \"<B>\" ;," <sip:a@b;tag=no>;tag="quoted;x"`, `A "<B>" ;,`, "sip:a@b;tag=no", `"quoted;x"`},
		{`Jürgen <sip:a@b>`, "Jürgen", "sip:a@b", ""},
		{`"" <sip:a@b>`, "", "sip:a@b", ""},
		{`caller<tel:+1>;tag=x;`, "caller", "tel:+1", "x"},
		{`<sip:a@b>;;tag=x;;`, "", "sip:a@b", "x"},
	} {
		var n sip.NameAddr
		if err := sip.ParseNameAddr([]byte(c.in), &n); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		tag, _ := n.Param("tag")
		eq(t, c.in, string(n.DisplayName())+"|"+string(n.URI)+"|"+string(tag), c.display+"|"+c.uri+"|"+c.tag)
	}
	for _, in := range []string{
		"", "  ", "<>", "<sip:a@b", `"A <sip:a@b>`, `"A" sip:a@b`, `A, B <sip:a@b>`, `sip:a@b?x=y`, `sip:a,b@c`, `<sip:a@b> x`,
		`<sip:a@b>;x="y`, `<sip:a@b>;=x`, `;tag=x`, `A "B" <sip:a@b>`, "<sip:a@b>;x=y z",
	} {
		var n sip.NameAddr
		if err := sip.ParseNameAddr([]byte(in), &n); err == nil {
			t.Errorf("%q accepted: %+v", in, n)
		}
	}
}

func TestContactParams(t *testing.T) {
	var n sip.NameAddr
	eq(t, "error", sip.ParseNameAddr([]byte(`<sip:a@b>;expires=60;q=0.25;+sip.instance="<urn:uuid:1>";reg-id=2`), &n), nil)
	sec, ok := n.Expires()
	eq(t, "expires", sec, 60)
	eq(t, "ok", ok, true)
	q, _ := n.Q()
	eq(t, "q", q, 250)
	eq(t, "instance", string(n.Instance()), "urn:uuid:1")
	eq(t, "reg-id", n.RegID(), 2)
	eq(t, "error", sip.ParseNameAddr([]byte(`*`), &n), nil)
	eq(t, "star", n.Star, true)
	eq(t, "no instance", n.Instance() == nil, true)
	for in, want := range map[string]int{"1": 1000, "1.0": 1000, "1.000": 1000, "0": 0, "0.": 0, "0.5": 500, "0.123": 123} {
		got, ok := sip.ParseQ([]byte(in))
		eq(t, in, got, want)
		eq(t, in, ok, true)
	}
	for _, in := range []string{"", "2", "1.1", "0.1234", ".5", "0,5", "-0", "00"} {
		if _, ok := sip.ParseQ([]byte(in)); ok {
			t.Errorf("q=%q accepted", in)
		}
	}
}

func TestParseVia(t *testing.T) {
	for in, want := range map[string]string{
		"SIP/2.0/UDP 192.0.2.1":  "UDP|192.0.2.1|0||false|0|",
		"sip / 2.0 / tls h:5061": "tls|h|5061||false|0|",
		"SIP/2.0/UDP h : 5060":   "UDP|h|5060||false|0|",
		"SIP/2.0/WS h.invalid;BRANCH=z9hG4bKx;rport;received=192.0.2.2":    "WS|h.invalid|0|z9hG4bKx|true|0|192.0.2.2",
		"SIP/2.0/TCP [::1]:5060;rport=4000;received=2001:db8::1;branch=b;": "TCP|[::1]|5060|b|true|4000|2001:db8::1",
	} {
		var v sip.Via
		if err := sip.ParseVia([]byte(in), &v); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		rport := "false"
		if v.HasRPort {
			rport = "true"
		}
		eq(t, in, strings.Join([]string{string(v.Transport), string(v.Host), itoa(int(v.Port)), string(v.Branch), rport, itoa(int(v.RPort)), string(v.Received)}, "|"), want)
	}
	for _, in := range []string{"", "SIP/2.0/UDP", "SIP/2.0/ h", "SIP/3.0/UDP h", "SIP/2.0/UDPh", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP h x", "SIP/2.0/UDP h;rport=x", "SIP/2.0/UDP h;a=\"b"} {
		var v sip.Via
		if err := sip.ParseVia([]byte(in), &v); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}

func TestQuoting(t *testing.T) {
	eq(t, "quoted", string(sip.AppendQuoted(nil, "a \"b\" \\c\r\n")), `"a \"b\" \\c  "`)
	eq(t, "unquoted", string(sip.Unquote([]byte(`"a \"b\" \\c"`))), `a "b" \c`)
	eq(t, "token", string(sip.Unquote([]byte(`abc`))), `abc`)
	eq(t, "escape", string(sip.AppendEscape(nil, "jo hn@x%#é")), "jo%20hn%40x%25%23%C3%A9")
}

// Offsets of Validate point into the message.
func TestValidateOffsets(t *testing.T) {
	for _, at := range []string{"b%zz", "%zy", "{", "|"} {
		s := strings.NewReplacer("bob", "b%zz").Replace(good)
		switch at {
		case "%zy":
			s = strings.Replace(good, "alice", "%zy", 1)
		case "{":
			s = good + "Route: <sip:a;lr>, <sip:b;{>\n"
		case "|":
			s = good + "Contact: sip:a, \"x\" <sip:b|c>\n"
		}
		raw := siptestText(s)
		var m sip.Message
		if err := m.Parse(raw, nil); err != nil {
			t.Fatal(err)
		}
		err, ok := m.Validate().(*sip.ParseError)
		if !ok || !strings.Contains(string(raw[max(err.Offset-1, 0):min(err.Offset+4, len(raw))]), at[:1]) {
			t.Errorf("%q: %v", at, err)
		}
	}
}
