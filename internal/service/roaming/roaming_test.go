package roaming_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/registrar"
	"parley/internal/service/roaming"
	"parley/internal/service/servicetest"
	"parley/internal/xmldoc/contacts"
	"parley/internal/xmldoc/soap"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, roaming.Spec) }

func start(t *testing.T, dir string) *nodetest.Node {
	return nodetest.Start(t, dir, node.Options{Specs: []service.Spec{roaming.Spec, registrar.Spec}})
}

func h(name, value string) phone.Header { return phone.Header{Name: name, Value: value} }

// client is an endpoint with a contact list.
type client struct {
	*servicetest.Phone
	t     *testing.T
	delta int64
}

// signIn subscribes to the list and returns it.
func signIn(t *testing.T, n *nodetest.Node, user string) (*client, *contacts.List) {
	t.Helper()
	c := &client{servicetest.Dial(t, n, "tcp", user), t, 0}
	c.Register(600)
	m := c.Ask(200, c.Request("SUBSCRIBE", c.uri(), c.uri(), h("Event", contacts.EventPackage), h("Accept", contacts.MediaType), h("Contact", "<"+c.Contact()+">"),
		h("Supported", "com.microsoft.autoextend"), h("Supported", "ms-benotify"), h("Proxy-Require", "ms-benotify"), h("Supported", "ms-piggyback-first-notify"), h("Supported", "ms-ucs")))
	if m.Get("Event") != contacts.EventPackage || m.Get("ms-piggyback-cseq") != "1" || !strings.HasPrefix(m.Get("subscription-state"), "active") {
		t.Fatalf("answer\n%s", m)
	}
	l, err := contacts.Parse([]byte(m.Body))
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Body)
	}
	c.delta = l.DeltaNum
	return c, l
}

func (c *client) uri() string { return "sip:" + c.User + "@example.test" }

// ask changes the list as clients do: with a number that they raise themselves.
func (c *client) ask(code int, method string, args ...string) *phone.Message {
	c.t.Helper()
	m := c.request(method, args...)
	return c.Ask(code, m)
}

func (c *client) request(method string, args ...string) *phone.Message {
	var b strings.Builder
	b.WriteString(`<s:Envelope xmlns:s="` + soap.Envelope + `" xmlns:m="` + soap.Namespace + `"><s:Body><m:` + method + `>`)
	for i := 0; i < len(args); i += 2 {
		b.WriteString("<m:" + args[i] + ">" + args[i+1] + "</m:" + args[i] + ">")
	}
	b.WriteString("<m:deltaNum>" + itoa(c.delta) + "</m:deltaNum></m:" + method + "></s:Body></s:Envelope>")
	c.delta++
	m := c.Request("SERVICE", c.uri(), c.uri(), h("Content-Type", "application/SOAP+xml"))
	m.Body = b.String()
	return m
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// told receives a notification.
func (c *client) told(want string) {
	c.t.Helper()
	m := c.Expect("BENOTIFY", 0)
	if m.Get("Event") != contacts.EventPackage || !strings.Contains(m.Body, want) {
		c.t.Fatalf("got\n%s\nwant %s", m, want)
	}
}

func TestContacts(t *testing.T) {
	dir := nodetest.Dir(t)
	n := start(t, dir)
	n.AddUsers("alice", "bob")
	a, l := signIn(t, n, "alice")
	if l.DeltaNum != 1 || len(l.Groups) != 1 || l.Groups[0].Name != "~" || len(l.Contacts) != 0 {
		t.Fatalf("first list %+v", l)
	}
	b, _ := signIn(t, n, "alice") // another client of hers
	if m := a.ask(200, "addGroup", "name", "Team", "externalURI", ""); !strings.Contains(m.Body, "<m:addGroup><m:groupID>2</m:groupID></m:addGroup>") {
		t.Errorf("new group\n%s", m)
	}
	for _, c := range []*client{a, b} {
		c.told(`deltaNum="2" prevDeltaNum="1"><addedGroup id="2" name="Team"`)
	}
	b.delta = 2
	a.ask(200, "setContact", "displayName", "Bob", "groups", "1 2", "subscribed", "true", "URI", "sip:bob@example.test", "externalURI", "")
	for _, c := range []*client{a, b} {
		c.told(`<addedContact uri="sip:bob@example.test" name="Bob" groups="1 2" subscribed="true"`)
	}
	b.ask(200, "setContact", "displayName", "", "groups", "2", "subscribed", "true", "URI", "sip:carol@example.test") // with the number before
	a.told(`deltaNum="4" prevDeltaNum="3"><addedContact uri="sip:carol@example.test"`)
	b.told(`deltaNum="4" prevDeltaNum="3"`)
	// The other deletes what this one has changed without his knowing: refused, and he gets the list as it is.
	a.delta = 4
	a.ask(200, "setContact", "displayName", "Bobby", "groups", "2", "URI", "sip:bob@example.test")
	b.delta = 4
	b.ask(409, "deleteContact", "URI", "sip:bob@example.test")
	for _, c := range []*client{a, b} {
		c.told(`<modifiedContact uri="sip:bob@example.test" name="Bobby" groups="2"`)
		c.told(`<contactList xmlns="http://schemas.microsoft.com/2002/09/sip/contacts" deltaNum="5">`)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir)
	_, l = signIn(t, n, "alice")
	if l.DeltaNum != 5 || len(l.Groups) != 2 || len(l.Contacts) != 2 || l.Contacts[0].URI != "bob@example.test" || l.Contacts[0].Name != "Bobby" {
		t.Errorf("after a restart %+v", l)
	}
	if _, l := signIn(t, n, "bob"); len(l.Contacts) != 0 || l.DeltaNum != 1 {
		t.Errorf("bob's list %+v", l)
	}
}

// Clients send many changes without waiting for answers, and count by themselves.
func TestBurst(t *testing.T) {
	n := start(t, nodetest.Dir(t))
	n.AddUsers("alice")
	a, _ := signIn(t, n, "alice")
	const many = 20
	for i := range many {
		if err := a.Send(a.request("setContact", "URI", "sip:user"+itoa(int64(i))+"@example.test", "groups", "1")); err != nil {
			t.Fatal(err)
		}
	}
	answers, deltas := 0, 0
	for answers < many || deltas < many {
		m, err := a.Receive(t.Context())
		switch {
		case err != nil:
			t.Fatalf("after %d answers and %d deltas: %v", answers, deltas, err)
		case m.Code() == 200:
			answers++
		case strings.Contains(m.Body, `deltaNum="`+itoa(int64(deltas+2))+`" prevDeltaNum="`+itoa(int64(deltas+1))+`"><addedContact uri="sip:user`+itoa(int64(deltas))+`@`):
			deltas++
		default:
			t.Fatalf("got\n%s", m)
		}
	}
	if _, l := signIn(t, n, "alice"); len(l.Contacts) != many || l.DeltaNum != many+1 {
		t.Errorf("%d contacts, list %d", len(l.Contacts), l.DeltaNum)
	}
}

func TestLimit(t *testing.T) {
	n := start(t, nodetest.Dir(t))
	n.AddUsers("alice", "bob")
	if _, err := n.Client().Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", map[string]any{"policy": map[string]int{"maxContacts": 1}}, nil); err != nil {
		t.Fatal(err)
	}
	a, _ := signIn(t, n, "alice")
	a.ask(200, "setContact", "URI", "sip:bob@example.test", "groups", "1")
	a.told("addedContact")
	a.ask(403, "setContact", "URI", "sip:carol@example.test", "groups", "1")
	a.told(`<contactList xmlns="http://schemas.microsoft.com/2002/09/sip/contacts" deltaNum="2">`)
	m := a.request("deleteContact", "URI", "sip:bob@example.test")
	m.Start = strings.Replace(m.Start, "alice", "bob", 1)
	a.Ask(403, m)
	m = a.request("deleteContact", "URI", "sip:bob@example.test")
	m.Body = "<x/>"
	a.Ask(400, m)
}
