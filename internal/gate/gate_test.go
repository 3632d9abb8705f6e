package gate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/digest"
	"parley/internal/stack"
	"parley/internal/stack/stacktest"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people are users with passwords.
type people struct {
	mu    sync.Mutex
	users map[uc.AOR]*directory.User
	pass  map[uc.AOR]string
}

func newPeople(names ...string) *people {
	p := &people{users: map[uc.AOR]*directory.User{}, pass: map[uc.AOR]string{}}
	for _, n := range names {
		aor := uc.AOR(n + "@example.test")
		p.users[aor] = &directory.User{AOR: aor, Enabled: true, Policy: directory.DefaultPolicy()}
		p.pass[aor] = n + "-secret"
	}
	return p
}

func (p *people) change(name string, fn func(*directory.User)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	aor := uc.AOR(name + "@example.test")
	u := *p.users[aor]
	fn(&u)
	p.users[aor] = &u
}

func (p *people) Login(username, realm []byte, alg directory.Algorithm) (*directory.User, directory.Secret, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := string(username)
	if !strings.Contains(name, "@") {
		name += "@" + string(realm)
	}
	u, ok := p.users[uc.AOR(name)]
	if !ok {
		return nil, nil, false
	}
	ha1 := digest.HA1(digest.Algorithm(alg), string(username), string(realm), p.pass[u.AOR])
	return u, []byte(fmt.Sprintf("%x", ha1)), true
}

func (p *people) LookupBytes(aor []byte) (*directory.User, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[uc.AOR(aor)]
	return u, ok
}

func (p *people) IsLocal(domain []byte) bool {
	return strings.EqualFold(string(domain), "example.test")
}

// world is a stack behind a gate. Requests that pass are answered with 200 and
// the sender's identity.
type world struct {
	*stacktest.Server
	gate   *Gate
	people *people
}

func start(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{people: newPeople("alice", "bob")}
	cfg := Config{Users: w.people, Settings: Settings{Exempt: func(netip.Addr) bool { return false }}}
	if edit != nil {
		edit(&cfg)
	}
	ready := make(chan struct{})
	sc := stack.Config{
		Open:  func(f *flow.Flow) error { <-ready; return w.gate.Opened(f) },
		Admit: func(tx *stack.ServerTxn) error { return w.gate.Admit(tx) },
		Route: func(tx *stack.ServerTxn) {
			tx.Respond(200, "", sip.Header{Name: "X-Identity", Value: tx.Identity().String()})
		},
	}
	w.Server = stacktest.Start(t, sc)
	cfg.Now = w.Clock.Now
	if cfg.Log == nil {
		cfg.Log = testLog(t)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.gate = g
	close(ready)
	return w
}

// caller sends requests with credentials.
type caller struct {
	*stacktest.Peer
	t     *testing.T
	n     int
	nonce string
	nc    uint32
}

func (w *world) udp(t *testing.T) *caller { return &caller{Peer: w.UDPPeer(t), t: t} }
func (w *world) tcp(t *testing.T) *caller { return &caller{Peer: w.TCPPeer(t), t: t} }

type request struct {
	method, uri, from, to string
	vias                  int
	extra                 []string
}

// ask sends a request once and returns the answer.
func (c *caller) ask(r request, extra ...string) *sip.Message {
	c.t.Helper()
	c.n++
	if r.to == "" {
		r.to = r.from
	}
	if r.uri == "" {
		r.uri = "sip:bob@example.test"
	}
	via := fmt.Sprintf("Via: $via;branch=z9hG4bK%d;rport\n", c.n)
	for range r.vias {
		via += "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKother\n"
	}
	c.Send(fmt.Sprintf("%s %s SIP/2.0\n%sMax-Forwards: 70\nFrom: <%s>;tag=a\nTo: <%s>\nCall-ID: c%d\nCSeq: %d %s\n%sContent-Length: 0\n\n",
		r.method, r.uri, via, r.from, r.to, c.n, c.n, r.method, lines(append(r.extra, extra...))))
	return c.Receive()
}

func lines(extra []string) (s string) {
	for _, x := range extra {
		s += x + "\n"
	}
	return s
}

// answer makes credentials for the first challenge with the algorithm.
func (c *caller) answer(m *sip.Message, a digest.Algorithm, method, user, password string) string {
	c.t.Helper()
	id, name := sip.HWWWAuthenticate, "Authorization"
	if m.StatusCode() == 407 {
		id, name = sip.HProxyAuthenticate, "Proxy-Authorization"
	}
	for v := range m.All(id) {
		var ch digest.Challenge
		if err := digest.ParseChallenge(v, &ch); err != nil {
			c.t.Fatalf("challenge %q: %v", v, err)
		}
		if ch.Algorithm != a {
			continue
		}
		if c.nonce != string(ch.Nonce) {
			c.nonce, c.nc = string(ch.Nonce), 0
		}
		c.nc++
		ans := digest.Answer{Method: method, URI: "sip:example.test", Username: user, CNonce: "x", NC: c.nc,
			HA1: digest.HA1(a, user, string(ch.Realm), password)}
		out, err := ans.Append([]byte(name+": "), &ch)
		if err != nil {
			c.t.Fatal(err)
		}
		return string(out)
	}
	c.t.Fatalf("no challenge for %v in\n%s", a, m.Raw())
	return ""
}

// login asks, answers the challenge and returns what then comes.
func (c *caller) login(r request, user, password string) *sip.Message {
	c.t.Helper()
	return c.ask(r, c.answer(c.ask(r), digest.SHA256, r.method, user, password))
}

func code(t *testing.T, m *sip.Message, want int) *sip.Message {
	t.Helper()
	if m.StatusCode() != want {
		t.Fatalf("got %d, want %d:\n%s", m.StatusCode(), want, m.Raw())
	}
	return m
}

var (
	aliceRegisters = request{method: "REGISTER", uri: "sip:example.test", from: "sip:alice@example.test"}
	aliceWrites    = request{method: "MESSAGE", from: "sip:alice@example.test", to: "sip:bob@example.test"}
)

func TestChallengeOffersEachAlgorithm(t *testing.T) {
	w := start(t, nil)
	c := w.udp(t)
	m := code(t, c.ask(aliceRegisters), 401)
	got := offers(t, m)
	if fmt.Sprint(got) != "[SHA-256 MD5]" {
		t.Errorf("offered %v (RFC 8760 2.4: preferred first)", got)
	}
	if got := offers(t, code(t, c.ask(aliceRegisters, "User-Agent: baresip v1.0.0 (x86_64/linux)"), 401)); fmt.Sprint(got) != "[MD5]" {
		t.Errorf("a phone that breaks on SHA-256 was offered %v", got)
	}
	code(t, c.ask(aliceWrites), 407)
	code(t, c.ask(request{method: "SUBSCRIBE", from: aliceWrites.from}), 401)
}

func offers(t *testing.T, m *sip.Message) (got []string) {
	t.Helper()
	for v := range m.All(sip.HWWWAuthenticate) {
		var ch digest.Challenge
		if err := digest.ParseChallenge(v, &ch); err != nil || string(ch.Realm) != "example.test" || !ch.Auth || ch.Stale {
			t.Errorf("challenge %s: %v", v, err)
		}
		got = append(got, ch.Algorithm.String())
	}
	return got
}

func TestPasswords(t *testing.T) {
	w := start(t, nil)
	for name, row := range map[string]struct {
		user, password string
		alg            digest.Algorithm
		want           int
	}{
		"SHA-256":       {"alice", "alice-secret", digest.SHA256, 200},
		"MD5":           {"alice", "alice-secret", digest.MD5, 200},
		"long name":     {"alice@example.test", "alice-secret", digest.SHA256, 200},
		"wrong":         {"alice", "bob-secret", digest.SHA256, 401},
		"unknown":       {"mallory", "x", digest.MD5, 401},
		"somebody else": {"bob", "bob-secret", digest.SHA256, 403},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.udp(t)
			m := c.ask(aliceRegisters)
			m = code(t, c.ask(aliceRegisters, c.answer(m, row.alg, "REGISTER", row.user, row.password)), row.want)
			if row.want == 200 && string(m.HeaderNamed("X-Identity")) != "alice@example.test" {
				t.Errorf("identity %q", m.HeaderNamed("X-Identity"))
			}
			if row.want == 401 && strings.Contains(string(m.Header(sip.HWWWAuthenticate)), "stale") {
				t.Error("a wrong password is no stale nonce: the client would try for ever")
			}
		})
	}
}

func TestSpeakingForOthers(t *testing.T) {
	w := start(t, nil)
	c := w.tcp(t)
	code(t, c.login(aliceRegisters, "alice", "alice-secret"), 200)
	asBob := aliceWrites
	asBob.from = "sip:bob@example.test"
	code(t, c.login(asBob, "alice", "alice-secret"), 403)
	third := aliceRegisters
	third.to = "sip:bob@example.test"
	code(t, c.login(third, "alice", "alice-secret"), 403)
	if n := w.gate.Counters().Impostors.Load(); n != 2 {
		t.Errorf("%d impostors counted", n)
	}
}

func TestOncePerFlow(t *testing.T) {
	w := start(t, nil)
	c := w.tcp(t)
	code(t, c.ask(aliceWrites), 407)
	code(t, c.login(aliceRegisters, "alice", "alice-secret"), 200)
	m := code(t, c.ask(aliceWrites), 200)
	if string(m.HeaderNamed("X-Identity")) != "alice@example.test" {
		t.Errorf("identity %q", m.HeaderNamed("X-Identity"))
	}
	t.Run("but each REGISTER", func(t *testing.T) { code(t, c.ask(aliceRegisters), 401) })
	t.Run("not on another connection", func(t *testing.T) { code(t, w.tcp(t).ask(aliceWrites), 407) })
	t.Run("not for another user", func(t *testing.T) {
		code(t, c.ask(request{method: "MESSAGE", from: "sip:bob@example.test"}), 407)
	})
	t.Run("not through a proxy", func(t *testing.T) {
		r := aliceWrites
		r.vias = 1
		code(t, c.ask(r), 407)
	})
	t.Run("a second user on the connection", func(t *testing.T) {
		r := request{method: "REGISTER", uri: "sip:example.test", from: "sip:bob@example.test"}
		code(t, c.login(r, "bob", "bob-secret"), 200)
		code(t, c.ask(aliceWrites), 200)
		code(t, c.ask(request{method: "MESSAGE", from: "sip:bob@example.test"}), 200)
	})
	t.Run("not after the user was changed", func(t *testing.T) {
		w.people.change("alice", func(u *directory.User) { u.Version++ })
		code(t, c.ask(aliceWrites), 407)
	})
	t.Run("not over UDP", func(t *testing.T) {
		u := w.udp(t)
		code(t, u.login(aliceRegisters, "alice", "alice-secret"), 200)
		code(t, u.ask(aliceWrites), 407)
	})
	t.Run("not when every request is to be challenged", func(t *testing.T) {
		if err := w.gate.Reload(Settings{Challenge: Every}); err != nil {
			t.Fatal(err)
		}
		code(t, c.ask(request{method: "MESSAGE", from: "sip:bob@example.test"}), 407)
	})
}

func TestDisabledUser(t *testing.T) {
	w := start(t, nil)
	c := w.tcp(t)
	code(t, c.login(aliceRegisters, "alice", "alice-secret"), 200)
	w.people.change("alice", func(u *directory.User) { u.Enabled = false })
	code(t, c.ask(aliceWrites), 407)
	code(t, c.login(aliceRegisters, "alice", "alice-secret"), 403)
}

func TestNoRelay(t *testing.T) {
	w := start(t, nil)
	c := w.udp(t)
	for name, r := range map[string]request{
		"stranger to foreign":        {method: "INVITE", from: "sip:x@elsewhere.test", uri: "sip:y@elsewhere.test"},
		"stranger to us":             {method: "INVITE", from: "sip:x@elsewhere.test"},
		"user to foreign":            {method: "INVITE", from: "sip:alice@example.test", uri: "sip:y@elsewhere.test"},
		"number as sender":           {method: "INVITE", from: "tel:+15550100"},
		"hidden to foreign":          {method: "INVITE", from: "sip:anonymous@anonymous.invalid", uri: "sip:y@elsewhere.test"},
		"address in place of domain": {method: "INVITE", from: "sip:alice@127.0.0.1"},
	} {
		if m := c.ask(r); m.StatusCode() != 403 {
			t.Errorf("%s: %d", name, m.StatusCode())
		}
	}
	if n := w.gate.Counters().Relays.Load(); n != 6 {
		t.Errorf("%d counted", n)
	}
}

func TestReachableHost(t *testing.T) {
	w := start(t, func(c *Config) { c.Reachable = func(h []byte) bool { return string(h) == "pbx.test" } })
	c := w.udp(t)
	r := request{method: "INVITE", from: "sip:alice@example.test", uri: "sip:100@pbx.test"}
	code(t, c.ask(r), 407)
	code(t, c.login(r, "alice", "alice-secret"), 200)
}

func TestHiddenCaller(t *testing.T) {
	w := start(t, nil)
	c := w.tcp(t)
	r := request{method: "INVITE", from: "sip:anonymous@anonymous.invalid", to: "sip:bob@example.test"}
	code(t, c.ask(r), 407)
	m := code(t, c.login(r, "alice", "alice-secret"), 200)
	if string(m.HeaderNamed("X-Identity")) != "alice@example.test" {
		t.Errorf("identity %q", m.HeaderNamed("X-Identity"))
	}
}

func TestOptionsForAnybody(t *testing.T) {
	w := start(t, nil)
	c := w.udp(t)
	r := request{method: "OPTIONS", uri: "sip:example.test", from: "sip:x@elsewhere.test"}
	m := code(t, c.ask(r), 200)
	if string(m.HeaderNamed("X-Identity")) != "anonymous" {
		t.Errorf("identity %q", m.HeaderNamed("X-Identity"))
	}
	r.uri = "sip:bob@example.test"
	code(t, c.ask(r), 403)
	code(t, c.ask(request{method: "OPTIONS", from: "sip:alice@example.test"}), 407)
}

func TestNonces(t *testing.T) {
	w := start(t, nil)
	c := w.udp(t)
	m := c.ask(aliceRegisters)
	creds := c.answer(m, digest.SHA256, "REGISTER", "alice", "alice-secret")
	code(t, c.ask(aliceRegisters, creds), 200)
	stale := func(t *testing.T, m *sip.Message) {
		t.Helper()
		if code(t, m, 401); !strings.Contains(string(m.Header(sip.HWWWAuthenticate)), "stale=true") {
			t.Errorf("not stale: %s", m.Header(sip.HWWWAuthenticate))
		}
	}
	t.Run("replay", func(t *testing.T) {
		stale(t, c.ask(aliceRegisters, creds))
		if n := w.gate.Counters().Replayed.Load(); n != 1 {
			t.Errorf("%d replays counted", n)
		}
	})
	t.Run("next count", func(t *testing.T) {
		code(t, c.ask(aliceRegisters, c.answer(m, digest.SHA256, "REGISTER", "alice", "alice-secret")), 200)
	})
	t.Run("from another address", func(t *testing.T) {
		o := w.udp(t)
		o.nonce, o.nc = c.nonce, 10
		stale(t, o.ask(aliceRegisters, o.answer(m, digest.SHA256, "REGISTER", "alice", "alice-secret")))
	})
	t.Run("old", func(t *testing.T) {
		w.Advance(t, 6*time.Minute)
		stale(t, c.ask(aliceRegisters, c.answer(m, digest.SHA256, "REGISTER", "alice", "alice-secret")))
	})
	t.Run("not ours", func(t *testing.T) {
		forged := strings.Replace(creds, `nonce="`, `nonce="x`, 1)
		stale(t, c.ask(aliceRegisters, forged))
	})
}

// A count against a name holds for one address and harms nobody else.
func TestGuessing(t *testing.T) {
	w := start(t, nil)
	c := w.udp(t)
	m := c.ask(aliceRegisters)
	for i := range 10 {
		code(t, c.ask(aliceRegisters, c.answer(m, digest.MD5, "REGISTER", "alice", fmt.Sprint("guess", i))), 401)
	}
	m = code(t, c.ask(aliceRegisters, c.answer(m, digest.MD5, "REGISTER", "alice", "alice-secret")), 403)
	if m.Header(sip.HRetryAfter) == nil {
		t.Error("no Retry-After")
	}
	t.Run("others from the same address go on", func(t *testing.T) {
		r := request{method: "REGISTER", uri: "sip:example.test", from: "sip:bob@example.test"}
		code(t, w.udp(t).login(r, "bob", "bob-secret"), 200)
	})
	t.Run("connections are counted apart", func(t *testing.T) {
		code(t, w.tcp(t).login(aliceRegisters, "alice", "alice-secret"), 200)
	})
	t.Run("it passes", func(t *testing.T) {
		w.Advance(t, 11*time.Second)
		code(t, w.udp(t).login(aliceRegisters, "alice", "alice-secret"), 200)
	})
	t.Run("stale nonces are not counted", func(t *testing.T) {
		before := w.gate.Counters().Failed.Load()
		c := w.udp(t)
		for range 20 {
			code(t, c.ask(aliceRegisters, `Authorization: Digest username="alice", realm="example.test", nonce="x", uri="sip:example.test", response="00000000000000000000000000000000"`), 401)
		}
		if after := w.gate.Counters().Failed.Load(); after != before {
			t.Errorf("%d failures counted", after-before)
		}
	})
}

func TestStrangersAreThrottled(t *testing.T) {
	w := start(t, func(c *Config) { c.Settings.Unknown = 1 })
	c := w.tcp(t)
	for range 10 {
		code(t, c.ask(aliceWrites), 407)
	}
	code(t, c.ask(aliceWrites), 503)
	w.Advance(t, time.Second)
	m := code(t, c.ask(aliceWrites), 407)
	t.Run("who answers the challenge is not", func(t *testing.T) {
		for range 20 {
			code(t, c.ask(aliceWrites, c.answer(m, digest.MD5, "MESSAGE", "alice", "alice-secret")), 200)
		}
	})
	t.Run("datagrams are dropped", func(t *testing.T) {
		u := w.udp(t)
		for range 10 {
			code(t, u.ask(aliceWrites), 407)
		}
		u.n++
		u.Send("MESSAGE sip:bob@example.test SIP/2.0\nVia: $via;branch=z9hG4bKq\nMax-Forwards: 70\nFrom: <sip:alice@example.test>;tag=a\nTo: <sip:bob@example.test>\nCall-ID: q\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n")
		u.Quiet()
	})
	if n := w.gate.Counters().Throttled.Load(); n != 2 {
		t.Errorf("%d counted", n)
	}
}

func TestDialogRequests(t *testing.T) {
	w := start(t, func(c *Config) {
		c.InDialog = func(tx *stack.ServerTxn) bool { return tx.Request().Has(sip.HRoute) }
	})
	c := w.udp(t)
	send := func(method, totag string, extra ...string) *sip.Message {
		c.n++
		c.Request(method, "sip:bob@192.0.2.1", fmt.Sprintf("z9hG4bKd%d", c.n), c.n, totag, extra...)
		return c.Receive()
	}
	const route = "Route: <sip:token@127.0.0.1;lr>"
	code(t, send("BYE", "b", route), 200)
	code(t, send("INVITE", "b", route), 200)
	code(t, send("BYE", "", route), 403) // begins nothing: its target is no domain of ours
	code(t, send("BYE", "b"), 403)
	code(t, send("MESSAGE", "b", route), 403)
}

func TestServersByCertificate(t *testing.T) {
	refused := errors.New("not one of ours")
	cases := map[string]struct {
		id   uc.Identity
		err  error
		want uc.TrustClass
	}{
		"in the topology": {id: uc.Identity{Class: uc.TrustedServer, Name: "pbx.test"}, want: uc.TrustedServer},
		"client":          {want: uc.Anonymous},
		"unknown":         {err: refused},
	}
	for name, row := range cases {
		g, err := New(Config{Users: newPeople(), Log: testLog(t),
			Identify: func([]*x509.Certificate) (uc.Identity, error) { return row.id, row.err }})
		if err != nil {
			t.Fatal(err)
		}
		id, err := g.identify([]*x509.Certificate{{}})
		if !errors.Is(err, row.err) || id.Class != row.want {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, s := range []Settings{{Challenge: "never"}, {Algorithms: []string{"SHA-1"}}} {
		if _, err := New(Config{Users: newPeople(), Settings: s}); err == nil {
			t.Errorf("%+v accepted", s)
		}
	}
}
