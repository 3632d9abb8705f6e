package browser

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"parley/test/parleytest"
	"parley/test/server"
)

// adminBudget is how many bytes may cross the network until an administrator can type an address.
const adminBudget = 150 << 10

// startBrowser starts Chromium until the test ends.
func startBrowser(t *testing.T) *Browser {
	t.Helper()
	parleytest.Need(t, "chromium")
	dir, err := os.MkdirTemp("", "chromium-") // not t.TempDir: what Chromium leaves may still change while it dies
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	start, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := Start(start, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// open opens a page of the server that asks who somebody is: "/admin/" or "/client/".
func open(t *testing.T, b *Browser, s *server.Server, path, name string) *person {
	t.Helper()
	p := &person{t: t, name: name}
	var err error
	p.Page, err = b.Open(p.ctx(), "https://"+s.Addr.String()+path)
	p.must(err)
	p.await(`document.querySelector("#address")`)
	return p
}

// goTo opens a page of the administration and waits until it is there.
func (p *person) goTo(page, path string) {
	p.t.Helper()
	p.must(p.Eval(p.ctx(), fmt.Sprintf(`location.hash = "#/%s%s"`, page, path), nil))
	p.await(fmt.Sprintf(`location.hash === "#/%s%s" && document.querySelector("main")?.dataset.page === %q && !document.querySelector("main").ariaBusy`, page, path, page))
}

func TestAdministration(t *testing.T) {
	b := startBrowser(t)
	s := parleytest.Start(t, parleytest.Users("alice", "bob", "carol"))
	for user, role := range map[string]string{"alice": "administrator", "bob": "viewer"} {
		if _, err := s.CLI(t.Context(), "", "user", "set", user+"@example.test", "--role", role); err != nil {
			t.Fatal(err)
		}
	}

	alice := open(t, b, s, "/admin/", "alice")
	var loaded float64
	alice.must(alice.Eval(alice.ctx(), `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((n, e) => n + e.transferSize, 0)`, &loaded))
	t.Logf("first load: %.0f bytes", loaded)
	if loaded == 0 || loaded > adminBudget {
		t.Errorf("first load: %.0f bytes, allowed are %d", loaded, adminBudget)
	}
	alice.accessible("admin-sign-in")
	alice.signIn("not the password")
	alice.sees("address or password is wrong, or this user has no administrative role")
	alice.must(alice.Eval(alice.ctx(), `document.querySelector("#password").value = ""`, nil))
	alice.signIn(parleytest.Password)
	alice.await(`document.querySelector("main")?.dataset.page === "overview"`)
	alice.sees("All is well")

	// A user is made. What the server refuses stays typed, and so does what is left for another page.
	alice.goTo("users", "/new")
	alice.fill("#user-address", "erin@elsewhere.test")
	alice.fill("#user-name", "Erin Example")
	alice.fill("#user-phones", "+1 555 0177")
	alice.fill("#user-password", parleytest.Password)
	alice.click("#save")
	alice.sees("elsewhere.test is not a SIP domain of this server")
	alice.accessible("admin-user-new")
	alice.goTo("groups", "")
	alice.goTo("users", "/new")
	alice.await(`document.querySelector("#user-name").value === "Erin Example" && document.querySelector("#user-phones").value === "+1 555 0177"`)
	alice.fill("#user-address", "erin@example.test")
	alice.click("#save")
	alice.await(`location.hash === "#/users" && document.body.innerText.includes("erin@example.test")`)

	// Erin signs in, is seen, and is out as soon as she is disabled.
	erin := open(t, b, s, "/client/", "erin")
	erin.signIn(parleytest.Password)
	erin.await(`document.querySelector(".shell")`)
	alice.goTo("live", "")
	alice.await(`[...document.querySelectorAll("main td")].some((c) => c.textContent === "erin@example.test")`)
	alice.accessible("admin-live")
	alice.goTo("users", "/erin%40example.test")
	alice.click("#user-enabled")
	alice.click("#save")
	alice.await(`document.querySelector("main .facts")?.textContent.includes("disabled")`)
	alice.goTo("live", "")
	alice.await(`!document.querySelector("main").textContent.includes("erin@example.test")`)
	again := open(t, b, s, "/client/", "erin")
	again.signIn(parleytest.Password)
	again.await(`document.querySelector("#signin-error")?.textContent !== ""`)
	again.await(`!document.querySelector(".shell")`)

	// A session that ends loses nothing that was typed.
	alice.goTo("users", "/erin%40example.test")
	alice.fill("#user-name", "Erin Elsewhere")
	alice.must(alice.Eval(alice.ctx(), `fetch("session", {method: "DELETE"})`, nil))
	alice.click("#save")
	alice.await(`document.querySelector("dialog[open] #password")`)
	alice.accessible("admin-sign-in-again")
	alice.fill("dialog #password", parleytest.Password)
	alice.click("dialog button[type=submit]")
	alice.await(`!document.querySelector("dialog") && document.querySelector("h1").textContent && document.querySelector("#toasts").textContent.includes("was saved")`)

	// Two change the same user: nobody's change is lost.
	if _, err := s.CLI(t.Context(), "", "user", "set", "erin@example.test", "--title", "Engineer"); err != nil {
		t.Fatal(err)
	}
	alice.fill("#user-name", "Erin Example")
	alice.click("#save")
	alice.sees("was changed by somebody else meanwhile")
	alice.await(`document.querySelector("[name=title]").value === "Engineer" && document.querySelector("#user-name").value === "Erin Example"`)
	alice.click("#save")
	alice.await(`document.querySelector("main .error-box").hidden`)
	out, err := s.CLI(t.Context(), "", "user", "show", "erin@example.test")
	if err != nil || !strings.Contains(out, "Erin Example") || !strings.Contains(out, "Engineer") {
		t.Errorf("%v\n%s", err, out)
	}

	if _, err := s.CLI(t.Context(), "", "group", "add", "sales@example.test", "--name", "Sales", "--member", "carol@example.test"); err != nil {
		t.Fatal(err)
	}
	alice.goTo("trace", "/carol%40example.test")
	alice.click("main button[type=submit]")
	carol := parleytest.Phone(t, s, "carol", "tls")
	reg, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := carol.Register(reg, 300); err != nil {
		t.Fatal(err)
	}
	alice.await(`[...document.querySelectorAll(".trace strong")].some((e) => e.textContent.startsWith("REGISTER"))`)
	alice.click(".trace li:last-child summary")
	alice.accessible("admin-trace")
	for _, page := range []string{"overview", "users", "groups", "settings", "topology", "certificates", "audit"} {
		alice.goTo(page, "")
		if page == "topology" || page == "overview" || page == "settings" {
			alice.must(alice.Eval(alice.ctx(), `document.querySelectorAll("main details").forEach((d, i) => { d.open = i < 3 })`, nil))
		}
		alice.accessible("admin-" + page)
	}
	alice.goTo("users", "/carol%40example.test")
	alice.must(alice.Eval(alice.ctx(), `document.querySelectorAll("main details").forEach((d) => { d.open = true })`, nil))
	alice.accessible("admin-user")
	alice.goTo("groups", "/sales%40example.test")
	alice.accessible("admin-group")

	// Who may look may not change, whatever the page offers.
	bob := open(t, b, s, "/admin/", "bob")
	bob.signIn(parleytest.Password)
	bob.await(`document.querySelector("main")?.dataset.page === "overview"`)
	bob.goTo("users", "/carol%40example.test")
	bob.await(`!document.querySelector("#save") && document.querySelector("#user-name").disabled && !document.querySelector('nav a[href="#/trace"]')`)
	bob.accessible("admin-viewer")
	for _, request := range []string{
		`fetch("api/v1/users/carol%40example.test", {method: "PATCH", headers: {"Content-Type": "application/json", "If-Match": "*"}, body: '{"enabled":false}'})`,
		`fetch("api/v1/users/carol%40example.test", {method: "DELETE", headers: {"If-Match": "*"}})`,
		`fetch("api/v1/trace")`,
	} {
		var status int
		bob.must(bob.Eval(bob.ctx(), request+`.then((r) => r.status)`, &status))
		if status != 403 {
			t.Errorf("%s: %d", request, status)
		}
	}
	// With the permission to sign in goes the session.
	if _, err := s.CLI(t.Context(), "", "user", "disable", "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	bob.must(bob.Eval(bob.ctx(), `location.hash = "#/users"`, nil))
	bob.await(`document.querySelector("dialog[open] #password")`)

	alice.click("#sign-out")
	alice.await(`document.querySelector("#address") && !document.querySelector("main.sign-in dialog")`)
	alice.must(alice.Eval(alice.ctx(), `(localStorage.setItem("language", "ko"), location.reload())`, nil))
	alice.await(`document.documentElement.lang === "ko" && document.querySelector("#address")`)
	alice.signIn(parleytest.Password)
	alice.await(`document.querySelector("main")?.dataset.page`)
	alice.goTo("users", "/erin%40example.test")
	alice.accessible("admin-user-ko")
	for _, p := range []*person{alice, bob} {
		for _, e := range p.Errors() {
			// Refusals that the test provokes are entries of the network.
			if !strings.Contains(e, `"source":"network"`) {
				t.Errorf("%s: %s", p.name, e)
			}
		}
	}
}
