// Package webclient is the client for people with nothing but a browser: pages, and the WebSocket (RFC 7118) by which
// the browser is a SIP client like any other. It signs in, watches presence, chats and calls on the same road as a
// phone; contacts and search go by the SERVICE requests that Lync-protocol clients use. There is no other interface.
package webclient

import (
	"context"
	"embed"
	"encoding/json"
	"net/http"
	"strings"

	"parley/internal/httpd"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/website"
)

// Paths of the service.
const (
	Path       = "/client/"            // the pages
	SocketPath = "/ws"                 // SIP
	configPath = Path + "config.json"  // what the page must know before anybody signs in
	shellPath  = Path + "offline.json" // what the service worker keeps
)

//go:embed site
var site embed.FS

// Spec declares the service.
var Spec = service.Spec{
	Name:  "webclient",
	Doc:   "The client in the browser, and SIP over WebSocket on the port of the web site.",
	Roles: []topology.Role{topology.RoleFrontEnd},
	Needs: service.NeedSIP | service.NeedDirectory | service.NeedWeb,
	Paths: []string{Path, SocketPath},
	Build: func(h service.Host) (service.Service, error) { return New(h) },
}

// Service is the running service.
type Service struct {
	host  service.Host
	pages *website.Site
	shell []byte // JSON: paths of all files
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	pages, err := website.Load(site, "site")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range pages.Names() {
		if !strings.HasSuffix(name, ".txt") {
			names = append(names, name)
		}
	}
	shell, err := json.Marshal(names)
	return &Service{host: h, pages: pages, shell: shell}, err
}

// Start has nothing to acquire.
func (s *Service) Start(context.Context) error { return nil }

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop has nothing to release.
func (s *Service) Stop(context.Context) error { return nil }

// ServeHTTP serves the pages and takes WebSockets.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.ToLower(r.URL.Path)
	if !httpd.SiteOf(r).TLS {
		// Browsers were sent on by the front; SIP with passwords has no place here.
		http.Error(w, "the web client is served over TLS only", http.StatusForbidden)
		return
	}
	if path == SocketPath {
		// The layer compares the Origin that browsers send with the host.
		s.host.Web.WebSocket.ServeHTTP(w, r)
		return
	}
	website.Harden(w.Header(), policy, permissions)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	switch path {
	case configPath:
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, map[string]any{"domains": s.host.Directory.Domains(), "socket": SocketPath})
	case shellPath:
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.shell) // the browser may have gone
	default:
		name := strings.TrimPrefix(path, Path)
		if name == "" {
			name = "index.html"
		}
		s.pages.Serve(w, r, name)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the browser may have gone
}

// policy lets pages run what is served here and nothing else. A page connects to its own host; "self" covers its
// WebSocket too, in browsers of the last years.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"media-src 'self' blob: mediastream:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const permissions = "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), speaker-selection=(self), geolocation=(), usb=(), payment=()"
