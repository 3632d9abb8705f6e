package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/uc"
)

// catchUp brings memory to the newest revision in the store and tells the
// watchers. It is the one way in which changes reach memory, at the start, after
// a change made here and after one made elsewhere.
func (d *Directory) catchUp(ctx context.Context) error {
	d.following.Lock()
	defer d.following.Unlock()
	var n news
	err := d.db.View(ctx, func(tx *store.Tx) (err error) {
		n, err = d.fetch(ctx, tx, d.revision)
		return err
	})
	if err != nil || n.revision == d.revision {
		return err
	}
	first := d.revision < 0
	old := d.memory.apply(n.users, n.removed, n.domains)
	d.groups.apply(n.groups, n.removed)
	d.revision = n.revision
	d.note(n.sealed)
	if first {
		return nil // nobody watches yet
	}
	for _, id := range n.removed {
		if was := old[id]; was != nil {
			d.tell(Event{Removed, was.user, was.user})
		}
	}
	for _, e := range n.users {
		was := old[e.user.ID]
		switch {
		case was == nil:
			d.tell(Event{Added, e.user, nil})
		case was.passwordSet != e.passwordSet:
			d.tell(Event{PasswordSet, e.user, was.user})
		default:
			d.tell(Event{Changed, e.user, was.user})
		}
	}
	return nil
}

// news is what is newer than a revision.
type news struct {
	revision int64
	users    []*entry
	removed  []string // users and groups
	groups   []*Group
	domains  map[string]bool
	sealed   int // users whose password cannot be opened
}

func (d *Directory) fetch(ctx context.Context, tx *store.Tx, since int64) (n news, err error) {
	n.revision, err = store.One(ctx, tx, store.Value[int64], `SELECT value FROM directory_revision WHERE id = 1`)
	if err != nil || n.revision == since {
		return n, err
	}
	n.domains = map[string]bool{}
	if err = store.Each(ctx, tx, func(s store.Scanner) error {
		name, err := store.Value[string](s)
		n.domains[name] = true
		return err
	}, `SELECT name FROM directory_domain`); err != nil {
		return n, err
	}
	if since >= 0 {
		n.removed, err = store.All(ctx, tx, store.Value[string], `SELECT user_id FROM directory_removed WHERE revision > $1`, since)
		if err != nil {
			return n, err
		}
	}
	if since < 0 {
		n.users, n.sealed, err = d.readUsers(ctx, tx, "")
	} else {
		n.users, n.sealed, err = d.readUsers(ctx, tx, `WHERE revision > $1`, since)
	}
	if err != nil {
		return n, err
	}
	n.groups, err = fetchGroups(ctx, tx, since)
	// In the order of the changes; the engine's sorting would cost more.
	slices.SortStableFunc(n.users, func(a, b *entry) int { return cmp.Compare(a.revision, b.revision) })
	return n, err
}

// readUsers reads the users that a condition selects, "" for all.
func (d *Directory) readUsers(ctx context.Context, q store.Querier, where string, args ...any) (all []*entry, sealed int, err error) {
	byID := map[string]*entry{}
	err = store.Each(ctx, q, func(s store.Scanner) error {
		e, err := d.readUser(s)
		if err != nil {
			return err
		}
		if e.user.HasPassword && e.secrets == nil {
			sealed++
		}
		all = append(all, e)
		byID[e.user.ID] = e
		return nil
	}, `SELECT id, aor, name, enabled, policy, verifiers, password_set, version, revision, created, changed, profile, photo_hash, photo_size,
		source, source_id, logins, role
		FROM directory_user `+where, args...)
	if err != nil || len(all) == 0 {
		return nil, 0, err
	}
	of := ""
	if where != "" {
		of = ` AND user_id IN (SELECT id FROM directory_user ` + where + `)`
	}
	err = readList(ctx, q, byID, func(u *User) *[]uc.AOR { return &u.Aliases }, func(v string) uc.AOR { return uc.AOR(v) },
		`SELECT user_id, position - 1, address FROM directory_address WHERE position > 0`+of, args...)
	if err == nil {
		err = readList(ctx, q, byID, func(u *User) *[]string { return &u.Phones }, func(v string) string { return "tel:" + v },
			`SELECT user_id, position, number FROM directory_phone WHERE position >= 0`+of, args...)
	}
	return all, sealed, err
}

func (d *Directory) readUser(s store.Scanner) (*entry, error) {
	var policy, profile, logins string
	var verifiers []byte
	var created, changed, photoSize int64
	u := &User{}
	e := &entry{user: u}
	err := s.Scan(&u.ID, &u.AOR, &u.Name, &u.Enabled, &policy, &verifiers, &e.passwordSet, &u.Version, &e.revision, &created, &changed,
		&profile, &u.PhotoHash, &photoSize, &u.Origin.Source, &u.Origin.ID, &logins, &u.Role)
	if err != nil {
		return nil, err
	}
	u.Created, u.Changed = store.FromMicros(created), store.FromMicros(changed)
	if u.Policy, err = decodePolicy(policy); err != nil {
		return nil, fmt.Errorf("policy of %s: %w", u.AOR, err)
	}
	if u.Profile, err = decodeProfile(profile); err != nil {
		return nil, fmt.Errorf("profile of %s: %w", u.AOR, err)
	}
	u.PhotoSize = int(photoSize)
	if u.Origin.Logins, err = decodeLogins(logins); err != nil {
		return nil, fmt.Errorf("logins of %s: %w", u.AOR, err)
	}
	if verifiers == nil {
		return e, nil
	}
	u.HasPassword, u.PasswordSet = true, e.passwordSet
	e.sealedOld = d.keys.Old(verifiers)
	if e.secrets, err = d.unseal(u.ID, verifiers); err != nil {
		d.log.Error("password cannot be opened", "user", u.AOR, "err", err)
	}
	return e, nil
}

// readList fills in a list of each user from rows of user, position, value, in
// any order.
func readList[T any](ctx context.Context, q store.Querier, byID map[string]*entry, list func(*User) *[]T, convert func(string) T, text string, args ...any) error {
	return store.Each(ctx, q, func(s store.Scanner) error {
		var id, value string
		var position int
		if err := s.Scan(&id, &position, &value); err != nil {
			return err
		}
		e := byID[id]
		if e == nil {
			return nil
		}
		if position >= maxAliases+maxPhones {
			return fmt.Errorf("%s has a list of %d", e.user.AOR, position)
		}
		l := list(e.user)
		for len(*l) <= position {
			var zero T
			*l = append(*l, zero)
		}
		(*l)[position] = convert(value)
		return nil
	}, text, args...)
}

func (d *Directory) unseal(id string, sealed []byte) (*verifiers, error) {
	secret, err := d.keys.Open(place(id), sealed)
	if err != nil {
		return nil, err
	}
	return decodeVerifiers(secret)
}

// note keeps, for Problem, that passwords could not be opened.
func (d *Directory) note(sealed int) {
	if sealed == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem = fmt.Errorf("the passwords of %d users do not open with the keys in this node's keyring file; "+
		"restore the file %s from its copy, or set the passwords anew", sealed, keyring.FileName)
}

// Reseal seals again what was sealed with an old key (see keyring.Rotate) and
// returns how many users that were.
func (d *Directory) Reseal(ctx context.Context) (int, error) {
	var old []*entry
	d.memory.mu.RLock()
	for _, e := range d.memory.byID {
		if e.sealedOld && e.secrets != nil {
			old = append(old, e)
		}
	}
	d.memory.mu.RUnlock()
	done := 0
	err := d.write(ctx, func(tx *store.Tx, revision int64) error {
		done = 0
		for _, e := range old {
			err := store.Change(ctx, tx, `UPDATE directory_user SET verifiers = $1, revision = $2 WHERE id = $3 AND password_set = $4`,
				d.keys.Seal(place(e.user.ID), e.secrets.encode()), revision, e.user.ID, e.passwordSet)
			if errors.Is(err, store.ErrStale) {
				continue // has a new password meanwhile, sealed with the current key
			}
			if err != nil {
				return err
			}
			done++
		}
		return nil
	})
	return done, err
}
