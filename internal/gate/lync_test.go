package gate

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/sigauth"
	"parley/internal/uc"
)

// lync is a Lync-protocol client.
type lync struct {
	*caller
	user string
	sa   *sigauth.Initiator
}

func ntHash(password string) []byte {
	h := md4.New()
	for _, u := range utf16.Encode([]rune(password)) {
		h.Write(binary.LittleEndian.AppendUint16(nil, u))
	}
	return h.Sum(nil)
}

func (p *people) ntHash(aor uc.AOR) (*directory.User, directory.Secret, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[aor]
	return u, ntHash(p.pass[aor]), ok
}

// signing starts a world whose clients may sign in with NTLM.
func signing(t *testing.T) *world {
	t.Helper()
	w := start(t, nil)
	srv, err := sigauth.NewServer(sigauth.Config{Host: "fe1.example.test", FindNTLM: func(user, domain string) (sigauth.Account, bool) {
		return Owner(user, domain, []string{"example.test"}, w.people.ntHash)
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.gate.SetSigning(srv)
	return w
}

func (w *world) lync(t *testing.T, user string) *lync { return &lync{caller: w.tcp(t), user: user} }

// text is a request of the client, with authorization if that is not empty.
func (c *lync) text(method, authorization string, extra ...string) string {
	c.n++
	uri := "sip:bob@example.test"
	if method == "REGISTER" {
		uri = "sip:example.test"
		extra = append(extra, "Event: registration")
	}
	if authorization != "" {
		extra = append(extra, "Authorization: "+authorization)
	}
	return fmt.Sprintf("%s %s SIP/2.0\nVia: $via;branch=z9hG4bK%d\nMax-Forwards: 70\nFrom: <sip:%s@example.test>;tag=a;epid=a16eb65f102f\nTo: <sip:%[4]s@example.test>\nCall-ID: lync\nCSeq: %[3]d %[1]s\n%[5]sContent-Length: 0\n\n",
		method, uri, c.n, c.user, lines(extra))
}

// signed is a request of the client with its signature.
func (c *lync) signed(method string, extra ...string) string {
	c.t.Helper()
	plain := c.text(method, "", extra...)
	c.n--
	var m sip.Message
	if err := m.Parse([]byte(strings.ReplaceAll(strings.Replace(plain, "$via", "SIP/2.0/TCP 192.0.2.1", 1), "\n", "\r\n")), nil); err != nil {
		c.t.Fatal(err)
	}
	return c.text(method, c.sa.Authorize(&m), extra...)
}

func (c *lync) do(text string) *sip.Message {
	c.t.Helper()
	c.Send(text)
	return c.Receive()
}

const beginNTLM = `NTLM qop="auth", realm="SIP Communications Service", targetname="fe1.example.test", gssapi-data="", version=4`

// signIn goes through the handshake and returns the last answer.
func (c *lync) signIn(name, domain, password string, clock time.Time) *sip.Message {
	c.t.Helper()
	m := code(c.t, c.do(c.text("REGISTER", beginNTLM)), 401)
	if m.Count(sip.HWWWAuthenticate) != 1 || !m.Has(sip.HDate) {
		c.t.Errorf("one challenge and the time expected:\n%s", m.Raw())
	}
	sa, err := sigauth.NewInitiator(m.Header(sip.HWWWAuthenticate), name, domain, ntHash(password), clock, rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sa = sa
	return c.do(c.signed("REGISTER"))
}

func (c *lync) signedIn(w *world) *lync {
	c.t.Helper()
	m := code(c.t, c.signIn(c.user+"@example.test", "", c.user+"-secret", w.Clock.Now()), 200)
	if err := c.sa.Check(m); err != nil {
		c.t.Fatal(err)
	}
	return c
}

func schemes(m *sip.Message) string {
	var all []string
	for v := range m.All(sip.HWWWAuthenticate) {
		word, _, _ := strings.Cut(string(v), " ")
		all = append(all, word)
	}
	return strings.Join(all, " ")
}

func TestLyncChallenges(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice")
	if got := schemes(code(t, c.do(c.text("REGISTER", "")), 401)); got != "NTLM Digest Digest" {
		t.Errorf("a Lync-protocol client is offered %s", got)
	}
	if got := schemes(code(t, w.tcp(t).ask(aliceRegisters), 401)); got != "Digest Digest" {
		t.Errorf("a phone is offered %s", got)
	}
	if got := schemes(code(t, c.do(c.text("SUBSCRIBE", "")), 401)); got != "Digest Digest" {
		t.Errorf("another request is offered %s", got)
	}
	w.gate.SetSigning(nil)
	if got := schemes(code(t, c.do(c.text("REGISTER", "")), 401)); got != "Digest Digest" {
		t.Errorf("without schemes it is offered %s", got)
	}
}

func TestLyncSignIn(t *testing.T) {
	for name, row := range map[string]struct {
		user, domain, password string
		late                   time.Duration
		want                   int
		text                   string
	}{
		"address":         {"alice@example.test", "", "alice-secret", 0, 200, ""},
		"upper case":      {"ALICE@EXAMPLE.TEST", "", "alice-secret", 0, 200, ""},
		"name only":       {"alice", "", "alice-secret", 0, 200, ""},
		"SIP domain":      {"alice", "example.test", "alice-secret", 0, 200, ""},
		"short domain":    {"alice", "EXAMPLE", "alice-secret", 0, 200, ""},
		"other domain":    {"alice", "OTHER", "alice-secret", 0, 401, "1000"},
		"wrong password":  {"alice", "", "wrong-secret", 0, 401, "1000"},
		"wrong clock":     {"alice", "", "alice-secret", time.Hour, 401, "1013;"},
		"somebody else's": {"bob", "", "bob-secret", 0, 403, "4004"},
	} {
		t.Run(name, func(t *testing.T) {
			w := signing(t)
			m := code(t, w.lync(t, "alice").signIn(row.user, row.domain, row.password, w.Clock.Now().Add(-row.late)), row.want)
			if row.text != "" && !strings.Contains(string(m.HeaderNamed("ms-diagnostics"))+string(m.HeaderNamed("ms-diagnostics-public")), row.text) {
				t.Errorf("no %s in\n%s", row.text, m.Raw())
			}
			if row.want == 401 && !strings.Contains(schemes(m), "NTLM") {
				t.Errorf("the client cannot try again:\n%s", m.Raw())
			}
		})
	}
}

func TestLyncRequests(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice").signedIn(w)
	m := code(t, c.do(c.signed("MESSAGE")), 200)
	if err := c.sa.Check(m); err != nil || string(m.HeaderNamed("X-Identity")) != "alice@example.test" {
		t.Errorf("%v\n%s", err, m.Raw())
	}
	t.Run("a new REGISTER needs no handshake", func(t *testing.T) { code(t, c.do(c.signed("REGISTER")), 200) })
	t.Run("never 401", func(t *testing.T) {
		for name, text := range map[string]string{
			"unsigned":       c.text("MESSAGE", ""),
			"tampered":       strings.Replace(c.signed("MESSAGE"), "Call-ID: lync", "Call-ID: link", 1),
			"unknown opaque": strings.Replace(c.signed("MESSAGE"), `opaque="`, `opaque="0`, 1),
			"a handshake":    c.text("MESSAGE", beginNTLM),
		} {
			if m := c.do(text); m.StatusCode() != 403 || c.sa.Check(m) != nil {
				t.Errorf("%s: %s", name, m.Raw())
			}
		}
	})
	t.Run("replayed", func(t *testing.T) {
		text := c.signed("MESSAGE")
		code(t, c.do(text), 200)
		// Another transaction, so that it is not taken for a repetition.
		c.Send(strings.Replace(text, "branch=z9hG4bK", "branch=z9hG4bKother", 1))
		c.Quiet()
	})
	t.Run("as somebody else", func(t *testing.T) {
		c.user = "bob"
		defer func() { c.user = "alice" }()
		code(t, c.do(c.signed("MESSAGE")), 403)
	})
	t.Run("to a foreign domain", func(t *testing.T) {
		text := c.signed("MESSAGE")
		code(t, c.do(strings.Replace(text, "MESSAGE sip:bob@example.test", "MESSAGE sip:bob@elsewhere.test", 1)), 403)
	})
	t.Run("after a change of the user", func(t *testing.T) {
		w.people.change("alice", func(u *directory.User) { u.Version++ })
		code(t, c.do(c.signed("MESSAGE")), 200)
		code(t, c.do(c.signed("REGISTER")), 401)
		c.signedIn(w)
	})
	t.Run("disabled", func(t *testing.T) {
		w.people.change("alice", func(u *directory.User) { u.Enabled = false })
		code(t, c.do(c.signed("MESSAGE")), 403)
		m := code(t, c.do(c.signed("REGISTER")), 403)
		if !strings.HasPrefix(string(m.HeaderNamed("ms-diagnostics-public")), "4141;") {
			t.Errorf("the client has no text to show:\n%s", m.Raw())
		}
	})
}

// A client asks for compression before it signs in: it must get the router's refusal, not a challenge.
func TestLyncNegotiate(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice")
	code(t, c.do(strings.Replace(c.text("NEGOTIATE", "", "Compression: LZ77-8K"), "sip:bob@example.test", "sip:example.test", 1)), 200)
	code(t, c.do(c.text("NEGOTIATE", "")), 407)
}

func TestLyncExpiry(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice").signedIn(w)
	w.Advance(t, 8*time.Hour)
	code(t, c.do(c.signed("MESSAGE")), 403)
	code(t, c.do(c.signed("REGISTER")), 401)
	c.signedIn(w)
}

func TestLyncWithoutDevice(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice")
	m := code(t, c.do(strings.Replace(c.text("REGISTER", beginNTLM), ";epid=a16eb65f102f", "", 1)), 400)
	if !strings.HasPrefix(string(m.HeaderNamed("ms-diagnostics")), "4010;") {
		t.Errorf("%s", m.Raw())
	}
}

func TestLyncGuessing(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice")
	for range 10 {
		code(t, c.signIn("alice", "", "wrong-secret", w.Clock.Now()), 401)
	}
	code(t, c.do(c.text("REGISTER", beginNTLM)), 403)
	w.Advance(t, 11*time.Second)
	c.signedIn(w)
}

// Responses, ACK and CANCEL are dropped when they are not signed; they have no
// answer that could say so.
func TestScreen(t *testing.T) {
	w := signing(t)
	c := w.lync(t, "alice").signedIn(w)
	var f *flow.Flow
	for _, have := range w.Layer.Flows() {
		if sessionOf(have) != nil {
			f = have
		}
	}
	if f == nil {
		t.Fatal("no session on any connection")
	}
	taken := func(text string) bool {
		var m sip.Message
		if err := m.Parse([]byte(strings.ReplaceAll(strings.Replace(text, "$via", "SIP/2.0/TCP 192.0.2.1", 1), "\n", "\r\n")), nil); err != nil {
			t.Fatal(err)
		}
		return w.gate.Screen(f, &m)
	}
	good := c.signed("ACK")
	if !taken(good) || taken(good) {
		t.Error("signed: once, not twice")
	}
	if taken(c.text("CANCEL", "")) || taken(strings.Replace(c.signed("ACK"), "tag=a", "tag=b", 1)) {
		t.Error("unsigned or tampered")
	}
	if n := w.gate.Counters().Forged.Load(); n != 3 {
		t.Errorf("%d counted", n)
	}
}
