package avedge

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"parley/internal/httpd"
	"parley/internal/xmldoc/mras"
)

// rest is the customary form of time-limited credentials for TURN.
type rest struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	TTL      int      `json:"ttl"` // seconds
	URIs     []string `json:"uris"`
}

// ServeHTTP gives credentials to whom the login of the web site knows.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !httpd.SiteOf(r).TLS:
		http.Error(w, "credentials over TLS only", http.StatusForbidden)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	aor, ok := s.host.Web.Login(w, r)
	if !ok {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	var c rest
	life := s.life(0)
	if len(s.secret) > 0 {
		made := s.secret.Issue(string(aor), s.host.Now().Add(life))
		c = rest{Username: made.Username, Password: made.Password, TTL: int(life / time.Second)}
		c.URIs = uris(s.relays(mras.Internet))
	} else if g, reason := s.fetch(r.Context(), aor); reason == mras.OK {
		c = rest{Username: g.Username, Password: g.Password, TTL: int(g.Duration / time.Second), URIs: uris(g.Relays)}
	} else if reason != mras.NotSupported {
		http.Error(w, "the Edge gives no credentials: "+strings.ToLower(string(reason)), http.StatusServiceUnavailable)
		return
	}
	if len(c.URIs) == 0 {
		http.Error(w, "there is no media relay", http.StatusNotFound)
		return
	}
	s.answers[0].Add(1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c) // the client may have gone
}

// uris are the relays as RFC 7065 writes them.
func uris(relays []mras.Relay) (out []string) {
	for _, r := range relays {
		add := func(scheme string, port uint16, transport string) {
			if port != 0 {
				out = append(out, scheme+net.JoinHostPort(r.Host, strconv.Itoa(int(port)))+"?transport="+transport)
			}
		}
		add("turn:", r.UDP, "udp")
		add("turn:", r.TCP, "tcp")
		add("turns:", r.TCP, "tcp")
	}
	return out
}
