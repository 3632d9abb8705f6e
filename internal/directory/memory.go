package directory

import (
	"slices"
	"strings"
	"sync"

	"parley/internal/sip/digest"
	"parley/internal/uc"
)

// entry is what memory holds of one user. It is immutable.
type entry struct {
	user        *User
	secrets     *verifiers // nil: no password, or one that could not be opened
	revision    int64
	passwordSet int64 // revision of the last password
	sealedOld   bool  // sealed with an old key
}

// memory answers the questions of the SIP readers. A lookup takes a read lock
// for the time of a map access and allocates nothing.
type memory struct {
	mu        sync.RWMutex
	byAddress map[uc.AOR]*entry // addresses of record and aliases
	byNumber  map[string]*entry // "+15550100;ext=42"
	byID      map[string]*entry
	byOrigin  map[originKey]*entry // users of other directories
	byLogin   map[string]*entry    // see Origin.Logins
	realms    map[string]int       // how many logins there are after the "@"
	domains   map[string]bool
}

func newMemory() *memory {
	return &memory{byAddress: map[uc.AOR]*entry{}, byNumber: map[string]*entry{}, byID: map[string]*entry{},
		byOrigin: map[originKey]*entry{}, byLogin: map[string]*entry{}, realms: map[string]int{}, domains: map[string]bool{}}
}

// apply takes out what is gone and puts in what is new, in one step for the
// readers, and returns the entries that were there before, by user ID.
func (m *memory) apply(changed []*entry, removed []string, domains map[string]bool) (old map[string]*entry) {
	old = make(map[string]*entry, len(changed)+len(removed))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.domains = domains
	// First all out, then all in: two users may have exchanged a number.
	for _, id := range removed {
		m.take(id, old)
	}
	for _, e := range changed {
		m.take(e.user.ID, old)
	}
	for _, e := range changed {
		m.byID[e.user.ID] = e
		m.index(e, 1)
		m.byAddress[e.user.AOR] = e
		for _, alias := range e.user.Aliases {
			m.byAddress[alias] = e
		}
		for _, phone := range e.user.Phones {
			m.byNumber[phone[len("tel:"):]] = e
		}
	}
	return old
}

func (m *memory) take(id string, old map[string]*entry) {
	e, ok := m.byID[id]
	if !ok {
		return
	}
	old[id] = e
	delete(m.byID, id)
	m.index(e, -1)
	for _, address := range append([]uc.AOR{e.user.AOR}, e.user.Aliases...) {
		if m.byAddress[address] == e {
			delete(m.byAddress, address)
		}
	}
	for _, phone := range e.user.Phones {
		if number := phone[len("tel:"):]; m.byNumber[number] == e {
			delete(m.byNumber, number)
		}
	}
}

func (e *entry) found() (*User, bool) {
	if e == nil {
		return nil, false
	}
	return e.user, true
}

// Lookup returns the user with this address of record or alias.
func (d *Directory) Lookup(aor uc.AOR) (*User, bool) {
	d.memory.mu.RLock()
	e := d.memory.byAddress[aor]
	d.memory.mu.RUnlock()
	return e.found()
}

// LookupBytes is Lookup for canonical bytes (see uc.AppendAOR), without a
// conversion.
func (d *Directory) LookupBytes(aor []byte) (*User, bool) {
	d.memory.mu.RLock()
	e := d.memory.byAddress[uc.AOR(aor)]
	d.memory.mu.RUnlock()
	return e.found()
}

// ByNumber returns the user with this number: "+15550100", or
// "+15550100;ext=42" where the user has the extension. Any usual spelling is
// understood; the canonical one, also with "tel:" before it, is the quick one.
func (d *Directory) ByNumber(number string) (*User, bool) {
	if e := d.memory.number(strings.TrimPrefix(number, "tel:")); e != nil {
		return e.user, true
	}
	canonical, ok := canonicalNumber(number)
	if !ok || canonical == number {
		return nil, false
	}
	return d.memory.number(canonical).found()
}

func (m *memory) number(canonical string) *entry {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byNumber[canonical]
}

// ByID returns the user with this ID.
func (d *Directory) ByID(id string) (*User, bool) {
	d.memory.mu.RLock()
	e := d.memory.byID[id]
	d.memory.mu.RUnlock()
	return e.found()
}

// Login finds the user who signs in with the user name "alice" or
// "alice@example.test" in the realm, which is the SIP domain, and the binary HA1
// value for exactly this form of the name (RFC 7616 section 3.4.2). ok is false
// for an unknown name, for an alias, and for a user without a password. A
// disabled user is found: the caller decides what to answer.
func (d *Directory) Login(username, realm []byte, alg Algorithm) (u *User, ha1 Secret, ok bool) {
	full := false
	for _, c := range username {
		if c == '@' {
			full = true
			break
		}
	}
	var buf [uc.MaxAOR]byte
	address := username
	if !full {
		if len(username)+1+len(realm) > len(buf) {
			return nil, nil, false
		}
		address = append(append(append(buf[:0], username...), '@'), realm...)
	}
	d.memory.mu.RLock()
	e := d.memory.byAddress[uc.AOR(address)]
	d.memory.mu.RUnlock()
	if e == nil || e.secrets == nil || string(e.user.AOR) != string(address) || e.user.AOR.Domain() != string(realm) {
		return nil, nil, false
	}
	ha1 = e.secrets.ha1(full, alg)
	return e.user, ha1, ha1 != nil
}

// NTHash returns MD4 of the password in UTF-16LE of the user with this address
// of record or alias, which NTLM needs.
func (d *Directory) NTHash(aor uc.AOR) (*User, Secret, bool) {
	d.memory.mu.RLock()
	e := d.memory.byAddress[aor]
	d.memory.mu.RUnlock()
	if e == nil || e.secrets == nil || e.secrets.nt == nil {
		return nil, nil, false
	}
	return e.user, e.secrets.nt, true
}

// CheckPassword says whether password is the user's, in a time that does not
// tell how much of it was right, nor whether the user exists.
func (d *Directory) CheckPassword(aor uc.AOR, password string) bool {
	d.memory.mu.RLock()
	e := d.memory.byAddress[aor]
	d.memory.mu.RUnlock()
	known := e != nil && e.secrets != nil
	if !known {
		e = &entry{user: &User{AOR: "nobody@invalid"}, secrets: newVerifiers("nobody@invalid", "")}
	}
	given := digest.HA1(SHA256, string(e.user.AOR), e.user.AOR.Domain(), password)
	return e.secrets.full.sha256.Equal(given) && known
}

// IsLocal says whether domain (any case) is a SIP domain of this deployment.
func (d *Directory) IsLocal(domain []byte) bool {
	var buf [256]byte
	if len(domain) > len(buf) {
		return false
	}
	lower := buf[:len(domain)]
	for i, c := range domain {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	d.memory.mu.RLock()
	ok := d.memory.domains[string(lower)]
	d.memory.mu.RUnlock()
	return ok
}

// Domains returns the SIP domains, sorted.
func (d *Directory) Domains() []string {
	d.memory.mu.RLock()
	names := make([]string, 0, len(d.memory.domains))
	for name := range d.memory.domains {
		names = append(names, name)
	}
	d.memory.mu.RUnlock()
	slices.Sort(names)
	return names
}

// List returns the users sorted by address.
func (d *Directory) List() []*User {
	d.memory.mu.RLock()
	all := make([]*User, 0, len(d.memory.byID))
	for _, e := range d.memory.byID {
		all = append(all, e.user)
	}
	d.memory.mu.RUnlock()
	slices.SortFunc(all, func(a, b *User) int { return strings.Compare(string(a.AOR), string(b.AOR)) })
	return all
}

// Len is the number of users.
func (d *Directory) Len() int {
	d.memory.mu.RLock()
	defer d.memory.mu.RUnlock()
	return len(d.memory.byID)
}
