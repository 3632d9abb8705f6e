package presence

import (
	"strconv"
	"sync"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/person"
	"parley/internal/uc"
)

// record is one person with the lock that guards him. It is taken after the lock
// of the service, never before.
type record struct {
	mu sync.Mutex
	*person.Person
}

// person returns the record of one of our users, making it when it is asked for
// the first time; nil when he is none.
func (s *Service) person(aor uc.AOR) *record {
	s.peopleMu.Lock()
	defer s.peopleMu.Unlock()
	if r := s.people[aor]; r != nil {
		return r
	}
	user, ok := s.host.Directory.Lookup(aor)
	if !ok || user.AOR != aor {
		return nil
	}
	r := &record{Person: person.New(aor, profile(user), s.host.Now())}
	r.SetSignedIn(len(s.host.Bindings.Of(aor)) > 0, s.host.Now())
	s.people[aor] = r
	return r
}

func profile(u *directory.User) person.Profile {
	return person.Profile{Name: u.Name, Email: string(u.AOR), Phones: u.Phones}
}

// watcher is how somebody counts when he looks at others.
func (s *Service) watcher(id uc.Identity) person.Watcher {
	return person.Watcher{AOR: id.AOR, Colleague: s.host.Directory.IsLocal([]byte(id.AOR.Domain()))}
}

// endpoint names the endpoint behind a connection, as long as it lasts.
func endpoint(f *flow.Flow) string { return strconv.FormatUint(f.ID(), 10) }

// endpointsChanged brings a person in line with where he is signed in.
func (s *Service) endpointsChanged(aor uc.AOR) {
	s.peopleMu.Lock()
	r := s.people[aor]
	s.peopleMu.Unlock()
	if r == nil {
		return
	}
	set := s.host.Bindings.Of(aor)
	now := s.host.Now()
	r.mu.Lock()
	ch := r.EndpointsGone(func(id string) bool {
		for _, b := range set {
			if b.Flow != nil && endpoint(b.Flow) == id {
				return true
			}
		}
		return false
	}, len(set) > 0, now)
	if r.SetSignedIn(len(set) > 0, now) {
		ch = person.Changed{Owner: true, Watchers: true}
	}
	r.mu.Unlock()
	s.tell(r, ch)
}

// devicesChanged brings a person in line with what his standard devices publish.
func (s *Service) devicesChanged(aor uc.AOR) {
	r := s.person(aor)
	if r == nil {
		return
	}
	s.mu.Lock()
	var docs []published
	if p := s.users[aor]; p != nil {
		docs = append(docs, p.docs...)
	}
	s.mu.Unlock()
	r.mu.Lock()
	changed := r.SetDevices(states(docs), s.host.Now())
	r.mu.Unlock()
	if changed {
		s.self.Changed(string(aor))
		s.watching.Changed(string(aor))
	}
}

// tell has those told who see something new of a person.
func (s *Service) tell(r *record, ch person.Changed) {
	r.mu.Lock()
	at := r.Next()
	r.mu.Unlock()
	s.moments.Set(r.AOR, at)
	if ch.Owner {
		s.self.Changed(string(r.AOR))
	}
	if ch.Watchers {
		s.watching.Changed(string(r.AOR))
		s.notifier.Changed(string(r.AOR))
	}
}

// momentCame drops what has expired, and aggregates anew when an appointment
// begins or ends.
func (s *Service) momentCame(aor uc.AOR) {
	r := s.person(aor)
	if r == nil {
		return
	}
	now := s.host.Now()
	r.mu.Lock()
	ch := r.Expire(now)
	r.mu.Unlock()
	s.tell(r, ch)
	if err := s.book.Expire(s.ctx, now); err != nil {
		s.host.Log.Warn("expired publications not dropped", "err", err)
	}
}
