package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func load(t testing.TB, name string) *Description {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".sdp")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func parse(t testing.TB, lines ...string) *Description {
	t.Helper()
	d, err := Parse([]byte(strings.Join(append([]string{"v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"}, lines...), "\r\n") + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What nobody changes is written as it was received, to the octet.
func TestSpellingSurvives(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, tail := range []string{"", "\r\n\r\n", "\n\n"} {
			in := string(b) + tail
			d, err := Parse([]byte(in))
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if got := string(d.Append([]byte("x"))); got != "x"+in {
				t.Errorf("%s came back as\n%q", f, got)
			}
			// A line that is added is one of its own, whatever the last one ended with.
			d.Media[len(d.Media)-1].Add(Attribute("ptime", "20"))
			again, err := Parse(d.Append(nil))
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			last := again.Media[len(again.Media)-1].Lines
			if got := last[len(last)-1].Value; got != "ptime:20" {
				t.Errorf("%s: last line %q", f, got)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	const head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
	for name, in := range map[string]string{
		"empty": "", "blank": "\r\n\r\n", "no version": "o=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n", "version": "v=1\r\n" + head,
		"no origin": "v=0\r\ns=-\r\n", "no name": "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n",
		"blank inside": head + "\r\na=x\r\n", "no equals": head + "a\r\n", "space": head + "a =x\r\n", "type": head + "y=x\r\n",
		"nul": head + "a=\x00\r\n", "return": head + "a=x\ry\r\n", "end": head + "a=x\r", "ends": head + "a=x\r\r\n",
		"words": head + "m=audio 5000 RTP/AVP\r\n", "port": head + "m=audio 65536 RTP/AVP 0\r\n",
		"sign": head + "m=audio -1 RTP/AVP 0\r\n", "count": head + "m=audio 5000/0 RTP/AVP 0\r\n",
		"session line": head + "m=audio 5000 RTP/AVP 0\r\no=- 2 2 IN IP4 192.0.2.1\r\n",
		"size":         head + strings.Repeat("a=x\r\n", MaxSize/5),
		"lines":        head + strings.Repeat("a=\r\n", MaxLines),
		"media":        head + strings.Repeat("m=audio 0 RTP/AVP 0\r\n", MaxMedia+1),
	} {
		_, err := Parse([]byte(in))
		if e := (*Error)(nil); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Parse([]byte(head + "m=audio x RTP/AVP 0\r\n"))
	if err == nil || err.Error() != `session description, line 5: port "x"` {
		t.Errorf("the error does not say where: %v", err)
	}
}

func TestFields(t *testing.T) {
	d := load(t, "rfc8866")
	o, err := d.Origin()
	if want := (Origin{"carol", "3724394400", 3724394405, "IP4", "198.51.100.1"}); err != nil || o != want {
		t.Errorf("%+v, %v", o, err)
	}
	o.Version++
	d.SetOrigin(o)
	if again, _ := d.Origin(); again != o {
		t.Errorf("%+v", again)
	}
	if len(d.Media) != 3 || fmt.Sprint(d.Media[2].MLine()) != "video 51372 RTP/AVP 99" {
		t.Fatalf("%d media", len(d.Media))
	}
	if c, ok := d.Connection(d.Media[0]); !ok || c != (Connection{"IP4", "198.51.100.1"}) {
		t.Errorf("%+v", c)
	}
	if c, ok := d.Connection(d.Media[2]); !ok || c != ConnectionTo(netip.MustParseAddr("2001:db8::2")) {
		t.Errorf("%+v", c)
	}
	d.Media[0].SetConnection(ConnectionTo(netip.MustParseAddr("::ffff:192.0.2.9")))
	d.SetConnection(Connection{"IP4", "192.0.2.8"})
	for i, want := range []string{"192.0.2.9", "192.0.2.8", "2001:db8::2"} {
		c, _ := d.Connection(d.Media[i])
		if a, ok := c.Addr(); !ok || a.String() != want {
			t.Errorf("medium %d is at %v", i, c)
		}
	}
	if _, err := Parse(d.Append(nil)); err != nil {
		t.Errorf("what was changed cannot be read: %v", err)
	}
	if c, ok := parse(t, "m=audio 5000 RTP/AVP 0", "c=IN IP4 233.252.0.1/127/3").Media[0].First('c'); !ok || c == "" {
		t.Error("no c=")
	}
}

func TestPorts(t *testing.T) {
	d := parse(t, "m=audio 5000/2 RTP/AVP 0", "m=audio 5000 RTP/AVP 0", "a=rtcp:6000", "m=audio 5000 RTP/AVP 0", "a=rtcp:6000 IN IP6 2001:db8::1",
		"m=audio 0 RTP/AVP 0", "m=audio 65535 RTP/AVP 0", "m=audio 5000 RTP/AVP 0", "a=rtcp:x")
	for i, want := range []string{"5001 ", "6000 ", "6000 2001:db8::1", "0 ", "0 ", "5001 "} {
		port, addr := d.Media[i].RTCP()
		if got := fmt.Sprintf("%d %s", port, addr); got != want {
			t.Errorf("medium %d: RTCP at %s, want %s", i, got, want)
		}
	}
	if b := load(t, "webrtc"); !b.Media[0].RTCPMux() || b.Media[2].RTCPMux() {
		t.Error("rtcp-mux is not what the browser says")
	}
	d.Media[0].SetPort(7000)
	if v, _ := d.Media[0].First('m'); v != "audio 7000/2 RTP/AVP 0" {
		t.Error(v)
	}
}

func TestAttributes(t *testing.T) {
	m := parse(t, "m=audio 5000 RTP/AVP 0", "a=ptime:20", "a=ptimes", "a=x:1", "a=ptime:30", "a=X:9", "a=maxptime:200").Media[0]
	if v, ok := m.Attr("ptime"); !ok || v != "20" || m.Has("pti") || !m.Has("ptimes") {
		t.Errorf("ptime %q", v)
	}
	if got := slices.Collect(m.Attrs("ptime")); !slices.Equal(got, []string{"20", "30"}) {
		t.Errorf("%v", got)
	}
	m.Set("ptime", "40")
	m.Set("y", "")
	m.Remove("x", "ptimes")
	if got := string(m.append(nil, 0)); got != "m=audio 5000 RTP/AVP 0\r\na=ptime:40\r\na=X:9\r\na=maxptime:200\r\na=y\r\n" {
		t.Errorf("%q", got)
	}
	m.Set("y", "1\r\nm=video 1 RTP/AVP 9")
	if got := string(m.append(nil, 0)); strings.Contains(got, "video") {
		t.Error("a value brings in a line")
	}
}

func TestDirection(t *testing.T) {
	d := parse(t, "a=recvonly", "m=audio 5000 RTP/AVP 0", "m=audio 5000 RTP/AVP 0", "a=sendonly", "m=audio 5000 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=sendrecv")
	for i, want := range []struct {
		is   Direction
		held bool
	}{{RecvOnly, false}, {SendOnly, true}, {SendRecv, true}} {
		if got := d.Direction(d.Media[i]); got != want.is || d.Held(d.Media[i]) != want.held {
			t.Errorf("medium %d is %v, held %v", i, got, d.Held(d.Media[i]))
		}
	}
	for dir, rev := range map[Direction]Direction{SendRecv: SendRecv, SendOnly: RecvOnly, RecvOnly: SendOnly, Inactive: Inactive} {
		if dir.Reverse() != rev {
			t.Errorf("the reverse of %v is %v", dir, dir.Reverse())
		}
		m := d.Media[1]
		if m.SetDirection(dir); d.Direction(m) != dir || len(m.Lines) != 2 {
			t.Errorf("%v was set: %v", dir, m.Lines)
		}
	}
}

func names(cs []Codec) string {
	var s []string
	for _, c := range cs {
		s = append(s, c.RTPMap())
	}
	return strings.Join(s, ", ")
}

func TestCodecs(t *testing.T) {
	d := load(t, "lync")
	if got, want := names(d.Media[0].Codecs()), "117 G722/8000/2, 114 x-msrta/16000, 9 G722/8000, 111 SIREN/16000, 112 G7221/16000, "+
		"115 x-msrta/8000, 116 AAL2-G726-32/8000, 8 PCMA/8000, 0 PCMU/8000, 97 RED/8000, 13 CN/8000, 118 CN/16000, 101 telephone-event/8000"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cs := load(t, "webrtc").Media[0].Codecs()
	if v, ok := cs[0].Param("UseInbandFEC"); !ok || v != "1" || cs[0].Channels != 2 {
		t.Errorf("%+v", cs[0])
	}
	if cs := load(t, "webrtc").Media[2].Codecs(); cs != nil {
		t.Errorf("a data channel has %v", cs)
	}
	odd := parse(t, "m=audio 5000 RTP/AVP 0 0 8 96 97 98 200 x", "a=rtpmap:0 PCMU/8000", "a=rtpmap:96 L16", "a=rtpmap:97 L16/0", "a=rtpmap:98 L16/8000/1/1", "a=rtpmap:200 PCMU/8000")
	if got := names(odd.Media[0].Codecs()); got != "0 PCMU/8000, 8 PCMA/8000" {
		t.Error(got)
	}
	h := func(params string) Codec { return Codec{102, "H264", 90000, 1, params} }
	for _, x := range []struct {
		a, b Codec
		same bool
	}{
		{Codec{0, "pcmu", 8000, 1, ""}, Codec{96, "PCMU", 8000, 1, "x"}, true},
		{Codec{9, "G722", 8000, 1, ""}, Codec{117, "G722", 8000, 2, ""}, false},
		{h("packetization-mode=1;profile-level-id=42e01f"), h("profile-level-id=42E00d; packetization-mode=1"), true},
		{h("packetization-mode=1"), h(""), false},
		{h("profile-level-id=64001f"), h("profile-level-id=42001f"), false},
	} {
		if x.a.Same(x.b) != x.same {
			t.Errorf("%+v and %+v: same %v", x.a, x.b, !x.same)
		}
	}
	for proto, want := range map[string][3]bool{
		"RTP/AVP": {true, false, false}, "RTP/SAVPF": {true, true, true}, "UDP/TLS/RTP/SAVP": {true, true, false},
		"TCP/RTP/SAVP": {true, true, false}, "UDP/DTLS/SCTP": {}, "XRTP/SAVP": {}, "TCP/RTP/AVPF": {true, false, true},
	} {
		if got := [3]bool{RTP(proto), Secure(proto), Feedback(proto)}; got != want {
			t.Errorf("%s: %v", proto, got)
		}
	}
}

func TestICE(t *testing.T) {
	d := load(t, "lync")
	m := d.Media[0]
	if i, ok := d.ICE(m); !ok || i.Ufrag != "6nxO" || i.Pwd != "G6rUJNNaobz8IdDZrAbyFDoO" || i.Lite {
		t.Errorf("%+v", i)
	}
	cs := m.Candidates()
	if len(cs) != 6 || cs[2] != (Candidate{"2", 1, "TCP-PASS", 6556159, "192.0.2.20", 53127, "relay", "192.0.2.20", 53127, ""}) {
		t.Errorf("%+v", cs)
	}
	for _, name := range []string{"lync", "webrtc"} {
		for v := range load(t, name).Media[0].Attrs("candidate") {
			if c, err := ParseCandidate(v); err != nil || c.String() != strings.TrimSpace(v) {
				t.Errorf("%q came back as %q, %v", v, c.String(), err)
			}
		}
	}
	if _, ok := load(t, "webrtc").Media[0].Candidates()[1].Addr(); ok {
		t.Error("a name is an address")
	}
	// A draft 6 candidate of an open client, as its kind writes them.
	if _, err := ParseCandidate("ICEUSERNAMEAAAAAAAAAAAA 1 PASSWORDPASSWORDAAAA UDP 0.830 10.0.0.5 50005"); err != ErrOldCandidate {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "1 0 UDP 1 192.0.2.1 1 typ host", "1 257 UDP 1 192.0.2.1 1 typ host", "1 1 UDP 4294967296 192.0.2.1 1 typ host",
		"1 1 UDP 1 192.0.2.1 65536 typ host", "1 1 UDP 1 192.0.2.1 1 host", "1 1 UDP 1 192.0.2.1 1 typ srflx raddr 192.0.2.1 rport x",
		strings.Repeat("f", 33) + " 1 UDP 1 192.0.2.1 1 typ host",
	} {
		if c, err := ParseCandidate(bad); err == nil {
			t.Errorf("%q is %+v", bad, c)
		}
	}
	a := ICE{Ufrag: "a", Pwd: "b"}
	if a.Restarts(ICE{Ufrag: "a", Pwd: "c"}) || !a.Restarts(ICE{Ufrag: "x", Pwd: "c"}) {
		t.Error("a restart is both")
	}
}

// RFC 4568 9.1 and the Lync client's lines.
func TestCrypto(t *testing.T) {
	c, err := ParseCrypto("1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4 FEC_ORDER=FEC_SRTP")
	if err != nil || c.Tag != 1 || len(c.Key) != 30 || c.Lifetime != "2^20" || c.MKI != "1:4" || c.Session != "FEC_ORDER=FEC_SRTP" {
		t.Errorf("%+v, %v", c, err)
	}
	if got := c.Value(); got != "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4 FEC_ORDER=FEC_SRTP" {
		t.Error(got)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %x %s", c, c, c, c.Key, c.Key)} {
		if strings.Contains(text, "d0Rmd") || strings.Contains(text, "7744") || strings.Contains(text, "119 68") || !strings.Contains(text, "redacted") {
			t.Errorf("the key is shown: %s", text)
		}
	}
	if got := load(t, "lync").Media[0].Cryptos(); len(got) != 2 || got[0].Tag != 2 || got[0].MKI != "1:1" || got[1].MKI != "" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{
		"", "1 AES_CM_128_HMAC_SHA1_80", "x AES_CM_128_HMAC_SHA1_80 inline:AAAA", "1234567890 X inline:AAAA",
		"1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", "1 X inline:", "1 X inline:%", "1 X uri:AAAA", "1 X inline:AAAA|",
	} {
		if c, err := ParseCrypto(bad); err == nil {
			t.Errorf("%q is %+v", bad, c)
		} else if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("the key is in the error: %v", err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	d := load(t, "webrtc")
	ps := d.Fingerprints(d.Media[0])
	v, _ := d.Media[0].Attr("fingerprint")
	if len(ps) != 1 || ps[0].Hash != "sha-256" || len(ps[0].Sum) != 32 || ps[0].String() != v {
		t.Errorf("%+v", ps)
	}
	for _, bad := range []string{"", "sha-256", "sha-256 AABB", "sha-256 AA:B", "sha-256 A:AB", "sha-256 " + strings.Repeat("AA:", 99) + "AA"} {
		if p, err := ParseFingerprint(bad); err == nil {
			t.Errorf("%q is %+v", bad, p)
		}
	}
	if s := d.Setup(d.Media[0]); s != "actpass" || AnswerSetup(s) != "active" || AnswerSetup("active") != "passive" || AnswerSetup("x") != "" {
		t.Errorf("setup %q", s)
	}
}

func TestClone(t *testing.T) {
	d := load(t, "lync")
	before := string(d.Append(nil))
	c := d.Clone()
	c.Media[0].SetPort(1)
	c.Media[0].Set("label", "x")
	c.Session.Set("x", "y")
	if string(d.Append(nil)) != before {
		t.Error("a change of the copy is one of the original")
	}
}

func BenchmarkParse(b *testing.B) {
	in := load(b, "webrtc").Append(nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	d := load(b, "webrtc")
	out := d.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		out = d.Append(out[:0])
	}
}
