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
)

// Site says by which door a request came in.
type Site struct {
	External bool // by the reverse proxy, from outside
	TLS      bool
}

// Front serves the paths of all services. It is safe for concurrent use.
type Front struct {
	log *slog.Logger

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
	find := r
	if path := strings.ToLower(r.URL.Path); path != r.URL.Path {
		find = new(http.Request)
		*find = *r
		u := *r.URL
		u.Path = path
		find.URL = &u
	}
	f.mu.RLock()
	mux := f.mux
	h, _ := mux.Handler(find)
	f.mu.RUnlock()
	h.ServeHTTP(w, r)
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
