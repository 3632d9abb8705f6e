package route

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/contract/binding"
	"parley/internal/directory"
	"parley/internal/proxy"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/sip/siptest"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
	"parley/internal/topology"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people are users; dave is switched off, carol has a number.
type people map[uc.AOR]*directory.User

func newPeople() people {
	p := people{}
	for _, n := range []string{"alice", "bob", "carol", "dave"} {
		aor := uc.AOR(n + "@example.test")
		p[aor] = &directory.User{AOR: aor, Enabled: n != "dave"}
	}
	return p
}

func (p people) LookupBytes(aor []byte) (*directory.User, bool) {
	u, ok := p[uc.AOR(aor)]
	return u, ok
}

func (p people) ByNumber(n string) (*directory.User, bool) {
	if n == "+15550100" {
		return p["carol@example.test"], true
	}
	return nil, false
}

func (p people) Lookup(aor uc.AOR) (*directory.User, bool) {
	u, ok := p[aor]
	return u, ok
}

func (p people) IsLocal(d []byte) bool { return strings.EqualFold(string(d), "example.test") }

type handler string

func (h handler) ServeSIP(tx *stack.ServerTxn) {
	tx.Respond(200, "", sip.Header{Name: "X-Service", Value: string(h)})
}

type world struct {
	*stacktest.Server
	router   *Router
	bindings *binding.Table
	gruu     *binding.Coder
	people   people
}

// start runs a router. Requests come from alice, from the identity that X-Class
// names, or from nobody when it is "anonymous".
func start(t *testing.T) *world {
	t.Helper()
	w := &world{bindings: binding.NewTable(), gruu: binding.NewCoder([]byte("k")), people: newPeople()}
	ready := make(chan struct{})
	w.Server = stacktest.Start(t, stack.Config{
		Admit: func(tx *stack.ServerTxn) error {
			switch string(tx.Request().HeaderNamed("X-Class")) {
			case "":
				tx.SetIdentity(uc.Identity{AOR: "alice@example.test", Class: uc.Client})
			case "server":
				tx.SetIdentity(uc.Identity{Name: "pbx.test", Class: uc.TrustedServer})
			}
			return nil
		},
		Route: func(tx *stack.ServerTxn) { <-ready; w.router.Serve(tx) },
	})
	p := proxy.New(proxy.Config{Stack: w.Stack, Log: slog.New(slog.DiscardHandler), IsLocal: w.isSelf, People: w.people,
		Alive: func(node string) bool { return node != "dead.example.test" }})
	w.router = New(Config{
		Users: w.people, OtherPool: func(name string) bool { return name == "pool2.example.test" }, Bindings: w.bindings, GRUU: w.gruu, Proxy: p, IsSelf: w.isSelf,
		Handler: func(method, event string) (service.SIPHandler, bool) {
			what := strings.TrimSpace(method + " " + event)
			return handler(what), slices.Contains([]string{"REGISTER", "MESSAGE", "SUBSCRIBE presence", "PUBLISH presence"}, what)
		},
		StaticRoute: func(host string, phone bool) (topology.StaticRoute, bool) {
			return topology.StaticRoute{Destination: "127.0.0.1", Port: w.UDP.Port(), Transport: topology.OverTCP}, host == "pbx.test"
		},
		Events: func() string { return "presence" },
	})
	close(ready)
	return w
}

func (w *world) isSelf(host []byte, port uint16) bool {
	return string(host) == "127.0.0.1" && (port == 0 || port == w.UDP.Port() || port == w.TCP.Port())
}

// request makes a request as text.
func request(method, uri string, extra ...string) string {
	s := method + " " + uri + " SIP/2.0\nVia: $via;branch=z9hG4bK" + fmt.Sprint(time.Now().UnixNano()) + ";rport\nMax-Forwards: 70\n" +
		"From: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: call\nCSeq: 1 " + method + "\n"
	for _, x := range extra {
		if name, _, _ := strings.Cut(x, ":"); name == "To" || name == "Max-Forwards" {
			lines := strings.Split(s, "\n")
			for i, l := range lines {
				if strings.HasPrefix(l, name+":") {
					lines[i] = x
				}
			}
			s = strings.Join(lines, "\n")
			continue
		}
		s += x + "\n"
	}
	return s + "Content-Length: 0\n\n"
}

// signIn binds a contact of a user to the flow of a peer.
func (w *world) signIn(t *testing.T, p *stacktest.Peer, b binding.Binding) *binding.Binding {
	t.Helper()
	p.Send(request("OPTIONS", "sip:example.test"))
	p.Expect("200")
	for _, f := range w.Layer.Flows() {
		if f.Remote() == p.Addr() {
			b.Flow = f
		}
	}
	if b.Flow == nil {
		t.Fatal("no flow of this peer")
	}
	b.Gen, b.Q = w.bindings.NextGen(), max(b.Q, 1)
	b.Expires = binding.At(time.Now().Add(time.Hour))
	if b.Contact == "" {
		b.Contact = "sip:" + b.AOR.User() + "@" + p.Addr().String()
	}
	w.bindings.Update(b.AOR, func(own []*binding.Binding) []*binding.Binding {
		return append(slices.Clone(own), &b)
	})
	return &b
}

func TestAnswers(t *testing.T) {
	w := start(t)
	c := w.UDPPeer(t)
	for _, row := range []struct {
		name string
		req  string
		want int
		head sip.HeaderID
		says string
	}{
		{"OPTIONS to the domain", request("OPTIONS", "sip:example.test"), 200, sip.HAllow, ""},
		{"OPTIONS to the address", request("OPTIONS", "sip:127.0.0.1"), 200, sip.HAllowEvents, "presence"},
		{"nobody of that name", request("INVITE", "sip:mallory@example.test"), 404, 0, ""},
		{"user who is switched off", request("INVITE", "sip:dave@example.test"), 404, 0, ""},
		{"user who is not signed in", request("INVITE", "sip:bob@example.test"), 480, 0, ""},
		{"foreign domain", request("INVITE", "sip:bob@elsewhere.test"), 403, 0, ""},
		{"address of this server", request("INVITE", "sip:bob@127.0.0.1"), 404, 0, ""},
		{"domain without user", request("INVITE", "sip:example.test"), 404, 0, ""},
		{"unknown scheme", request("INVITE", "mailto:bob@example.test"), 416, 0, ""},
		{"unknown number", request("INVITE", "tel:+15550199"), 404, 0, ""},
		{"number of a user who is not signed in", request("INVITE", "tel:+15550100"), 480, 0, ""},
		{"number as user part", request("INVITE", "sip:+15550100@example.test;user=phone"), 480, 0, ""},
		{"extension nobody supports", request("INVITE", "sip:bob@example.test", "Proxy-Require: foo, bar"), 420, sip.HUnsupported, "foo, bar"},
		{"no hops left", request("INVITE", "sip:bob@example.test", "Max-Forwards: 0"), 483, 0, ""},
		{"no hops left, but meant for us", request("OPTIONS", "sip:example.test", "Max-Forwards: 0"), 200, 0, ""},
		{"event nobody serves, to the domain", request("SUBSCRIBE", "sip:example.test", "Event: foo"), 489, sip.HAllowEvents, "presence"},
		{"event nobody serves, published", request("PUBLISH", "sip:bob@example.test", "Event: foo"), 489, 0, ""},
		{"published without event", request("PUBLISH", "sip:bob@example.test"), 489, 0, ""},
		{"unknown method to the domain", request("DANCE", "sip:example.test"), 405, sip.HAllow, ""},
		{"foreign route", request("INVITE", "sip:bob@example.test", "Route: <sip:elsewhere.test;lr>"), 403, 0, ""},
		{"own address as route", request("INVITE", "sip:bob@example.test", "Route: <sip:127.0.0.1;lr>"), 480, 0, ""},
		{"foreign route behind ours", request("INVITE", "sip:bob@example.test", "Route: <sip:127.0.0.1;lr>, <sip:elsewhere.test;lr>"), 403, 0, ""},
		{"GRUU of an instance that is not there", request("INVITE", "sip:bob@example.test;gr=urn:uuid:1"), 480, 0, ""},
		{"temporary GRUU that is none", request("INVITE", "sip:tgruu.abc@example.test;gr"), 404, 0, ""},
		{"static route for strangers", request("INVITE", "sip:1@pbx.test", "X-Class: anonymous"), 403, 0, ""},
		{"REGISTER", request("REGISTER", "sip:example.test"), 200, 0, "REGISTER"},
		{"REGISTER with a user", request("REGISTER", "sip:bob@example.test"), 200, 0, "REGISTER"},
		{"MESSAGE", request("MESSAGE", "sip:bob@example.test"), 200, 0, "MESSAGE"},
		{"MESSAGE to nobody", request("MESSAGE", "sip:mallory@example.test"), 404, 0, ""},
		{"presence", request("SUBSCRIBE", "sip:bob@example.test", "Event: presence"), 200, 0, "SUBSCRIBE presence"},
		{"presence within a dialog", request("SUBSCRIBE", "sip:bob@127.0.0.1", "Event: presence", "To: <sip:bob@example.test>;tag=b"), 200, 0, "SUBSCRIBE presence"},
		{"another event of a user who is not signed in", request("SUBSCRIBE", "sip:bob@example.test", "Event: dialog"), 480, 0, ""},
	} {
		c.Send(row.req)
		m := c.Receive()
		if m.StatusCode() != row.want {
			t.Errorf("%s: %d, want %d", row.name, m.StatusCode(), row.want)
			continue
		}
		switch {
		case row.head != 0 && (!m.Has(row.head) || row.says != "" && string(m.Header(row.head)) != row.says):
			t.Errorf("%s: %v is %q, want %q", row.name, row.head, m.Header(row.head), row.says)
		case row.head == 0 && row.says != string(m.HeaderNamed("X-Service")):
			t.Errorf("%s: served by %q, want %q", row.name, m.HeaderNamed("X-Service"), row.says)
		}
	}
	t.Run("an ACK that leads nowhere has no answer", func(t *testing.T) {
		c.Send(request("ACK", "sip:mallory@example.test"))
		c.Send(request("ACK", "sip:example.test"))
		c.Quiet()
	})
}

func TestForksToAllEndpoints(t *testing.T) {
	w := start(t)
	c, one, two := w.UDPPeer(t), w.UDPPeer(t), w.TCPPeer(t)
	w.signIn(t, one, binding.Binding{AOR: "bob@example.test"})
	w.signIn(t, two, binding.Binding{AOR: "bob@example.test"})
	c.Send(request("INVITE", "sip:bob@example.test", "P-Asserted-Identity: <sip:boss@example.test>",
		`Proxy-Authorization: Digest username="alice", realm="example.test", nonce="n", uri="u", response="00000000000000000000000000000000"`))
	for _, p := range []*stacktest.Peer{one, two} {
		m := p.Expect("INVITE")
		if string(m.Header(sip.HPAssertedIdentity)) != "<sip:alice@example.test>" || m.Count(sip.HPAssertedIdentity) != 1 || m.Has(sip.HProxyAuthorization) {
			t.Errorf("passed on what must not be:\n%s", m.Raw())
		}
		if m.Count(sip.HRecordRoute) != 2 || !strings.Contains(string(m.RequestURI()), p.Addr().String()) {
			t.Errorf("got\n%s", m.Raw())
		}
		p.Reply(m, 180)
		c.Expect("180")
		if p == two {
			p.Reply(m, 200, sip.Header{Name: "Contact", Value: "<sip:bob@" + p.Addr().String() + ">"})
			c.Expect("200")
		}
	}
	one.Expect("CANCEL")
}

func TestQOrdersEndpoints(t *testing.T) {
	w := start(t)
	c, low, high := w.UDPPeer(t), w.UDPPeer(t), w.UDPPeer(t)
	w.signIn(t, low, binding.Binding{AOR: "bob@example.test", Q: 100})
	w.signIn(t, high, binding.Binding{AOR: "bob@example.test", Q: 900})
	c.Send(request("OPTIONS", "sip:bob@example.test"))
	m := high.Expect("OPTIONS")
	low.Quiet()
	high.Reply(m, 486)
	low.Reply(low.Expect("OPTIONS"), 200)
	c.Expect("200")
}

func TestGRUUReachesOneEndpoint(t *testing.T) {
	w := start(t)
	c, desk, mobile := w.UDPPeer(t), w.UDPPeer(t), w.UDPPeer(t)
	w.signIn(t, desk, binding.Binding{AOR: "bob@example.test", Instance: "urn:uuid:1"})
	b := w.signIn(t, mobile, binding.Binding{AOR: "bob@example.test", Instance: "urn:uuid:2"})
	for _, uri := range []string{
		string(binding.AppendPublic(nil, b.AOR, b.Instance)),
		string(w.gruu.AppendTemp(nil, b)),
	} {
		c.Send(request("OPTIONS", uri))
		mobile.Reply(mobile.Expect("OPTIONS"), 200)
		c.Expect("200")
		desk.Quiet()
	}
	t.Run("a temporary one ends with its binding", func(t *testing.T) {
		uri := string(w.gruu.AppendTemp(nil, b))
		w.bindings.Remove(b.AOR, b.Gen)
		c.Send(request("OPTIONS", uri))
		c.Expect("480")
	})
}

func TestOneFlowOfAnEndpoint(t *testing.T) {
	w := start(t)
	c, old, fresh := w.UDPPeer(t), w.UDPPeer(t), w.UDPPeer(t)
	w.signIn(t, old, binding.Binding{AOR: "bob@example.test", Instance: "urn:uuid:1", RegID: 1, Refreshed: 1})
	w.signIn(t, fresh, binding.Binding{AOR: "bob@example.test", Instance: "urn:uuid:1", RegID: 2, Refreshed: 2})
	c.Send(request("OPTIONS", "sip:bob@example.test"))
	fresh.Reply(fresh.Expect("OPTIONS"), 200)
	c.Expect("200")
	old.Quiet()
}

func TestClosedFlowEndsBinding(t *testing.T) {
	w := start(t)
	c, p := w.UDPPeer(t), w.TCPPeer(t)
	b := w.signIn(t, p, binding.Binding{AOR: "bob@example.test"})
	gone := make(chan struct{})
	w.bindings.Watch(func(e binding.Event) {
		if e.Now == 0 {
			close(gone)
		}
	})
	p.Close()
	<-gone
	c.Send(request("OPTIONS", "sip:bob@example.test"))
	c.Expect("480")
	if n, _ := w.bindings.Len(); n != 0 || !b.Flow.Closed() {
		t.Errorf("%d bindings left", n)
	}
}

func TestSipsNeedsTLS(t *testing.T) {
	w := start(t)
	c, p := w.UDPPeer(t), w.TCPPeer(t)
	w.signIn(t, p, binding.Binding{AOR: "bob@example.test"})
	c.Send(request("OPTIONS", "sips:bob@example.test"))
	c.Expect("480")
}

// A user may be signed in on this member of the pool and on others: each is asked, once, but not by a member.
func TestOtherMember(t *testing.T) {
	w := start(t)
	p := w.TCPPeer(t)
	w.signIn(t, p, binding.Binding{AOR: "bob@example.test"})
	at := func(node string) *binding.Binding {
		return &binding.Binding{AOR: "bob@example.test", Node: node, Contact: "sip:bob@192.0.2.1"}
	}
	w.bindings.SetRemote("bob@example.test", "b.example.test", []*binding.Binding{at("b.example.test"), at("b.example.test")})
	w.bindings.SetRemote("bob@example.test", "c.example.test", []*binding.Binding{at("c.example.test")})
	w.bindings.SetRemote("bob@example.test", "dead.example.test", []*binding.Binding{at("dead.example.test")})
	m := parse(t, request("INVITE", "sip:bob@example.test"))
	for class, want := range map[uc.TrustClass]string{
		uc.Client: "here sip:b.example.test;transport=tls sip:c.example.test;transport=tls",
		uc.Member: "here",
	} {
		d, ok := w.router.Decide(uc.Identity{Class: class}, m).(Endpoints)
		if !ok {
			t.Fatalf("%v: %#v", class, d)
		}
		var to []string
		for _, b := range d.Branches {
			if b.Dest.Flow != nil {
				to = append(to, "here")
			} else {
				to = append(to, string(b.Dest.URI))
			}
		}
		if got := strings.Join(to, " "); got != want {
			t.Errorf("%v: %s, want %s", class, got, want)
		}
	}
}

// The caller is told that it is the other server, not the user, who cannot be reached.
func TestMemberThatDoesNotAnswer(t *testing.T) {
	w := start(t)
	w.bindings.SetRemote("bob@example.test", "127.0.0.1:1", []*binding.Binding{{AOR: "bob@example.test", Node: "127.0.0.1:1", Contact: "sip:bob@192.0.2.1"}})
	c := w.UDPPeer(t)
	c.Send(request("OPTIONS", "sip:bob@example.test"))
	if m := c.Expect("480"); !strings.HasPrefix(string(m.HeaderNamed("ms-diagnostics")), "1007;") {
		t.Errorf("told\n%s", m.Raw())
	}
}

// What is for a user of another pool goes there, but is not sent round.
func TestOtherPool(t *testing.T) {
	w := start(t)
	w.people["bob@example.test"].Policy.HomePool = "pool2.example.test"
	for method, row := range map[string]struct {
		class uc.TrustClass
		want  Decision
	}{
		"INVITE":    {uc.Client, Pool{"pool2.example.test"}},
		"SUBSCRIBE": {uc.Client, Pool{"pool2.example.test"}},
		"MESSAGE":   {uc.Member, Pool{"pool2.example.test"}},
		"REGISTER":  {uc.Client, Service{handler("REGISTER")}}, // which names the pool
	} {
		if d := w.router.Decide(uc.Identity{Class: row.class}, parse(t, request(method, "sip:bob@example.test"))); d != row.want {
			t.Errorf("%s: %#v", method, d)
		}
	}
	if d, ok := w.router.Decide(uc.Identity{Class: uc.TrustedServer}, parse(t, request("INVITE", "sip:bob@example.test"))).(Refuse); !ok || d.Err.Code != 404 {
		t.Errorf("from the other pool: %#v", d)
	}
	w.people["bob@example.test"].Policy.HomePool = "unknown.example.test"
	if d, ok := w.router.Decide(uc.Identity{Class: uc.Client}, parse(t, request("INVITE", "sip:bob@example.test"))).(Refuse); !ok || d.Err.Code != 480 {
		t.Errorf("of a pool that is not there: %#v", d)
	}
}

func TestStaticRoute(t *testing.T) {
	w := start(t)
	for name, id := range map[string]uc.Identity{"client": {Class: uc.Client}, "server": {Class: uc.TrustedServer}} {
		if d, ok := w.router.Decide(id, parse(t, request("INVITE", "sip:1@pbx.test"))).(Hop); !ok || d.Route.Destination != "127.0.0.1" {
			t.Errorf("%s: %#v", name, d)
		}
	}
	for in, want := range map[topology.StaticRoute]string{
		{Destination: "pbx.test"}: "sip:pbx.test:5061;transport=tls",
		{Destination: "192.0.2.1", Transport: topology.OverTCP, Port: 5080}:       "sip:192.0.2.1:5080;transport=tcp",
		{Destination: "pbx.test", Transport: topology.OverTLS, ReplaceHost: true}: "sip:pbx.test:5061;transport=tls",
	} {
		if got := string(hopURI(in)); got != want {
			t.Errorf("%+v: %s, want %s", in, got, want)
		}
	}
	if got := string(replaceHost([]byte("sip:1@a.test:5070;user=phone?x=y"), "b.test")); got != "sip:1@b.test;user=phone" {
		t.Errorf("host replaced: %s", got)
	}
}

func parse(t *testing.T, text string) *sip.Message {
	t.Helper()
	m := new(sip.Message)
	if err := m.Parse(siptest.Text(strings.ReplaceAll(text, "$via", "SIP/2.0/UDP 192.0.2.1")), nil); err != nil {
		t.Fatal(err)
	}
	return m
}

func BenchmarkDecide(b *testing.B) {
	t := binding.NewTable()
	r := New(Config{Users: newPeople(), Bindings: t, Proxy: proxy.New(proxy.Config{})})
	m := new(sip.Message)
	m.Parse(siptest.Text(strings.ReplaceAll(request("INVITE", "sip:bob@example.test"), "$via", "SIP/2.0/UDP 192.0.2.1")), nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Decide(uc.Identity{Class: uc.Client}, m)
	}
}
