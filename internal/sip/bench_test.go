package sip_test

import (
	"net/netip"
	"testing"

	"parley/internal/sip"
	"parley/internal/sip/siptest"
)

func benchParse(b *testing.B, name string, more func(*sip.Message)) {
	raw := siptest.Raw(name)
	var m sip.Message
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := m.Parse(raw, nil); err != nil {
			b.Fatal(err)
		}
		if more != nil {
			more(&m)
		}
	}
}

func BenchmarkParseRegister(b *testing.B) { benchParse(b, "register_auth", nil) }
func BenchmarkParseInvite(b *testing.B)   { benchParse(b, "invite_sdp", nil) }

// BenchmarkServeRegister is what a registrar reads of a REGISTER, on top of parsing it.
func BenchmarkServeRegister(b *testing.B) {
	benchParse(b, "register_auth", func(m *sip.Message) {
		if err := m.Validate(); err != nil {
			b.Fatal(err)
		}
		if _, err := m.TopVia(); err != nil {
			b.Fatal(err)
		}
		if m.FromTag() == nil || m.ToTag() != nil {
			b.Fatal("tags")
		}
		var n sip.NameAddr
		for v := m.Values(sip.HContact); ; {
			c, ok := v.Next()
			if !ok {
				break
			}
			if err := sip.ParseNameAddr(c, &n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	var m sip.Message
	if err := m.Parse(siptest.Raw("invite_sdp"), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTopVia(b *testing.B) {
	var m sip.Message
	if err := m.Parse(siptest.Raw("invite_sdp"), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.TopVia(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	raw := siptest.Raw("register_auth")
	b.ReportAllocs()
	for b.Loop() {
		if n, _, err := sip.Frame(raw, nil); err != nil || n != len(raw) {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkForwardInvite(b *testing.B) {
	var m sip.Message
	if err := m.Parse(siptest.Raw("invite_sdp"), nil); err != nil {
		b.Fatal(err)
	}
	m.Source = netip.MustParseAddrPort("192.0.2.10:5060")
	e := sip.ForwardEdit{
		RequestURI:   []byte("sip:bob@192.0.2.20:5062;transport=tcp"),
		Via:          []byte("SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKabcdef0123456789"),
		RecordRoute:  [][]byte{[]byte("<sip:192.0.2.1;transport=tcp;lr>")},
		RemoveRoutes: 1,
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = sip.AppendForward(buf[:0], &m, &e)
	}
}

func BenchmarkRespond(b *testing.B) {
	var m sip.Message
	if err := m.Parse(siptest.Raw("register_auth"), nil); err != nil {
		b.Fatal(err)
	}
	m.Source = netip.MustParseAddrPort("192.0.2.10:41784")
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = sip.AppendResponse(buf[:0], &m, 200, "OK", "t1f4c",
			sip.Header{Name: "Contact", Value: "<sip:alice@192.0.2.10:41784>;expires=600"})
	}
}
