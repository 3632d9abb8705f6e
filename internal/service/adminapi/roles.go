package adminapi

import (
	"fmt"
	"net/http"

	"parley/internal/directory"
	"parley/internal/service"
	"parley/internal/uc"
)

// Whoever opens the socket may do everything. Whoever comes by the web may do what the role allows, and this file is
// where that is decided: what a resource needs stands beside it in the table of resources (Server.routes), and
// allowed compares. Below are the rules about users, which depend on what is changed and of whom.

// allowed refuses a request for which the role of its sender is not enough.
func allowed(r *http.Request, need directory.Role) error {
	if a, ok := service.AdministratorOf(r.Context()); ok && !a.Role.Covers(need) {
		return forbidden(fmt.Sprintf("this takes the role %s; yours is %s", need, a.Role))
	}
	return nil
}

func forbidden(message string) error { return &Problem{http.StatusForbidden, "role-forbids", message} }

// mayChange refuses a change of a user. Who is not a full administrator leaves alone what decides what somebody may do,
// and everything of those who are administrators of any kind: a new password would be the way to their role. Nobody
// takes the own role or access away, so that the last administrator stays.
func mayChange(r *http.Request, u *directory.User, c *UserChange) error {
	a, ok := service.AdministratorOf(r.Context())
	if !ok {
		return nil
	}
	if !a.Role.Covers(directory.Administrator) {
		switch {
		case u.Role != directory.NoRole && u.AOR != a.AOR:
			return forbidden(fmt.Sprintf("%s has the role %s: only an administrator may change that user", u.AOR, u.Role))
		case c.Policy != nil || c.Role != nil || c.Aliases != nil:
			return forbidden(fmt.Sprintf("policies, roles and addresses take the role %s; yours is %s", directory.Administrator, a.Role))
		}
	}
	if u.AOR == a.AOR && (c.Role != nil && directory.Role(*c.Role) != u.Role || c.Enabled != nil && !*c.Enabled) {
		return ownAccount(u.AOR)
	}
	return nil
}

// mayRemove is mayChange for the removal of a user, which takes the role of an administrator anyway.
func mayRemove(r *http.Request, u *directory.User) error {
	if a, ok := service.AdministratorOf(r.Context()); ok && u.AOR == a.AOR {
		return ownAccount(u.AOR)
	}
	return nil
}

func ownAccount(aor uc.AOR) error {
	return &Problem{http.StatusConflict, "own-account",
		fmt.Sprintf("%s is you: another administrator, or parley user on the server, can take your role or access away", aor)}
}

// Web is the API for requests that come by the web site. Each carries a service.Administrator; one without is refused,
// so that nobody becomes root by a mistake elsewhere.
func (s *Server) Web() http.Handler {
	h := s.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := service.AdministratorOf(r.Context()); !ok {
			s.fail(w, r, &Problem{http.StatusUnauthorized, "signed-out", "sign in first"})
			return
		}
		h.ServeHTTP(w, r)
	})
}
