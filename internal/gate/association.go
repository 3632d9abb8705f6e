package gate

import (
	"sync"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip/sigauth"
)

// association is what a connection's SlotAssociation holds: the users who have
// shown their credentials on it. A phone has one, a gateway with analogue lines
// a few dozen. A user is remembered as the directory had him: after a change of
// any kind, of his password for one, he has to show them again.
type association struct {
	mu      sync.Mutex
	session *sigauth.Session // of Lync-protocol clients

	one   *directory.User
	more  map[*directory.User]struct{}
	order []*directory.User // of more, for making room
	next  int
}

const maxAssociated = 32768

func associated(f *flow.Flow, u *directory.User) bool {
	a, _ := f.Value(flow.SlotAssociation).(*association)
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.one == u {
		return true
	}
	_, ok := a.more[u]
	return ok
}

// associate is called in the reader of f, so two calls for one connection never
// meet.
func associate(f *flow.Flow, u *directory.User) {
	a, _ := f.Value(flow.SlotAssociation).(*association)
	if a == nil {
		f.SetValue(flow.SlotAssociation, &association{one: u})
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.one == nil || a.one.AOR == u.AOR {
		a.one = u
		return
	}
	if _, ok := a.more[u]; ok {
		return
	}
	if a.more == nil {
		a.more = make(map[*directory.User]struct{})
	}
	if len(a.order) < maxAssociated {
		a.order = append(a.order, u)
	} else {
		delete(a.more, a.order[a.next])
		a.order[a.next] = u
		a.next = (a.next + 1) % maxAssociated
	}
	a.more[u] = struct{}{}
}
