package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/store"
	"parley/internal/uc"
)

// NewUser is what Add needs.
type NewUser struct {
	AOR      string // "alice@example.test"
	Name     string
	Aliases  []string
	Phones   []string // any usual spelling: "+1 555 0100", "tel:+15550100;ext=42"
	Password string   // empty: cannot sign in yet
	Disabled bool
	Policy   *Policy // nil: DefaultPolicy
}

// Change says what Set changes; nil leaves a field as it is.
type Change struct {
	Version int64 // 0, or the Version the change was based on (store.ErrStale when it is not current)
	Name    *string
	Aliases *[]string
	Phones  *[]string
	Enabled *bool
	Policy  *Policy
}

// Add creates a user. Errors: *Invalid with a sentence for the administrator,
// store.ErrConflict for an address or number that is taken.
func (d *Directory) Add(ctx context.Context, n NewUser) (*User, error) {
	d.change.Lock()
	defer d.change.Unlock()
	records, err := d.insert(ctx, []NewUser{n})
	if err != nil {
		return nil, fmt.Errorf("add %s: %w", n.AOR, err)
	}
	return records[0].User, nil
}

// AddAll creates many users in one transaction, all or none.
func (d *Directory) AddAll(ctx context.Context, users []NewUser) error {
	d.change.Lock()
	defer d.change.Unlock()
	if _, err := d.insert(ctx, users); err != nil {
		return fmt.Errorf("add %d users: %w", len(users), err)
	}
	return nil
}

// insert is called with change held.
func (d *Directory) insert(ctx context.Context, users []NewUser) ([]record, error) {
	records := make([]record, len(users))
	for i, n := range users {
		r, err := d.prepare(n)
		if err != nil {
			return nil, err
		}
		records[i] = r
	}
	err := d.db.Tx(ctx, func(tx *store.Tx) error {
		for _, r := range records {
			if err := insertUser(ctx, tx, r, d.seal(r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		d.idx.put(r)
		d.tell(Event{Kind: Added, User: r.User})
		d.announce(announcement{User: r.ID})
	}
	return records, nil
}

// prepare checks what was typed and makes the user it describes.
func (d *Directory) prepare(n NewUser) (record, error) {
	aor, err := checkAOR("aor", n.AOR)
	if err != nil {
		return record{}, err
	}
	now := d.now()
	u := &User{ID: rand.Text(), AOR: aor, Name: n.Name, Enabled: !n.Disabled, Policy: DefaultPolicy(), Version: 1, Created: now, Changed: now}
	if n.Policy != nil {
		u.Policy = *n.Policy
	}
	if u.Aliases, err = checkAliases(aor, n.Aliases); err != nil {
		return record{}, err
	}
	if u.Phones, err = checkPhones(n.Phones); err != nil {
		return record{}, err
	}
	if err := d.check(u); err != nil {
		return record{}, err
	}
	r := record{User: u}
	if n.Password != "" {
		if err := checkPassword(aor, n.Password); err != nil {
			return record{}, err
		}
		r.verifiers, u.HasPassword = newVerifiers(aor, n.Password), true
	}
	return r, nil
}

func (d *Directory) check(u *User) error {
	if err := checkName(u.Name); err != nil {
		return err
	}
	if err := checkPolicy(u.Policy); err != nil {
		return err
	}
	for _, a := range append([]uc.AOR{u.AOR}, u.Aliases...) {
		if !d.idx.hasDomain([]byte(a.Domain())) {
			return invalid("aor", "%s is not one of the SIP domains here (%v)", a.Domain(), d.Domains())
		}
	}
	return nil
}

// now is the time as the store keeps it, so that memory and store agree.
func (d *Directory) now() time.Time { return store.FromMicros(store.Micros(time.Now())) }

func (d *Directory) seal(r record) []byte {
	if r.verifiers == nil {
		return nil
	}
	return d.keys.Seal(place(r.ID), r.verifiers.encode())
}

// Set changes a user and returns the new state.
func (d *Directory) Set(ctx context.Context, aor uc.AOR, c Change) (*User, error) {
	d.change.Lock()
	defer d.change.Unlock()
	u, err := d.set(ctx, aor, c)
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", aor, err)
	}
	return u, nil
}

func (d *Directory) set(ctx context.Context, aor uc.AOR, c Change) (*User, error) {
	old, ok := d.idx.byAOR([]byte(aor))
	if !ok {
		return nil, store.ErrNotFound
	}
	if c.Version != 0 && c.Version != old.Version {
		return nil, store.ErrStale
	}
	u := *old.User
	if err := apply(&u, c); err != nil {
		return nil, err
	}
	if err := d.check(&u); err != nil {
		return nil, err
	}
	u.Version, u.Changed = old.Version+1, d.now()
	err := d.db.Tx(ctx, func(tx *store.Tx) error {
		stored, err := store.One(ctx, tx, store.Value[string], "SELECT policy FROM directory_user WHERE id = $1", u.ID)
		if err != nil {
			return err
		}
		policy, err := encodePolicy(stored, u.Policy)
		if err != nil {
			return err
		}
		if err := store.Change(ctx, tx, `UPDATE directory_user SET name = $1, enabled = $2, policy = $3, version = $4, changed = $5
			WHERE id = $6 AND version = $7`, u.Name, u.Enabled, policy, u.Version, store.Micros(u.Changed), u.ID, old.Version); err != nil {
			return err
		}
		if !slices.Equal(u.Aliases, old.Aliases) {
			if _, err := tx.Exec(ctx, "DELETE FROM directory_address WHERE user_id = $1", u.ID); err != nil {
				return err
			}
			if err := insertAddresses(ctx, tx, &u); err != nil {
				return err
			}
		}
		if !slices.Equal(u.Phones, old.Phones) {
			if _, err := tx.Exec(ctx, "DELETE FROM directory_number WHERE user_id = $1", u.ID); err != nil {
				return err
			}
			return insertNumbers(ctx, tx, &u)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.replace(record{&u, old.verifiers}, Changed)
	return &u, nil
}

func apply(u *User, c Change) (err error) {
	if c.Name != nil {
		u.Name = *c.Name
	}
	if c.Aliases != nil {
		if u.Aliases, err = checkAliases(u.AOR, *c.Aliases); err != nil {
			return err
		}
	}
	if c.Phones != nil {
		if u.Phones, err = checkPhones(*c.Phones); err != nil {
			return err
		}
	}
	if c.Enabled != nil {
		u.Enabled = *c.Enabled
	}
	if c.Policy != nil {
		u.Policy = *c.Policy
	}
	return nil
}

// replace puts a new state into memory and tells of it.
func (d *Directory) replace(r record, kind EventKind) {
	old := d.idx.put(r)
	d.tell(Event{Kind: kind, User: r.User, Old: old})
	d.announce(announcement{User: r.ID})
}

// Enable and Disable are Set with Enabled alone.
func (d *Directory) Enable(ctx context.Context, aor uc.AOR) (*User, error) {
	return d.Set(ctx, aor, Change{Enabled: new(true)})
}

// Disable keeps the user and all data; see Enable.
func (d *Directory) Disable(ctx context.Context, aor uc.AOR) (*User, error) {
	return d.Set(ctx, aor, Change{Enabled: new(false)})
}

// Remove deletes a user; version as in Change. store.ErrNotFound when there is none.
func (d *Directory) Remove(ctx context.Context, aor uc.AOR, version int64) error {
	d.change.Lock()
	defer d.change.Unlock()
	old, ok := d.idx.byAOR([]byte(aor))
	switch {
	case !ok:
		return fmt.Errorf("remove %s: %w", aor, store.ErrNotFound)
	case version != 0 && version != old.Version:
		return fmt.Errorf("remove %s: %w", aor, store.ErrStale)
	}
	if err := store.Change(ctx, d.db, "DELETE FROM directory_user WHERE id = $1 AND version = $2", old.ID, old.Version); err != nil {
		return fmt.Errorf("remove %s: %w", aor, err)
	}
	d.idx.remove(old.ID)
	d.tell(Event{Kind: Removed, User: old.User, Old: old.User})
	d.announce(announcement{User: old.ID})
	return nil
}

// SetPassword replaces all verifiers of a user.
func (d *Directory) SetPassword(ctx context.Context, aor uc.AOR, password string) error {
	d.change.Lock()
	defer d.change.Unlock()
	old, ok := d.idx.byAOR([]byte(aor))
	if !ok {
		return fmt.Errorf("set the password of %s: %w", aor, store.ErrNotFound)
	}
	if err := checkPassword(old.AOR, password); err != nil {
		return err
	}
	u := *old.User
	u.HasPassword, u.Version, u.Changed = true, old.Version+1, d.now()
	r := record{&u, newVerifiers(u.AOR, password)}
	err := d.db.Tx(ctx, func(tx *store.Tx) error {
		if err := store.Change(ctx, tx, "UPDATE directory_user SET version = $1, changed = $2 WHERE id = $3 AND version = $4",
			u.Version, store.Micros(u.Changed), u.ID, old.Version); err != nil {
			return err
		}
		return putCredential(ctx, tx, u.ID, d.seal(r))
	})
	if err != nil {
		return fmt.Errorf("set the password of %s: %w", aor, err)
	}
	d.replace(r, PasswordSet)
	return nil
}

func addressError(err error, a uc.AOR) error {
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("the address %s is taken: %w", a, err)
	}
	return err
}

func numberError(err error, phone string) error {
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("the number %s belongs to somebody else: %w", phone, err)
	}
	return err
}
