package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
)

func TestMain(m *testing.M) { parleytest.Main(m) }

// patience bounds one step. It is long because machines that test are busy.
const patience = 2 * time.Minute

// budget is how many bytes may cross the network until somebody can type an address.
const budget = 300 << 10

//go:embed testdata/axe.min.js
var axe string

// person is a user in front of a page.
type person struct {
	*Page
	t    *testing.T
	name string
}

func (p *person) ctx() context.Context {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	p.t.Cleanup(cancel)
	return ctx
}

func (p *person) must(err error) {
	p.t.Helper()
	if err != nil {
		var text string
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), 5*time.Second)
		defer cancel()
		if p.Page != nil {
			_ = p.Eval(ctx, `location.href + "\n" + document.body.innerText`, &text) // the page may be what is broken
			text += "\n" + strings.Join(p.Errors(), "\n")
		}
		p.t.Fatalf("%s: %v\nThe page: %s", p.name, err, text)
	}
}

func (p *person) await(expression string) { p.t.Helper(); p.must(p.Await(p.ctx(), expression)) }
func (p *person) click(selector string)   { p.t.Helper(); p.must(p.Click(p.ctx(), selector)) }
func (p *person) fill(selector, text string) {
	p.t.Helper()
	p.must(p.Fill(p.ctx(), selector, text))
}

// button presses a button by what it is called.
func (p *person) button(label string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`button[aria-label=%q]`, label))
}

// sees waits until a text is shown.
func (p *person) sees(text string) {
	p.t.Helper()
	q, _ := json.Marshal(text)
	p.await(`document.body.innerText.includes(` + string(q) + `)`)
}

func (p *person) signIn(password string) {
	p.t.Helper()
	p.fill("#address", p.name)
	p.fill("#password", password)
	p.click("form button[type=submit]")
}

func (p *person) writes(text string) {
	p.t.Helper()
	p.fill("#composer", text)
	p.must(p.Key(p.ctx(), "Enter", 13))
	p.await(`document.querySelector("#composer").value === ""`)
}

// accessible fails the test for every serious fault that axe-core finds on what is shown, and takes a picture of it in
// the folder PARLEY_SHOTS, in two sizes and two schemes.
func (p *person) accessible(what string) {
	p.t.Helper()
	for _, v := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"desktop-light", 1280, 800, false}, {"phone-dark", 390, 844, true}, {"phone-light", 390, 844, false}, {"desktop-dark", 1280, 800, true}} {
		dir := os.Getenv("PARLEY_SHOTS")
		if dir == "" && (v.name == "phone-light" || v.name == "desktop-dark") {
			continue
		}
		p.must(p.View(p.ctx(), v.width, v.height, v.dark))
		if dir != "" {
			p.must(p.Shot(p.ctx(), filepath.Join(dir, what+"-"+v.name+".png")))
		}
		p.await(`!/\{\w+\}/.test(document.body.innerText)`) // a value that was not put into its text
		var found []struct {
			ID, Impact, Help string
			Nodes            []struct{ HTML, FailureSummary string }
		}
		if err := p.Eval(p.ctx(), `typeof axe`, nil); err != nil {
			p.t.Fatal(err)
		}
		p.must(p.Eval(p.ctx(), `typeof axe === "undefined" ? (`+axeLoad+`) : 0`, nil))
		p.must(p.Eval(p.ctx(), `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`, &found))
		for _, f := range found {
			for _, n := range f.Nodes {
				p.t.Errorf("%s %s: %s (%s): %s\n%s", what, v.name, f.Help, f.Impact, n.HTML, n.FailureSummary)
			}
		}
	}
	p.must(p.View(p.ctx(), 1280, 800, false))
}

var axeLoad = func() string {
	b, _ := json.Marshal(axe)
	return `(0, eval)(` + string(b) + `)`
}()

// watchMedia remembers the peer connections of a page, for their statistics.
const watchMedia = `window.pcs = []; window.RTCPeerConnection = class extends RTCPeerConnection { constructor(...a) { super(...a); window.pcs.push(this); } }`

// hears are true when sound with something in it, and as many pictures more than before, were decoded.
const (
	hears = `(async () => { for (const s of (await pcs.at(-1).getStats()).values()) if (s.type === "inbound-rtp" && s.kind === "audio" && s.totalAudioEnergy > 0.0001 && s.packetsReceived > 20) return true; return false })()`
	views = `(async () => { for (const s of (await pcs.at(-1).getStats()).values()) if (s.type === "inbound-rtp" && s.kind === "video" && s.framesDecoded > (window.before ?? 0) + 5) return true; return false })()`
	count = `(async () => { for (const s of (await pcs.at(-1).getStats()).values()) if (s.type === "inbound-rtp" && s.kind === "video") window.before = s.framesDecoded })()`
)

// launch starts Chromium for a test.
func launch(t *testing.T) *Browser {
	t.Helper()
	parleytest.Need(t, "chromium")
	dir, err := os.MkdirTemp("", "chromium-") // not t.TempDir: what Chromium leaves may still change while it dies
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := Start(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// visit opens the client of the server that answers at host.
func visit(t *testing.T, b *Browser, host, name string) *person {
	t.Helper()
	p := &person{t: t, name: name}
	var err error
	p.Page, err = b.Open(p.ctx(), "about:blank#")
	if err == nil {
		err = p.Command(p.ctx(), "Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": watchMedia})
	}
	if err == nil {
		err = p.Command(p.ctx(), "Page.navigate", map[string]any{"url": "https://" + host + "/"})
	}
	p.must(err)
	p.await(`location.pathname === "/client/" && document.querySelector("#address")`)
	return p
}

// enter opens the client and signs in.
func enter(t *testing.T, b *Browser, host, name string) *person {
	t.Helper()
	p := visit(t, b, host, name)
	p.signIn(parleytest.Password)
	p.await(`document.querySelector(".shell")`)
	return p
}

// goes leads to a place in the client, and talksTo to the conversation with somebody.
func (p *person) goes(place string) {
	p.t.Helper()
	q, _ := json.Marshal(place)
	p.must(p.Eval(p.ctx(), `location.hash = `+string(q), nil))
}

func (p *person) talksTo(name string) {
	p.t.Helper()
	p.goes("#/chat/" + name + "%40example.test")
	p.await(`document.querySelector("#peer")?.textContent.toLowerCase().startsWith("` + name + `")`)
}

// clean fails the test for errors that the page met.
func (p *person) clean() {
	p.t.Helper()
	for _, e := range p.Errors() {
		if !strings.Contains(e, "favicon") {
			p.t.Errorf("%s: %s", p.name, e)
		}
	}
}

// serve answers what comes to a scripted phone that has no media for browsers, and tells of messages.
func serve(ctx context.Context, p *phone.Phone) <-chan string {
	texts := make(chan string, 16)
	go func() {
		for {
			m, err := p.Receive(ctx)
			if err != nil {
				return
			}
			switch m.Method() {
			case "MESSAGE":
				texts <- m.Body
				_ = p.Send(m.Reply(200, "OK", phone.Unique()))
			case "INVITE":
				_ = p.Send(m.Reply(488, "Not Acceptable Here", phone.Unique()))
			}
		}
	}()
	return texts
}

func TestTwoBrowsersAndAPhone(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob", "carol"))
	b := launch(t)
	alice := visit(t, b, s.Addr.String(), "alice")
	var loaded float64
	alice.must(alice.Eval(alice.ctx(), `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((n, e) => n + e.transferSize, 0)`, &loaded))
	t.Logf("first load: %.0f bytes", loaded)
	if loaded == 0 || loaded > budget {
		t.Errorf("first load: %.0f bytes, allowed are %d", loaded, budget)
	}
	// Measured, and not judged: machines that test are busy.
	var ready struct{ Interactive, Server float64 }
	alice.must(alice.Eval(alice.ctx(), `({Interactive: performance.getEntriesByName("ready")[0].startTime, Server: performance.getEntriesByType("navigation")[0].responseStart})`, &ready))
	t.Logf("somebody can type after %.0f ms, of which the redirections and the first byte took %.0f ms", ready.Interactive, ready.Server)
	alice.accessible("sign-in")

	alice.signIn("not the password")
	alice.sees("Address or password is wrong.")
	alice.must(alice.Eval(alice.ctx(), `document.querySelector("#password").value = ""`, nil))
	alice.signIn(parleytest.Password)
	alice.await(`document.querySelector(".shell")`)
	bob := enter(t, b, s.Addr.String(), "bob")

	// Search, contacts, presence.
	alice.fill("#search", "bo")
	alice.click(`[data-key="change:bob@example.test"][aria-label^="Add"]`)
	alice.await(`document.querySelector('[data-key="change:bob@example.test"]')?.getAttribute("aria-label").startsWith("Remove")`)
	alice.await(`document.querySelector('[data-key="person:bob@example.test"] .badge.available')`)
	choose := func(p *person, state string) {
		p.must(p.Eval(p.ctx(), `(() => { const m = document.querySelector("#my-presence"); m.value = "`+state+`"; m.dispatchEvent(new Event("change")) })()`, nil))
	}
	choose(bob, "busy")
	alice.await(`document.querySelector('[data-key="person:bob@example.test"] .badge.busy')`)
	choose(bob, "available")
	bob.fill("#search", "alice")
	bob.await(`document.querySelector('[data-key="person:alice@example.test"] .badge.available')`)
	alice.accessible("people")

	// Chat, and what was typed is still there after a look elsewhere.
	alice.click(`[data-key="person:bob@example.test"]`)
	alice.fill("#composer", "a draft")
	alice.goes("#/chats")
	alice.sees("Draft: a draft")
	alice.click(`[data-key="chat:bob@example.test"]`)
	alice.await(`document.querySelector("#composer")?.value === "a draft"`)
	alice.writes("lunch at noon?")
	bob.await(`document.querySelector('nav a[href="#/chats"] .count')?.textContent.includes("1")`)
	bob.click(`nav a[href="#/chats"]`)
	bob.click(`[data-key="chat:alice@example.test"]`)
	bob.sees("lunch at noon?")
	bob.writes("one is better: https://example.test/menu")
	alice.sees("one is better")
	alice.await(`document.querySelector(".bubble a")?.href === "https://example.test/menu"`)

	// With a phone.
	carol := parleytest.Phone(t, s, "carol", "tls")
	reg, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := carol.Register(reg, 300); err != nil {
		t.Fatal(err)
	}
	if code, err := carol.Message(reg, "alice@example.test", "from a phone"); err != nil || code != 200 {
		t.Fatal(code, err)
	}
	texts := serve(t.Context(), carol)
	alice.goes("#/chat/carol%40example.test")
	alice.sees("from a phone")
	alice.writes("to a phone")
	select {
	case got := <-texts:
		if got != "to a phone" {
			t.Errorf("the phone got %q", got)
		}
	case <-reg.Done():
		t.Fatal("the phone got nothing")
	}
	alice.goes("#/chat/nobody%40example.test")
	alice.await(`document.querySelector("#peer")?.textContent.startsWith("nobody")`)
	alice.writes("hello?")
	alice.sees("Nobody has this address.")
	alice.click(".message .link") // try again
	alice.sees("Nobody has this address.")

	// A phone that shares no media with browsers.
	alice.goes("#/chat/carol%40example.test")
	alice.await(`document.querySelector("#peer")?.textContent.startsWith("carol")`)
	alice.click("#call-audio")
	alice.sees("cannot be called from a browser")
	alice.accessible("call-failed")
	alice.click(`[data-key="close"]`)
	invite := carol.Request("INVITE", "sip:alice@example.test", "sip:alice@example.test",
		phone.Header{Name: "Contact", Value: "<" + carol.Contact() + ">"}, phone.Header{Name: "Content-Type", Value: "application/sdp"})
	invite.Body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
	if err := carol.Send(invite); err != nil {
		t.Fatal(err)
	}
	alice.await(`document.querySelector('[data-key="answer"]')`)
	alice.click(`[data-key="hangup"]`)
	alice.sees("Call declined")
	alice.click(`[data-key="close"]`)

	// Sound and pictures, both ways.
	alice.goes("#/chat/bob%40example.test")
	alice.await(`document.querySelector("#peer")?.textContent.startsWith("bob")`)
	alice.click("#call-video")
	bob.await(`document.querySelector('[data-key="answervideo"]')`)
	bob.accessible("incoming")
	bob.click(`[data-key="answervideo"]`)
	for _, p := range []*person{alice, bob} {
		p.await(hears)
		p.await(views)
	}
	alice.accessible("call")
	alice.click(`[data-key="mute"]`)
	alice.await(`pcs.at(-1).getSenders().find((s) => s.track?.kind === "audio").track.enabled === false`)
	alice.click(`[data-key="mute"]`)
	alice.click(`[data-key="hold"]`)
	bob.sees("You are on hold")
	alice.await(`document.querySelector('[data-key="hold"]').getAttribute("aria-pressed") === "true"`)
	alice.click(`[data-key="hold"]`)
	bob.await(`!document.body.innerText.includes("You are on hold")`)
	bob.must(bob.Eval(bob.ctx(), count, nil))
	bob.await(views)
	alice.click(`[data-key="keypad"]`)
	alice.accessible("keypad")
	alice.click(`.keypad button`)
	alice.await(`pcs.at(-1).getSenders().find((s) => s.dtmf).dtmf.toneBuffer === ""`)
	alice.click(`[data-key="keypad"]`)
	bob.click(`[data-key="hangup"]`)
	for _, p := range []*person{alice, bob} {
		p.sees("Call ended")
		p.click(`[data-key="close"]`)
	}

	// Sound alone, to which a screen is added.
	bob.click("#call-audio")
	alice.click(`[data-key="answer"]`)
	bob.await(hears)
	bob.click(`[data-key="share"]`)
	alice.await(views)
	bob.sees("You are sharing your screen")
	alice.click(`[data-key="hangup"]`)
	alice.click(`[data-key="close"]`)
	alice.goes("#/calls")
	alice.await(`document.querySelectorAll(".list .row").length === 4`)
	alice.accessible("calls")
	alice.goes("#/settings")
	alice.await(`document.querySelector("#device-audioinput")?.options.length > 1`)
	alice.accessible("settings")
	alice.click("#try")
	alice.await(`document.querySelector(".trial video").videoWidth > 0 && document.querySelector("meter").value > 0`)
	alice.accessible("devices")
	alice.click("#try")
	alice.await(`document.querySelector(".trial").hidden`)
	alice.goes("#/chat/bob%40example.test")
	alice.accessible("chat")

	// Nothing is left of the session, and the history of the device is there again.
	alice.goes("#/settings")
	alice.click("#sign-out")
	alice.await(`document.querySelector("#address") && sessionStorage.length === 0`)
	bob.await(`document.querySelector('[data-key="chat:alice@example.test"] .badge.offline')`)
	alice.signIn(parleytest.Password)
	alice.await(`document.querySelector(".shell")`)
	alice.click(`nav a[href="#/chats"]`)
	alice.click(`[data-key="chat:bob@example.test"]`)
	alice.sees("lunch at noon?")
	alice.must(alice.Eval(alice.ctx(), `(localStorage.setItem("language", "ko"), location.reload())`, nil))
	alice.await(`document.documentElement.lang === "ko" && document.querySelector("h1")?.textContent === "로그인"`)
	alice.accessible("sign-in-ko")
	alice.signIn(parleytest.Password)
	alice.await(`document.querySelector(".shell")`)
	for _, place := range []string{"people", "chats", "calls", "settings", "chat"} {
		alice.goes("#/" + place)
		if place == "chat" {
			alice.talksTo("bob")
		}
		alice.await(`document.querySelector(".shell") && !/\b(call|calls|chat|nav|settings|people)\.[a-z]/.test(document.body.innerText)`)
		alice.accessible(place + "-ko")
	}
	alice.clean()
	bob.clean()
}
