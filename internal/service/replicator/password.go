package replicator

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley/internal/directory"
)

// ErrBusy: too many passwords are being checked, or too many of one user were wrong.
var ErrBusy = errors.New("passwords of the directory cannot be checked now")

// CheckPassword implements service.PasswordChecker: it asks a domain controller.
func (s *Service) CheckPassword(ctx context.Context, u *directory.User, password string) (bool, error) {
	set := s.settings.Load()
	if !set.on() || u.Origin.Source != source || password == "" {
		return false, nil
	}
	done, err := s.guard.admit(u.ID, s.host.Now())
	if err != nil {
		return false, err
	}
	ok := false
	defer func() { done(ok, err) }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var c *controller
	c, err = dial(ctx, set, s.host.Node.Dir)
	if err != nil {
		return false, err
	}
	defer c.close()
	ok, err = c.check(u.Origin.ID, password)
	return ok, err
}

// guard keeps guesses of strangers from locking accounts of the other directory, where five wrong passwords are a usual
// limit: those of one user are checked one after the other, and no more after three wrong ones for a while. It is safe
// for concurrent use.
type guard struct {
	mu    sync.Mutex
	busy  int
	users map[string]*guesses // by user ID
}

type guesses struct {
	turn  sync.Mutex // held while one is checked
	users int        // who wait for it or have it; guarded by guard.mu, as the rest
	wrong int
	since time.Time // of the first wrong one
}

const (
	maxBusy    = 16
	maxGuesses = 3
	forget     = 10 * time.Minute
	maxUsers   = 10_000 // remembered
)

// admit waits for the turn of a user. done takes the outcome: an error means that nobody knows.
func (g *guard) admit(id string, now time.Time) (done func(right bool, err error), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy >= maxBusy {
		return nil, ErrBusy
	}
	if g.users == nil || len(g.users) >= maxUsers {
		g.sweep(now)
	}
	w := g.users[id]
	if w == nil {
		w = new(guesses)
		g.users[id] = w
	}
	g.busy++
	w.users++
	g.mu.Unlock()
	w.turn.Lock()
	g.mu.Lock()
	leave := func() {
		g.busy--
		if w.users--; w.users == 0 && w.wrong == 0 {
			delete(g.users, id)
		}
		w.turn.Unlock()
	}
	if now.Sub(w.since) > forget {
		w.wrong = 0
	}
	if w.wrong >= maxGuesses {
		leave()
		return nil, ErrBusy
	}
	return func(right bool, err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case err != nil:
		case right:
			w.wrong = 0
		default:
			if w.wrong == 0 {
				w.since = now
			}
			w.wrong++
		}
		leave()
	}, nil
}

// sweep makes room. Whoever fills the table with wrong passwords of ten thousand users gets them forgotten.
func (g *guard) sweep(now time.Time) {
	if g.users == nil {
		g.users = map[string]*guesses{}
	}
	for _, all := range []bool{false, true} {
		for id, w := range g.users {
			if w.users == 0 && (all || now.Sub(w.since) > forget) {
				delete(g.users, id)
			}
		}
		if len(g.users) < maxUsers {
			return
		}
	}
}
