package adminweb

import (
	"context"
	"net/netip"
	"time"
)

// What the tests see of the inside.
const (
	APIPath     = apiPath
	SessionPath = sessionPath
	CookieName  = cookieName

	MaxSessions = maxSessions
	PerNetwork  = perNetwork
	PerName     = perName
	ComesBack   = comesBack
	MaxKeys     = maxKeys

	Outside, Foreign, NoRole, TooMany = outside, foreign, noRole, tooMany
)

var Files = site

func Key(token string) string { return key(token) }

func (s *Service) SetNow(now func() time.Time) { s.sessions.now = now }

// Find is what a request with the token does.
func (s *Service) Find(ctx context.Context, token string, active bool) error {
	_, err := s.sessions.find(ctx, token, active)
	return err
}

type Limiter struct{ *limiter }

func NewLimiter() Limiter { return Limiter{newLimiter()} }

func (l Limiter) Wait(from netip.Addr, name string, now time.Time) time.Duration {
	return l.wait(from, name, now)
}
func (l Limiter) Failed(from netip.Addr, name string, now time.Time) { l.failed(from, name, now) }
func (l Limiter) Len() int                                           { return len(l.fullAt) }
