package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"parley/internal/config"
	"parley/internal/directory"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/topology"
)

// Control is what the API shows and steers; the node implements it. All
// methods are called from any goroutine.
type Control interface {
	Status() Status
	Calls() []Call
	Registrations() []Registration
	Flows() []Flow
	Trace() *obs.Trace
	// Reload reads the node file and the topology again and applies them as a
	// whole, or, dry, only says what would change.
	Reload(ctx context.Context, dry bool) ([]Change, error)
	// Drain starts to shut the node down and returns at once: finish what
	// runs until the deadline, then stop.
	Drain(deadline time.Duration)
	// Topology is the topology in force, as the text of a topology file, and
	// its revision.
	Topology() (text []byte, revision int64)
	// ApplyTopology validates and applies the text of a topology file, if the
	// revision in force is still the given one (0: whatever it is).
	ApplyTopology(ctx context.Context, text []byte, revision int64, dry bool) ([]Change, error)
	// Snapshot is the topology in force.
	Snapshot() *topology.Snapshot
	// Certificates are those that the node uses and knows of.
	Certificates() []Certificate
	// Ports is the port plan with what this node listens on.
	Ports() []*service.PortRow
	// Config is the node file in force, defaults included and secrets left out.
	Config() []config.Value
}

// Config of an API server.
type Config struct {
	Path    string // of the unix socket; the data directory is private
	Log     *slog.Logger
	Now     func() time.Time
	Control Control // nil when the node is stopped: only users and groups are served
	Users   *directory.Directory
	Audit   *Audit
	// Services finds the services that can be asked; used with Control.
	Services func(name string) (Ask, bool)
}

// Server serves the API. It is a service.Service.
type Server struct {
	cfg  Config
	http *http.Server
	l    *net.UnixListener
	done chan struct{}
	stop context.CancelFunc // ends requests that follow the trace
}

// New makes a server; it listens from Start on.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Start opens the socket.
func (s *Server) Start(ctx context.Context) error {
	l, err := listenSocket(s.cfg.Path)
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.l, s.stop, s.done = l, stop, make(chan struct{})
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, whoKey{}, peerName(c))
		},
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log.Error("admin socket ended", obs.Err(err))
		}
	}()
	return nil
}

// Drain keeps the API open: an operator watches the drain through it.
func (s *Server) Drain(ctx context.Context) error { return nil }

// Stop closes the socket and ends every request.
func (s *Server) Stop(ctx context.Context) error {
	if s.l == nil {
		return nil
	}
	s.stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	<-s.done
	os.Remove(s.cfg.Path)
	s.l = nil
	return err
}

type whoKey struct{}

// Handler is the API itself, for whoever may open the socket; see Web for others.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, x := range s.routes() {
		mux.HandleFunc(x.pattern, func(w http.ResponseWriter, r *http.Request) {
			err := allowed(r, x.need)
			if err == nil {
				err = x.serve(w, r)
			}
			if err != nil {
				s.fail(w, r, err)
			}
		})
	}
	return http.MaxBytesHandler(mux, maxBody)
}

// route is a resource, and the role that somebody who comes by the web needs for it.
type route struct {
	pattern string
	need    directory.Role
	serve   func(http.ResponseWriter, *http.Request) error
}

func (s *Server) routes() []route {
	const look, help, all = directory.Viewer, directory.Helpdesk, directory.Administrator
	u, g := users{s.cfg.Users, s.audit}, groups{s.cfg.Users, s.audit}
	out := []route{
		{"GET /api/v1/users", look, u.list},
		{"GET /api/v1/users/{aor}", look, u.show},
		{"GET /api/v1/users/{aor}/photo", look, u.photo},
		{"PUT /api/v1/users/{aor}", all, u.add},
		{"PATCH /api/v1/users/{aor}", help, u.change},
		{"DELETE /api/v1/users/{aor}", all, u.remove},
		{"GET /api/v1/groups", look, g.list},
		{"GET /api/v1/groups/{address}", look, g.show},
		{"GET /api/v1/groups/{address}/people", look, g.people},
		{"PUT /api/v1/groups/{address}", all, g.add},
		{"PATCH /api/v1/groups/{address}", all, g.change},
		{"DELETE /api/v1/groups/{address}", all, g.remove},
		{"GET /api/v1/audit", look, s.auditLog},
		{"/", look, func(_ http.ResponseWriter, r *http.Request) error {
			return &Problem{http.StatusNotFound, "no-resource", "no such resource: " + r.Method + " " + r.URL.Path}
		}},
	}
	c := s.cfg.Control
	if c == nil {
		return out
	}
	return append(out,
		route{"GET /api/v1/status", look, show(c.Status)},
		route{"GET /api/v1/calls", look, show(func() []Call { return list(c.Calls()) })},
		route{"GET /api/v1/registrations", look, show(func() []Registration { return list(c.Registrations()) })},
		route{"GET /api/v1/flows", look, show(func() []Flow { return list(c.Flows()) })},
		route{"GET /api/v1/certificates", look, show(func() []Certificate { return list(c.Certificates()) })},
		route{"GET /api/v1/ports", look, show(c.Ports)},
		route{"GET /api/v1/config", look, show(c.Config)},
		route{"GET /api/v1/deployment", look, s.deployment},
		route{"GET /api/v1/trace", help, s.trace},
		route{"POST /api/v1/reload", all, s.reload},
		route{"POST /api/v1/drain", all, s.drain},
		route{"GET /api/v1/services/{name}", look, s.ofService},
		route{"POST /api/v1/services/{name}", all, s.ofService},
		route{"GET /api/v1/topology", look, s.topology},
		route{"PUT /api/v1/topology", all, s.applyTopology},
	)
}

// show serves what a function returns.
func show[T any](get func() T) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error { return reply(w, get()) }
}

// maxBody bounds what a request may send; a topology of hundreds of nodes is
// far below it.
const maxBody = 4 << 20

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	dry := r.URL.Query().Get("dry-run") != ""
	changes, err := s.cfg.Control.Reload(r.Context(), dry)
	if err != nil {
		return refused("reload-refused", err)
	}
	if !dry {
		s.audit(r, "node.reload", "", changes)
	}
	return reply(w, ReloadResult{list(changes), !dry})
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) error {
	deadline := 30 * time.Second
	if text := r.URL.Query().Get("deadline"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return &Problem{http.StatusBadRequest, "bad-deadline", fmt.Sprintf("deadline %q: want a duration like 30s", text)}
		}
		deadline = d
	}
	s.audit(r, "node.drain", "", map[string]string{"deadline": deadline.String()})
	s.cfg.Control.Drain(deadline)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s *Server) topology(w http.ResponseWriter, r *http.Request) error {
	text, rev := s.cfg.Control.Topology()
	w.Header().Set("ETag", etag(rev))
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(TopologyText{string(text), rev})
}

func (s *Server) applyTopology(w http.ResponseWriter, r *http.Request) error {
	var in TopologyText
	if err := decode(r, &in); err != nil {
		return err
	}
	var rev int64
	if m := r.Header.Get("If-Match"); m != "" {
		var err error
		if rev, err = parseETag(m); err != nil {
			return err
		}
	}
	dry := r.URL.Query().Get("dry-run") != ""
	changes, err := s.cfg.Control.ApplyTopology(r.Context(), []byte(in.Text), rev, dry)
	if err != nil {
		return refused("topology-refused", err)
	}
	if !dry {
		s.audit(r, "topology.apply", "", changes)
	}
	return reply(w, ReloadResult{list(changes), !dry})
}

// refused turns an error about what the caller sent into a Problem.
func refused(id string, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return &Problem{http.StatusUnprocessableEntity, id, err.Error()}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		if r.Context().Err() != nil {
			return // the caller left
		}
		s.cfg.Log.Error("admin request failed", "request", r.Method+" "+r.URL.Path, obs.Err(err))
		p = &Problem{http.StatusInternalServerError, "internal", err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// list makes an empty JSON list of an empty slice.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func decode(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return &Problem{http.StatusRequestEntityTooLarge, "too-large", "the body is larger than 4 MiB"}
		}
		return &Problem{http.StatusBadRequest, "bad-json", "the body is not the JSON this resource takes: " + err.Error()}
	}
	return nil
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

func parseETag(s string) (int64, error) {
	v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(s, "W/"), `"`), 10, 64)
	if err != nil || v <= 0 {
		return 0, &Problem{http.StatusBadRequest, "bad-etag", fmt.Sprintf("If-Match %s: not an ETag of this server", s)}
	}
	return v, nil
}
