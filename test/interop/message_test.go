package interop

import (
	"context"
	"testing"

	"parley/test/baresip"
)

// knows gives a phone a contact, the only way in which baresip chooses whom to write to.
func knows(user string) func(*baresip.Config) {
	return func(c *baresip.Config) {
		c.Contacts = append(c.Contacts, `"`+user+`" <sip:`+user+`@`+domain+`>`)
	}
}

func (a *actor) writes(text string) {
	a.t.Helper()
	a.do("contact_next", "") // chooses the only one
	a.do("message", text)
}

func (a *actor) reads(text string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	if err := a.AwaitText(ctx, text); err != nil {
		a.t.Fatal(err)
	}
}

func TestMessageBothWays(t *testing.T) {
	s := start(t, "alice", "bob")
	for _, pair := range pairs {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			alice := signIn(t, s, "alice", pair[0], knows("bob"))
			bob := signIn(t, s, "bob", pair[1], knows("alice"))
			alice.writes("lunch at noon?")
			bob.reads("lunch at noon?")
			bob.writes("one is better")
			alice.reads("one is better")
		})
	}
}

func TestMessageWaitsForSignIn(t *testing.T) {
	s := start(t, "alice", "bob")
	if s.foreign {
		t.Skip("Kamailio keeps no messages here")
	}
	alice := signIn(t, s, "alice", "tls", knows("bob"))
	alice.writes("read me tomorrow")
	alice.logs(`SIP/2.0 202 `)
	bob := signIn(t, s, "bob", "tls")
	bob.reads("read me tomorrow")
}
