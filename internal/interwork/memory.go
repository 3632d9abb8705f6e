package interwork

import (
	"container/list"
	"sync"
	"time"
)

// memory keeps what endpoints were found to need, so that a call need not find out again. It is bounded: who was not
// met for longest is forgotten first, and everything after a day, since phones are set up anew.
type memory struct {
	mu   sync.Mutex
	byID map[string]*list.Element
	ages list.List // of *known, last met first
}

// known is what is remembered of one endpoint.
type known struct {
	id      string
	takes   Profile
	refuses class // of offers
	at      time.Time
}

const (
	remembered = 10_000
	forgetting = 24 * time.Hour
)

// get returns what is known of an endpoint; nothing is known of "".
func (m *memory) get(id string, now time.Time) (takes Profile, refuses class) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[id]
	if e == nil {
		return Unknown, 0
	}
	k := e.Value.(*known)
	if now.Sub(k.at) > forgetting {
		m.ages.Remove(e)
		delete(m.byID, id)
		return Unknown, 0
	}
	return k.takes, k.refuses
}

// learn remembers that an endpoint takes a profile and refuses offers of some classes. A class is no longer refused
// when accepts has it.
func (m *memory) learn(id string, takes Profile, refuses, accepts class, now time.Time) {
	if id == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[id]
	if e == nil {
		if m.byID == nil {
			m.byID = map[string]*list.Element{}
		}
		if m.ages.Len() >= remembered {
			oldest := m.ages.Back()
			delete(m.byID, m.ages.Remove(oldest).(*known).id)
		}
		e = m.ages.PushFront(&known{id: id})
		m.byID[id] = e
	}
	m.ages.MoveToFront(e)
	k := e.Value.(*known)
	if takes != Unknown {
		k.takes = takes
	}
	k.refuses = (k.refuses | refuses) &^ accepts
	k.at = now
}
