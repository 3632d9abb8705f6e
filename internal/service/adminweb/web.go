package adminweb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"parley/internal/directory"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/uc"
)

// cookieName begins with __Host-: browsers take such a cookie over TLS and from this very host only.
const cookieName = "__Host-parley-admin"

// refreshHeader marks requests that a page sends by itself: they do not keep a session alive.
const refreshHeader = "Parley-Refresh"

// maxSignIn bounds the body of a sign-in.
const maxSignIn = 4 << 10

// problem is how every refusal looks, here as in the interface behind.
type problem struct {
	Status  int    `json:"status"`
	ID      string `json:"id"`
	Message string `json:"message"`
}

func (p *problem) Error() string { return p.Message }

func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	if !errors.As(err, &p) {
		if r.Context().Err() != nil {
			return // the browser has gone
		}
		s.host.Log.Error("administration request failed", "request", r.Method+" "+r.URL.Path, obs.Err(err))
		p = &problem{http.StatusServiceUnavailable, "store-unavailable", err.Error()}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the browser may have gone
}

// own refuses what a page of somebody else made a browser send. SameSite keeps the cookie from such requests in the
// first place; this holds in browsers that do not know it, and counts.
func (s *Service) own(r *http.Request) error {
	err := s.forgery.Check(r) // what changes something: Sec-Fetch-Site, or Origin against Host
	if site := r.Header.Get("Sec-Fetch-Site"); err == nil && site != "" && site != "same-origin" && site != "none" {
		err = errors.New("read by a page of another site")
	}
	if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead && r.ContentLength != 0 {
		// No form of a foreign page can send this without asking first.
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			return &problem{http.StatusUnsupportedMediaType, "want-json", "the body must be application/json"}
		}
	}
	if err != nil {
		s.refused.WithLabelValues(foreign).Inc()
		s.host.Log.Debug("administration request from a foreign page refused", "request", r.Method+" "+r.URL.Path, "peer", r.RemoteAddr, obs.Err(err))
		return &problem{http.StatusForbidden, "cross-origin", "the request came from a page of another site"}
	}
	return nil
}

// who returns the administrator of a request.
func (s *Service) who(r *http.Request, active bool) (*directory.User, string, error) {
	signedOut := &problem{http.StatusUnauthorized, "signed-out", "you are not signed in, or were signed out because nothing happened for a while"}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil, "", signedOut
	}
	u, err := s.sessions.find(r.Context(), c.Value, active)
	if errors.Is(err, errEnded) {
		s.refused.WithLabelValues(noSession).Inc()
		return nil, "", signedOut
	}
	return u, c.Value, err
}

// api passes a request on to the interface, in the name of whoever sent it.
func (s *Service) api(w http.ResponseWriter, r *http.Request) {
	if err := s.own(r); err != nil {
		s.fail(w, r, err)
		return
	}
	u, token, err := s.who(r, r.Header.Get(refreshHeader) == "")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	ctx := service.WithAdministrator(r.Context(), service.Administrator{AOR: u.AOR, Role: u.Role, From: source(r).String()})
	if r.URL.Query().Get("follow") != "" {
		// The answer may go on for longer than others, as long as the session is good.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // of HTTP/1; HTTP/2 has none for the connection
		var over context.CancelFunc
		ctx, over = context.WithCancel(ctx)
		var watching sync.WaitGroup
		defer watching.Wait()
		defer over()
		watching.Go(func() { s.watch(ctx, token, over) })
	}
	inner := r.Clone(ctx)
	inner.URL.Path = "/api/" + r.URL.Path[len(apiPath):]
	if raw := r.URL.RawPath; len(raw) > len(apiPath) {
		inner.URL.RawPath = "/api/" + raw[len(apiPath):]
	}
	s.host.Admin.API.ServeHTTP(&counting{w, s}, inner)
}

// recheck is how often an answer that goes on asks whether its reader is still signed in.
const recheck = 5 * time.Second

// watch calls over when the session is not good any more, until ctx ends.
func (s *Service) watch(ctx context.Context, token string, over context.CancelFunc) {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := s.sessions.find(ctx, token, false); err != nil {
			over()
			return
		}
	}
}

// counting counts what the interface refuses for the role.
type counting struct {
	http.ResponseWriter
	s *Service
}

func (c *counting) WriteHeader(code int) {
	if code == http.StatusForbidden {
		c.s.refused.WithLabelValues(noRole).Inc()
	}
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController flush.
func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// person is what a page is told about who uses it.
type person struct {
	AOR  uc.AOR         `json:"aor"`
	Name string         `json:"name"`
	Role directory.Role `json:"role"`
	Idle int            `json:"idle"` // seconds after which the session ends
}

// session tells who is signed in, signs in and signs out.
func (s *Service) session(w http.ResponseWriter, r *http.Request) {
	var err error
	if err = s.own(r); err == nil {
		switch r.Method {
		case http.MethodGet:
			var u *directory.User
			if u, _, err = s.who(r, true); err == nil {
				s.tell(w, u)
			}
		case http.MethodPost:
			err = s.signIn(w, r)
		case http.MethodDelete:
			err = s.signOut(w, r)
		default:
			w.Header().Set("Allow", "GET, POST, DELETE")
			err = &problem{http.StatusMethodNotAllowed, "bad-method", "a session is read, begun and ended"}
		}
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

func (s *Service) tell(w http.ResponseWriter, u *directory.User) {
	idle, _ := s.bounds()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(person{u.AOR, u.DisplayName(), u.Role, int(idle / time.Second)}) // the browser may have gone
}

func (s *Service) signIn(w http.ResponseWriter, r *http.Request) error {
	var in struct{ User, Password string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSignIn)).Decode(&in); err != nil {
		return &problem{http.StatusBadRequest, "bad-json", "want {\"user\": ..., \"password\": ...}"}
	}
	name := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(in.User), "sip:"))
	if domains := s.host.Directory.Domains(); !strings.Contains(name, "@") && len(domains) > 0 {
		name += "@" + domains[0]
	}
	now, from := s.host.Now(), source(r)
	if wait := s.limit.wait(from, name, now); wait > 0 {
		s.refused.WithLabelValues(tooMany).Inc()
		seconds := int((wait + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", fmt.Sprint(seconds))
		return &problem{http.StatusTooManyRequests, "too-many", fmt.Sprintf("too many wrong passwords; try again in %d seconds", seconds)}
	}
	aor, err := uc.ParseAOR(name)
	right := err == nil && s.host.Admin.Password(aor, in.Password)
	u, known := s.host.Directory.Lookup(aor)
	if !right || !known || !u.Enabled || !u.Role.Covers(directory.Viewer) {
		// One answer for all, or it would tell which addresses there are and whose password is right.
		s.limit.failed(from, name, now)
		s.refused.WithLabelValues(wrongPassword).Inc()
		s.host.Log.Warn("sign-in of an administrator refused", "user", name, "peer", from)
		return &problem{http.StatusUnauthorized, "refused", "address or password is wrong, or this user has no administrative role"}
	}
	token, err := s.sessions.begin(r.Context(), u, from.String())
	if err != nil {
		return err
	}
	s.signIns.Inc()
	s.audit(r, u, "session.begin")
	http.SetCookie(w, cookie(token, 0))
	s.tell(w, u)
	return nil
}

func (s *Service) signOut(w http.ResponseWriter, r *http.Request) error {
	u, token, err := s.who(r, false)
	http.SetCookie(w, cookie("", -1))
	var p *problem
	if errors.As(err, &p) {
		w.WriteHeader(http.StatusNoContent) // gone already
		return nil
	}
	if err == nil {
		err = s.sessions.end(r.Context(), token)
	}
	if err != nil {
		return err
	}
	s.audit(r, u, "session.end")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) audit(r *http.Request, u *directory.User, action string) {
	ctx := service.WithAdministrator(r.Context(), service.Administrator{AOR: u.AOR, Role: u.Role, From: source(r).String()})
	s.host.Admin.Audit(ctx, action, string(u.AOR), nil)
}

// cookie lives until the browser closes; the session behind it ends earlier.
func cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// source is where a request came from.
func source(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}
