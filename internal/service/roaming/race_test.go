package roaming_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/internal/node/nodetest"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/contacts"
	"parley/test/phone"
)

// replica is the list as a client has it by what it was told.
type replica struct {
	delta    int64
	groups   map[string]string // name by id
	contacts map[string]string // groups and name by address
}

func newReplica(l *contacts.List) *replica {
	r := &replica{l.DeltaNum, map[string]string{}, map[string]string{}}
	for _, g := range l.Groups {
		r.groups[fmt.Sprint(g.ID)] = g.Name
	}
	for _, c := range l.Contacts {
		r.contacts[c.URI] = contacts.FormatGroups(c.Groups) + "/" + c.Name
	}
	return r
}

// take takes a notification: a whole list, or a change of the list that the client has.
func (r *replica) take(body string) error {
	root, err := xmldoc.Parse([]byte(body), xmldoc.Limits{})
	if err != nil {
		return err
	}
	if root.Name.Local == "contactList" {
		l, err := contacts.Parse([]byte(body))
		if err == nil {
			*r = *newReplica(l)
		}
		return err
	}
	if prev := root.Attr("prevDeltaNum"); prev != fmt.Sprint(r.delta) {
		return fmt.Errorf("a change of list %s came to one who has %d", prev, r.delta)
	}
	if _, err := fmt.Sscan(root.Attr("deltaNum"), &r.delta); err != nil {
		return err
	}
	for e := range root.Kids {
		uri := strings.TrimPrefix(e.Attr("uri"), "sip:")
		switch e.Name.Local {
		case "addedGroup", "modifiedGroup":
			r.groups[e.Attr("id")] = e.Attr("name")
		case "deletedGroup":
			delete(r.groups, e.Attr("id"))
		case "addedContact", "modifiedContact":
			r.contacts[uri] = e.Attr("groups") + "/" + e.Attr("name")
		case "deletedContact":
			delete(r.contacts, uri)
		default:
			return fmt.Errorf("unknown change %s", e.Name.Local)
		}
	}
	return nil
}

// editor is one of two clients of a user, who edit at the same time.
type editor struct {
	*client
	name string
	*replica
}

// edit sends many changes without waiting, and reads until all are answered. It returns the contacts that were
// accepted.
func (e *editor) edit(many int) (accepted []string, err error) {
	asked := map[string]string{} // contact by Call-ID
	for i := range many {
		for _, m := range []*phone.Message{
			e.request("addGroup", "name", fmt.Sprint("group", i%20), "externalURI", ""),                                       // the other adds the same
			e.request("setContact", "URI", fmt.Sprintf("sip:%s%d@example.test", e.name, i), "groups", "1"),                    // of its own
			e.request("setContact", "URI", fmt.Sprintf("sip:both%d@example.test", i%5), "groups", "1", "displayName", e.name), // of both
			e.request("deleteContact", "URI", fmt.Sprintf("sip:both%d@example.test", (i+2)%5)),
		} {
			if strings.Contains(m.Body, "sip:"+e.name) {
				asked[m.Get("Call-ID")] = fmt.Sprintf("%s%d@example.test", e.name, i)
			}
			if err := e.Send(m); err != nil {
				return nil, err
			}
		}
	}
	for n := 0; n < 4*many; {
		m, err := e.read()
		switch {
		case err != nil:
			return nil, err
		case m.Code() == 0:
			continue
		case m.Code() == 200:
			if uri := asked[m.Get("Call-ID")]; uri != "" {
				accepted = append(accepted, uri)
			}
		case m.Code() != 409:
			return nil, fmt.Errorf("answer\n%s", m)
		}
		n++
	}
	return accepted, nil
}

// read takes one message.
func (e *editor) read() (*phone.Message, error) {
	m, err := e.Receive(e.t.Context())
	if err != nil || m.Code() > 0 {
		return m, err
	}
	return m, e.take(m.Body)
}

// Two clients of one user edit his list at once, without waiting for anything. What was accepted is there, what is there
// was accepted, and both end with the list that the server has.
func TestTwoClientsAtOnce(t *testing.T) {
	n := start(t, nodetest.Dir(t))
	n.AddUsers("alice")
	const many = 40
	var editors []*editor
	for _, name := range []string{"first", "second"} {
		c, l := signIn(t, n, "alice")
		editors = append(editors, &editor{client: c, name: name, replica: newReplica(l)})
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	want := map[string]bool{}
	for _, e := range editors {
		wg.Go(func() {
			accepted, err := e.edit(many)
			if err != nil {
				t.Errorf("%s: %v", e.name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, uri := range accepted {
				want[uri] = true
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	_, l := signIn(t, n, "alice")
	got := map[string]bool{}
	for _, c := range l.Contacts {
		if !strings.HasPrefix(c.URI, "both") {
			got[c.URI] = true
		}
	}
	if len(got) != 2*many || !maps.Equal(got, want) {
		t.Errorf("%d contacts are there, %d were accepted", len(got), len(want))
	}
	names := map[string]int{}
	for _, g := range l.Groups {
		names[g.Name]++
	}
	if len(names) != 21 || slices.Max(slices.Collect(maps.Values(names))) != 1 {
		t.Errorf("groups %v", names)
	}
	server := newReplica(l)
	for _, e := range editors {
		for e.replica.delta < server.delta {
			if _, err := e.read(); err != nil {
				t.Fatalf("%s has list %d of %d: %v", e.name, e.replica.delta, server.delta, err)
			}
		}
		if !maps.Equal(e.groups, server.groups) || !maps.Equal(e.contacts, server.contacts) {
			t.Errorf("%s has\n%v\n%v\nthe server\n%v\n%v", e.name, e.groups, e.contacts, server.groups, server.contacts)
		}
	}
}
