package presence_test

import (
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/presence"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/xmldoc/pidf"
	"parley/internal/xmldoc/rlmi"
	"parley/test/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, presence.Spec) }

func start(t *testing.T) *nodetest.Node {
	spec := presence.Spec
	spec.Settings = func() any {
		s := presence.DefaultSettings
		s.Interval, s.ExpiresMin, s.MaxBody = 0, 1, 2000
		return &s
	}
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{spec, registrar.Spec}})
	n.AddUsers("alice", "bob", "carol")
	return n
}

func h(name, value string) phone.Header { return phone.Header{Name: name, Value: value} }

const (
	presenceOf = "sip:%s@example.test"
	doc        = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:%[1]s@example.test"><tuple id="%[2]s"><status><basic>%[3]s</basic></status><note>%[4]s</note></tuple></presence>`
)

// publish sends a PUBLISH and returns the answer.
func publish(p *servicetest.Phone, code int, body, etag string, extra ...phone.Header) *phone.Message {
	uri := fmt.Sprintf(presenceOf, p.User)
	m := p.Request("PUBLISH", uri, uri, append([]phone.Header{h("Event", "presence")}, extra...)...)
	if body != "" {
		m.Headers = append(m.Headers, h("Content-Type", pidf.MediaType))
		m.Body = body
	}
	if etag != "" {
		m.Headers = append(m.Headers, h("SIP-If-Match", etag))
	}
	return p.Ask(code, m)
}

// watch subscribes and returns the request and the answer.
func watch(p *servicetest.Phone, code int, user string, extra ...phone.Header) (req, resp *phone.Message) {
	uri := fmt.Sprintf(presenceOf, user)
	req = p.Request("SUBSCRIBE", uri, uri, append([]phone.Header{h("Event", "presence"), h("Contact", "<"+p.Contact()+">"),
		h("Accept", pidf.MediaType)}, extra...)...)
	return req, p.Ask(code, req)
}

// again is a SUBSCRIBE within the dialog.
func again(p *servicetest.Phone, code int, req, resp *phone.Message, seconds string) *phone.Message {
	_, uri, _ := strings.Cut(resp.Get("Contact"), "<")
	uri, _, _ = strings.Cut(uri, ">")
	m := p.Request("SUBSCRIBE", uri, uri, h("Event", "presence"), h("Contact", "<"+p.Contact()+">"), h("Expires", seconds))
	for i, x := range m.Headers {
		switch x.Name {
		case "From", "Call-ID":
			m.Headers[i].Value = req.Get(x.Name)
		case "To":
			m.Headers[i].Value = resp.Get("To")
		}
	}
	return p.Ask(code, m)
}

// told receives a NOTIFY and returns its state and document.
func told(t *testing.T, p *servicetest.Phone) (string, *pidf.Doc) {
	t.Helper()
	m := p.Expect("NOTIFY", 200)
	state, _, _ := strings.Cut(m.Get("Subscription-State"), ";")
	if m.Get("Event") != "presence" || m.Body == "" {
		return state, nil
	}
	d, err := pidf.Parse([]byte(m.Body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, m)
	}
	return state, d
}

func wants(t *testing.T, p *servicetest.Phone, state, what string) {
	t.Helper()
	got, d := told(t, p)
	var all []string
	if d != nil {
		for _, tu := range d.Tuples {
			s := tu.Basic.String()
			for _, n := range tu.Notes {
				s += " " + n.Text
			}
			all = append(all, s)
		}
	}
	if got != state || strings.Join(all, ", ") != what {
		t.Fatalf("told %s: %s; want %s: %s", got, strings.Join(all, ", "), state, what)
	}
}

func TestPublishAndWatch(t *testing.T) {
	n := start(t)
	a, b := servicetest.Dial(t, n, "udp", "alice"), servicetest.Dial(t, n, "tcp", "bob")
	b.Register(600)
	req, resp := watch(b, 200, "alice")
	wants(t, b, "active", "closed")
	ok := publish(a, 200, fmt.Sprintf(doc, "alice", "t1", "open", "here"), "", h("Expires", "60"))
	if ok.Get("SIP-ETag") == "" || ok.Get("Expires") != "60" {
		t.Errorf("answer\n%s", ok)
	}
	wants(t, b, "active", "open here")
	t.Run("refreshing tells nobody anything", func(t *testing.T) {
		ok = publish(a, 200, "", ok.Get("SIP-ETag"))
		b.Quiet()
	})
	ok = publish(a, 200, fmt.Sprintf(doc, "alice", "t1", "open", "busy"), ok.Get("SIP-ETag"))
	wants(t, b, "active", "open busy")
	t.Run("a second device", func(t *testing.T) {
		a2 := servicetest.Dial(t, n, "tcp", "alice")
		publish(a2, 200, fmt.Sprintf(doc, "alice", "t1", "closed", "mobile"), "")
		wants(t, b, "active", "closed mobile, open busy")
		a2.Close()
		b.Quiet()
	})
	t.Run("an old tag", func(t *testing.T) { publish(a, 412, "", "old") })
	publish(a, 200, "", ok.Get("SIP-ETag"), h("Expires", "0"))
	wants(t, b, "active", "closed mobile")
	t.Run("refresh and end of the subscription", func(t *testing.T) {
		if m := again(b, 200, req, resp, "1200"); m.Get("Expires") != "1200" {
			t.Errorf("Expires %s", m.Get("Expires"))
		}
		wants(t, b, "active", "closed mobile")
		again(b, 200, req, resp, "0")
		wants(t, b, "terminated", "closed mobile")
		again(b, 481, req, resp, "600")
	})
}

// Who publishes nothing is shown by whether he is signed in.
func TestSignInIsPresence(t *testing.T) {
	n := start(t)
	a, b := servicetest.Dial(t, n, "tcp", "alice"), servicetest.Dial(t, n, "tcp", "bob")
	b.Register(600)
	watch(b, 200, "alice")
	wants(t, b, "active", "closed")
	a.Register(600)
	wants(t, b, "active", "open")
	publish(a, 200, fmt.Sprintf(doc, "alice", "t1", "open", "here"), "")
	wants(t, b, "active", "open here")
	a.Close() // takes along what it published
	wants(t, b, "active", "closed")
}

func TestPublicationExpires(t *testing.T) {
	n := start(t)
	a, b := servicetest.Dial(t, n, "udp", "alice"), servicetest.Dial(t, n, "tcp", "bob")
	watch(b, 200, "alice")
	wants(t, b, "active", "closed")
	publish(a, 200, fmt.Sprintf(doc, "alice", "t1", "open", "soon gone"), "", h("Expires", "1"))
	wants(t, b, "active", "open soon gone")
	wants(t, b, "active", "closed")
}

func TestRefusals(t *testing.T) {
	n := start(t)
	a := servicetest.Dial(t, n, "tcp", "alice")
	a.Register(600)
	watch(a, 404, "mallory")
	watch(a, 420, "bob", h("Require", "magic"))
	req, _ := watch(a, 200, "bob", h("Expires", "0"))
	a.Expect("NOTIFY", 200)
	again(a, 481, req, &phone.Message{Headers: []phone.Header{h("To", "<sip:bob@example.test>;tag=x"), h("Contact", "<sip:"+n.Addr("srv-fe-frontend-5060").String()+">")}}, "60")
	m := a.Request("SUBSCRIBE", "sip:bob@example.test", "sip:bob@example.test", h("Event", "presence"), h("Contact", "<"+a.Contact()+">"), h("Accept", "text/plain"))
	if got := a.Ask(406, m); got.Get("Accept") != pidf.MediaType {
		t.Errorf("Accept %q", got.Get("Accept"))
	}
	for body, code := range map[string]int{"": 400, "<a/>": 400, "<presence": 400, "<!DOCTYPE a><a/>": 400,
		fmt.Sprintf(doc, "alice", "t", "open", strings.Repeat("x", 2000)): 413} {
		publish(a, code, body, "")
	}
	other := a.Request("PUBLISH", "sip:bob@example.test", "sip:bob@example.test", h("Event", "presence"), h("Content-Type", pidf.MediaType))
	other.Body = fmt.Sprintf(doc, "bob", "t", "open", "")
	a.Ask(403, other)
	text := a.Request("PUBLISH", "sip:alice@example.test", "sip:alice@example.test", h("Event", "presence"), h("Content-Type", "text/plain"))
	text.Body = "x"
	a.Ask(415, text)
}

// RFC 4662 and RFC 5367: one subscription, several people.
func TestList(t *testing.T) {
	n := start(t)
	a, c := servicetest.Dial(t, n, "tcp", "alice"), servicetest.Dial(t, n, "tcp", "carol")
	a.Register(600)
	m := a.Request("SUBSCRIBE", "sip:alice@example.test", "sip:alice@example.test", h("Event", "presence"), h("Contact", "<"+a.Contact()+">"),
		h("Accept", "application/pidf+xml, application/rlmi+xml, multipart/related"), h("Supported", "eventlist"),
		h("Require", "recipient-list-subscribe"), h("Content-Type", "application/resource-lists+xml"), h("Content-Disposition", "recipient-list"))
	m.Body = `<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list><entry uri="sip:bob@example.test"/><entry uri="sip:carol@example.test"><display-name>Carol</display-name></entry><entry uri="sip:mallory@example.test"/></list></resource-lists>`
	if got := a.Ask(200, m); got.Get("Require") != "eventlist" {
		t.Errorf("Require %q", got.Get("Require"))
	}
	first := readList(t, a.Expect("NOTIFY", 200))
	if !first.meta.FullState || len(first.meta.Resources) != 3 || len(first.docs) != 2 || first.meta.Resources[1].Names[0].Text != "Carol" ||
		first.meta.Resources[2].Instances[0].State != "terminated" {
		t.Errorf("first %+v", first.meta)
	}
	c.Register(600)
	next := readList(t, a.Expect("NOTIFY", 200))
	if next.meta.FullState || len(next.meta.Resources) != 1 || next.meta.Resources[0].URI != "sip:carol@example.test" ||
		next.meta.Version <= first.meta.Version {
		t.Fatalf("then %+v", next.meta)
	}
	if d := next.docs[next.meta.Resources[0].Instances[0].CID]; d == nil || !d.Online() {
		t.Errorf("carol's document: %+v", d)
	}
}

type listNotice struct {
	meta *rlmi.List
	docs map[string]*pidf.Doc // by Content-ID
}

func readList(t *testing.T, m *phone.Message) listNotice {
	t.Helper()
	ct, params, err := mime.ParseMediaType(m.Get("Content-Type"))
	if err != nil || ct != "multipart/related" || m.Get("Require") != "eventlist" {
		t.Fatalf("%v:\n%s", err, m)
	}
	r := multipart.NewReader(strings.NewReader(m.Body), params["boundary"])
	out := listNotice{docs: map[string]*pidf.Doc{}}
	for {
		p, err := r.NextRawPart()
		if err != nil {
			break
		}
		var b strings.Builder
		buf := make([]byte, 4096)
		for {
			k, err := p.Read(buf)
			b.Write(buf[:k])
			if err != nil {
				break
			}
		}
		id := p.Header.Get("Content-ID")
		if id == params["start"] {
			if out.meta, err = rlmi.Parse([]byte(b.String())); err != nil {
				t.Fatal(err)
			}
			continue
		}
		d, err := pidf.Parse([]byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		out.docs[strings.Trim(id, "<>")] = d
	}
	if out.meta == nil {
		t.Fatalf("no list in\n%s", m)
	}
	return out
}

// A user who is removed ends the subscriptions to him.
func TestRemovedUser(t *testing.T) {
	n := start(t)
	b := servicetest.Dial(t, n, "tcp", "bob")
	watch(b, 200, "alice")
	wants(t, b, "active", "closed")
	off := false
	if _, err := n.Client().Do(t.Context(), http.MethodPatch, "/users/alice@example.test", "*", adminapi.UserChange{Enabled: &off}, nil); err != nil {
		t.Fatal(err)
	}
	m := b.Expect("NOTIFY", 200)
	if m.Get("Subscription-State") != "terminated;reason=noresource" {
		t.Errorf("told %q", m.Get("Subscription-State"))
	}
}
