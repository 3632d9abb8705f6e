package directory

import (
	"context"
	"errors"
	"fmt"

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
	removed  []string
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
	n.users, n.sealed, err = d.readUsers(ctx, tx, `revision > $1`, since)
	return n, err
}

// readUsers reads the users that match a condition with one argument.
func (d *Directory) readUsers(ctx context.Context, q store.Querier, where string, arg any) (all []*entry, sealed int, err error) {
	byID := map[string]*entry{}
	err = store.Each(ctx, q, func(s store.Scanner) error {
		var policy string
		var verifiers []byte
		var created, changed int64
		u := &User{}
		e := &entry{user: u}
		err := s.Scan(&u.ID, &u.AOR, &u.Name, &u.Enabled, &policy, &verifiers, &e.passwordSet, &u.Version, &created, &changed)
		if err != nil {
			return err
		}
		u.Created, u.Changed = store.FromMicros(created), store.FromMicros(changed)
		if u.Policy, err = decodePolicy(policy); err != nil {
			return fmt.Errorf("policy of %s: %w", u.AOR, err)
		}
		if verifiers != nil {
			u.HasPassword = true
			e.sealedOld = d.keys.Old(verifiers)
			if e.secrets, err = d.unseal(u.ID, verifiers); err != nil {
				sealed++
				d.log.Error("password cannot be opened", "user", u.AOR, "err", err)
			}
		}
		all = append(all, e)
		byID[u.ID] = e
		return nil
	}, `SELECT id, aor, name, enabled, policy, verifiers, password_set, version, created, changed
		FROM directory_user WHERE `+where+` ORDER BY revision, id`, arg)
	if err != nil || len(all) == 0 {
		return nil, 0, err
	}
	err = d.readLists(ctx, q, where, arg, byID)
	return all, sealed, err
}

// readLists fills in aliases and phones.
func (d *Directory) readLists(ctx context.Context, q store.Querier, where string, arg any, byID map[string]*entry) error {
	for _, list := range []struct {
		text string
		add  func(u *User, value string)
	}{
		{`SELECT user_id, address FROM directory_address WHERE position > 0`, func(u *User, v string) { u.Aliases = append(u.Aliases, uc.AOR(v)) }},
		{`SELECT user_id, number FROM directory_phone WHERE position >= 0`, func(u *User, v string) { u.Phones = append(u.Phones, "tel:"+v) }},
	} {
		err := store.Each(ctx, q, func(s store.Scanner) error {
			var id, value string
			if err := s.Scan(&id, &value); err != nil {
				return err
			}
			if e := byID[id]; e != nil {
				list.add(e.user, value)
			}
			return nil
		}, list.text+` AND user_id IN (SELECT id FROM directory_user WHERE `+where+`) ORDER BY user_id, position`, arg)
		if err != nil {
			return err
		}
	}
	return nil
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
