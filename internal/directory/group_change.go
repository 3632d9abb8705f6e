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

// NewGroup is what AddGroup needs.
type NewGroup struct {
	Address     string // "team@example.test"
	Name        string
	Description string
	Members     []string // addresses of users and groups
}

// GroupChange says what SetGroup changes; nil leaves a field as it is.
type GroupChange struct {
	Version     int64 // 0, or the Version the change was based on (store.ErrStale when it is not current)
	Name        *string
	Description *string
	Members     *[]string // the whole list; then Add and Remove
	Add, Remove []string  // who is a member already, or is none, is no error
}

// AddGroup creates a group. Errors as of Add.
func (d *Directory) AddGroup(ctx context.Context, n NewGroup) (*Group, error) {
	address, err := parseAOR("address", n.Address)
	if err != nil {
		return nil, err
	}
	g := &Group{ID: rand.Text(), Address: address, Name: n.Name, Description: n.Description}
	if err := g.clean(); err != nil {
		return nil, err
	}
	if err := d.join(g, n.Members); err != nil {
		return nil, err
	}
	err = d.write(ctx, func(tx *store.Tx, revision int64) error {
		taken, err := store.One(ctx, tx, store.Value[int64], `SELECT count(*) FROM directory_address WHERE address = $1`, string(address))
		if err != nil {
			return err
		}
		if taken > 0 {
			return &Taken{Field: "address", Value: string(address)}
		}
		_, err = tx.Exec(ctx, `INSERT INTO directory_group (id, address, name, description, version, revision, created, changed)
			VALUES ($1, $2, $3, $4, 1, $5, $6, $6)`, g.ID, string(address), g.Name, g.Description, revision, store.Micros(time.Now()))
		if errors.Is(err, store.ErrConflict) {
			return &Taken{Field: "address", Value: string(address), Group: true}
		}
		if err != nil {
			return err
		}
		return insertMembers(ctx, tx, g)
	})
	if err != nil {
		return nil, err
	}
	return d.currentGroup(ctx, g.ID)
}

// notGroup refuses an address that a group has to a user.
func notGroup(ctx context.Context, tx *store.Tx, field string, address uc.AOR) error {
	n, err := store.One(ctx, tx, store.Value[int64], `SELECT count(*) FROM directory_group WHERE address = $1`, string(address))
	if err == nil && n > 0 {
		return &Taken{Field: field, Value: string(address), Group: true}
	}
	return err
}

// join adds members to g.
func (d *Directory) join(g *Group, members []string) error {
	for _, text := range members {
		user, group, err := d.member(text)
		switch {
		case err != nil:
			return err
		case group == g.ID && group != "":
			return invalid("members", "%s cannot be a member of itself", g.Address)
		case user != "" && !slices.Contains(g.Users, user):
			g.Users = append(g.Users, user)
		case group != "" && !slices.Contains(g.Groups, group):
			g.Groups = append(g.Groups, group)
		}
		if len(g.Users)+len(g.Groups) > maxMembers {
			return invalid("members", "more than %d members", maxMembers)
		}
	}
	return nil
}

func insertMembers(ctx context.Context, tx *store.Tx, g *Group) error {
	insert := func(position int, user, group any) error {
		_, err := tx.Exec(ctx, `INSERT INTO directory_member (group_id, position, user_id, member_id) VALUES ($1, $2, $3, $4)`, g.ID, position, user, group)
		if errors.Is(err, store.ErrReferenced) {
			return invalid("members", "a member was removed meanwhile")
		}
		return err
	}
	for i, id := range g.Users {
		if err := insert(i, id, nil); err != nil {
			return err
		}
	}
	for i, id := range g.Groups {
		if err := insert(len(g.Users)+i, nil, id); err != nil {
			return err
		}
	}
	return nil
}

// SetGroup changes a group and returns the new state; store.ErrNotFound when
// there is none.
func (d *Directory) SetGroup(ctx context.Context, address uc.AOR, c GroupChange) (*Group, error) {
	known, ok := d.LookupGroup(address)
	if !ok {
		return nil, store.ErrNotFound
	}
	err := d.write(ctx, func(tx *store.Tx, revision int64) error {
		g, err := readGroup(ctx, tx, known.ID, c.Version)
		if err != nil {
			return err
		}
		if c.Name != nil {
			g.Name = *c.Name
		}
		if c.Description != nil {
			g.Description = *c.Description
		}
		if err := g.clean(); err != nil {
			return err
		}
		if err := store.Change(ctx, tx, `UPDATE directory_group SET name = $1, description = $2, version = version + 1, revision = $3, changed = $4
			WHERE id = $5`, g.Name, g.Description, revision, store.Micros(time.Now()), g.ID); err != nil {
			return err
		}
		if c.Members == nil && len(c.Add) == 0 && len(c.Remove) == 0 {
			return nil
		}
		if c.Members != nil {
			g.Users, g.Groups = nil, nil
			if err := d.join(g, *c.Members); err != nil {
				return err
			}
		}
		if err := d.join(g, c.Add); err != nil {
			return err
		}
		for _, text := range c.Remove {
			user, group, err := d.member(text)
			if err != nil {
				return err
			}
			g.Users = slices.DeleteFunc(g.Users, func(id string) bool { return id == user })
			g.Groups = slices.DeleteFunc(g.Groups, func(id string) bool { return id == group })
		}
		if _, err := tx.Exec(ctx, `DELETE FROM directory_member WHERE group_id = $1`, g.ID); err != nil {
			return err
		}
		return insertMembers(ctx, tx, g)
	})
	if err != nil {
		return nil, err
	}
	return d.currentGroup(ctx, known.ID)
}

// RemoveGroup deletes a group; version as in GroupChange.
func (d *Directory) RemoveGroup(ctx context.Context, address uc.AOR, version int64) error {
	known, ok := d.LookupGroup(address)
	if !ok {
		return store.ErrNotFound
	}
	return d.write(ctx, func(tx *store.Tx, revision int64) error {
		if _, err := readGroup(ctx, tx, known.ID, version); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM directory_group WHERE id = $1`, known.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO directory_removed (user_id, revision, removed) VALUES ($1, $2, $3)`, known.ID, revision, store.Micros(time.Now()))
		return err
	})
}

const groupColumns = `SELECT id, address, name, description, version, created, changed FROM directory_group `

// readGroup returns a group as the store has it, which nobody else can change
// before the transaction ends (see directory_revision).
func readGroup(ctx context.Context, tx *store.Tx, id string, version int64) (*Group, error) {
	all, err := readGroups(ctx, tx, `WHERE id = $1`, id)
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, store.ErrNotFound
	case version != 0 && version != all[0].Version:
		return nil, store.ErrStale
	}
	return all[0], nil
}

// readGroups reads the groups that a condition selects, "" for all.
func readGroups(ctx context.Context, q store.Querier, where string, args ...any) ([]*Group, error) {
	all, err := store.All(ctx, q, scanGroup, groupColumns+where, args...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	byID := make(map[string]*Group, len(all))
	for _, g := range all {
		byID[g.ID] = g
	}
	of := ""
	if where != "" {
		of = `WHERE group_id IN (SELECT id FROM directory_group ` + where + `) `
	}
	err = store.Each(ctx, q, func(s store.Scanner) error {
		var id string
		var user, group *string
		if err := s.Scan(&id, &user, &group); err != nil {
			return err
		}
		switch g := byID[id]; {
		case g == nil:
		case user != nil:
			g.Users = append(g.Users, *user)
		case group != nil:
			g.Groups = append(g.Groups, *group)
		}
		return nil
	}, `SELECT group_id, user_id, member_id FROM directory_member `+of+`ORDER BY group_id, position`, args...)
	if err != nil {
		return nil, fmt.Errorf("members of groups: %w", err)
	}
	return all, nil
}

// fetchGroups reads the groups that are newer than a revision.
func fetchGroups(ctx context.Context, q store.Querier, since int64) ([]*Group, error) {
	if since < 0 {
		return readGroups(ctx, q, "")
	}
	return readGroups(ctx, q, `WHERE revision > $1`, since)
}

func (d *Directory) currentGroup(ctx context.Context, id string) (*Group, error) {
	if g, ok := d.GroupByID(id); ok {
		return g, nil
	}
	all, err := readGroups(ctx, d.db, `WHERE id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, store.ErrNotFound // removed by somebody else already
	}
	return all[0], nil
}
