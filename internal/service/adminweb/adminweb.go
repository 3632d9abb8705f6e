// Package adminweb is the site for administrators (the admin simple URL): pages that are a client of the same interface
// as the command line, and the sessions of those who use them. It is served inside only.
package adminweb

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/httpd"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/website"
)

// Paths of the service.
const (
	Path        = "/admin/"        // the pages
	apiPath     = Path + "api/"    // the administration interface
	sessionPath = Path + "session" // GET: who is signed in; POST: sign in; DELETE: sign out
)

//go:embed site
var site embed.FS

//go:embed schema/*.sql
var schemas embed.FS

func schema() fs.FS {
	sub, err := fs.Sub(schemas, "schema")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Spec declares the service.
var Spec = service.Spec{
	Name:     "adminweb",
	Doc:      "The administration pages, inside only, for users with a role.",
	Roles:    []topology.Role{topology.RoleFrontEnd},
	Needs:    service.NeedStore | service.NeedDirectory | service.NeedWeb | service.NeedAdmin,
	Paths:    []string{Path},
	Schema:   schema(),
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	IdleMinutes int `toml:"idle-minutes" doc:"An administrator who does nothing for so long is signed out, 1 to 1440." reload:"live"`
	Hours       int `toml:"hours" doc:"An administrator signs in again after so long, whatever he does, 1 to 168." reload:"live"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{IdleMinutes: 30, Hours: 12}

// Service is the running service.
type Service struct {
	host     service.Host
	pages    *website.Site
	settings atomic.Pointer[Settings]
	sessions *sessions
	limit    *limiter
	forgery  *http.CrossOriginProtection
	refused  *prometheus.CounterVec
	signIns  prometheus.Counter
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	pages, err := website.Load(site, "site")
	if err != nil {
		return nil, err
	}
	s := &Service{host: h, pages: pages, limit: newLimiter(), forgery: http.NewCrossOriginProtection(),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_adminweb_refused_total",
			Help: "Requests to the administration pages that were refused, by why."}, []string{"reason"}),
		signIns: prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_adminweb_sign_ins_total",
			Help: "Sign-ins of administrators."})}
	s.sessions = &sessions{db: h.Store, users: h.Directory, now: h.Now, bounds: s.bounds}
	for _, reason := range []string{outside, foreign, noSession, wrongPassword, noRole, tooMany} {
		s.refused.WithLabelValues(reason)
	}
	if h.Metrics != nil {
		h.Metrics.MustRegister(s.refused, s.signIns)
	}
	return s, s.Reload(context.Background(), h.Settings)
}

// Why requests are refused, as the metric names it.
const (
	outside       = "outside"      // by the external site
	foreign       = "cross-origin" // sent by a page of somebody else
	noSession     = "no-session"   // none, ended, or stolen and no longer good
	wrongPassword = "password"
	noRole        = "role"
	tooMany       = "rate"
)

// Reload takes new settings.
func (s *Service) Reload(_ context.Context, settings any) error {
	n, _ := settings.(*Settings)
	if n == nil {
		n = &DefaultSettings
	}
	if n.IdleMinutes < 1 || n.IdleMinutes > 1440 {
		return fmt.Errorf("adminweb: idle-minutes = %d: want 1 to 1440", n.IdleMinutes)
	}
	if n.Hours < 1 || n.Hours > 168 {
		return fmt.Errorf("adminweb: hours = %d: want 1 to 168", n.Hours)
	}
	s.settings.Store(n)
	return nil
}

// bounds are how long a session may be idle, and how long it may last.
func (s *Service) bounds() (idle, life time.Duration) {
	set := s.settings.Load()
	return time.Duration(set.IdleMinutes) * time.Minute, time.Duration(set.Hours) * time.Hour
}

// Start has nothing to acquire.
func (s *Service) Start(context.Context) error { return nil }

// Drain has nothing to finish: an operator watches the drain through the pages.
func (s *Service) Drain(context.Context) error { return nil }

// Stop has nothing to release: the front ends the requests.
func (s *Service) Stop(context.Context) error { return nil }

// What pages may do: run what is served here, and nothing else.
const (
	contents = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	permissions = "camera=(), microphone=(), display-capture=(), geolocation=(), usb=(), payment=()"
)

// ServeHTTP serves the pages, the sessions and the interface behind them.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := httpd.SiteOf(r)
	if at.External {
		s.refused.WithLabelValues(outside).Inc()
		http.NotFound(w, r)
		return
	}
	if !at.TLS {
		// Browsers were sent on by the front; passwords have no place here.
		http.Error(w, "administration is served over TLS only", http.StatusForbidden)
		return
	}
	website.Harden(w.Header(), contents, permissions)
	// Only these parts of a path are compared without case: what follows them may be a name.
	switch path := strings.ToLower(r.URL.Path); {
	case path == sessionPath:
		s.session(w, r)
	case strings.HasPrefix(path, apiPath):
		s.api(w, r)
	case path == Path:
		s.pages.Serve(w, r, "index.html")
	default:
		s.pages.Serve(w, r, strings.TrimPrefix(path, Path))
	}
}
