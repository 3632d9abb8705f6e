package presence

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"parley/internal/person"
	"parley/internal/store"
	"parley/internal/uc"
	"parley/internal/xmldoc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

//go:embed schema/*.sql
var schemas embed.FS

func schema() fs.FS {
	sub, err := fs.Sub(schemas, "schema")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// book is what of presence outlasts the server. A nil database keeps nothing.
type book struct{ db *store.DB }

// lasting reports whether a publication is stored.
func lasting(p *person.Publication) bool {
	return p.ExpireType == categories.Static || p.ExpireType == categories.Timed
}

// Publish stores a planned change. had reports what of a key was stored before.
func (b *book) Publish(ctx context.Context, owner string, plan *person.Plan, had func(categories.Key) bool) error {
	var put []*person.Publication
	var drop []categories.Key
	for i := range plan.Put {
		if p := &plan.Put[i]; lasting(p) {
			put = append(put, p)
		} else if had(p.Key) {
			drop = append(drop, p.Key)
		}
	}
	for _, k := range plan.Drop {
		if had(k) {
			drop = append(drop, k)
		}
	}
	if b.db == nil || put == nil && drop == nil {
		return nil
	}
	return b.db.Write(ctx, func(tx *store.Tx) error {
		for _, p := range put {
			if _, err := tx.Exec(ctx, `INSERT INTO presence_publication (owner, category, container, instance, version, published, expires, body)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (owner, category, container, instance)
				DO UPDATE SET version = excluded.version, published = excluded.published, expires = excluded.expires, body = excluded.body`,
				owner, p.Name, int64(p.Container), int64(p.Instance), int64(p.Version), store.Micros(p.PublishTime), store.Micros(p.Expires), body(p.Body)); err != nil {
				return err
			}
		}
		return forget(ctx, tx, owner, drop)
	})
}

func body(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func forget(ctx context.Context, tx *store.Tx, owner string, keys []categories.Key) error {
	for _, k := range keys {
		if _, err := tx.Exec(ctx, `DELETE FROM presence_publication WHERE owner = $1 AND category = $2 AND container = $3 AND instance = $4`,
			owner, k.Name, int64(k.Container), int64(k.Instance)); err != nil {
			return err
		}
	}
	return nil
}

// Expire forgets publications whose time has come.
func (b *book) Expire(ctx context.Context, now time.Time) error {
	if b.db == nil {
		return nil
	}
	_, err := b.db.Exec(ctx, `DELETE FROM presence_publication WHERE expires > 0 AND expires <= $1`, store.Micros(now))
	return err
}

// Members stores containers as they shall be.
func (b *book) Members(ctx context.Context, owner string, plan *person.MembersPlan) error {
	if b.db == nil {
		return nil
	}
	return b.db.Write(ctx, func(tx *store.Tx) error {
		for _, c := range plan.Containers {
			if _, err := tx.Exec(ctx, `INSERT INTO presence_container (owner, id, version) VALUES ($1, $2, $3)
				ON CONFLICT (owner, id) DO UPDATE SET version = excluded.version`, owner, int64(c.ID), int64(c.Version)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM presence_member WHERE owner = $1 AND container = $2`, owner, int64(c.ID)); err != nil {
				return err
			}
			for _, m := range c.Members {
				if _, err := tx.Exec(ctx, `INSERT INTO presence_member (owner, container, type, value) VALUES ($1, $2, $3, $4)`,
					owner, int64(c.ID), string(m.Type), m.Value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Subscriber stores that somebody has a new subscriber, or has heard of one.
func (b *book) Subscriber(ctx context.Context, owner string, watcher uc.AOR, name string, acknowledged bool) error {
	if b.db == nil {
		return nil
	}
	return b.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO presence_subscriber (owner, watcher, name, acknowledged) VALUES ($1, $2, $3, $4)
			ON CONFLICT (owner, watcher) DO UPDATE SET acknowledged = excluded.acknowledged`, owner, string(watcher), name, acknowledged)
		return err
	})
}

// Forget drops everything of a user who was removed.
func (b *book) Forget(ctx context.Context, owner string) error {
	if b.db == nil {
		return nil
	}
	return b.db.Write(ctx, func(tx *store.Tx) error {
		for _, table := range []string{"presence_publication", "presence_container", "presence_member", "presence_subscriber"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE owner = $1`, owner); err != nil {
				return err
			}
		}
		return nil
	})
}

// Load reads everything back. of finds the person of an owner, nil when there is
// none any more.
func (b *book) Load(ctx context.Context, now time.Time, of func(owner string) *person.Person) error {
	if b.db == nil {
		return nil
	}
	return b.db.View(ctx, func(tx *store.Tx) error {
		err := store.Each(ctx, tx, func(s store.Scanner) error {
			var owner string
			var p person.Publication
			var container, instance, version, published, expires int64
			if err := s.Scan(&owner, &p.Name, &container, &instance, &version, &published, &expires, &p.Body); err != nil {
				return err
			}
			me := of(owner)
			if me == nil {
				return nil
			}
			p.Container, p.Instance, p.Version = uint32(container), uint32(instance), uint32(version)
			p.PublishTime, p.ExpireType = store.FromMicros(published), categories.Static
			if expires > 0 {
				p.ExpireType, p.Expires = categories.Timed, store.FromMicros(expires)
			}
			if p.Name == categories.StateName {
				e, err := xmldoc.Parse(p.Body, xmldoc.Limits{})
				if err == nil {
					p.State, err = categories.ParseState(e)
				}
				if err != nil {
					return fmt.Errorf("stored state of %s: %w", me.AOR, err)
				}
			}
			me.Load(p, now)
			return nil
		}, `SELECT owner, category, container, instance, version, published, expires, body FROM presence_publication WHERE expires = 0 OR expires > $1`, store.Micros(now))
		if err != nil {
			return err
		}
		members := map[string]map[uint32][]roaming.Member{}
		err = store.Each(ctx, tx, func(s store.Scanner) error {
			var owner, kind string
			var id int64
			var m roaming.Member
			if err := s.Scan(&owner, &id, &kind, &m.Value); err != nil {
				return err
			}
			m.Type = roaming.MemberType(kind)
			if members[owner] == nil {
				members[owner] = map[uint32][]roaming.Member{}
			}
			members[owner][uint32(id)] = append(members[owner][uint32(id)], m)
			return nil
		}, `SELECT owner, container, type, value FROM presence_member ORDER BY owner, container, type, value`)
		if err != nil {
			return err
		}
		err = store.Each(ctx, tx, func(s store.Scanner) error {
			var owner string
			var id, version int64
			if err := s.Scan(&owner, &id, &version); err != nil {
				return err
			}
			if me := of(owner); me != nil {
				me.LoadContainer(roaming.Container{ID: uint32(id), Version: uint32(version), Members: members[owner][uint32(id)]})
			}
			return nil
		}, `SELECT owner, id, version FROM presence_container`)
		if err != nil {
			return err
		}
		return store.Each(ctx, tx, func(s store.Scanner) error {
			var owner, watcher, name string
			var ack bool
			if err := s.Scan(&owner, &watcher, &name, &ack); err != nil {
				return err
			}
			if me := of(owner); me != nil {
				me.LoadSubscriber(uc.AOR(watcher), name, ack)
			}
			return nil
		}, `SELECT owner, watcher, name, acknowledged FROM presence_subscriber`)
	})
}
