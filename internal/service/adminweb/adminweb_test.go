package adminweb_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/httpd"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/adminweb"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, adminweb.Spec) }

// site is the administration site of a node whose services are these and the listeners.
type door struct {
	t *testing.T
	n *nodetest.Node
	c *http.Client
	s *adminweb.Service
}

func start(t *testing.T) *door {
	d := &door{t: t}
	spec := adminweb.Spec
	spec.Build = func(h service.Host) (service.Service, error) {
		s, err := adminweb.New(h)
		d.s = s
		return s, err
	}
	d.n = nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{spec, web.Spec}})
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	d.c = &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for name, role := range map[string]string{"alice": "administrator", "bob": "viewer", "carol": ""} {
		d.user(http.MethodPut, name, adminapi.UserChange{Role: &role, Password: ptr(nodetest.Password)})
	}
	return d
}

func ptr[T any](v T) *T { return &v }

// user changes a user as somebody on the server does.
func (d *door) user(method, name string, c adminapi.UserChange) {
	d.t.Helper()
	if _, err := d.n.Client().Do(d.t.Context(), method, "/users/"+name+"@example.test", "*", c, nil); err != nil {
		d.t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
	id   string // of a refusal
}

// do sends a request to the site inside; header is pairs, and a Host among them is asked for.
func (d *door) do(method, path, cookie, body string, header ...string) answer {
	d.t.Helper()
	return d.at(porttable.SrvFeWebcompat443, method, path, cookie, body, header...)
}

func (d *door) at(row, method, path, cookie, body string, header ...string) answer {
	d.t.Helper()
	scheme := "https://"
	if row == porttable.SrvFeWebcompat80 {
		scheme = "http://"
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, scheme+d.n.Addr(row).String()+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if cookie != "" {
		r.Header.Set("Cookie", adminweb.CookieName+"="+cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := d.c.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	a := answer{Response: resp, body: string(b)}
	var p struct{ ID string }
	if resp.StatusCode >= 400 && json.Unmarshal(b, &p) == nil {
		a.id = p.ID
	}
	return a
}

func (d *door) want(a answer, status int, id string) answer {
	d.t.Helper()
	if a.StatusCode != status || a.id != id {
		d.t.Errorf("%s %s: %s %s, want %d %s\n%s", a.Request.Method, a.Request.URL.Path, a.Status, a.id, status, id, a.body)
	}
	return a
}

// signIn returns the value of the cookie.
func (d *door) signIn(user string) string {
	d.t.Helper()
	a := d.want(d.do("POST", adminweb.SessionPath, "", `{"user":"`+user+`","password":"`+nodetest.Password+`"}`), 200, "")
	for _, c := range a.Cookies() {
		if c.Name == adminweb.CookieName {
			if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
				d.t.Errorf("cookie: %s", c)
			}
			return c.Value
		}
	}
	d.t.Fatal("no cookie")
	return ""
}

// counted is the number that a reason for refusal has reached.
func (d *door) counted(reason string) string {
	d.t.Helper()
	resp, err := http.Get("http://" + d.n.Status().AdminHTTP + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, _ := io.ReadAll(resp.Body)
	m := regexp.MustCompile(`parley_adminweb_refused_total\{reason="` + reason + `"\} (\d+)`).FindSubmatch(b)
	if m == nil {
		d.t.Fatalf("no count of %s", reason)
	}
	return string(m[1])
}

func TestSessions(t *testing.T) {
	d := start(t)
	d.want(d.do("GET", adminweb.SessionPath, "", ""), 401, "signed-out")
	d.want(d.do("GET", adminweb.APIPath+"v1/status", "", ""), 401, "signed-out")
	for _, body := range []string{
		`{"user":"alice@example.test","password":"wrong"}`, `{"user":"nobody@example.test","password":"` + nodetest.Password + `"}`,
		`{"user":"carol@example.test","password":"` + nodetest.Password + `"}`, `{"user":"","password":""}`, `{"user":"alice@example.test"}`,
	} {
		if a := d.want(d.do("POST", adminweb.SessionPath, "", body), 401, "refused"); len(a.Cookies()) > 0 {
			t.Errorf("%s: a cookie", body)
		}
	}
	d.want(d.do("POST", adminweb.SessionPath, "", `[`), 400, "bad-json")
	d.want(d.do("PUT", adminweb.SessionPath, "", ""), 405, "bad-method")

	alice := d.signIn("alice")
	other := d.signIn("Alice@Example.test")
	if a := d.want(d.do("GET", adminweb.SessionPath, alice, ""), 200, ""); !strings.Contains(a.body, `"role":"administrator"`) || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", a.body, a.Header)
	}
	if a := d.want(d.do("GET", adminweb.APIPath+"v1/users/alice%40example.test", alice, ""), 200, ""); a.Header.Get("ETag") == "" {
		t.Error("no ETag")
	}
	d.want(d.do("PATCH", adminweb.APIPath+"v1/users/carol@example.test", alice, `{"name":"Carol"}`, "If-Match", "*"), 200, "")
	bob := d.signIn("bob")
	d.want(d.do("PATCH", adminweb.APIPath+"v1/users/carol@example.test", bob, `{"name":"C"}`, "If-Match", "*"), 403, "role-forbids")
	if got := d.counted(adminweb.NoRole); got != "1" {
		t.Errorf("refused for the role: %s", got)
	}

	// Signed out is signed out, here and not elsewhere.
	d.want(d.do("DELETE", adminweb.SessionPath, alice, ""), 204, "")
	d.want(d.do("GET", adminweb.APIPath+"v1/status", alice, ""), 401, "signed-out")
	d.want(d.do("DELETE", adminweb.SessionPath, alice, ""), 204, "")
	d.want(d.do("GET", adminweb.APIPath+"v1/status", other, ""), 200, "")
	// Guessed, cut or too long tokens are nobody's.
	for _, token := range []string{other[:25], other + "A", strings.Repeat("A", 26), strings.Repeat("A", 3000), adminweb.Key(other)} {
		d.want(d.do("GET", adminweb.APIPath+"v1/status", token, ""), 401, "signed-out")
	}
	// What a session stands on is gone: role, password, permission.
	d.user(http.MethodPatch, "alice", adminapi.UserChange{Password: ptr("another long password")})
	d.want(d.do("GET", adminweb.APIPath+"v1/status", other, ""), 401, "signed-out")
	d.user(http.MethodPatch, "bob", adminapi.UserChange{Role: ptr("")})
	d.want(d.do("GET", adminweb.APIPath+"v1/status", bob, ""), 401, "signed-out")
	d.user(http.MethodPatch, "bob", adminapi.UserChange{Role: ptr("viewer")})
	d.want(d.do("GET", adminweb.APIPath+"v1/status", bob, ""), 401, "signed-out") // it does not come back
	bob = d.signIn("bob")
	d.user(http.MethodPatch, "bob", adminapi.UserChange{Enabled: ptr(false)})
	d.want(d.do("GET", adminweb.APIPath+"v1/status", bob, ""), 401, "signed-out")

	var log []adminapi.AuditRecord
	if err := d.n.Client().Get(t.Context(), "/audit?who=alice@example.test", &log); err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, r := range log {
		did = append(did, r.Action)
		if r.From != "127.0.0.1" {
			t.Errorf("%+v", r)
		}
	}
	if got := strings.Join(did, " "); got != "session.end user.change session.begin session.begin" {
		t.Errorf("audited: %s", got)
	}
	if text := d.n.Log.String(); strings.Contains(text, nodetest.Password) || strings.Contains(text, other) {
		t.Error("the log holds a secret")
	}
}

func TestSessionsEndByThemselves(t *testing.T) {
	d := start(t)
	now := time.Now()
	d.s.SetNow(func() time.Time { return now })
	alice := d.signIn("alice")
	ctx := context.Background()
	for range 10 { // somebody works
		now = now.Add(29 * time.Minute)
		if err := d.s.Find(ctx, alice, true); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(20 * time.Minute)
	if err := d.s.Find(ctx, alice, false); err != nil { // a page refreshes itself
		t.Fatal(err)
	}
	now = now.Add(20 * time.Minute)
	if err := d.s.Find(ctx, alice, true); err == nil {
		t.Error("good after 40 idle minutes")
	}
	alice = d.signIn("alice")
	for begun := now; now.Sub(begun) < 12*time.Hour; now = now.Add(10 * time.Minute) {
		if err := d.s.Find(ctx, alice, true); err != nil {
			t.Fatalf("%s: %v", now.Sub(begun), err)
		}
	}
	if err := d.s.Find(ctx, alice, true); err == nil {
		t.Error("good after twelve hours")
	}
	// One user has so many, and the oldest goes.
	first := d.signIn("bob")
	for range adminweb.MaxSessions {
		now = now.Add(time.Second)
		d.signIn("bob")
	}
	d.want(d.do("GET", adminweb.SessionPath, first, ""), 401, "signed-out")
}

func TestRequestsOfForeignPagesAreRefused(t *testing.T) {
	d := start(t)
	alice := d.signIn("alice")
	const carol = adminweb.APIPath + "v1/users/carol@example.test"
	own := "https://" + d.n.Addr(porttable.SrvFeWebcompat443).String()
	for _, x := range []struct {
		method, path, body string
		header             []string
		status             int
		id                 string
	}{
		{"PATCH", carol, `{"name":"x"}`, []string{"Origin", "https://evil.test"}, 403, "cross-origin"},
		{"PATCH", carol, `{"name":"x"}`, []string{"Origin", "null"}, 403, "cross-origin"},
		{"PATCH", carol, `{"name":"x"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-origin"},
		{"PATCH", carol, `{"name":"x"}`, []string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.test"}, 403, "cross-origin"},
		{"DELETE", carol, "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-origin"},
		{"POST", adminweb.APIPath + "v1/drain", "", []string{"Origin", "https://evil.test"}, 403, "cross-origin"},
		{"GET", adminweb.APIPath + "v1/users", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-origin"},
		{"POST", adminweb.SessionPath, `{}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-origin"},
		{"DELETE", adminweb.SessionPath, "", []string{"Origin", "https://evil.test"}, 403, "cross-origin"},
		{"PATCH", carol, `{"name":"x"}`, []string{"Content-Type", "text/plain"}, 415, "want-json"},
		{"GET", adminweb.APIPath + "v1/users", "", []string{"Sec-Fetch-Site", "same-origin"}, 200, ""},
		{"PATCH", carol, `{"name":"Carol"}`, []string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 200, ""},
		{"PATCH", carol, `{"name":"Carol"}`, []string{"Origin", own}, 200, ""},
	} {
		// Asked directly: the front of a node refuses most of these before.
		r := httptest.NewRequestWithContext(t.Context(), x.method, own+x.path, strings.NewReader(x.body))
		r.Header.Set("Cookie", adminweb.CookieName+"="+alice)
		r.Header.Set("If-Match", "*")
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(x.header); i += 2 {
			r.Header.Set(x.header[i], x.header[i+1])
		}
		w := httptest.NewRecorder()
		d.s.ServeHTTP(w, httpd.WithSite(r, httpd.Site{TLS: true}))
		var p struct{ ID string }
		if b := w.Body.Bytes(); w.Code >= 400 && json.Unmarshal(b, &p) != nil {
			t.Errorf("%s", b)
		}
		if w.Code != x.status || p.ID != x.id {
			t.Errorf("%s %s %v: %d %s, want %d %s", x.method, x.path, x.header, w.Code, p.ID, x.status, x.id)
		}
	}
	if got := d.counted(adminweb.Foreign); got != "9" {
		t.Errorf("counted %s", got)
	}
	if a := d.do("OPTIONS", carol, "", "", "Origin", "https://evil.test", "Access-Control-Request-Method", "PATCH"); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("foreign pages are let in")
	}
}

func TestWrongPasswordsAreBounded(t *testing.T) {
	d := start(t)
	for range adminweb.PerNetwork {
		d.want(d.do("POST", adminweb.SessionPath, "", `{"user":"alice","password":"wrong"}`), 401, "refused")
	}
	a := d.want(d.do("POST", adminweb.SessionPath, "", `{"user":"alice","password":"`+nodetest.Password+`"}`), 429, "too-many")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := d.counted(adminweb.TooMany); got != "1" {
		t.Errorf("counted %s", got)
	}
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := adminweb.NewLimiter()
	net := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range adminweb.PerName { // from everywhere
		if l.Wait(net(i), "a", now) > 0 {
			t.Fatal(i)
		}
		l.Failed(net(i), "a", now)
	}
	if l.Wait(net(9999), "a", now) <= 0 {
		t.Error("a name is guessed from everywhere")
	}
	if l.Wait(net(9999), "b", now) > 0 {
		t.Error("another name waits too")
	}
	if w := l.Wait(net(9999), "a", now.Add(adminweb.ComesBack)); w > 0 {
		t.Error(w)
	}
	six := netip.MustParseAddr("2001:db8::1")
	for range adminweb.PerNetwork {
		l.Failed(six, "c", now)
	}
	if l.Wait(six.Next(), "d", now) <= 0 {
		t.Error("every address of an IPv6 network counts by itself")
	}
	for i := range 3 * adminweb.MaxKeys {
		l.Failed(net(i), "x", now)
	}
	if l.Len() > adminweb.MaxKeys+2 {
		t.Errorf("%d keys", l.Len())
	}
}

func TestTheSiteIsInsideOnlyAndOverTLS(t *testing.T) {
	d := start(t)
	a := d.want(d.do("GET", adminweb.Path, "", ""), 200, "")
	csp := a.Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Error(csp)
	}
	d.want(d.do("GET", "/Admin/JS/Main.js", "", ""), 200, "")
	d.want(d.do("GET", "/admin/site/index.html", "", ""), 404, "")
	for _, path := range []string{adminweb.Path, adminweb.Path + "js/main.js", adminweb.SessionPath, adminweb.APIPath + "v1/status"} {
		d.want(d.at(porttable.SrvFeWeb4443, "GET", path, d.signIn("alice"), ""), 404, "")
	}
	if got := d.counted(adminweb.Outside); got != "4" {
		t.Errorf("counted %s", got)
	}
	d.want(d.at(porttable.SrvFeWebcompat80, "GET", adminweb.Path, "", ""), 403, "")
	d.want(d.at(porttable.SrvFeWebcompat80, "POST", adminweb.SessionPath, "", `{}`), 403, "")
}

func TestTraceGoesOnUntilTheSessionEnds(t *testing.T) {
	d := start(t)
	alice := d.signIn("alice")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+d.n.Addr(porttable.SrvFeWebcompat443).String()+adminweb.APIPath+"v1/trace?follow=1&new=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", adminweb.CookieName+"="+alice)
	resp, err := d.c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	d.want(d.do("DELETE", adminweb.SessionPath, alice, ""), 204, "")
	if _, err := io.ReadAll(resp.Body); err != nil { // ends by itself
		t.Error(err)
	}
}

// TestTexts finds every text that pages ask for in every language.
func TestTexts(t *testing.T) {
	catalogues := map[string]map[string]string{}
	used := map[string]bool{}
	err := fs.WalkDir(adminweb.Files, "site", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := adminweb.Files.ReadFile(name)
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(name, "site/lang/"):
			m := map[string]string{}
			if err := json.Unmarshal(b, &m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			catalogues[path.Base(name)] = m
		case path.Ext(name) == ".js":
			for _, m := range regexp.MustCompile(`\bt\('([a-z][a-zA-Z.]*)'`).FindAllSubmatch(b, -1) {
				used[string(m[1])] = true
			}
			if bytes.Contains(b, []byte("innerHTML")) {
				t.Errorf("%s puts markup into the page", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	hole := regexp.MustCompile(`\{\w+\}`)
	for key := range used {
		if catalogues["en.json"][key] == "" {
			t.Errorf("no text %s", key)
		}
	}
	for name, texts := range catalogues {
		for key, en := range catalogues["en.json"] {
			if len(hole.FindAllString(texts[key], -1)) != len(hole.FindAllString(en, -1)) || texts[key] == "" {
				t.Errorf("%s: %s: %q", name, key, texts[key])
			}
		}
		if len(texts) != len(catalogues["en.json"]) {
			t.Errorf("%s has %d texts, English %d", name, len(texts), len(catalogues["en.json"]))
		}
	}
}
