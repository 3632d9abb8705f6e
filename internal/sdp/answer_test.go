package sdp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var (
	pcmu  = Codec{0, "PCMU", 8000, 1, ""}
	pcma  = Codec{8, "PCMA", 8000, 1, ""}
	opus  = Codec{96, "opus", 48000, 2, ""}
	mpv   = Codec{32, "MPV", 90000, 1, ""}
	vp8   = Codec{96, "VP8", 90000, 1, ""}
	event = Codec{101, "telephone-event", 8000, 1, ""}

	ours = ConnectionTo(netip.MustParseAddr("192.0.2.9"))
	here = Origin{"-", "1", 1, "IP4", "192.0.2.9"}
)

// answer answers with what each kind of medium can do; a kind that is not there is refused.
func answer(t *testing.T, offer *Description, can map[string]Local) (*Description, []Choice) {
	t.Helper()
	var choices []Choice
	a := Answer(offer, here, ours, func(i int, m *Media) *Media {
		local, ok := can[m.MLine().Kind]
		if !ok {
			return nil
		}
		c, ok := offer.Choose(m, local)
		if !ok {
			return nil
		}
		choices = append(choices, c)
		return m.Accept(c, uint16(50000+2*i))
	})
	if err := CheckAnswer(offer, a); err != nil {
		t.Errorf("our own answer: %v", err)
	}
	if _, err := Parse(a.Append(nil)); err != nil {
		t.Errorf("our own answer: %v", err)
	}
	return a, choices
}

func mlines(d *Description) (out []string) {
	for _, m := range d.Media {
		out = append(out, m.MLine().String())
	}
	return out
}

// TestRFC4317 has the offers and the answers of RFC 4317: 2.1, one codec of each medium is chosen; 2.3, a medium is
// refused; 2.4 and 3.1, hold.
func TestRFC4317(t *testing.T) {
	plain := []Keying{Plain}
	offer := parse(t, "m=audio 49170 RTP/AVP 0 8 97", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:97 iLBC/8000",
		"m=video 51372 RTP/AVP 31 32", "a=rtpmap:31 H261/90000", "a=rtpmap:32 MPV/90000")
	a, _ := answer(t, offer, map[string]Local{
		"audio": {Codecs: []Codec{pcmu}, Direction: SendRecv, Keyings: plain}, "video": {Codecs: []Codec{mpv}, Direction: SendRecv, Keyings: plain},
	})
	if got := mlines(a); !slices.Equal(got, []string{"audio 50000 RTP/AVP 0", "video 50002 RTP/AVP 32"}) {
		t.Error(got)
	}
	a, _ = answer(t, offer, map[string]Local{"audio": {Codecs: []Codec{pcma, pcmu}, Direction: SendRecv, Keyings: plain}})
	if got := mlines(a); !slices.Equal(got, []string{"audio 50000 RTP/AVP 0 8", "video 0 RTP/AVP 31 32"}) {
		t.Error(got)
	}

	held := offer.Clone()
	held.Media[0].SetDirection(SendOnly)
	a, _ = answer(t, held, map[string]Local{"audio": {Codecs: []Codec{pcmu}, Direction: SendRecv, Keyings: plain}})
	if d := a.Direction(a.Media[0]); d != RecvOnly {
		t.Errorf("hold is answered with %v", d)
	}
	a, _ = answer(t, held, map[string]Local{"audio": {Codecs: []Codec{pcmu}, Direction: SendOnly, Keyings: plain}})
	if d := a.Direction(a.Media[0]); d != Inactive {
		t.Errorf("hold from both sides is %v", d)
	}
}

func TestBrowser(t *testing.T) {
	offer := load(t, "webrtc")
	a, choices := answer(t, offer, map[string]Local{
		"audio":       {Codecs: []Codec{pcmu, opus, event}, Direction: SendRecv, Keyings: []Keying{Plain, SDES, DTLS}},
		"application": {Formats: []string{"webrtc-datachannel"}, Keyings: []Keying{DTLS}},
	})
	want := []string{"audio 50000 UDP/TLS/RTP/SAVPF 111 0 126", "video 0 UDP/TLS/RTP/SAVPF 96 97 102 103", "application 50004 UDP/DTLS/SCTP webrtc-datachannel"}
	if got := mlines(a); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if choices[0].Keying != DTLS {
		t.Errorf("a browser is answered with %v", choices[0].Keying)
	}
	if g := a.Groups(); len(g) != 1 || !slices.Equal(g[0].MIDs, []string{"0", "2"}) {
		t.Errorf("bundled are %v", g)
	}
	if _, ok := offer.Choose(offer.Media[1], Local{Codecs: []Codec{vp8}, Direction: SendRecv, Keyings: []Keying{DTLS}}); !ok {
		t.Error("VP8 is refused")
	}
}

// The offers of a real phone: baresip 1.0.0 with plain RTP, SDES, and DTLS with ICE.
func TestPhone(t *testing.T) {
	for name, want := range map[string]struct {
		keying Keying
		line   string
		setup  string
	}{
		"plain": {Plain, "audio 50000 RTP/AVP 0 8 101", ""},
		"srtp":  {SDES, "audio 50000 RTP/AVP 0 101", ""}, // RTP/AVP with a=crypto: the phone leaves the choice
		"dtls":  {DTLS, "audio 50000 UDP/TLS/RTP/SAVPF 8 101", "actpass"},
	} {
		offer := load(t, "baresip-"+name)
		a, choices := answer(t, offer, map[string]Local{"audio": {
			Codecs: []Codec{opus, pcma, pcmu, event}, Direction: SendRecv, Keyings: []Keying{DTLS, SDES, Plain},
		}})
		m := offer.Media[0]
		if got := mlines(a); len(choices) != 1 || choices[0].Keying != want.keying || got[0] != want.line || offer.Setup(m) != want.setup {
			t.Errorf("%s: %q, %+v", name, got, choices)
		}
		if name == "dtls" {
			i, ok := offer.ICE(m)
			port, _ := m.RTCP()
			if ps := offer.Fingerprints(m); !ok || i.Ufrag != "q6za4hi" || len(m.Candidates()) != 4 || port != 32019 || len(ps) != 1 || ps[0].Hash != "sha-256" {
				t.Errorf("%+v, %d candidates, RTCP at %d, %v", i, len(m.Candidates()), port, ps)
			}
		}
	}
}

func TestKeyings(t *testing.T) {
	const crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
	const print = "a=fingerprint:sha-1 AA:BB"
	for _, x := range []struct {
		proto string
		lines []string
		want  []Keying
	}{
		{"RTP/AVP", nil, []Keying{Plain}},
		{"RTP/SAVP", nil, nil},
		{"RTP/SAVP", []string{crypto}, []Keying{SDES}},
		{"RTP/AVP", []string{crypto}, []Keying{SDES, Plain}},
		{"RTP/AVP", []string{crypto, "a=encryption:required"}, []Keying{SDES}},
		{"RTP/AVP", []string{crypto, "a=encryption:rejected"}, []Keying{Plain}},
		{"RTP/AVP", []string{crypto, "a=encryption:optional"}, []Keying{SDES, Plain}},
		{"RTP/SAVPF", []string{crypto, print}, []Keying{DTLS, SDES}},
		{"UDP/TLS/RTP/SAVPF", []string{crypto, print}, []Keying{DTLS}},
		{"UDP/TLS/RTP/SAVPF", []string{crypto}, nil},
		{"TCP/RTP/SAVP", []string{crypto}, []Keying{SDES}},
	} {
		d := parse(t, append([]string{"m=audio 5000 " + x.proto + " 0"}, x.lines...)...)
		if got := d.Keyings(d.Media[0]); !slices.Equal(got, x.want) {
			t.Errorf("%s %q: %v, want %v", x.proto, x.lines, got, x.want)
		}
	}
}

// MS-SDPEXT: who accepts the SRTP of an RTP/AVP offer says RTP/SAVP.
func TestLync(t *testing.T) {
	local := Local{Codecs: []Codec{pcma, pcmu, event}, Direction: SendRecv, Keyings: []Keying{SDES, Plain}, SavpForAvp: true}
	offer := load(t, "lync")
	c, ok := offer.Choose(offer.Media[0], local)
	if !ok || c.Keying != SDES || c.Proto != "RTP/SAVP" || strings.Join(c.Formats, " ") != "8 0 101" {
		t.Errorf("%+v", c)
	}
	l := offer.Media[0].MLine()
	l.Proto = "RTP/AVP"
	offer.Media[0].SetMLine(l)
	offer.Media[0].Set("encryption", "optional")
	if c, _ := offer.Choose(offer.Media[0], local); c.Proto != "RTP/SAVP" || c.Keying != SDES {
		t.Errorf("%+v", c)
	}
	local.SavpForAvp = false
	if c, _ := offer.Choose(offer.Media[0], local); c.Proto != "RTP/AVP" {
		t.Errorf("%+v", c)
	}
}

func TestNothingShared(t *testing.T) {
	d := parse(t, "m=audio 5000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", "m=audio 0 RTP/AVP 0", "m=audio 0 RTP/AVP 0", "a=bundle-only")
	for name, local := range map[string]Local{
		"codec":     {Codecs: []Codec{opus}, Keyings: []Keying{Plain}},
		"companion": {Codecs: []Codec{event}, Keyings: []Keying{Plain}},
		"keying":    {Codecs: []Codec{pcmu}, Keyings: []Keying{DTLS, SDES}},
	} {
		if c, ok := d.Choose(d.Media[0], local); ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
	local := Local{Codecs: []Codec{pcmu}, Keyings: []Keying{Plain}}
	if _, ok := d.Choose(d.Media[1], local); ok {
		t.Error("what is not offered is accepted")
	}
	if _, ok := d.Choose(d.Media[2], local); !ok {
		t.Error("port zero with bundle-only is an offer (RFC 9143 7.2)")
	}
}

func TestCheckAnswer(t *testing.T) {
	offer := parse(t, "a=group:BUNDLE a", "m=audio 5000 RTP/SAVP 0 96", "a=mid:a", "a=rtpmap:96 opus/48000/2", "a=sendonly", "m=video 0 RTP/AVP 31", "a=mid:v")
	refused := "m=video 0 RTP/AVP 31"
	for name, x := range map[string]struct {
		ok    bool
		lines []string
	}{
		"right":         {true, []string{"m=audio 6000 RTP/SAVP 0", "a=recvonly", refused}},
		"other type":    {true, []string{"m=audio 6000 RTP/SAVP 111", "a=rtpmap:111 opus/48000/2", "a=inactive", refused}},
		"all refused":   {true, []string{"m=audio 0 RTP/SAVP 0", refused}},
		"one missing":   {false, []string{"m=audio 6000 RTP/SAVP 0", "a=recvonly"}},
		"kind":          {false, []string{"m=audio 6000 RTP/SAVP 0", "a=recvonly", "m=text 0 RTP/AVP 31"}},
		"direction":     {false, []string{"m=audio 6000 RTP/SAVP 0", refused}},
		"less secure":   {false, []string{"m=audio 6000 RTP/AVP 0", "a=recvonly", refused}},
		"codec":         {false, []string{"m=audio 6000 RTP/SAVP 8", "a=recvonly", refused}},
		"not offered":   {false, []string{"m=audio 6000 RTP/SAVP 0", "a=recvonly", "m=video 6002 RTP/AVP 31"}},
		"bundled":       {true, []string{"a=group:BUNDLE a", "m=audio 6000 RTP/SAVP 0", "a=mid:a", "a=recvonly", refused}},
		"bundles more":  {false, []string{"a=group:BUNDLE a v", "m=audio 6000 RTP/SAVP 0", "a=mid:a", "a=recvonly", refused, "a=mid:v"}},
		"bundles wrong": {false, []string{"a=group:BUNDLE a", "m=audio 0 RTP/SAVP 0", "a=mid:a", refused}},
	} {
		if err := CheckAnswer(offer, parse(t, x.lines...)); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckChange(t *testing.T) {
	before := parse(t, "m=audio 5000 RTP/AVP 0", "m=video 5002 RTP/AVP 31")
	change := func(f func(*Description)) error {
		after := before.Clone()
		f(after)
		return CheckChange(before, after)
	}
	grow := func(d *Description) { o, _ := d.Origin(); o.Version++; d.SetOrigin(o) }
	if err := change(func(*Description) {}); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	if err := change(func(d *Description) { grow(d); d.Media[0].SetDirection(SendOnly) }); err != nil {
		t.Errorf("hold: %v", err)
	}
	if err := change(func(d *Description) { grow(d); d.Media = append(d.Media, d.Media[0].Refuse()) }); err != nil {
		t.Errorf("another medium: %v", err)
	}
	for name, f := range map[string]func(*Description){
		"version":   func(d *Description) { d.Media[0].SetPort(1) },
		"jump":      func(d *Description) { grow(d); grow(d); d.Media[0].SetPort(1) },
		"fewer":     func(d *Description) { grow(d); d.Media = d.Media[:1] },
		"kind":      func(d *Description) { grow(d); d.Media[1].SetMLine(d.Media[0].MLine()) },
		"session":   func(d *Description) { o, _ := d.Origin(); o.ID = "9"; o.Version++; d.SetOrigin(o) },
		"no origin": func(d *Description) { d.Session[1].Value = "x" },
	} {
		if err := change(f); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzParse: what can be read is written as it was, and every question about it has an answer.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"rfc8866", "lync", "webrtc", "spelling", "baresip-srtp", "baresip-dtls"} {
		f.Add(load(f, name).Append(nil))
	}
	local := Local{
		Codecs: []Codec{pcmu, pcma, opus, mpv, vp8, event}, Formats: []string{"webrtc-datachannel"}, Direction: SendRecv,
		Keyings: []Keying{DTLS, SDES, Plain}, SavpForAvp: true,
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			return
		}
		if got := string(d.Append(nil)); got != string(b) {
			t.Fatalf("%q came back as %q", b, got)
		}
		d.Origin()
		d.Groups()
		for _, m := range d.Media {
			d.Connection(m)
			d.ICE(m)
			d.Held(m)
			d.Setup(m)
			m.RTCP()
			m.Candidates()
			for _, c := range m.Cryptos() {
				if again, err := ParseCrypto(c.Value()); err != nil || string(again.Key) != string(c.Key) {
					t.Fatalf("a crypto line of ours cannot be read: %v", err)
				}
			}
		}
		a := Answer(d, here, ours, func(i int, m *Media) *Media {
			c, ok := d.Choose(m, local)
			if !ok {
				return nil
			}
			return m.Accept(c, 50000)
		})
		if err := CheckAnswer(d, a); err != nil {
			t.Fatalf("our answer %q: %v", a.Append(nil), err)
		}
		again, err := Parse(a.Append(nil))
		if err != nil {
			t.Fatalf("our answer %q: %v", a.Append(nil), err)
		}
		if err := CheckAnswer(d, again); err != nil {
			t.Fatalf("our answer, read again: %v", err)
		}
	})
}
