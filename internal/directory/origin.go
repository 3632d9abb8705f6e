package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/store"
	"parley/internal/uc"
)

// Origin says which other directory a user is kept in. The zero value is a user
// made here. A user of another directory has no password here, and is changed
// by Replicate and Withdraw alone, but for the policy.
type Origin struct {
	Source string   // name of the other directory, such as "active-directory"
	ID     string   // what that calls the user for ever
	Logins []string // names by which the user proves there who he is, as "alice@example.test" in lower case; the first is for passwords
}

const (
	maxLogins = 4
	maxLogin  = 512 // bytes
)

// Replica is a user as another directory has him.
type Replica struct {
	ID      string // see Origin
	Logins  []string
	AOR     string
	Name    string
	Aliases []string
	Phones  []string // those that are no international numbers, or are somebody else's, are left out
	Enabled bool
	Profile Profile
}

// Replicated is what Replicate did with a Replica.
type Replicated struct {
	User    *User // nil when there is none: refused, or not enabled and never was
	Changed bool
	Notes   []string // what was left out and why, for the administrator
	Err     error    // why the whole user was refused: *Invalid or *Taken
}

// Replicate makes the users of a source what it says. Who is not known yet is
// added when enabled; nobody is removed. The address of record of a user never
// changes: another one becomes an alias. Users of this directory are left
// alone, and so whoever has the address of one of them is refused. The results
// are in the order of all; the error is of the store, and what came before it
// is done.
func (d *Directory) Replicate(ctx context.Context, source string, all []Replica) ([]Replicated, error) {
	out := make([]Replicated, 0, len(all))
	for i := range all {
		r, err := d.replicate(ctx, source, &all[i])
		var bad *Invalid
		var taken *Taken
		if errors.As(err, &bad) || errors.As(err, &taken) {
			r, err = Replicated{Err: err}, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (d *Directory) replicate(ctx context.Context, source string, r *Replica) (out Replicated, err error) {
	logins, err := encodeLogins(r.Logins)
	if err != nil {
		return out, err
	}
	u, known := d.ByOrigin(source, r.ID)
	switch {
	case !known && !r.Enabled:
		return out, nil
	case !known:
		n := NewUser{AOR: r.AOR, Name: r.Name, Aliases: r.Aliases, Phones: r.Phones, Profile: r.Profile}
		aor, err := parseAOR("aor", r.AOR)
		if err != nil {
			return out, err
		}
		n.Aliases, n.Phones = d.usable("", aor, r, &out)
		row, err := d.prepare(n)
		if err != nil {
			return out, err
		}
		err = d.write(ctx, func(tx *store.Tx, revision int64) error {
			if err := d.insert(ctx, tx, row, revision); err != nil {
				return err
			}
			return store.Change(ctx, tx, `UPDATE directory_user SET source = $1, source_id = $2, logins = $3 WHERE id = $4`, source, r.ID, logins, row.user.ID)
		})
		if err != nil {
			return out, err
		}
		out.Changed = true
		out.User, err = d.current(ctx, row.user.ID)
		return out, err
	}
	out.User = u
	aliases, phones := d.usable(u.ID, u.AOR, r, &out)
	c := Change{Name: &r.Name, Aliases: &aliases, Phones: &phones, Enabled: &r.Enabled, Profile: &r.Profile}
	if err := r.Profile.clean(); err != nil {
		return out, err
	}
	if r.Name = strings.TrimSpace(r.Name); u.Name == r.Name && u.Enabled == r.Enabled && u.Profile == r.Profile &&
		slices.EqualFunc(u.Aliases, aliases, func(a uc.AOR, b string) bool { return string(a) == b }) &&
		slices.Equal(u.Phones, phones) && slices.Equal(u.Origin.Logins, r.Logins) {
		return out, nil
	}
	err = d.write(ctx, func(tx *store.Tx, revision int64) error {
		if err := d.update(ctx, tx, u.ID, c, revision); err != nil {
			return err
		}
		return store.Change(ctx, tx, `UPDATE directory_user SET logins = $1 WHERE id = $2`, logins, u.ID)
	})
	if err != nil {
		return out, err
	}
	out.Changed = true
	out.User, err = d.current(ctx, u.ID)
	return out, err
}

// usable returns the aliases and numbers of r that a user can have, canonical,
// and notes the others. id is empty for a new user.
func (d *Directory) usable(id string, aor uc.AOR, r *Replica, out *Replicated) (aliases, phones []string) {
	note := func(err error) { out.Notes = append(out.Notes, err.Error()) }
	wanted := r.Aliases
	if other, err := parseAOR("aor", r.AOR); err == nil && other != aor {
		out.Notes = append(out.Notes, fmt.Sprintf("keeps the address %s; %s is an alias", aor, other))
		wanted = append([]string{r.AOR}, wanted...)
	}
	for _, text := range wanted {
		alias, err := parseAOR("aliases", text)
		if err == nil {
			if alias == aor || slices.Contains(aliases, string(alias)) || !d.IsLocal([]byte(alias.Domain())) {
				continue // of a mail domain that is none of ours: nothing to say about
			}
			err = d.free(id, aor, []uc.AOR{alias}, nil)
		}
		if err == nil && len(aliases) == maxAliases {
			err = fmt.Errorf("%s is one alias too many", alias)
		}
		if err != nil {
			note(err)
			continue
		}
		aliases = append(aliases, string(alias))
	}
	for _, text := range r.Phones {
		number, ok := canonicalNumber(text)
		switch {
		case !ok:
			note(fmt.Errorf("%q is not an international number, such as +1 555 0100", text))
			continue
		case slices.Contains(phones, "tel:"+number):
			continue
		case len(phones) == maxPhones:
			note(fmt.Errorf("%s is one number too many", number))
			continue
		}
		if err := d.free(id, aor, nil, []string{number}); err != nil {
			note(err)
			continue
		}
		phones = append(phones, "tel:"+number)
	}
	return aliases, phones
}

// Withdraw disables users of a source, by their IDs there, and returns those
// who were enabled.
func (d *Directory) Withdraw(ctx context.Context, source string, ids []string) ([]*User, error) {
	var gone []*User
	no := false
	for _, id := range ids {
		u, ok := d.ByOrigin(source, id)
		if !ok || !u.Enabled {
			continue
		}
		err := d.write(ctx, func(tx *store.Tx, revision int64) error {
			return d.update(ctx, tx, u.ID, Change{Enabled: &no}, revision)
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return gone, err
		}
		gone = append(gone, u)
	}
	return gone, nil
}

// SetReplicaPhoto is SetPhoto for a user of a source.
func (d *Directory) SetReplicaPhoto(ctx context.Context, u *User, b []byte) (*User, error) {
	return d.setPhoto(ctx, u, b, 0)
}

// Of lists the users of a source.
func (d *Directory) Of(source string) []*User {
	var all []*User
	d.memory.mu.RLock()
	defer d.memory.mu.RUnlock()
	for _, e := range d.memory.byOrigin {
		if e.user.Origin.Source == source {
			all = append(all, e.user)
		}
	}
	return all
}

// ByOrigin returns a user of another directory by what that calls him.
func (d *Directory) ByOrigin(source, id string) (*User, bool) {
	d.memory.mu.RLock()
	e := d.memory.byOrigin[originKey{source, id}]
	d.memory.mu.RUnlock()
	return e.found()
}

// ByLogin returns the user of another directory who proves there that he is
// login, such as "alice@example.test" (any case). here reports whether users of
// another directory have names in that realm at all: whoever else comes with one
// of those must not be taken for a namesake of this directory.
func (d *Directory) ByLogin(login string) (u *User, here bool) {
	login = strings.ToLower(login)
	d.memory.mu.RLock()
	e := d.memory.byLogin[login]
	here = d.memory.realms[realmOf(login)] > 0
	d.memory.mu.RUnlock()
	u, _ = e.found()
	return u, here
}

func realmOf(login string) string { return login[strings.LastIndexByte(login, '@')+1:] }

// foreign refuses a change of what another directory keeps.
func (d *Directory) foreign(aor uc.AOR, field string) error {
	if u, ok := d.Lookup(aor); ok && u.Origin.Source != "" {
		return invalid(field, "%s is kept in %s: change it there", u.AOR, u.Origin.Source)
	}
	return nil
}

func encodeLogins(logins []string) (string, error) {
	if len(logins) > maxLogins {
		return "", invalid("logins", "%d names, want at most %d", len(logins), maxLogins)
	}
	for _, l := range logins {
		if len(l) > maxLogin || strings.ToLower(l) != l || !strings.Contains(l, "@") {
			return "", invalid("logins", "%.64q is no name such as alice@example.test in lower case", l)
		}
	}
	if logins == nil {
		logins = []string{}
	}
	text, err := json.Marshal(logins)
	return string(text), err
}

func decodeLogins(text string) (logins []string, err error) {
	if text == "[]" { // everybody made here
		return nil, nil
	}
	err = json.Unmarshal([]byte(text), &logins)
	return logins, err
}

// originKey is a user in another directory.
type originKey struct{ source, id string }

// index adds what a user of another directory is found by; sign is 1 or -1 to
// take it out again. The caller holds mu.
func (m *memory) index(e *entry, sign int) {
	o := &e.user.Origin
	if o.Source == "" {
		return
	}
	key := originKey{o.Source, o.ID}
	if sign > 0 {
		m.byOrigin[key] = e
	} else if m.byOrigin[key] == e {
		delete(m.byOrigin, key)
	}
	for _, l := range o.Logins {
		if sign > 0 {
			m.byLogin[l] = e
		} else if m.byLogin[l] == e {
			delete(m.byLogin, l)
		}
		if m.realms[realmOf(l)] += sign; m.realms[realmOf(l)] <= 0 {
			delete(m.realms, realmOf(l))
		}
	}
}
