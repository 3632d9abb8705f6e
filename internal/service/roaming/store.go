package roaming

import (
	"context"
	"errors"

	"parley/internal/store"
	"parley/internal/xmldoc/contacts"
)

// lists are the tables of contact lists.
type lists struct{ db *store.DB }

// Load reads a user's list.
func (l *lists) Load(ctx context.Context, owner string) (*contacts.List, error) {
	out := &contacts.List{DeltaNum: 1, Groups: []contacts.Group{{ID: 1, Name: contacts.OtherContacts}}}
	err := l.db.View(ctx, func(tx *store.Tx) error {
		delta, err := store.One(ctx, tx, store.Value[int64], `SELECT delta FROM roaming_list WHERE owner = $1`, owner)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		out.DeltaNum = delta
		groups, err := store.All(ctx, tx, func(s store.Scanner) (g contacts.Group, err error) {
			var id int64
			err = s.Scan(&id, &g.Name, &g.ExternalURI)
			g.ID = int(id)
			return g, err
		}, `SELECT id, name, external_uri FROM roaming_group WHERE owner = $1 ORDER BY id`, owner)
		if err != nil {
			return err
		}
		out.Groups = append(out.Groups, groups...)
		out.Contacts, err = store.All(ctx, tx, func(s store.Scanner) (c contacts.Contact, err error) {
			var groups string
			if err = s.Scan(&c.URI, &c.Name, &groups, &c.Subscribed, &c.ExternalURI, &c.Extension); err == nil {
				c.Groups, err = contacts.ParseGroups(groups)
			}
			return c, err
		}, `SELECT uri, name, groups, subscribed, external_uri, extension FROM roaming_contact WHERE owner = $1 ORDER BY uri`, owner)
		return err
	})
	return out, err
}

// Save makes a change of the list numbered from, which then has the next number.
// store.ErrStale when that is not the current one any more.
func (l *lists) Save(ctx context.Context, owner string, from int64, c *contacts.Change) error {
	return l.db.Write(ctx, func(tx *store.Tx) error {
		if from == 1 {
			// The first change makes the row; of two first ones, one does.
			if _, err := tx.Exec(ctx, `INSERT INTO roaming_list (owner, delta) VALUES ($1, 1) ON CONFLICT (owner) DO NOTHING`, owner); err != nil {
				return err
			}
		}
		if err := store.Change(ctx, tx, `UPDATE roaming_list SET delta = $3 WHERE owner = $1 AND delta = $2`, owner, from, from+1); err != nil {
			return err
		}
		var err error
		switch c.Kind {
		case contacts.AddedGroup, contacts.ModifiedGroup:
			_, err = tx.Exec(ctx, `INSERT INTO roaming_group (owner, id, name, external_uri) VALUES ($1, $2, $3, $4)
				ON CONFLICT (owner, id) DO UPDATE SET name = excluded.name, external_uri = excluded.external_uri`,
				owner, int64(c.Group.ID), c.Group.Name, c.Group.ExternalURI)
		case contacts.DeletedGroup:
			_, err = tx.Exec(ctx, `DELETE FROM roaming_group WHERE owner = $1 AND id = $2`, owner, int64(c.Group.ID))
		case contacts.AddedContact, contacts.ModifiedContact:
			_, err = tx.Exec(ctx, `INSERT INTO roaming_contact (owner, uri, name, groups, subscribed, external_uri, extension) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (owner, uri) DO UPDATE SET name = excluded.name, groups = excluded.groups, subscribed = excluded.subscribed,
				external_uri = excluded.external_uri, extension = excluded.extension`,
				owner, c.Contact.URI, c.Contact.Name, contacts.FormatGroups(c.Contact.Groups), c.Contact.Subscribed, c.Contact.ExternalURI, c.Contact.Extension)
		case contacts.DeletedContact:
			_, err = tx.Exec(ctx, `DELETE FROM roaming_contact WHERE owner = $1 AND uri = $2`, owner, c.Contact.URI)
		}
		return err
	})
}

// Forget drops the list of a user who was removed.
func (l *lists) Forget(ctx context.Context, owner string) error {
	return l.db.Write(ctx, func(tx *store.Tx) error {
		for _, table := range []string{"roaming_list", "roaming_group", "roaming_contact"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE owner = $1`, owner); err != nil {
				return err
			}
		}
		return nil
	})
}
