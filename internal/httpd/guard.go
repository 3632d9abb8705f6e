package httpd

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const challengePath = "/.well-known/acme-challenge/"

type counters struct{ crossSite, tooLarge atomic.Uint64 }

// Refused counts the requests that no service saw, by reason.
func (f *Front) Refused() map[string]*atomic.Uint64 {
	return map[string]*atomic.Uint64{"cross_site": &f.refused.crossSite, "too_large": &f.refused.tooLarge}
}

// harden sets what every answer says to browsers. Services that have pages set a policy for them.
func (f *Front) harden(h http.Header, site Site) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
	if site.TLS && f.Transport != nil {
		if age := f.Transport(); age > 0 {
			h.Set("Strict-Transport-Security", "max-age="+strconv.FormatInt(int64(age/time.Second), 10))
		}
	}
}

var sameOrigin = http.NewCrossOriginProtection()

// crossSite reports whether a page of another site has a browser change something here, or open a WebSocket. Programs
// that are no browsers say nothing of pages, and are not meant.
func crossSite(r *http.Request) bool {
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		origin := r.Header.Get("Origin")
		u, err := url.Parse(origin)
		return origin != "" && (err != nil || !strings.EqualFold(u.Host, r.Host))
	}
	return sameOrigin.Check(r) != nil
}

// navigates reports whether somebody opens a page in a browser. Autodiscover is asked for in clear on purpose.
func navigates(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Header.Get("Accept"), "text/html") &&
		!strings.HasPrefix(strings.ToLower(r.URL.Path), "/autodiscover/")
}

// secure sends a browser to the same page with TLS.
func (f *Front) secure(w http.ResponseWriter, r *http.Request, site Site) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	// From outside people come by the reverse proxy, whose port is the usual one.
	if port := f.port(site); port != 443 && !site.External {
		host = net.JoinHostPort(host, strconv.Itoa(int(port)))
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	to := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, to.String(), http.StatusFound)
}

func (f *Front) port(site Site) uint16 {
	if f.Port != nil {
		if port := f.Port(site.External); port != 0 {
			return port
		}
	}
	return 443
}
