package presence_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/presence"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/xmldoc/batchsub"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
	"parley/test/phone"
)

// lync is a client of enhanced presence, which signs in without a word about it:
// its REGISTER is another's business.
type lync struct {
	*servicetest.Phone
	t        *testing.T
	versions map[categories.Key]uint32
	sub      *phone.Message // the batch: request and answer
	answer   *phone.Message
}

func signIn(t *testing.T, n *nodetest.Node, user string) *lync {
	l := &lync{Phone: servicetest.Dial(t, n, "tcp", user), t: t, versions: map[categories.Key]uint32{}}
	l.Register(600)
	return l
}

func (l *lync) uri() string { return "sip:" + l.User + "@example.test" }

var offers = []phone.Header{h("Supported", "ms-benotify"), h("Proxy-Require", "ms-benotify"), h("Supported", "ms-piggyback-first-notify"),
	h("Supported", "com.microsoft.autoextend")}

func (l *lync) subscribe(code int, event, accept, ctype, body string, extra ...phone.Header) (req, resp *phone.Message) {
	l.t.Helper()
	req = l.Request("SUBSCRIBE", l.uri(), l.uri(), append(append([]phone.Header{h("Event", event), h("Accept", accept), h("Contact", "<"+l.Contact()+">")}, offers...), extra...)...)
	if body != "" {
		req.Headers, req.Body = append(req.Headers, h("Content-Type", ctype)), body
	}
	return req, l.Ask(code, req)
}

// roam subscribes to the user's own data and learns the versions.
func (l *lync) roam() *roaming.Data {
	l.t.Helper()
	_, resp := l.subscribe(200, roaming.EventPackage, roaming.MediaType, roaming.MediaType,
		`<roamingList xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self"><roaming type="categories"/><roaming type="containers"/><roaming type="subscribers"/></roamingList>`)
	if resp.Get("ms-piggyback-cseq") != "1" || resp.Get("Event") != roaming.EventPackage || !strings.HasPrefix(resp.Get("subscription-state"), "active") {
		l.t.Fatalf("answer\n%s", resp)
	}
	return l.learn(resp.Body)
}

// learn does what clients do: it forgets what it knew of each category that is named.
func (l *lync) learn(body string) *roaming.Data {
	l.t.Helper()
	d, err := roaming.Parse([]byte(body))
	if err != nil {
		l.t.Fatalf("%v\n%s", err, body)
	}
	named := map[string]bool{}
	for _, c := range d.Categories {
		named[c.Name] = true
	}
	for k := range l.versions {
		if named[k.Name] {
			delete(l.versions, k)
		}
	}
	for _, c := range d.Categories {
		l.versions[c.Key] = c.Version
	}
	return d
}

// told receives a notification about the user himself.
func (l *lync) told() *roaming.Data {
	l.t.Helper()
	m := l.Expect("BENOTIFY", 0)
	if m.Get("Event") != roaming.EventPackage {
		l.t.Fatalf("got\n%s", m)
	}
	return l.learn(m.Body)
}

// publish publishes with the versions the client knows.
func (l *lync) publish(code int, pubs ...categories.Publication) *phone.Message {
	l.t.Helper()
	for i := range pubs {
		pubs[i].Version = l.versions[pubs[i].Key]
	}
	m := l.service(code, categories.PublishType, string(categories.AppendPublish(nil, l.uri(), pubs)))
	if code == 200 {
		if m.Get("Content-Type") != roaming.MediaType {
			l.t.Fatalf("answer\n%s", m)
		}
		l.learn(m.Body)
	}
	return m
}

func (l *lync) service(code int, ctype, body string) *phone.Message {
	l.t.Helper()
	m := l.Request("SERVICE", l.uri(), l.uri(), h("Content-Type", ctype))
	m.Body = body
	return l.Ask(code, m)
}

func pub(name string, instance, container uint32, expire categories.ExpireType, body string) categories.Publication {
	return categories.Publication{Key: categories.Key{Name: name, Instance: instance, Container: container}, ExpireType: expire, Body: []byte(body), Delete: body == ""}
}

func state(kind string, instance, container uint32, expire categories.ExpireType, availability int) categories.Publication {
	s := categories.State{Type: kind, Availability: availability, Manual: kind == categories.UserState}
	return pub("state", instance, container, expire, string(s.Append(nil, "")))
}

// online publishes what a client does at sign-in.
func (l *lync) online(availability int) {
	l.t.Helper()
	const machine, user = 0x30000000 | 7, 0x20000000
	l.publish(200, pub("device", 7, 2, categories.Endpoint, `<device xmlns="http://schemas.microsoft.com/2006/09/sip/device" endpointId="x"/>`),
		state(categories.MachineState, machine, 2, categories.Endpoint, 3500), state(categories.MachineState, machine, 3, categories.Endpoint, 3500),
		state(categories.UserState, user, 2, categories.Static, availability), state(categories.UserState, user, 3, categories.Static, availability))
	l.told()
}

func (l *lync) set(availability int) {
	l.t.Helper()
	l.publish(200, state(categories.UserState, 0x20000000, 2, categories.Static, availability), state(categories.UserState, 0x20000000, 3, categories.Static, availability))
	l.told()
}

func batch(action string, l *lync, people ...string) string {
	b := batchsub.Batch{URI: l.uri(), Action: action, ID: "63792024", Categories: []string{"calendarData", "contactCard", "note", "state"}}
	for _, p := range people {
		name, added := strings.CutSuffix(p, "+")
		b.Resources = append(b.Resources, batchsub.Resource{URI: "sip:" + name + "@example.test", Added: added})
	}
	return string(b.Append(nil))
}

const accepts = "application/msrtc-event-categories+xml, application/xpidf+xml, text/xml+msrtc.pidf, application/pidf+xml, application/rlmi+xml, multipart/related"

// watch subscribes to people in one batch, or adds them to it.
func (l *lync) watch(people ...string) map[string]*categories.Doc {
	l.t.Helper()
	extra := []phone.Header{h("Require", "adhoclist, categoryList"), h("Supported", "eventlist")}
	if l.sub == nil {
		l.sub, l.answer = l.subscribe(200, "presence", accepts, batchsub.MediaType, batch("subscribe", l, people...), extra...)
		return l.parts(l.answer)
	}
	m := l.inBatch(batch("subscribe", l, people...), extra...)
	return l.parts(l.Ask(200, m))
}

func (l *lync) inBatch(body string, extra ...phone.Header) *phone.Message {
	m := l.Request("SUBSCRIBE", l.uri(), l.uri(), append(append([]phone.Header{h("Event", "presence"), h("Contact", "<"+l.Contact()+">"), h("Accept", accepts)}, offers...), extra...)...)
	for i, x := range m.Headers {
		switch x.Name {
		case "From", "Call-ID":
			m.Headers[i].Value = l.sub.Get(x.Name)
		case "To":
			m.Headers[i].Value = l.answer.Get("To")
		}
	}
	if body != "" {
		m.Headers, m.Body = append(m.Headers, h("Content-Type", batchsub.MediaType)), body
	}
	return m
}

// parts reads a multipart body as the client's reader does: the last four bytes of
// each part are cut.
func (l *lync) parts(m *phone.Message) map[string]*categories.Doc {
	l.t.Helper()
	ct := m.Get("Content-Type")
	_, boundary, _ := strings.Cut(ct, `boundary="`)
	boundary = strings.TrimSuffix(boundary, `"`)
	if !strings.HasPrefix(ct, "multipart/related") || !strings.Contains(ct, "application/rlmi+xml") || m.Get("Event") != "presence" {
		l.t.Fatalf("got\n%s", m)
	}
	out := map[string]*categories.Doc{}
	for i, part := range strings.Split(m.Body, "--"+boundary)[1:] {
		head, text, ok := strings.Cut(part, "\r\n\r\n")
		if !ok {
			continue // the end
		}
		text = text[:len(text)-4]
		if i == 0 {
			for _, inst := range strings.Split(text, "<instance")[1:] {
				if !strings.Contains(inst, ` state="`) {
					l.t.Errorf("instance without state crashes clients: %s", inst)
				}
			}
			continue
		}
		if !strings.Contains(head, categories.MediaType) {
			l.t.Errorf("part %s", head)
		}
		d, err := categories.Parse([]byte(text))
		if err != nil {
			l.t.Fatalf("%v in part\n%s", err, text)
		}
		out[strings.TrimSuffix(strings.TrimPrefix(d.URI, "sip:"), "@example.test")] = d
	}
	return out
}

// sees receives a notification about somebody and returns what it says.
func (l *lync) sees(user string) string {
	l.t.Helper()
	m := l.Expect("BENOTIFY", 0)
	if m.Get("Event") != "presence" || m.Get("Content-Type") != categories.MediaType {
		l.t.Fatalf("got\n%s", m)
	}
	d, err := categories.Parse([]byte(m.Body))
	if err != nil || d.URI != "sip:"+user+"@example.test" {
		l.t.Fatalf("%v\n%s", err, m.Body)
	}
	return say(d)
}

// say is a document in short: the availability, the note, the name.
func say(d *categories.Doc) string {
	if d == nil {
		return "nothing"
	}
	var out []string
	for _, c := range d.Categories {
		if len(c.Body) == 0 {
			out = append(out, c.Name+" gone")
			continue
		}
		for _, tag := range []string{"availability", "displayName"} {
			if _, rest, ok := strings.Cut(string(c.Body), "<"+tag+">"); ok {
				v, _, _ := strings.Cut(rest, "<")
				out = append(out, v)
			}
		}
		if c.Name == "note" {
			out = append(out, "note")
		}
	}
	return strings.Join(out, " ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// Two clients watch each other; what one publishes the other sees, and nothing
// else.
func TestCategories(t *testing.T) {
	n := start(t)
	a, b := signIn(t, n, "alice"), signIn(t, n, "bob")
	d := a.roam()
	if len(d.Containers) != 2 || d.Subscribers == nil {
		t.Fatalf("first data %+v", d)
	}
	b.roam()
	got := b.watch("alice", "carol", "mallory")
	expect(t, "alice signed in", say(got["alice"]), "3500") // a device that says nothing more
	expect(t, "carol", say(got["carol"]), "18500")
	if len(got) != 2 {
		t.Errorf("%d documents", len(got))
	}
	a.online(3500)
	b.Quiet() // no other than before
	a.set(6500)
	expect(t, "busy", b.sees("alice"), "6500")
	a.publish(200, pub("note", 0, 200, categories.Static, "<note><body type=\"personal\">out</body></note>"), pub("note", 0, 400, categories.Static, "<note/>"))
	a.told()
	expect(t, "note", b.sees("alice"), "note")
	a.publish(200, pub("note", 0, 200, "", ""), pub("note", 0, 400, "", ""))
	a.told()
	expect(t, "note deleted", b.sees("alice"), "note gone")
	a.set(18500)
	expect(t, "invisible", b.sees("alice"), "18500")
	a.set(3500)
	expect(t, "visible", b.sees("alice"), "3500")
	name := "Alice Example"
	if _, err := n.Client().Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Name: &name}, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, "renamed", b.sees("alice"), name)
	a.told()
	a.Close()
	expect(t, "connection closed", b.sees("alice"), "18500")
}

// More people in the same dialog are added to those who are watched.
func TestBatchGrows(t *testing.T) {
	n := start(t)
	a, b, c := signIn(t, n, "alice"), signIn(t, n, "bob"), signIn(t, n, "carol")
	c.roam()
	b.roam()
	a.watch("bob")
	got := a.watch("carol+")
	if len(got) != 1 || got["carol"] == nil {
		t.Errorf("answer about %v", got)
	}
	// Carol hears that somebody has her on his list, once.
	if d := c.told(); len(d.Subscribers) != 1 || d.Subscribers[0].User != "alice@example.test" || d.Subscribers[0].Acknowledged {
		t.Errorf("subscribers %+v", d.Subscribers)
	}
	c.service(200, roaming.SetSubscribersType, string(roaming.AppendSetSubscribers(nil, "alice@example.test")))
	if d := c.told(); len(d.Subscribers) != 1 || !d.Subscribers[0].Acknowledged {
		t.Errorf("subscribers %+v", d.Subscribers)
	}
	if again := signIn(t, n, "carol").roam(); len(again.Subscribers) != 0 {
		t.Errorf("told again of %+v", again.Subscribers)
	}
	b.online(6500)
	expect(t, "bob", a.sees("bob"), "6500")
	c.online(9500)
	expect(t, "carol", a.sees("carol"), "9500")
	if got := a.watch("carol"); len(got) != 1 || say(got["carol"]) != "9500" {
		t.Errorf("again %v", got)
	}
	a.Ask(200, a.inBatch(batch("unsubscribe", a, "bob")))
	b.set(3500)
	a.Quiet()
	m := a.inBatch("")
	m.Headers = append(m.Headers, h("Expires", "0"))
	a.Ask(200, m)
	c.set(3500)
	a.Quiet()
}

// A version that is not current is refused with the current one, whole or not at all.
func TestConflict(t *testing.T) {
	n := start(t)
	a := signIn(t, n, "alice")
	a.roam()
	a.online(3500)
	a.versions[categories.Key{Name: "state", Instance: 0x20000000, Container: 2}] = 0
	m := a.publish(409, pub("note", 0, 200, categories.Static, "<note/>"), state(categories.UserState, 0x20000000, 2, categories.Static, 6500))
	if m.Get("Content-Type") != categories.FaultType || !strings.Contains(m.Body, `<operation index="2" version="0" curVersion="1"/>`) {
		t.Fatalf("answer\n%s", m)
	}
	a.Quiet() // nothing of it was done
	a.versions[categories.Key{Name: "state", Instance: 0x20000000, Container: 2}] = 1
	a.publish(200, state(categories.UserState, 0x20000000, 2, categories.Static, 6500))
}

// Somebody who is blocked sees an offline person, in either language.
func TestBlock(t *testing.T) {
	n := start(t)
	a, b := signIn(t, n, "alice"), signIn(t, n, "bob")
	p := servicetest.Dial(t, n, "tcp", "bob")
	a.roam()
	a.online(3500)
	b.watch("alice")
	watch(p, 200, "alice")
	wants(t, p, "active", "open")
	block := func(version uint32, add bool) {
		a.service(200, roaming.SetMembersType, string(roaming.AppendSetMembers(nil, []roaming.ContainerChange{{ID: 32000, Version: version,
			Members: []roaming.MemberChange{{Member: roaming.Member{Type: roaming.User, Value: "bob@example.test"}, Add: add}}}})))
		if d := a.told(); len(d.Containers) != 1 || d.Containers[0].ID != 32000 || d.Containers[0].Version != version+1 || d.Categories != nil {
			t.Errorf("told %+v", d)
		}
	}
	block(0, true)
	expect(t, "blocked", b.sees("alice"), "contactCard gone 18500")
	wants(t, p, "active", "closed")
	a.set(6500)
	b.Quiet()
	block(1, false)
	expect(t, "no longer", b.sees("alice"), "6500")
	wants(t, p, "active", "open") // of the change meanwhile he heard nothing
	a.service(409, roaming.SetMembersType, `<setContainerMembers><container id="32000" version="1"/></setContainerMembers>`)
	if d := a.told(); len(d.Containers) != 3 {
		t.Errorf("after a conflict %+v", d)
	}
}

// A phone and a client of one person; a phone and a client that watch.
func TestTwoLanguages(t *testing.T) {
	n := start(t)
	b, p := signIn(t, n, "bob"), servicetest.Dial(t, n, "tcp", "alice")
	p.Register(600)
	expect(t, "phone signed in", say(b.watch("alice")["alice"]), "3500")
	busy := strings.Replace(fmt.Sprintf(doc, "alice", "x", "open", "hi"), "</presence>",
		`<dm:person xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" id="p"><rpid:activities xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"><rpid:on-the-phone/></rpid:activities></dm:person></presence>`, 1)
	publish(p, 200, busy, "")
	expect(t, "phone talks", b.sees("alice"), "6500")
	watcher := servicetest.Dial(t, n, "tcp", "carol")
	watch(watcher, 200, "bob")
	wants(t, watcher, "active", "open")
	b.roam()
	b.online(6500)
	m := watcher.Expect("NOTIFY", 200)
	if !strings.Contains(m.Body, "<basic>open</basic>") || !strings.Contains(m.Body, "rpid:busy/>") {
		t.Errorf("told\n%s", m.Body)
	}
	b.set(18500)
	wants(t, watcher, "active", "closed")
}

// What is bound to an endpoint goes with it; what is static survives the server.
func TestRestart(t *testing.T) {
	dir := nodetest.Dir(t)
	spec := presence.Spec
	opt := node.Options{Specs: []service.Spec{spec, registrar.Spec}}
	n := nodetest.Start(t, dir, opt)
	n.AddUsers("alice", "bob")
	a := signIn(t, n, "alice")
	a.roam()
	a.online(6500)
	a.publish(200, pub("note", 0, 200, categories.Static, "<note>stays</note>"))
	a.told()
	a.service(200, roaming.SetMembersType, string(roaming.AppendSetMembers(nil, []roaming.ContainerChange{{ID: 400, Version: 0,
		Members: []roaming.MemberChange{{Member: roaming.Member{Type: roaming.User, Value: "bob@example.test"}, Add: true}}}})))
	a.Close()
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = nodetest.Start(t, dir, opt)
	a = signIn(t, n, "alice")
	d := a.roam()
	if v := a.versions[categories.Key{Name: "note", Instance: 0, Container: 200}]; v != 1 || len(d.Containers) != 3 {
		t.Errorf("after the restart: note %d, %+v", v, d.Containers)
	}
	if _, ok := a.versions[categories.Key{Name: "device", Instance: 7, Container: 2}]; ok {
		t.Error("the device is still there")
	}
	a.online(6500) // no conflict
}

// Others may not publish for a user, nor hear of his own data.
func TestSomebodyElse(t *testing.T) {
	n := start(t)
	b := signIn(t, n, "bob")
	m := b.Request("SERVICE", "sip:alice@example.test", "sip:alice@example.test", h("Content-Type", categories.PublishType))
	m.Body = string(categories.AppendPublish(nil, "sip:alice@example.test", []categories.Publication{pub("note", 0, 200, categories.Static, "<note/>")}))
	b.Ask(403, m)
	m = b.Request("SUBSCRIBE", "sip:alice@example.test", "sip:alice@example.test", h("Event", roaming.EventPackage), h("Contact", "<"+b.Contact()+">"))
	b.Ask(403, m)
	m = b.Request("SUBSCRIBE", "sip:bob@example.test", "sip:bob@example.test", h("Event", "vnd-microsoft-roaming-ACL"), h("Contact", "<"+b.Contact()+">"))
	b.Ask(489, m)
	b.service(400, categories.PublishType, "<publish/>")
	b.service(415, "application/x-unknown", "x")
	b.service(403, categories.PublishType, string(categories.AppendPublish(nil, b.uri(), []categories.Publication{pub("userProperties", 0, 1, categories.Static, "<x/>")})))
}

// Clients that were started in the same second use the same Call-IDs, tags and
// branches. They are told apart by who they are and the connection they use.
func TestSameCallIDs(t *testing.T) {
	n := start(t)
	a, b, c := signIn(t, n, "alice"), signIn(t, n, "bob"), signIn(t, n, "carol")
	c.roam()
	for _, l := range []*lync{a, b} {
		l.sub = l.inBatchOf(batch("subscribe", l, "carol"))
		for k, x := range l.sub.Headers {
			switch x.Name {
			case "Via":
				l.sub.Headers[k].Value = strings.Split(x.Value, "branch=")[0] + "branch=z9hG4bKsame"
			case "From":
				l.sub.Headers[k].Value = strings.Split(x.Value, ";tag=")[0] + ";tag=same"
			case "Call-ID":
				l.sub.Headers[k].Value = "same"
			case "CSeq":
				l.sub.Headers[k].Value = "1 SUBSCRIBE"
			}
		}
		l.answer = l.Ask(200, l.sub)
		if got := l.parts(l.answer); say(got["carol"]) != "3500" {
			t.Errorf("%s sees %v", l.User, got)
		}
	}
	c.online(6500)
	expect(t, "alice", a.sees("carol"), "6500")
	expect(t, "bob", b.sees("carol"), "6500")
}

func (l *lync) inBatchOf(body string) *phone.Message {
	m := l.Request("SUBSCRIBE", l.uri(), l.uri(), append([]phone.Header{h("Event", "presence"), h("Contact", "<"+l.Contact()+">"), h("Accept", accepts),
		h("Require", "adhoclist, categoryList"), h("Supported", "eventlist"), h("Content-Type", batchsub.MediaType)}, offers...)...)
	m.Body = body
	return m
}

// Of nine endpoints the one that was refreshed longest ago is signed out, and what
// it published goes with it: a client that sees the device of a dead endpoint waits
// ten seconds before it answers.
func TestNinthEndpoint(t *testing.T) {
	n := start(t)
	var all []*lync
	for i := range 9 {
		l := &lync{Phone: servicetest.Dial(t, n, "tcp", "alice"), t: t, versions: map[categories.Key]uint32{}}
		l.Ask(200, l.Request("REGISTER", "sip:example.test", l.uri(), h("Expires", "600"),
			h("Contact", fmt.Sprintf(`<%s>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000000%d>"`, l.Contact(), i))))
		if i < 8 {
			l.publish(200, pub("device", uint32(100+i), 2, categories.Endpoint, "<device/>"))
		}
		all = append(all, l)
	}
	ninth := all[8]
	ninth.roam()
	devices := 0
	for k := range ninth.versions {
		if k.Name == "device" {
			devices++
			if k.Instance == 100 {
				t.Error("the device of the endpoint that had to go is still there")
			}
		}
	}
	if devices != 7 {
		t.Errorf("%d devices", devices)
	}
}
