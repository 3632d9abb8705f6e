// Package httpd is the web front of a node: listeners for the internal and the external site, in clear and with TLS,
// which all lead to one table of paths, and how a caller proves who he is.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"parley/internal/cert"
)

// Site says by which door a request came in.
type Site struct {
	External bool // by the reverse proxy, from outside
	TLS      bool
	Servers  bool // for other servers of the deployment, whose certificates the listener has seen
}

// Front serves the paths of all services. It is safe for concurrent use. The exported fields are set before Serve.
type Front struct {
	// Port is where the site with TLS listens, for browsers that come without; 0 when it does not.
	Port func(external bool) uint16
	// Transport is for how long browsers shall come with TLS only (RFC 6797), 0 for no such wish.
	Transport func() time.Duration
	// Simple finds what serves a simple URL, nil when a request is for none.
	Simple func(*http.Request) http.Handler
	// ACME proves names to an authority, nil when there is none.
	ACME *cert.ACME

	log     *slog.Logger
	refused counters

	mu      sync.RWMutex
	mux     *http.ServeMux
	servers []*http.Server
	running sync.WaitGroup
}

// Limits of what anybody may send.
const (
	maxHeader  = 64 << 10
	headerTime = 10 * time.Second
	readTime   = 30 * time.Second
	idleTime   = 2 * time.Minute
	maxBody    = 8 << 20 // services have lower ones of their own
)

// New returns a front without paths.
func New(log *slog.Logger) *Front { return &Front{log: log, mux: http.NewServeMux()} }

// Handle adds a path: a pattern of http.ServeMux in lower case. Paths are compared without case, as clients were
// written for a server that does. It panics when two patterns conflict.
func (f *Front) Handle(pattern string, h http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mux.Handle(pattern, h)
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, _ := r.Context().Value(connKey{}).(*connection); c != nil && r.TLS == nil {
		r.TLS = c.tls
	}
	site := SiteOf(r)
	f.harden(w.Header(), site)
	switch {
	case site.Servers:
		http.NotFound(w, r) // no service among servers is there yet
		return
	case f.ACME != nil && !site.TLS && strings.HasPrefix(r.URL.Path, challengePath):
		f.ACME.Challenge(http.NotFoundHandler()).ServeHTTP(w, r)
		return
	case r.ContentLength > maxBody:
		f.refused.tooLarge.Add(1)
		w.Header().Set("Connection", "close")
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	case crossSite(r):
		f.refused.crossSite.Add(1)
		http.Error(w, "a page of another site may not ask for this", http.StatusForbidden)
		return
	case !site.TLS && navigates(r):
		f.secure(w, r, site)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	f.find(r).ServeHTTP(w, r)
}

// find returns what serves a request. Paths are compared without case.
func (f *Front) find(r *http.Request) http.Handler {
	if path := strings.ToLower(r.URL.Path); path != r.URL.Path {
		lower := new(http.Request)
		*lower = *r
		u := *r.URL
		u.Path = path
		lower.URL = &u
		r = lower
	}
	f.mu.RLock()
	h, pattern := f.mux.Handler(r)
	f.mu.RUnlock()
	// A simple URL may have a host of its own, and its page is then at the root, like Autodiscover. Clients ask for
	// that one otherwise.
	if f.Simple != nil && (pattern == "" || r.URL.Path == "/" && navigates(r)) {
		if simple := f.Simple(r); simple != nil {
			return simple
		}
	}
	return h
}

// Serves reports whether there is a handler for a path.
func (f *Front) Serves(path string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, pattern := f.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: strings.ToLower(path)}})
	return pattern != ""
}

type siteKey struct{}

// SiteOf says by which door r came in.
func SiteOf(r *http.Request) Site {
	s, _ := r.Context().Value(siteKey{}).(Site)
	return s
}

// WithSite returns r as if it had come in by a door, for tests.
func WithSite(r *http.Request, s Site) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), siteKey{}, s))
}

// stateOf is the TLS of a connection that is no *tls.Conn, of which the server would not know.
func stateOf(c net.Conn) *tls.ConnectionState {
	t, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if _, known := c.(*tls.Conn); !ok || known {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// Serve takes connections from l, which has done whatever TLS there is, until Close. Connections that are no *tls.Conn may
// have its method ConnectionState.
func (f *Front) Serve(l net.Listener, site Site) {
	s := &http.Server{
		Handler: f, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug), // strangers must not fill the log
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(context.WithValue(ctx, siteKey{}, site), connKey{}, &connection{tls: stateOf(c)})
		},
	}
	f.mu.Lock()
	f.servers = append(f.servers, s)
	f.mu.Unlock()
	f.running.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.log.Error("web listener ended", "addr", l.Addr().String(), "err", err)
		}
	})
}

// Close stops listening, waits for the requests under way or for ctx, and then ends them.
func (f *Front) Close(ctx context.Context) error {
	f.mu.Lock()
	servers := f.servers
	f.servers = nil
	f.mu.Unlock()
	var all error
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			all = errors.Join(all, err, s.Close())
		}
	}
	f.running.Wait()
	return all
}
