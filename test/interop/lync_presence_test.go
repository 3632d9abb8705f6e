package interop

import (
	"testing"

	"parley/test/parleytest"
)

// settled waits until the client has read its contact list: what is added before, it removes again when the list
// without it arrives. It publishes its state after that, and is told what it comes to.
func (c *lyncClient) settled() {
	c.t.Helper()
	c.do("wait-online")
	c.do("sleep 1")
}

// signOut ends a client well.
func (c *lyncClient) signOut() {
	c.t.Helper()
	c.leaves(0)
}

// Contacts are on the server: a client with an empty profile has them again.
func TestLyncContacts(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob", "carol"))
	alice := startLync(t, s, "alice")
	alice.settled()
	alice.do("add-buddy bob Friends")
	alice.do("wait-roster bob")
	alice.do("add-buddy carol Friends")
	alice.do("wait-roster carol")
	alice.do("alias-buddy carol Caroline")
	alice.do("sleep 2")
	alice.signOut()
	again := startLync(t, s, "alice")
	again.do("wait-online")
	again.do("wait-roster bob")
	again.do("wait-roster carol")
	again.do("wait-event buddy-added who=*carol* alias=Caroline")
	again.do("remove-buddy bob Friends")
	again.do("sleep 2")
	again.signOut()
	last := startLync(t, s, "alice")
	last.do("wait-online")
	last.do("wait-roster carol")
	last.do("wait-no-roster bob")
	last.signOut()
}

// What somebody sets arrives at those who watch him, and a block hides it.
func TestLyncPresence(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	alice, bob := startLync(t, s, "alice"), startLync(t, s, "bob")
	alice.settled()
	bob.settled()
	alice.do("add-buddy bob Friends")
	alice.do("wait-buddy-status bob available")
	bob.do("status busy")
	alice.do("wait-buddy-status bob busy")
	bob.do("note back at three")
	alice.do("wait-buddy-text bob back at three")
	bob.do("status do-not-disturb")
	alice.do("wait-buddy-status bob do-not-disturb")
	bob.do("status away")
	alice.do("wait-buddy-status bob away")
	bob.do("status available")
	alice.do("wait-buddy-status bob available")
	bob.do("block alice")
	alice.do("wait-buddy-status bob offline")
	bob.do("unblock alice")
	alice.do("wait-buddy-status bob available")
	bob.do("status invisible")
	alice.do("wait-buddy-status bob offline")
	bob.signOut()
	alice.signOut()
}

// A phone and a client see each other and write to each other.
func TestLyncAndPhone(t *testing.T) {
	needProbe(t)
	parleytest.Need(t, "baresip")
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	alice := startLync(t, s, "alice")
	alice.settled()
	alice.do("add-buddy bob Friends")
	alice.do("wait-roster bob")
	bob := signIn(t, &target{caFile: s.CAFile(), at: s.At}, "bob", "tls", knows("alice"))
	alice.do("wait-buddy-status bob available")
	alice.do("im bob lunch at noon?")
	bob.reads("lunch at noon?")
	bob.writes("one is better")
	alice.do("wait-im bob one is better")
	alice.do("im bob fine")
	bob.reads("fine")
	alice.signOut()
}

// People are found by name and by address.
func TestLyncSearch(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	if _, err := s.CLI(t.Context(), "", "user", "set", "bob@"+domain, "--name", "Bob Example"); err != nil {
		t.Fatal(err)
	}
	alice := startLync(t, s, "alice")
	alice.do("wait-online")
	alice.do("search given=Bob")
	alice.do("wait-search")
	if alice.Find("search-result") == nil {
		t.Errorf("nobody found:\n%s", alice.Log())
	}
	alice.signOut()
}
