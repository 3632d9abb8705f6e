package roaming

import (
	"errors"
	"fmt"
	"testing"

	"parley/internal/xmldoc/contacts"
	"parley/internal/xmldoc/soap"
)

func req(method string, delta int64, args ...string) *soap.Request {
	r := &soap.Request{Method: method, Args: map[string]string{"deltaNum": fmt.Sprint(delta)}}
	for i := 0; i < len(args); i += 2 {
		r.Args[args[i]] = args[i+1]
	}
	return r
}

func newBook() *book {
	return &book{List: contacts.List{DeltaNum: 1, Groups: []contacts.Group{{ID: 1, Name: "~"}}}}
}

// do plans and makes a change.
func do(t *testing.T, b *book, by string, r *soap.Request) int {
	t.Helper()
	c, group, err := b.plan(r, by, 3)
	if err != nil {
		t.Fatalf("%s: %v", r.Method, err)
	}
	if c != nil {
		b.apply(c, by)
	}
	return group
}

func refused(t *testing.T, b *book, by string, r *soap.Request, want error) {
	t.Helper()
	if c, _, err := b.plan(r, by, 3); !errors.Is(err, want) {
		t.Errorf("%s %v: %+v, %v; want %v", r.Method, r.Args, c, err, want)
	}
}

func TestChanges(t *testing.T) {
	b := newBook()
	if id := do(t, b, "a", req("addGroup", 1, "name", "Team")); id != 2 {
		t.Errorf("new group %d", id)
	}
	if id := do(t, b, "a", req("addGroup", 2, "name", "Team")); id != 2 || b.DeltaNum != 2 {
		t.Errorf("the same again: group %d, list %d", id, b.DeltaNum)
	}
	do(t, b, "a", req("setContact", 2, "URI", "sip:Bob@example.test", "groups", "1 2", "displayName", "Bob", "subscribed", "true", "contactExtension", "x"))
	do(t, b, "a", req("setContact", 3, "URI", "sip:bob@example.test", "groups", "2 9", "displayName", ""))
	if c := b.Contacts[0]; len(b.Contacts) != 1 || c.URI != "bob@example.test" || len(c.Groups) != 1 || c.Groups[0] != 2 || c.Extension != "x" {
		t.Errorf("contacts %+v", b.Contacts)
	}
	refused(t, b, "a", req("deleteGroup", 4, "groupID", "2"), errNotEmpty)
	refused(t, b, "a", req("deleteGroup", 4, "groupID", "1"), errFirst)
	refused(t, b, "a", req("modifyGroup", 4, "groupID", "1", "name", "x"), errFirst)
	refused(t, b, "a", req("modifyGroup", 4, "groupID", "7", "name", "x"), errMissing)
	refused(t, b, "a", req("setPresence", 4), errMethod)
	do(t, b, "a", req("modifyGroup", 4, "groupID", "2", "name", "Crew"))
	do(t, b, "a", req("setContact", 5, "URI", "carol@example.test", "groups", ""))
	do(t, b, "a", req("setContact", 6, "URI", "dave@example.test", "groups", "1"))
	refused(t, b, "a", req("setContact", 7, "URI", "erin@example.test", "groups", "1"), errFull)
	do(t, b, "a", req("deleteContact", 7, "URI", "sip:bob@example.test"))
	do(t, b, "a", req("deleteContact", 8, "URI", "sip:bob@example.test")) // is so already
	do(t, b, "a", req("deleteGroup", 8, "groupID", "2"))
	if b.DeltaNum != 9 || len(b.Groups) != 1 || len(b.Contacts) != 2 {
		t.Errorf("in the end %+v", b.List)
	}
	for _, uri := range []string{"", "sip:", "sip:a b@example.test"} {
		if c, _, err := b.plan(req("setContact", 9, "URI", uri), "a", 9); err == nil {
			t.Errorf("%q accepted: %+v", uri, c)
		}
	}
}

// Two clients edit at once: what does not touch the same entry is done, what does is
// refused, and nothing is lost in silence.
func TestTwoAtOnce(t *testing.T) {
	b := newBook()
	do(t, b, "a", req("setContact", 1, "URI", "bob@example.test", "groups", "1")) // list 2
	do(t, b, "a", req("setContact", 2, "URI", "carol@example.test", "groups", "1"))
	do(t, b, "b", req("setContact", 2, "URI", "dave@example.test", "groups", "1")) // an old list, another entry
	refused(t, b, "b", req("deleteContact", 2, "URI", "carol@example.test"), errStale)
	do(t, b, "a", req("setContact", 2, "URI", "carol@example.test", "groups", "1", "displayName", "C")) // his own change
	do(t, b, "b", req("deleteContact", 99, "URI", "bob@example.test"))                                  // counts what failed
	if b.DeltaNum != 6 || len(b.Contacts) != 2 {
		t.Errorf("%+v", b.List)
	}
	b.log = nil
	do(t, b, "a", req("addGroup", 0, "name", "early")) // before he has read the list
	b.log = nil
	refused(t, b, "a", req("deleteContact", 2, "URI", "carol@example.test"), errStale) // nobody knows any more
}

func TestManyGroups(t *testing.T) {
	b := newBook()
	for i := range 62 {
		do(t, b, "a", req("addGroup", int64(i+1), "name", fmt.Sprint("g", i)))
	}
	refused(t, b, "a", req("addGroup", 63, "name", "one more"), errGroups)
}

func TestNews(t *testing.T) {
	b := newBook()
	do(t, b, "a", req("addGroup", 1, "name", "Team"))
	if got := string(b.news(1)); got != `<contactDelta xmlns="http://schemas.microsoft.com/2002/09/sip/contacts" deltaNum="2" prevDeltaNum="1"><addedGroup id="2" name="Team" externalURI=""/></contactDelta>` {
		t.Errorf("delta %s", got)
	}
	do(t, b, "a", req("addGroup", 2, "name", "Crew"))
	if l, err := contacts.Parse(b.news(1)); err != nil || l.DeltaNum != 3 {
		t.Errorf("%v %+v", err, l)
	}
}
