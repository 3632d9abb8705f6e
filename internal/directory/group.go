package directory

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"parley/internal/store"
	"parley/internal/uc"
)

// Group is a distribution list. It is immutable: a change makes a new one.
// Slices in it must not be modified.
type Group struct {
	ID          string // never changes and is never used again
	Address     uc.AOR // its mail address; the domain need not be one of ours
	Name        string // display name
	Description string
	Users       []string // IDs of members, in the order in which they were added; some may be gone
	Groups      []string // IDs of groups that are members
	Version     int64    // grows with every change; see GroupChange
	Created     time.Time
	Changed     time.Time
}

// Limits of groups and of what one turns into.
const (
	maxMembers = 5000
	// DefaultExpansion and MaxExpansion bound the people that a group is told as.
	DefaultExpansion = 100
	MaxExpansion     = 1000
)

// groups is what memory holds of groups.
type groups struct {
	mu        sync.RWMutex
	byAddress map[uc.AOR]*Group
	byID      map[string]*Group
}

func (m *groups) apply(changed []*Group, removed []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	take := func(id string) {
		if g := m.byID[id]; g != nil {
			delete(m.byID, id)
			delete(m.byAddress, g.Address)
		}
	}
	for _, id := range removed {
		take(id)
	}
	for _, g := range changed {
		take(g.ID)
		m.byID[g.ID] = g
		m.byAddress[g.Address] = g
	}
}

// LookupGroup returns the group with this address.
func (d *Directory) LookupGroup(address uc.AOR) (*Group, bool) {
	d.groups.mu.RLock()
	g, ok := d.groups.byAddress[address]
	d.groups.mu.RUnlock()
	return g, ok
}

// GroupByID returns the group with this ID.
func (d *Directory) GroupByID(id string) (*Group, bool) {
	d.groups.mu.RLock()
	g, ok := d.groups.byID[id]
	d.groups.mu.RUnlock()
	return g, ok
}

// Groups returns the groups sorted by address.
func (d *Directory) Groups() []*Group {
	d.groups.mu.RLock()
	all := make([]*Group, 0, len(d.groups.byID))
	for _, g := range d.groups.byID {
		all = append(all, g)
	}
	d.groups.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Group) int { return strings.Compare(string(a.Address), string(b.Address)) })
	return all
}

// Members returns the members of a group that exist, as they were added, users
// first.
func (d *Directory) Members(g *Group) (users []*User, nested []*Group) {
	for _, id := range g.Users {
		if u, ok := d.ByID(id); ok {
			users = append(users, u)
		}
	}
	for _, id := range g.Groups {
		if n, ok := d.GroupByID(id); ok {
			nested = append(nested, n)
		}
	}
	return users, nested
}

// Expand returns the enabled users of a group and of the groups in it, each once
// and those of the outer groups first, at most limit of them, and whether there
// are more. Groups that contain each other do no harm.
func (d *Directory) Expand(g *Group, limit int) (users []*User, more bool) {
	seen := map[string]bool{g.ID: true}
	for queue := []*Group{g}; len(queue) > 0; queue = queue[1:] {
		members, nested := d.Members(queue[0])
		for _, u := range members {
			if !u.Enabled || seen[u.ID] {
				continue
			}
			if len(users) == limit {
				return users, true
			}
			seen[u.ID] = true
			users = append(users, u)
		}
		for _, n := range nested {
			if !seen[n.ID] {
				seen[n.ID] = true
				queue = append(queue, n)
			}
		}
	}
	return users, false
}

const maxDescription = 1024 // bytes

func (g *Group) clean() error {
	g.Name, g.Description = strings.TrimSpace(g.Name), strings.TrimSpace(g.Description)
	if err := checkName(g.Name); err != nil {
		return err
	}
	if len(g.Description) > maxDescription || !utf8.ValidString(g.Description) || strings.ContainsFunc(g.Description, unicode.IsControl) {
		return invalid("description", "the description has more than %d bytes, or characters that cannot be shown", maxDescription)
	}
	return nil
}

// member finds out whom an address means.
func (d *Directory) member(text string) (userID, groupID string, err error) {
	address, err := parseAOR("members", text)
	if err != nil {
		return "", "", err
	}
	if u, ok := d.Lookup(address); ok {
		return u.ID, "", nil
	}
	if g, ok := d.LookupGroup(address); ok {
		return "", g.ID, nil
	}
	return "", "", invalid("members", "%s is neither a user nor a group", address)
}

func scanGroup(s store.Scanner) (*Group, error) {
	var created, changed int64
	g := new(Group)
	err := s.Scan(&g.ID, &g.Address, &g.Name, &g.Description, &g.Version, &created, &changed)
	g.Created, g.Changed = store.FromMicros(created), store.FromMicros(changed)
	return g, err
}
