package proxy_test

import (
	"log/slog"
	"strings"
	"testing"

	"parley/internal/directory"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/sip/siptest"
	"parley/internal/stack/stacktest"
	"parley/internal/uc"
)

type people map[uc.AOR]*directory.User

func (p people) Lookup(aor uc.AOR) (*directory.User, bool) { u, ok := p[aor]; return u, ok }

func (p people) IsLocal(d []byte) bool { return string(d) == "example.test" }

const signature = `NTLM qop="auth", opaque="1F2A3B4C", realm="SIP Communications Service", targetname="fe1.example.test", crand="0a1b2c3d", cnum="1", response="0100"`

// What a Lync-protocol client signs with is for this server and goes no further, in either direction; what is not for
// us does.
func TestSignaturesStayHere(t *testing.T) {
	transports(t, func(t *testing.T, w *world, alice, phone *stacktest.Peer) {
		w.to(phone)
		fields := []string{"Authorization: " + signature, "Proxy-Authorization: " + strings.Replace(signature, "NTLM", "TLS-DSK", 1),
			`Proxy-Authorization: Digest username="alice", realm="elsewhere.test", nonce="n", uri="u", response="r"`}
		check := func(m *sip.Message) {
			t.Helper()
			if m.Has(sip.HAuthorization) || m.IsRequest() && m.Count(sip.HProxyAuthorization) != 1 || strings.Contains(string(m.Raw()), "TLS-DSK") {
				t.Errorf("passed on:\n%s", m.Raw())
			}
		}
		alice.Request("INVITE", bob, "z9hG4bKa1", 1, "", fields...)
		inv := phone.Expect("INVITE")
		check(inv)
		own := sip.Header{Name: "Authorization", Value: signature}
		contact := "sip:phone0@" + phone.Addr().String()
		phone.Reply(inv, 180, own)
		check(alice.Expect("180"))
		for range 2 { // the second is passed on when the call is forgotten already
			phone.Reply(inv, 200, own, sip.Header{Name: "Contact", Value: "<" + contact + ">"})
			ok := alice.Expect("200")
			check(ok)
			alice.Request("ACK", contact, "z9hG4bKa2", 1, "b", append(routes(ok), fields...)...)
			check(phone.Expect("ACK"))
		}
		alice.Request("MESSAGE", bob, "z9hG4bKa3", 2, "", fields...)
		m := phone.Expect("MESSAGE")
		check(m)
		phone.Reply(m, 486, own)
		check(alice.Expect("486"))
	})
}

// The user who signed in is shown with his name of the directory; what he says of himself is not believed.
func TestVouch(t *testing.T) {
	users := people{
		"alice@example.test": {AOR: "alice@example.test", Name: `Alice "Al" Example, Inc`, Phones: []string{"tel:+15550100;ext=42", "tel:+15550101"}},
		"bob@example.test":   {AOR: "bob@example.test", Name: "Bob <b>"},
	}
	p := proxy.New(proxy.Config{Log: slog.New(slog.DiscardHandler), People: users})
	alice, bob := uc.Identity{AOR: "alice@example.test", Class: uc.Client}, uc.Identity{AOR: "bob@example.test", Class: uc.Client}
	for name, row := range map[string]struct {
		from  uc.Identity
		field string
		drop  bool
		want  string
	}{
		"a user":                    {alice, "X: y", false, `"Alice \"Al\" Example, Inc" <sip:alice@example.test>, <tel:+15550100;ext=42>`},
		"a name with brackets":      {bob, "X: y", false, "<sip:bob@example.test>"},
		"who claims":                {bob, "P-Asserted-Identity: <sip:alice@example.test>", true, "<sip:bob@example.test>"},
		"who prefers":               {bob, "P-Preferred-Identity: <sip:alice@example.test>", true, "<sip:bob@example.test>"},
		"who hides":                 {alice, "Privacy: id", false, ""},
		"who says that he does not": {bob, "Privacy: none", false, "<sip:bob@example.test>"},
		"credentials for us":        {bob, `Authorization: Digest username="bob", realm="example.test", nonce="n", uri="u", response="00000000000000000000000000000000"`, true, "<sip:bob@example.test>"},
		"credentials elsewhere":     {bob, `Authorization: Digest username="bob", realm="elsewhere.test", nonce="n", uri="u", response="00000000000000000000000000000000"`, false, "<sip:bob@example.test>"},
		"a member":                  {uc.Identity{AOR: "alice@example.test", Name: "fe2.example.test", Class: uc.Member}, "P-Asserted-Identity: <sip:alice@example.test>", false, ""},
		"nobody":                    {uc.Identity{}, "P-Asserted-Identity: <sip:alice@example.test>", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var m sip.Message
			text := "MESSAGE sip:bob@example.test SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: c\nCSeq: 1 MESSAGE\n" + row.field + "\n\n"
			if err := m.Parse(siptest.Text(text), nil); err != nil {
				t.Fatal(err)
			}
			var opt proxy.Options
			p.Vouch(&opt, row.from, &m)
			dropped := false
			for f := range m.Fields() {
				dropped = dropped || opt.Drop != nil && opt.Drop(f)
			}
			got := ""
			for _, h := range opt.Headers {
				got += h.Value
			}
			if dropped != row.drop || got != row.want {
				t.Errorf("dropped %v, says %s; want %v, %s", dropped, got, row.drop, row.want)
			}
		})
	}
	t.Run("From says anonymous", func(t *testing.T) {
		var m sip.Message
		text := "MESSAGE sip:bob@example.test SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:anonymous@anonymous.invalid>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: c\nCSeq: 1 MESSAGE\n\n"
		if err := m.Parse(siptest.Text(text), nil); err != nil {
			t.Fatal(err)
		}
		var opt proxy.Options
		p.Vouch(&opt, alice, &m)
		if len(opt.Headers) > 0 {
			t.Errorf("named %v", opt.Headers)
		}
	})
}
