package presence

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/person"
	"parley/internal/uc"
	"parley/internal/xmldoc/categories"
)

// record is one person with the lock that guards him. It is taken after the lock
// of the service, never before.
type record struct {
	mu sync.Mutex
	*person.Person
	last  rendered
	paced time.Time // when everything he has published lately is allowed for
}

// rendered is the last document that was made for a watcher. The others of his access level, who have heard of the
// same, get the same.
type rendered struct {
	uri   string
	names []string
	level uint32
	from  person.Told // what the watcher knew
	to    person.Told // what he knows now
	body  []byte      // nil when there is nothing new; not to be changed
}

// document is what a watcher who knows told is told of a person, in the categories of those names, and what he knows
// then. It is nil when there is nothing new.
func (r *record) document(uri string, names []string, w person.Watcher, told person.Told) ([]byte, person.Told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	level := r.Level(w)
	l := &r.last
	if l.to.Rev == r.Rev() && l.from == told && l.level == level && l.uri == uri && slices.Equal(l.names, names) {
		return l.body, l.to
	}
	head := categories.Begin(nil, uri)
	text, now := r.View(head, names, level, told)
	*l = rendered{uri: uri, names: names, level: level, from: told, to: now}
	if len(text) > len(head) || told.Rev == 0 {
		l.body = categories.End(text)
	}
	return l.body, now
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
	r := &record{Person: person.New(aor, s.profile(user), s.host.Now())}
	r.SetSignedIn(len(s.host.Bindings.Of(aor)) > 0, s.host.Now())
	s.people[aor] = r
	return r
}

// photosPath is where the service addressbook has photos, by their names.
const photosPath = "/abs/handler/"

func (s *Service) profile(u *directory.User) person.Profile {
	c := &u.Profile
	number := func(name string) string {
		if v := u.Attribute(name); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	p := person.Profile{Name: u.Name, Email: u.Mail(), Phones: u.Phones, Card: person.Card{
		Title: c.Title, Department: c.Department, Company: c.Company, Office: c.Office, Mobile: number("mobile"), Home: number("homePhone"),
		Street: c.Street, City: c.City, State: c.State, PostalCode: c.PostalCode, Country: c.Country}}
	if c.WorkPhone != "" {
		p.Card.Work = number("telephoneNumber")
	}
	if c.OtherPhone != "" { // otherwise it is among Phones
		p.Card.Other = number("otherTelephone")
	}
	if u.PhotoHash != "" {
		if p.Card.Photo = s.host.Web.URL(photosPath+u.PhotoName(), false); p.Card.Photo != "" {
			p.Card.PhotoHash = u.PhotoHash
		}
	}
	return p
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
	s.moments.Set(r.AOR, r.Next()) // with the lock: set later, it could be older than what somebody else has set
	r.mu.Unlock()
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
