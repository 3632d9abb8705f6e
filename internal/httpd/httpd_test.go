package httpd

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/sip/sigauth"
	"parley/internal/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestServes(t *testing.T) {
	f := New(quiet)
	f.Handle("/abs/handler/", http.NotFoundHandler())
	f.Handle("/{$}", http.NotFoundHandler())
	for path, want := range map[string]bool{"/ABS/handler/": true, "/abs/handler/x": true, "/": true, "/abs": false, "/x": false} {
		if f.Serves(path) != want {
			t.Errorf("serves %s: %v", path, !want)
		}
	}
}

func TestPathsWithoutCase(t *testing.T) {
	f := New(quiet)
	f.Handle("/certprov/service.svc", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	for path, want := range map[string]string{
		"/CertProv/Service.svc": "/CertProv/Service.svc", "/certprov/service.svc": "/certprov/service.svc", "/other": "404 page not found\n",
	} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Body.String() != want {
			t.Errorf("%s: %q", path, w.Body)
		}
	}
}

// serve opens a site and returns its address and a client.
func serve(t *testing.T, f *Front, site Site) (string, *http.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	url := "http://" + l.Addr().String()
	if site.TLS {
		s := httptest.NewUnstartedServer(nil) // for its certificate
		s.StartTLS()
		conf := s.TLS.Clone()
		conf.NextProtos = nil
		s.Close()
		l = tls.NewListener(l, conf)
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		url = "https://" + l.Addr().String()
	}
	f.Serve(l, site)
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return url, &http.Client{Transport: tr}
}

func testLogin(ntlm bool) *Login {
	l := &Login{Host: "server.example.test", Now: time.Now,
		Password: func(a uc.AOR, p string) bool { return p == "secret-of-"+a.User() },
		Enabled:  func(a uc.AOR) bool { return a.User() != "bob" },
	}
	if ntlm {
		l.NTLM = func() func(string, string) (sigauth.Account, bool) {
			return func(user, domain string) (sigauth.Account, bool) {
				return sigauth.Account{AOR: "alice@example.test", NTHash: make([]byte, 16)}, user == "alice"
			}
		}
	}
	return l
}

func whoami(l *Login) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if aor, ok := l.User(w, r); ok {
			fmt.Fprintf(w, "%s %t", aor, SiteOf(r).External)
		}
	})
}

func get(t *testing.T, c *http.Client, url, authorization string) (int, string, []string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header.Values("WWW-Authenticate")
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestLogin(t *testing.T) {
	f := New(quiet)
	f.Handle("/me", whoami(testLogin(true)))
	url, c := serve(t, f, Site{TLS: true, External: true})
	code, _, offer := get(t, c, url+"/me", "")
	if got := strings.Join(offer, "|"); code != 401 || got != `NTLM|Basic realm="server.example.test", charset="UTF-8"` {
		t.Errorf("%d, offered %s", code, got)
	}
	for name, row := range map[string]struct {
		v    string
		code int
		body string
	}{
		"password":   {basic("alice@example.test", "secret-of-alice"), 200, "alice@example.test true"},
		"wrong":      {basic("alice@example.test", "x"), 401, ""},
		"no address": {basic("alice", "secret-of-alice"), 401, ""},
		"disabled":   {basic("bob@example.test", "secret-of-bob"), 403, "user is disabled\n"},
		"no base64":  {"NTLM !", 401, ""},
		"short":      {"NTLM AAAA", 401, ""},
		"no begin":   {"NTLM " + base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x03\x00\x00\x00")), 401, ""},
		"other":      {"Bearer x", 401, ""},
	} {
		if code, body, _ := get(t, c, url+"/me", row.v); code != row.code || body != row.body {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
	t.Run("without NTLM", func(t *testing.T) {
		f.Handle("/plain", whoami(testLogin(false)))
		if _, _, offer := get(t, c, url+"/plain", ""); len(offer) != 1 {
			t.Errorf("offered %q", offer)
		}
	})
	t.Run("not in clear", func(t *testing.T) {
		url, c := serve(t, f, Site{})
		if code, _, _ := get(t, c, url+"/me", basic("alice@example.test", "secret-of-alice")); code != 403 {
			t.Errorf("%d", code)
		}
	})
}

// The token of a handshake is bound to its connection, and good once.
func TestNTLM(t *testing.T) {
	f := New(quiet)
	f.Handle("/me", whoami(testLogin(true)))
	url, c := serve(t, f, Site{TLS: true})
	begin := "NTLM " + base64.StdEncoding.EncodeToString(append([]byte("NTLMSSP\x00"), 1, 0, 0, 0))
	_, _, offer := get(t, c, url+"/me", begin)
	token, ok := strings.CutPrefix(offer[0], "NTLM ")
	if len(offer) != 1 || !ok {
		t.Fatalf("%q", offer)
	}
	challenge, err := base64.StdEncoding.DecodeString(token)
	if err != nil || binary.LittleEndian.Uint32(challenge[8:]) != 2 {
		t.Fatal(err, challenge)
	}
	answer, err := sigauth.AnswerWeb(challenge, "alice", "", make([]byte, 16), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v := "NTLM " + base64.StdEncoding.EncodeToString(answer)
	if code, body, _ := get(t, c, url+"/me", v); code != 200 || body != "alice@example.test false" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, _ := get(t, c, url+"/me", v); code != 401 {
		t.Errorf("twice: %d", code)
	}
	get(t, c, url+"/me", begin)
	other := &http.Client{Transport: c.Transport.(*http.Transport).Clone()}
	defer other.CloseIdleConnections()
	if code, _, _ := get(t, other, url+"/me", v); code != 401 {
		t.Errorf("on another connection: %d", code)
	}
}

// Over HTTP/2 a connection is many callers' at once, so NTLM, which is about a connection, has no place there.
func TestNoNTLMOverHTTP2(t *testing.T) {
	r := WithSite(httptest.NewRequest("GET", "/me", nil), Site{TLS: true})
	r.ProtoMajor = 2
	r.Header.Set("Authorization", "NTLM "+base64.StdEncoding.EncodeToString(append([]byte("NTLMSSP\x00"), 1, 0, 0, 0)))
	w := httptest.NewRecorder()
	whoami(testLogin(true)).ServeHTTP(w, r)
	if offer := w.Header().Values("WWW-Authenticate"); w.Code != 401 || len(offer) != 1 || !strings.HasPrefix(offer[0], "Basic ") {
		t.Errorf("%d, offered %q", w.Code, offer)
	}
}

func TestTooManyGuesses(t *testing.T) {
	f := New(quiet)
	f.Handle("/me", whoami(testLogin(true)))
	url, c := serve(t, f, Site{TLS: true})
	for range maxFailures {
		if code, _, _ := get(t, c, url+"/me", basic("alice@example.test", "x")); code != 401 {
			t.Fatalf("%d", code)
		}
	}
	if code, _, _ := get(t, c, url+"/me", basic("alice@example.test", "secret-of-alice")); code != 403 {
		t.Errorf("%d", code)
	}
}
