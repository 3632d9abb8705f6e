package directory

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	Profile  Profile
	Role     Role
}

// Change says what Set changes; nil leaves a field as it is.
type Change struct {
	Version int64 // 0, or the Version the change was based on (store.ErrStale when it is not current)
	Name    *string
	Aliases *[]string
	Phones  *[]string
	Enabled *bool
	Policy  *Policy
	Profile *Profile // as a whole; take User.Profile and change fields of it
	Role    *Role
}

// Add creates a user. Errors: *Invalid with a sentence for the administrator,
// *Taken for an address or number that another user has.
func (d *Directory) Add(ctx context.Context, n NewUser) (*User, error) {
	row, err := d.prepare(n)
	if err != nil {
		return nil, err
	}
	if err := d.write(ctx, func(tx *store.Tx, revision int64) error { return d.insert(ctx, tx, row, revision) }); err != nil {
		return nil, err
	}
	return d.current(ctx, row.user.ID)
}

// AddAll creates many users in one transaction, all or none.
func (d *Directory) AddAll(ctx context.Context, users []NewUser) error {
	rows := make([]*newRow, len(users))
	for i, n := range users {
		row, err := d.prepare(n)
		if err != nil {
			return fmt.Errorf("user %d, %s: %w", i+1, n.AOR, err)
		}
		rows[i] = row
	}
	return d.write(ctx, func(tx *store.Tx, revision int64) error {
		for i, row := range rows {
			if err := d.insert(ctx, tx, row, revision); err != nil {
				return fmt.Errorf("user %d, %s: %w", i+1, row.user.AOR, err)
			}
		}
		return nil
	})
}

// newRow is a checked NewUser.
type newRow struct {
	user    *User
	phones  []string // without "tel:"
	policy  string
	profile string
	sealed  []byte // nil without a password
}

func (d *Directory) prepare(n NewUser) (*newRow, error) {
	aor, err := parseAOR("aor", n.AOR)
	if err != nil {
		return nil, err
	}
	u := &User{ID: rand.Text(), AOR: aor, Name: strings.TrimSpace(n.Name), Enabled: !n.Disabled, Policy: DefaultPolicy(), Profile: n.Profile, Role: n.Role}
	row := &newRow{user: u}
	if err := checkName(u.Name); err != nil {
		return nil, err
	}
	if u.Aliases, err = parseAliases(aor, n.Aliases); err != nil {
		return nil, err
	}
	for _, address := range append([]uc.AOR{aor}, u.Aliases...) {
		if err := d.knownDomain(address); err != nil {
			return nil, err
		}
	}
	if row.phones, err = parsePhones(n.Phones); err != nil {
		return nil, err
	}
	if n.Policy != nil {
		u.Policy = *n.Policy
	}
	if err := u.Policy.check(); err != nil {
		return nil, err
	}
	if row.policy, err = encodePolicy(u.Policy); err != nil {
		return nil, err
	}
	if err := u.Profile.clean(); err != nil {
		return nil, err
	}
	if err := u.Role.check(); err != nil {
		return nil, err
	}
	if row.profile, err = encodeProfile("{}", u.Profile); err != nil {
		return nil, err
	}
	if n.Password != "" {
		if err := checkPassword(aor, u.Name, n.Password); err != nil {
			return nil, err
		}
		row.sealed = d.keys.Seal(place(u.ID), newVerifiers(aor, n.Password).encode())
	}
	return row, d.free(u.ID, u.AOR, u.Aliases, row.phones)
}

func (d *Directory) knownDomain(address uc.AOR) error {
	d.memory.mu.RLock()
	known := d.memory.domains[address.Domain()]
	d.memory.mu.RUnlock()
	if known {
		return nil
	}
	if all := d.Domains(); len(all) > 0 {
		return invalid("aor", "%s is not a SIP domain of this server; it has %s", address.Domain(), strings.Join(all, ", "))
	}
	return invalid("aor", "%s is not a SIP domain of this server; it has none yet", address.Domain())
}

// free says, from memory, whose an address or number is. The store has the last
// word; this is for the better sentence.
func (d *Directory) free(id string, aor uc.AOR, aliases []uc.AOR, phones []string) error {
	d.memory.mu.RLock()
	defer d.memory.mu.RUnlock()
	for i, address := range append([]uc.AOR{aor}, aliases...) {
		if e := d.memory.byAddress[address]; e != nil && e.user.ID != id {
			return &Taken{Field: map[bool]string{true: "aor", false: "aliases"}[i == 0], Value: string(address), By: e.user.AOR}
		}
	}
	for _, number := range phones {
		if e := d.memory.byNumber[number]; e != nil && e.user.ID != id {
			return &Taken{Field: "phones", Value: number, By: e.user.AOR}
		}
	}
	return nil
}

func (d *Directory) insert(ctx context.Context, tx *store.Tx, row *newRow, revision int64) error {
	u, now := row.user, store.Micros(time.Now())
	var passwordSet int64
	if row.sealed != nil {
		passwordSet = revision
	}
	_, err := tx.Exec(ctx, `INSERT INTO directory_user (id, aor, domain, name, enabled, policy, verifiers, password_set, version, revision, created, changed, profile, role)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $10, $11, $12)`,
		u.ID, string(u.AOR), u.AOR.Domain(), u.Name, u.Enabled, row.policy, row.sealed, passwordSet, revision, now, row.profile, string(u.Role))
	switch {
	case errors.Is(err, store.ErrConflict):
		return &Taken{Field: "aor", Value: string(u.AOR), By: u.AOR}
	case errors.Is(err, store.ErrReferenced):
		return invalid("aor", "%s is no longer a SIP domain of this server", u.AOR.Domain())
	case err != nil:
		return err
	}
	if err := insertAddresses(ctx, tx, u.ID, append([]uc.AOR{u.AOR}, u.Aliases...), 0); err != nil {
		return err
	}
	return insertPhones(ctx, tx, u.ID, row.phones)
}

func insertAddresses(ctx context.Context, tx *store.Tx, id string, addresses []uc.AOR, position int) error {
	for i, address := range addresses {
		if err := notGroup(ctx, tx, map[bool]string{true: "aor", false: "aliases"}[position+i == 0], address); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO directory_address (address, user_id, position) VALUES ($1, $2, $3)`, string(address), id, position+i)
		if errors.Is(err, store.ErrConflict) {
			return &Taken{Field: map[bool]string{true: "aor", false: "aliases"}[position+i == 0], Value: string(address)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func insertPhones(ctx context.Context, tx *store.Tx, id string, phones []string) error {
	for i, number := range phones {
		_, err := tx.Exec(ctx, `INSERT INTO directory_phone (number, user_id, position) VALUES ($1, $2, $3)`, number, id, i)
		if errors.Is(err, store.ErrConflict) {
			return &Taken{Field: "phones", Value: number}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Set changes a user and returns the new state. aor may be an alias.
func (d *Directory) Set(ctx context.Context, aor uc.AOR, c Change) (*User, error) {
	if c.Name != nil || c.Aliases != nil || c.Phones != nil || c.Enabled != nil || c.Profile != nil {
		if err := d.foreign(aor, "origin"); err != nil {
			return nil, err
		}
	}
	id, err := d.idOf(aor)
	if err != nil {
		return nil, err
	}
	err = d.write(ctx, func(tx *store.Tx, revision int64) error { return d.update(ctx, tx, id, c, revision) })
	if err != nil {
		return nil, err
	}
	return d.current(ctx, id)
}

// update reads the row as it is now, which nobody else can change before the
// transaction ends (see directory_revision), and writes it changed.
func (d *Directory) update(ctx context.Context, tx *store.Tx, id string, c Change, revision int64) error {
	u, err := d.readForUpdate(ctx, tx, id, c.Version)
	if err != nil {
		return err
	}
	if c.Name != nil {
		u.Name = strings.TrimSpace(*c.Name)
		if err := checkName(u.Name); err != nil {
			return err
		}
	}
	if c.Enabled != nil {
		u.Enabled = *c.Enabled
	}
	if c.Policy != nil {
		unknown := u.Policy.unknown
		if u.Policy = *c.Policy; u.Policy.unknown == "" {
			u.Policy.unknown = unknown // an API shows only what this version knows
		}
		if err := u.Policy.check(); err != nil {
			return err
		}
	}
	if c.Role != nil {
		u.Role = *c.Role
		if err := u.Role.check(); err != nil {
			return err
		}
	}
	policy, err := encodePolicy(u.Policy)
	if err != nil {
		return err
	}
	if err := store.Change(ctx, tx, `UPDATE directory_user SET name = $1, enabled = $2, policy = $3, role = $8, version = version + 1,
		revision = $4, changed = $5 WHERE id = $6 AND version = $7`,
		u.Name, u.Enabled, policy, revision, store.Micros(time.Now()), id, u.Version, string(u.Role)); err != nil {
		return err
	}
	if c.Profile != nil {
		if err := d.replaceProfile(ctx, tx, u, *c.Profile); err != nil {
			return err
		}
	}
	if c.Aliases != nil {
		if err := d.replaceAliases(ctx, tx, u, *c.Aliases); err != nil {
			return err
		}
	}
	if c.Phones != nil {
		return d.replacePhones(ctx, tx, u, *c.Phones)
	}
	return nil
}

func (d *Directory) replaceProfile(ctx context.Context, tx *store.Tx, u *User, p Profile) error {
	if err := p.clean(); err != nil {
		return err
	}
	stored, err := store.One(ctx, tx, store.Value[string], `SELECT profile FROM directory_user WHERE id = $1`, u.ID)
	if err != nil {
		return err
	}
	text, err := encodeProfile(stored, p)
	if err != nil {
		return err
	}
	return store.Change(ctx, tx, `UPDATE directory_user SET profile = $1 WHERE id = $2`, text, u.ID)
}

func (d *Directory) replaceAliases(ctx context.Context, tx *store.Tx, u *User, texts []string) error {
	aliases, err := parseAliases(u.AOR, texts)
	if err != nil {
		return err
	}
	for _, alias := range aliases {
		if err := d.knownDomain(alias); err != nil {
			return err
		}
	}
	if err := d.free(u.ID, u.AOR, aliases, nil); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM directory_address WHERE user_id = $1 AND position > 0`, u.ID); err != nil {
		return err
	}
	return insertAddresses(ctx, tx, u.ID, aliases, 1)
}

func (d *Directory) replacePhones(ctx context.Context, tx *store.Tx, u *User, texts []string) error {
	phones, err := parsePhones(texts)
	if err != nil {
		return err
	}
	if err := d.free(u.ID, u.AOR, nil, phones); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM directory_phone WHERE user_id = $1`, u.ID); err != nil {
		return err
	}
	return insertPhones(ctx, tx, u.ID, phones)
}

// readForUpdate returns the user as the store has it, without the lists.
func (d *Directory) readForUpdate(ctx context.Context, tx *store.Tx, id string, version int64) (*User, error) {
	u := &User{ID: id}
	var policy string
	err := tx.QueryRow(ctx, `SELECT aor, name, enabled, policy, version, role FROM directory_user WHERE id = $1`, id).
		Scan(&u.AOR, &u.Name, &u.Enabled, &policy, &u.Version, &u.Role)
	if err != nil {
		return nil, err
	}
	if version != 0 && version != u.Version {
		return nil, store.ErrStale
	}
	u.Policy, err = decodePolicy(policy)
	return u, err
}

// Enable lets a user sign in again.
func (d *Directory) Enable(ctx context.Context, aor uc.AOR) (*User, error) {
	yes := true
	return d.Set(ctx, aor, Change{Enabled: &yes})
}

// Disable keeps a user from signing in and from being reached; what belongs to
// the user stays.
func (d *Directory) Disable(ctx context.Context, aor uc.AOR) (*User, error) {
	no := false
	return d.Set(ctx, aor, Change{Enabled: &no})
}

// SetPassword replaces all verifiers of a user.
func (d *Directory) SetPassword(ctx context.Context, aor uc.AOR, password string) error {
	if err := d.foreign(aor, "password"); err != nil {
		return err
	}
	id, err := d.idOf(aor)
	if err != nil {
		return err
	}
	return d.write(ctx, func(tx *store.Tx, revision int64) error {
		u, err := d.readForUpdate(ctx, tx, id, 0)
		if err != nil {
			return err
		}
		if err := checkPassword(u.AOR, u.Name, password); err != nil {
			return err
		}
		sealed := d.keys.Seal(place(id), newVerifiers(u.AOR, password).encode())
		return store.Change(ctx, tx, `UPDATE directory_user SET verifiers = $1, password_set = $2, version = version + 1,
			revision = $2, changed = $3 WHERE id = $4`, sealed, revision, store.Micros(time.Now()), id)
	})
}

// removedFor is how long the store remembers that a user was removed. A node
// that ran for longer without reaching the store would not notice.
const removedFor = 30 * 24 * time.Hour

// Remove deletes a user; version as in Change. store.ErrNotFound when there is
// none.
func (d *Directory) Remove(ctx context.Context, aor uc.AOR, version int64) error {
	// One who is disabled there would not come back.
	if u, ok := d.Lookup(aor); ok && u.Enabled {
		if err := d.foreign(aor, "origin"); err != nil {
			return err
		}
	}
	id, err := d.idOf(aor)
	if err != nil {
		return err
	}
	return d.write(ctx, func(tx *store.Tx, revision int64) error {
		if _, err := d.readForUpdate(ctx, tx, id, version); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM directory_user WHERE id = $1`, id); err != nil {
			return err
		}
		now := time.Now()
		if _, err := tx.Exec(ctx, `DELETE FROM directory_removed WHERE removed < $1`, store.Micros(now.Add(-removedFor))); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO directory_removed (user_id, revision, removed) VALUES ($1, $2, $3)`, id, revision, store.Micros(now))
		return err
	})
}

// AddDomain adds a SIP domain. One that exists is no error.
func (d *Directory) AddDomain(ctx context.Context, name string) error {
	name, err := parseDomain(name)
	if err != nil {
		return err
	}
	if d.IsLocal([]byte(name)) {
		return nil
	}
	return d.write(ctx, func(tx *store.Tx, _ int64) error {
		_, err := tx.Exec(ctx, `INSERT INTO directory_domain (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
			name, store.Micros(time.Now()))
		return err
	})
}

// RemoveDomain removes a SIP domain. One that still has addresses is
// store.ErrReferenced; one that does not exist is store.ErrNotFound.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	name, err := parseDomain(name)
	if err != nil {
		return err
	}
	d.memory.mu.RLock()
	used := uc.AOR("")
	for address := range d.memory.byAddress {
		if address.Domain() == name {
			used = address
			break
		}
	}
	d.memory.mu.RUnlock()
	if used != "" {
		return fmt.Errorf("%s still has addresses, such as %s, which must go first: %w", name, used, store.ErrReferenced)
	}
	return d.write(ctx, func(tx *store.Tx, _ int64) error {
		n, err := tx.Exec(ctx, `DELETE FROM directory_domain WHERE name = $1`, name)
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// write runs fn with the number of a new revision, brings memory up to date and
// tells the other nodes. It waits for another change that is being made.
func (d *Directory) write(ctx context.Context, fn func(tx *store.Tx, revision int64) error) error {
	var revision int64
	err := d.db.Tx(ctx, func(tx *store.Tx) error {
		err := tx.QueryRow(ctx, `UPDATE directory_revision SET value = value + 1 WHERE id = 1 RETURNING value`).Scan(&revision)
		if err != nil {
			return err
		}
		return fn(tx, revision)
	})
	if err != nil {
		return err
	}
	// The change is kept; that it shows here a moment later is no failure of it.
	catch, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookEvery)
	defer cancel()
	if err := d.catchUp(catch); err != nil {
		d.log.Warn("users not brought up to date", "err", err)
		d.hint()
	}
	d.announce(revision)
	return nil
}

func (d *Directory) announce(revision int64) {
	if d.bus == nil {
		return
	}
	text, err := json.Marshal(map[string]any{"v": 1, "node": d.bus.Node(), "revision": revision})
	if err == nil {
		err = d.bus.Publish(d.subject(), text)
	}
	if err != nil {
		d.log.Warn("change of users not announced", "err", err) // the others look by themselves
	}
}

func (d *Directory) idOf(aor uc.AOR) (string, error) {
	u, ok := d.Lookup(aor)
	if !ok {
		return "", store.ErrNotFound
	}
	return u.ID, nil
}

// current returns a user that was just written, from memory, or from the store
// if memory could not be brought up to date.
func (d *Directory) current(ctx context.Context, id string) (*User, error) {
	if u, ok := d.ByID(id); ok {
		return u, nil
	}
	all, _, err := d.readUsers(ctx, d.db, `WHERE id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, store.ErrNotFound // removed by somebody else already
	}
	return all[0].user, nil
}
