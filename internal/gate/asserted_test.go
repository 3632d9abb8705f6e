package gate

import (
	"fmt"
	"testing"

	"parley/internal/sip"
	"parley/internal/uc"
)

// Servers of the deployment say for whom they send (RFC 3325 section 5); nobody else is believed.
func TestAssertedIdentity(t *testing.T) {
	for class, want := range map[uc.TrustClass]string{
		uc.Member: "alice@example.test", uc.TrustedServer: "alice@example.test", uc.Trunk: "trunk:fe2.example.test",
	} {
		t.Run(class.String(), func(t *testing.T) {
			w := start(t, nil)
			c := w.tcp(t)
			c.Quiet()
			for _, f := range w.Layer.Flows() {
				f.SetIdentity(uc.Identity{Class: class, Name: "fe2.example.test"})
			}
			r := request{method: "MESSAGE", uri: "sip:bob@example.test", from: "sip:anonymous@anonymous.invalid"}
			asserted := `P-Asserted-Identity: <tel:+15550100>, "Alice" <sip:ALICE@example.test>`
			if got := string(code(t, c.ask(r, asserted), 200).HeaderNamed("X-Identity")); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if got := string(code(t, c.ask(r, "P-Asserted-Identity: <sip:mallory@elsewhere.test>"), 200).HeaderNamed("X-Identity")); got != class.String()+":fe2.example.test" {
				t.Errorf("a foreign identity: %s", got)
			}
		})
	}
}

// RFC 3261 section 8.2.7: a request that was refused without a transaction and comes again gets the same To tag.
func TestChallengeKeepsToTag(t *testing.T) {
	w := start(t, nil)
	c := w.udp(t)
	text := func(branch int) string {
		return fmt.Sprintf("REGISTER sip:example.test SIP/2.0\nVia: $via;branch=z9hG4bK%d\nMax-Forwards: 70\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:alice@example.test>\nCall-ID: r\nCSeq: 1 REGISTER\nContent-Length: 0\n\n", branch)
	}
	tag := func(branch int) string {
		c.Send(text(branch))
		m := code(t, c.Receive(), 401)
		if !m.Has(sip.HWWWAuthenticate) || len(m.ToTag()) == 0 {
			t.Fatalf("%s", m.Raw())
		}
		return string(m.ToTag())
	}
	first := tag(1)
	if again := tag(1); again != first {
		t.Errorf("To tag %s, then %s", first, again)
	}
	if other := tag(2); other == first {
		t.Error("two requests have one To tag")
	}
}
