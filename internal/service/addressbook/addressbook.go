// Package addressbook is the web side of the directory: the address book web query ([MS-DLX]) by which clients search
// for people, their photos, and who is in a group.
//
// Two things that clients may ask for have a public description which is not complete, and are refused: the files of the
// address book ([MS-ABS]; 404, which sends a client to the web query) and the SOAP operation that expands a group (a
// fault). What a group is can be asked for in JSON instead.
package addressbook

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/httpd"
	"parley/internal/lane"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/webticket"
)

// Paths as they are shown to clients. At BearerPath a ticket in the SOAP header is wanted, at QueryPath it may also
// be a password.
const (
	QueryPath   = "/groupexpansion/service.svc"
	BearerPath  = QueryPath + "/WebTicket_Bearer"
	MembersPath = "/groupexpansion/members/"
	FilesPath   = "/abs/handler"
)

const (
	queryPath  = "/groupexpansion/service.svc"
	bearerPath = queryPath + "/webticket_bearer"
)

// audiences are the services a ticket may be for: clients that have one for the query show it to fetch photos too.
var audiences = []string{bearerPath, queryPath, FilesPath}

// Spec declares the service.
var Spec = service.Spec{
	Name:     "addressbook",
	Doc:      "The address book on the web: search for people, photos, members of groups.",
	Roles:    []topology.Role{topology.RoleFrontEnd},
	Needs:    service.NeedDirectory | service.NeedWeb,
	Paths:    []string{queryPath, bearerPath, queryPath + "/mex", MembersPath, FilesPath, FilesPath + "/"},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	MaxResults   int  `toml:"max-results" doc:"How many people and groups one search returns at most, 1 to 1000." reload:"live"`
	KeypadSearch bool `toml:"keypad-search" doc:"Whether names can be searched by the digits they have on a telephone keypad." reload:"live"`
	MaxMembers   int  `toml:"max-members" doc:"How many people a group is told as at most, 1 to 1000." reload:"live"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{MaxResults: 100, KeypadSearch: true, MaxMembers: directory.DefaultExpansion}

// Service is the running service.
type Service struct {
	host      service.Host
	settings  atomic.Pointer[Settings]
	searching *lane.Set[uc.AOR] // one search of a user at a time
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	s := &Service{host: h, searching: lane.New[uc.AOR](lane.Config{PerKey: 4, Total: 1024, OnPanic: func(key any, err *lane.PanicError) {
		h.Log.Error("address book: panic", "user", key, "err", err, "stack", string(err.Stack))
	}})}
	return s, s.Reload(context.Background(), h.Settings)
}

// Reload takes new settings.
func (s *Service) Reload(_ context.Context, settings any) error {
	n, _ := settings.(*Settings)
	if n == nil {
		n = &DefaultSettings
	}
	if n.MaxResults < 1 || n.MaxResults > 1000 {
		return fmt.Errorf("addressbook: max-results = %d: want 1 to 1000", n.MaxResults)
	}
	if n.MaxMembers < 1 || n.MaxMembers > directory.MaxExpansion {
		return fmt.Errorf("addressbook: max-members = %d: want 1 to %d", n.MaxMembers, directory.MaxExpansion)
	}
	s.settings.Store(n)
	return nil
}

// Start has nothing to acquire.
func (s *Service) Start(context.Context) error { return nil }

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop ends the searches.
func (s *Service) Stop(ctx context.Context) error { return s.searching.Stop(ctx) }

// ServeHTTP answers all paths.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.ToLower(r.URL.Path)
	switch {
	case !httpd.SiteOf(r).TLS:
		http.Error(w, "the address book is served over TLS only", http.StatusForbidden)
	case path == queryPath+"/mex":
		if allow(w, r, http.MethodGet, http.MethodHead) {
			webticket.Write(w, http.StatusOK, metadata(r))
		}
	case path == queryPath || path == bearerPath:
		if allow(w, r, http.MethodPost) {
			s.query(w, r, path == bearerPath)
		}
	case strings.HasPrefix(path, MembersPath):
		if allow(w, r, http.MethodGet, http.MethodHead) {
			s.members(w, r)
		}
	default:
		if allow(w, r, http.MethodGet, http.MethodHead) {
			s.file(w, r)
		}
	}
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	w.WriteHeader(http.StatusMethodNotAllowed)
	return false
}

// user finds out who sends r, by a web ticket in X-MS-WebTicket or by HTTP authentication. Otherwise it has answered.
func (s *Service) user(w http.ResponseWriter, r *http.Request) (*directory.User, bool) {
	w.Header().Set("X-MS-WebTicketURL", "https://"+r.Host+"/WebTicket/WebTicketService.svc")
	t, err := s.bearer(r)
	var aor uc.AOR
	switch {
	case err == webticket.ErrNone:
		var ok bool
		if aor, ok = s.host.Web.Login(w, r); !ok {
			return nil, false
		}
	case err != nil:
		w.Header().Set(diag.Web.String(), webticket.Report(err).WebValue(s.host.Node.FQDN, err.Error()))
		w.WriteHeader(http.StatusUnauthorized)
		return nil, false
	default:
		aor = t.AOR
	}
	u, ok := s.host.Directory.Lookup(aor)
	if !ok || !u.Enabled {
		http.Error(w, "user is disabled", http.StatusForbidden)
		return nil, false
	}
	return u, true
}

func (s *Service) bearer(r *http.Request) (t *webticket.Ticket, err error) {
	for _, a := range audiences {
		if t, err = s.host.Web.Tickets.Bearer(r, a, s.host.Now()); err != webticket.ErrAudience {
			break
		}
	}
	return t, err
}
