package sip_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/siptest"
)

func seed(f *testing.F) {
	for _, c := range siptest.All() {
		f.Add(c.Raw)
	}
}

// FuzzParse checks that a message that was accepted is described by its index byte for byte, that a plain second
// reader of the same grammar sees the same fields, and that the typed views stay within the message.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		var m sip.Message
		err := m.Parse(raw, nil)
		if !bytes.Equal(raw, before) {
			t.Fatal("Parse wrote to its input")
		}
		touchAll(&m) // must not panic, good message or bad
		if m.Answerable() {
			var r sip.Message
			r.Parse(sip.AppendResponse(nil, &m, 400, "", "t"), nil)
			if r.StatusCode() != 400 {
				t.Fatal("the refusal cannot be read")
			}
		}
		if err != nil {
			return
		}
		if !bytes.HasPrefix(raw, m.Raw()) {
			t.Fatal("Raw is not what came")
		}
		var print []byte
		print = append(print, raw[:bytes.IndexByte(raw, '\n')+1]...)
		for field := range m.Fields() {
			print = append(print, field.Line...)
			if sip.HeaderIDOf(field.Name) != field.ID {
				t.Fatalf("%q has id %v", field.Name, field.ID)
			}
		}
		print = append(print, "\r\n"...)
		if !bytes.Equal(print, m.Head()) {
			t.Fatalf("printed %q, came %q", print, m.Head())
		}
		want := plainFields(string(m.Head()))
		if len(want) != m.Len() {
			t.Fatalf("%d fields, a plain reader sees %d", m.Len(), len(want))
		}
		for i, w := range want {
			got := m.Field(i)
			if string(got.Name) != w[0] || unfold(string(got.Value)) != w[1] {
				t.Fatalf("field %d is %q: %q, a plain reader sees %q", i, got.Name, got.Value, w)
			}
		}
		again := m.Retain()
		if err := again.Parse(m.Retain().Raw(), nil); err != nil {
			t.Fatalf("a copy does not parse: %v", err)
		}
	})
}

// plainFields reads the fields of a head the slow way, as names and values on one line.
func plainFields(head string) (fields [][2]string) {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")[1:]
	for _, l := range lines {
		if l != "" && (l[0] == ' ' || l[0] == '\t') {
			fields[len(fields)-1][1] += " " + l
			continue
		}
		name, value, _ := strings.Cut(l, ":")
		fields = append(fields, [2]string{strings.TrimRight(name, " \t"), value})
	}
	for i := range fields {
		fields[i][1] = unfold(fields[i][1])
	}
	return fields
}

func unfold(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), " ")
}

func touchAll(m *sip.Message) {
	m.Validate()
	m.TopVia()
	m.From()
	m.To()
	m.FromTag()
	m.ToTag()
	m.Expires()
	m.ContentType()
	m.CSeqMethodName()
	m.MethodName()
	m.Reason()
	m.RequestURI()
	var n sip.NameAddr
	var u sip.URI
	for f := range m.Fields() {
		for v := range m.All(f.ID) {
			if sip.ParseNameAddr(v, &n) == nil {
				n.DisplayName()
				n.Instance()
				n.Q()
				n.Expires()
				for range n.Params.All() {
				}
				if n.ParseURI(&u) == nil {
					u.AOR()
				}
			}
		}
	}
	if ct, ok := m.ContentType(); ok {
		for range sip.Parts(ct.Params, m.Body()) {
		}
	}
}

// FuzzFrame checks that a stream is cut in the same places however it arrives, and that no frame reaches beyond
// what arrived.
func FuzzFrame(f *testing.F) {
	seed(f)
	f.Add([]byte("\r\n\r\n\r\nOPTIONS sip:a SIP/2.0\r\nl:2\r\n\r\nab\r\n\r\n"))
	f.Add([]byte("A B C\r\nZ: " + strings.Repeat("x", 2000) + "\r\nl: 0\r\n\r\n")) // found by fuzzing
	lim := &sip.Limits{MaxMessage: 8 << 10, MaxHead: 4 << 10, MaxHeaders: 64, MaxHeaderLine: 1 << 10, MaxBody: 4 << 10}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 16<<10 {
			return
		}
		whole := cut(t, raw, len(raw), lim)
		for _, step := range []int{1, 7} {
			if got := cut(t, raw, step, lim); !equalFrames(got, whole) {
				t.Fatalf("in steps of %d: %v, at once: %v", step, got, whole)
			}
		}
	})
}

type frame struct {
	end  int
	kind sip.FrameKind
	bad  bool
}

// cut feeds raw in steps and returns where frames end. Pings are counted by their CR LFs, which may be told apart
// only when they arrive together.
func cut(t *testing.T, raw []byte, step int, lim *sip.Limits) (frames []frame) {
	t.Helper()
	var fr sip.Framer
	pos := 0
	for have := min(step, len(raw)); ; have = min(have+step, len(raw)) {
		for {
			n, kind, err := fr.Next(raw[pos:have], lim)
			if err != nil {
				if n > have-pos {
					t.Fatalf("error with n = %d of %d", n, have-pos)
				}
				return append(frames, frame{pos, kind, true})
			}
			if kind == sip.NeedMore {
				if n != 0 && n <= have-pos {
					t.Fatalf("asks for %d, has %d", n, have-pos)
				}
				break
			}
			if n <= 0 || n > have-pos {
				t.Fatalf("frame of %d in %d", n, have-pos)
			}
			if kind == sip.FrameMessage {
				var m sip.Message
				if m.Parse(raw[pos:pos+n], lim) == nil && len(m.Raw()) != n {
					t.Fatalf("frame of %d, message of %d", n, len(m.Raw()))
				}
				frames = append(frames, frame{pos + n, kind, false})
			}
			pos += n
		}
		if have == len(raw) {
			return append(frames, frame{pos, sip.NeedMore, false})
		}
	}
}

// equalFrames compares, except for where CR LFs between messages and before an error end.
func equalFrames(a, b []frame) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].bad != b[i].bad || a[i].kind != b[i].kind || a[i].end != b[i].end {
			return false
		}
	}
	return true
}

// FuzzURI checks that the parts of a URI make up the whole, and that comparison is reflexive and symmetric.
func FuzzURI(f *testing.F) {
	for _, s := range []string{
		"sip:alice@example.test", "sips:alice:pw@example.test:5061;transport=tls;lr?Subject=a&b=", "tel:+358-555-1234567;phone-context=x",
		"sip:[2001:db8::1]:5060", "urn:service:sos", "sip:%61lice@EXAMPLE.test;x", "sip:user;par=u%40example.net@example.com",
		"SIP:0;=0;=", "sip:\x80@0", "sip:%80@0", // found by fuzzing
	} {
		f.Add([]byte(s), []byte(strings.ToUpper(s)))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var u, v sip.URI
		if sip.ParseURI(a, &u) != nil {
			return
		}
		if got := join(&u); u.Kind != sip.OtherURI && got != string(a) {
			t.Fatalf("%q has parts %q", a, got)
		}
		if !u.Equal(&u) {
			t.Fatalf("%q differs from itself", a)
		}
		if aor, err := u.AOR(); err == nil && strings.ContainsAny(string(aor), "ABCDEFGHIJKLMNOPQRSTUVWXYZ \r\n") {
			t.Fatalf("%q is not canonical", aor)
		}
		if sip.ParseURI(b, &v) == nil && u.Equal(&v) != v.Equal(&u) {
			t.Fatalf("%q and %q are equal one way only", a, b)
		}
		unescaped := sip.AppendUnescape(nil, u.User)
		if back := sip.AppendUnescape(nil, sip.AppendEscape(nil, unescaped)); !bytes.Equal(back, unescaped) {
			t.Fatalf("%q comes back as %q", unescaped, back)
		}
	})
}

// join puts a URI together from its parts. The port's spelling is lost, so it is taken from the raw text.
func join(u *sip.URI) string {
	s := string(u.Scheme) + ":" + string(u.User)
	if u.Password != nil {
		s += ":" + string(u.Password)
	}
	if u.Kind == sip.SIPURI {
		if u.User != nil {
			s += "@"
		}
		s += string(u.Host)
		if u.Port != 0 {
			rest := string(u.Raw[len(s):])
			s += rest[:1] + rest[1:1+strings.IndexFunc(rest[1:]+";", func(r rune) bool { return r < '0' || r > '9' })]
		}
	}
	s += string(u.Params)
	if u.Headers != nil {
		s += "?" + string(u.Headers)
	}
	return s
}

// FuzzForward checks that forwarding without edits changes nothing, and that with every edit exactly the fields
// concerned change.
func FuzzForward(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m sip.Message
		if m.Parse(raw, nil) != nil || len(raw) > 32<<10 {
			return
		}
		if !m.IsRequest() {
			forwardResponse(t, &m)
			return
		}
		same := sip.AppendForward(nil, &m, &sip.ForwardEdit{KeepMaxForwards: true})
		if m.Has(sip.HContentLength) && !bytes.Equal(same, m.Raw()) {
			t.Fatalf("without edits %q became %q", m.Raw(), same)
		}
		m.Source = netip.MustParseAddrPort("198.51.100.7:50600")
		routes := m.Count(sip.HRoute)
		e := sip.ForwardEdit{
			RequestURI: []byte("sip:new@example.test"), Via: []byte("SIP/2.0/UDP p.example.test;branch=z9hG4bKq"),
			RecordRoute: [][]byte{[]byte("<sip:a;lr>"), []byte("<sip:b;lr>")}, RemoveRoutes: 2, Routes: [][]byte{[]byte("<sip:next;lr>")},
			Append: []sip.Header{{Name: "X-New", Value: "1\r\nX-Evil: 2"}},
		}
		out := sip.AppendForward(nil, &m, &e)
		var o sip.Message
		if err := o.Parse(out, &sip.ServerLimits); err != nil {
			t.Fatalf("%v in forwarded %q", err, out)
		}
		top, _ := o.TopVia()
		switch {
		case string(o.RequestURI()) != "sip:new@example.test":
			t.Fatalf("request URI %q", o.RequestURI())
		case string(top.Host) != "p.example.test" || o.Count(sip.HVia) != m.Count(sip.HVia)+1:
			t.Fatalf("Vias in %q", out)
		case o.Count(sip.HRecordRoute) != m.Count(sip.HRecordRoute)+2:
			t.Fatalf("Record-Routes in %q", out)
		case o.Count(sip.HRoute) != max(routes-2, 0)+1:
			t.Fatalf("%d Routes, had %d, in %q", o.Count(sip.HRoute), routes, out)
		case o.HeaderNamed("X-Evil") != nil && m.HeaderNamed("X-Evil") == nil:
			t.Fatal("a value became a field")
		case !bytes.Equal(o.Body(), m.Body()):
			t.Fatal("the body changed")
		case m.MaxForwards() > 0 && o.MaxForwards() != m.MaxForwards()-1:
			t.Fatalf("Max-Forwards %d after %d", o.MaxForwards(), m.MaxForwards())
		}
		if a, b := untouched(&m), untouched(&o); a != b {
			t.Fatalf("fields nobody edited: %q became %q", a, b)
		}
	})
}

func forwardResponse(t *testing.T, m *sip.Message) {
	out := sip.AppendResponseForward(nil, m, &sip.ResponseEdit{KeepVia: true})
	if m.Has(sip.HContentLength) && !bytes.Equal(out, m.Raw()) {
		t.Fatalf("without edits %q became %q", m.Raw(), out)
	}
	out = sip.AppendResponseForward(nil, m, nil)
	var o sip.Message
	err := o.Parse(out, nil)
	if n := m.Count(sip.HVia); n > 1 {
		if err != nil || o.Count(sip.HVia) != n-1 {
			t.Fatalf("%v, %d Vias of %d in %q", err, o.Count(sip.HVia), n, out)
		}
	}
	if a, b := untouched(m), untouched(&o); a != b {
		t.Fatalf("fields nobody edited: %q became %q", a, b)
	}
}

// untouched returns the lines of the fields no edit of FuzzForward concerns.
func untouched(m *sip.Message) string {
	var b strings.Builder
	for f := range m.Fields() {
		switch f.ID {
		case sip.HVia, sip.HRoute, sip.HRecordRoute, sip.HMaxForwards, sip.HContentLength:
		default:
			if string(f.Name) != "X-New" {
				b.Write(f.Line)
			}
		}
	}
	return b.String()
}
