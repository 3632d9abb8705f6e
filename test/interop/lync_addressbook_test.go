package interop

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/test/lyncprobe"
	"parley/test/parleytest"
	"parley/test/server"
)

// The client finds people by the address book web query, with a ticket for it, and shows their photos.
func TestLyncAddressBook(t *testing.T) {
	needProbe(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob", "carol"), webAt(server.OwnAddr()))
	cli := func(args ...string) {
		t.Helper()
		if _, err := s.CLI(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
	picture := filepath.Join(t.TempDir(), "bob.png")
	f, err := os.Create(picture)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 48, 48))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	cli("user", "set", "bob@"+domain, "--name", "Bob Builder", "--title", "Foreman", "--company", "Example Works", "--country", "NZ", "--home-phone", "+1 555 0199")
	cli("user", "photo", "bob@"+domain, picture)
	cli("group", "add", "works@"+domain, "--name", "Example Works", "--member", "bob@"+domain)

	alice := startLync(t, s, "alice", func(o *lyncprobe.Options) { o.Debug = true })
	alice.do("wait-online")
	// It searches by SIP until it has been told where the address book is.
	alice.saw("<dlxInternalUrl>https://")
	for _, search := range []string{"given=Bob", "'company=example works'", "given=Bob surname=Build", "email=bob@"} {
		before := len(found(alice))
		alice.do("search " + search)
		alice.do("wait-search")
		all := found(alice)
		if len(all) != before+1 || !all[before].Is("search-result", "uri", "bob@"+domain, "name", "Bob Builder", "company", "Example Works", "email", "bob@"+domain) {
			t.Errorf("%s: found %v", search, all[before:])
		}
	}
	alice.do("info bob")
	alice.do("wait-info bob")
	if e := alice.Find("user-info"); e == nil || !strings.Contains(e["text"].(string), "Foreman") || !strings.Contains(e["text"].(string), "Example Works") {
		t.Errorf("the card of bob is %v", e)
	}
	alice.do("add-buddy bob")
	alice.do("wait-event buddy-icon who=*bob@" + domain)
	if e := alice.Find("buddy-icon"); e == nil || e["bytes"] == "0" {
		t.Errorf("the photo of bob is %v", e)
	}
	alice.leaves(0)
	// libpurple repeats a part of what it sends when its buffer grows at the wrong moment; the server answers 400 then, and
	// the client searches by SIP.
	if n := strings.Count(alice.Log(), "search_ab_entry_response: received valid SOAP message"); n < 2 {
		t.Errorf("%d searches on the web", n)
	}
}

// found are the results of all searches.
func found(c *lyncClient) (all []lyncprobe.Event) {
	for _, e := range c.Events() {
		if e.Is("search-result") {
			all = append(all, e)
		}
	}
	return all
}

// saw waits until the log of messages, which needs Debug, holds a text.
func (c *lyncClient) saw(text string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(c.Log(), text); {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s never saw %q", c.name, text)
		}
		c.do("sleep 1")
	}
}
