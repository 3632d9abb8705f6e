package httpd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func ask(f *Front, site Site, method, path string, header ...string) *httptest.ResponseRecorder {
	r := WithSite(httptest.NewRequest(method, "http://server.example.test"+path, nil), site)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func front() *Front {
	f := New(quiet)
	f.Handle("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	f.Handle("/autodiscover/x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	return f
}

func TestCrossSite(t *testing.T) {
	f, site := front(), Site{TLS: true}
	for name, row := range map[string]struct {
		method string
		header []string
		code   int
	}{
		"program":                   {"POST", nil, 204},
		"own page":                  {"POST", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://server.example.test"}, 204},
		"own page, old browser":     {"POST", []string{"Origin", "http://server.example.test"}, 204},
		"page of another":           {"POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.test"}, 403},
		"page of a neighbour":       {"POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"another, old browser":      {"POST", []string{"Origin", "https://elsewhere.test"}, 403},
		"no origin to name":         {"DELETE", []string{"Origin", "null"}, 403},
		"looking is harmless":       {"GET", []string{"Sec-Fetch-Site", "cross-site"}, 204},
		"own WebSocket":             {"GET", []string{"Upgrade", "websocket", "Origin", "https://server.example.test"}, 204},
		"WebSocket of a program":    {"GET", []string{"Upgrade", "websocket"}, 204},
		"WebSocket of another":      {"GET", []string{"Upgrade", "WebSocket", "Origin", "https://elsewhere.test"}, 403},
		"WebSocket of another port": {"GET", []string{"Upgrade", "websocket", "Origin", "https://server.example.test:8443"}, 403},
		"WebSocket of nobody":       {"GET", []string{"Upgrade", "websocket", "Origin", "null"}, 403},
	} {
		if w := ask(f, site, row.method, "/ws", row.header...); w.Code != row.code {
			t.Errorf("%s: %d, want %d", name, w.Code, row.code)
		}
	}
	if n := f.Refused()["cross_site"].Load(); n != 7 {
		t.Errorf("%d counted", n)
	}
}

func TestTooLarge(t *testing.T) {
	f := front()
	f.Handle("/read", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for b := make([]byte, 64<<10); ; {
			k, err := r.Body.Read(b)
			if n += k; err != nil {
				break
			}
		}
		if n > maxBody {
			t.Errorf("a service saw %d bytes", n)
		}
	}))
	r := WithSite(httptest.NewRequest("POST", "/read", strings.NewReader(strings.Repeat("x", maxBody+1))), Site{TLS: true})
	w := httptest.NewRecorder()
	if f.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge || f.Refused()["too_large"].Load() != 1 {
		t.Error(w.Code)
	}
	r.ContentLength = -1 // who does not say how much is stopped on the way
	f.ServeHTTP(httptest.NewRecorder(), r)
}

// Browsers are sent to TLS; what speaks in clear on purpose is not.
func TestRedirect(t *testing.T) {
	f := front()
	f.Port = func(external bool) uint16 {
		if external {
			return 4443
		}
		return 10443
	}
	const page = "text/html,*/*;q=0.8"
	for path, want := range map[string]string{"/Client/?a=b&c": "https://server.example.test:10443/Client/?a=b&c", "/autodiscover/x": "", "/Autodiscover/x": ""} {
		if w := ask(f, Site{}, "GET", path, "Accept", page); w.Header().Get("Location") != want || (want != "") != (w.Code == 302) {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}
	if w := ask(f, Site{External: true}, "HEAD", "/x", "Accept", page); w.Header().Get("Location") != "https://server.example.test/x" {
		t.Error("outside:", w.Header())
	}
	if w := ask(f, Site{TLS: true}, "GET", "/x", "Accept", page); w.Code != 404 {
		t.Error(w.Code)
	}
	r := WithSite(httptest.NewRequest("GET", "/", nil), Site{})
	r.Host = "[::1]:80"
	r.Header.Set("Accept", page)
	w := httptest.NewRecorder()
	if f.ServeHTTP(w, r); w.Header().Get("Location") != "https://[::1]:10443/" {
		t.Error(w.Header())
	}
}

func TestHeaders(t *testing.T) {
	f := front()
	f.Transport = func() time.Duration { return 24 * time.Hour }
	h := ask(f, Site{TLS: true}, "GET", "/nothing").Header()
	if h.Get("Strict-Transport-Security") != "max-age=86400" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error(h)
	}
	if h := ask(f, Site{}, "GET", "/nothing").Header(); h.Get("Strict-Transport-Security") != "" {
		t.Error("in clear:", h)
	}
}

func TestServersHaveNoPages(t *testing.T) {
	if w := ask(front(), Site{TLS: true, Servers: true}, "GET", "/ws"); w.Code != 404 {
		t.Error(w.Code)
	}
}

// Simple URLs share a host with the rest, or have one of their own.
func TestSimple(t *testing.T) {
	f := front()
	f.Handle("/{$}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	f.Simple = func(r *http.Request) http.Handler {
		if r.Host != "server.example.test" {
			return nil
		}
		return http.RedirectHandler("/elsewhere", http.StatusFound)
	}
	for path, want := range map[string]int{"/": 202, "/meet/alice/ABC": 302, "/ws": 204} {
		if w := ask(f, Site{TLS: true}, "GET", path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if w := ask(f, Site{TLS: true}, "GET", "/", "Accept", "text/html"); w.Code != 302 {
		t.Error(w.Code)
	}
}
