package directory

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"parley/internal/uc"
)

// record is a user with the verifiers, nil when there is no password.
type record struct {
	*User
	verifiers *verifiers
}

// index is all users in memory. Its reading methods do not allocate.
type index struct {
	mu      sync.RWMutex
	ids     map[string]record
	aors    map[uc.AOR]record // by address of record and by alias
	numbers map[string]record // "+15550100;ext=42"
	domains map[string]bool
}

func newIndex() *index {
	return &index{ids: map[string]record{}, aors: map[uc.AOR]record{}, numbers: map[string]record{}, domains: map[string]bool{}}
}

// put replaces whatever is known of this user and returns what was there.
func (x *index) put(r record) (old *User) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old = x.drop(r.ID)
	x.ids[r.ID] = r
	x.aors[r.AOR] = r
	for _, a := range r.Aliases {
		x.aors[a] = r
	}
	for _, p := range r.Phones {
		x.numbers[strings.TrimPrefix(p, "tel:")] = r
	}
	return old
}

func (x *index) remove(id string) (old *User) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.drop(id)
}

// drop is called with mu held. An address may have gone to another user since.
func (x *index) drop(id string) *User {
	r, ok := x.ids[id]
	if !ok {
		return nil
	}
	delete(x.ids, id)
	for _, a := range append([]uc.AOR{r.AOR}, r.Aliases...) {
		if x.aors[a].User == r.User {
			delete(x.aors, a)
		}
	}
	for _, p := range r.Phones {
		if n := strings.TrimPrefix(p, "tel:"); x.numbers[n].User == r.User {
			delete(x.numbers, n)
		}
	}
	return r.User
}

func (x *index) byAOR(aor []byte) (record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.aors[uc.AOR(aor)]
	return r, ok
}

func (x *index) byID(id string) (record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.ids[id]
	return r, ok
}

func (x *index) byNumber(key string) (record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.numbers[key]
	return r, ok
}

func (x *index) hasDomain(lower []byte) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.domains[string(lower)]
}

func (x *index) setDomain(name string, there bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if there {
		x.domains[name] = true
	} else {
		delete(x.domains, name)
	}
}

func (x *index) domainNames() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Sorted(maps.Keys(x.domains))
}

func (x *index) users() []*User {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := make([]*User, 0, len(x.ids))
	for _, r := range x.ids {
		all = append(all, r.User)
	}
	slices.SortFunc(all, func(a, b *User) int { return strings.Compare(string(a.AOR), string(b.AOR)) })
	return all
}

func (x *index) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.ids)
}
