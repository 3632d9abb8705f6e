package directory

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/internal/uc"
)

// The questions the directory asks the store.

// readUsers reads one user, or all when id is empty, with everything that
// belongs to them.
func (d *Directory) readUsers(ctx context.Context, q store.Querier, id string) ([]record, error) {
	where, args := "", []any{}
	if id != "" {
		where, args = " WHERE id = $1", []any{id}
	}
	byID := map[string]*record{}
	var order []*record
	err := store.Each(ctx, q, func(s store.Scanner) error {
		u := &User{}
		var policy string
		var created, changed int64
		if err := s.Scan(&u.ID, &u.Name, &u.Enabled, &policy, &u.Version, &created, &changed); err != nil {
			return err
		}
		var err error
		if u.Policy, err = decodePolicy(policy); err != nil {
			return fmt.Errorf("user %s: %w", u.ID, err)
		}
		u.Created, u.Changed = store.FromMicros(created), store.FromMicros(changed)
		r := &record{User: u}
		byID[u.ID], order = r, append(order, r)
		return nil
	}, "SELECT id, name, enabled, policy, version, created, changed FROM directory_user"+where, args...)
	if err != nil {
		return nil, err
	}
	if where != "" {
		where = " WHERE user_id = $1"
	}
	err = store.Each(ctx, q, func(s store.Scanner) error {
		var user, address string
		var position int64
		if err := s.Scan(&user, &address, &position); err != nil {
			return err
		}
		r := byID[user]
		switch {
		case r == nil: // added between the two questions
		case position == 0:
			r.AOR = uc.AOR(address)
		default:
			r.Aliases = append(r.Aliases, uc.AOR(address))
		}
		return nil
	}, "SELECT user_id, address, position FROM directory_address"+where+" ORDER BY user_id, position", args...)
	if err != nil {
		return nil, err
	}
	err = store.Each(ctx, q, func(s store.Scanner) error {
		var user, number string
		if err := s.Scan(&user, &number); err != nil {
			return err
		}
		if r := byID[user]; r != nil {
			r.Phones = append(r.Phones, "tel:"+number)
		}
		return nil
	}, "SELECT user_id, number FROM directory_number"+where+" ORDER BY user_id, position", args...)
	if err != nil {
		return nil, err
	}
	err = store.Each(ctx, q, func(s store.Scanner) error {
		var user string
		var sealed []byte
		if err := s.Scan(&user, &sealed); err != nil {
			return err
		}
		r := byID[user]
		if r == nil {
			return nil
		}
		plain, err := d.keys.Open(place(user), sealed)
		if err != nil {
			return fmt.Errorf("password verifiers of %s: %w (is the keyring file the one these users were made with?)", r.AOR, err)
		}
		r.HasPassword = true
		r.verifiers, err = decodeVerifiers(plain)
		return err
	}, "SELECT user_id, sealed FROM directory_credential"+where, args...)
	if err != nil {
		return nil, err
	}
	records := make([]record, len(order))
	for i, r := range order {
		records[i] = *r
	}
	return records, nil
}

func (d *Directory) readDomains(ctx context.Context) ([]string, error) {
	return store.All(ctx, d.db, store.Value[string], "SELECT name FROM directory_domain")
}

// insertUser writes a new user with all that belongs to it.
func insertUser(ctx context.Context, tx *store.Tx, r record, sealed []byte) error {
	policy, err := encodePolicy("", r.Policy)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO directory_user (id, name, enabled, policy, version, created, changed)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.ID, r.Name, r.Enabled, policy, r.Version, store.Micros(r.Created), store.Micros(r.Changed)); err != nil {
		return err
	}
	if err := insertAddresses(ctx, tx, r.User); err != nil {
		return err
	}
	if err := insertNumbers(ctx, tx, r.User); err != nil {
		return err
	}
	if sealed == nil {
		return nil
	}
	return putCredential(ctx, tx, r.ID, sealed)
}

func insertAddresses(ctx context.Context, tx *store.Tx, u *User) error {
	for i, a := range append([]uc.AOR{u.AOR}, u.Aliases...) {
		if _, err := tx.Exec(ctx, "INSERT INTO directory_address (address, domain, user_id, position) VALUES ($1, $2, $3, $4)",
			string(a), a.Domain(), u.ID, i); err != nil {
			return addressError(err, a)
		}
	}
	return nil
}

func insertNumbers(ctx context.Context, tx *store.Tx, u *User) error {
	for i, p := range u.Phones {
		if _, err := tx.Exec(ctx, "INSERT INTO directory_number (number, user_id, position) VALUES ($1, $2, $3)",
			p[len("tel:"):], u.ID, i); err != nil {
			return numberError(err, p)
		}
	}
	return nil
}

func putCredential(ctx context.Context, tx *store.Tx, id string, sealed []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO directory_credential (user_id, sealed) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed`, id, sealed)
	return err
}
