package presence

import (
	"strconv"
	"sync"
	"time"

	"parley/internal/sip"
	"parley/internal/uc"
)

// quota counts how many people somebody watches in all his subscriptions together.
type quota struct {
	mu   sync.Mutex
	used map[uc.AOR]int
}

// take counts n more, if there are not more than utmost then. Servers that watch for others, who are no user, have no
// bound.
func (q *quota) take(who uc.AOR, n, utmost int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case who == "":
		return true
	case q.used[who]+n > utmost:
		return false
	case q.used == nil:
		q.used = map[uc.AOR]int{}
	}
	q.used[who] += n
	return true
}

// give counts n fewer, which were taken.
func (q *quota) give(who uc.AOR, n int) {
	if who == "" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used[who] -= n; q.used[who] <= 0 {
		delete(q.used, who)
	}
}

// pace allows a user as many publications at once as he may make in a minute, and then one after the other. It
// returns the refusal when it is too much: what one publishes is told to all who watch him.
func (s *Service) pace(r *record) error {
	every := time.Minute / time.Duration(s.settings.PublishRate)
	now := s.host.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.paced
	if at.Before(now) {
		at = now
	}
	wait := at.Add(every).Sub(now) - time.Minute
	if wait <= 0 {
		r.paced = at.Add(every)
		return nil
	}
	s.counts.paced.Inc()
	return &sip.Error{Code: 503, Diagnostic: "publications come too fast", Headers: []sip.Header{{Name: "Retry-After", Value: strconv.Itoa(int(wait/time.Second) + 1)}}}
}
