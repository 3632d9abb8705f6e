package message

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"parley/internal/store"
)

// stored is a message that waits for its recipient.
type stored struct {
	ID        int64
	Recipient string
	Sender    string
	Origin    string
	Head      []byte
	Body      []byte
	Stored    time.Time
	Expires   time.Time
	Refused   int64
}

// errFull reports that a recipient has as many messages as are kept.
var errFull = errors.New("too many messages are waiting")

// box is the table of waiting messages.
type box struct {
	db   *store.DB
	last atomic.Int64
}

// nextID returns a number that grows with time; its low bits keep members of
// a pool apart.
func (b *box) nextID(now time.Time) int64 {
	id := now.UnixMicro()<<8 | rand.Int64N(1<<8)
	for {
		last := b.last.Load()
		id = max(id, last+1)
		if b.last.CompareAndSwap(last, id) {
			return id
		}
	}
}

// Keep stores a message durably. It shares the flush with others that come at
// the same moment. A message that is there already, because its sender did not
// hear the first answer, is no error. errFull when the recipient has quota
// messages, or perSender of this sender.
func (b *box) Keep(ctx context.Context, m *stored, quota, perSender int) (err error) {
	for range 4 {
		// A conflict means that two copies of the message met, which the next
		// attempt sees, or that another member took the same number.
		if err = b.keep(ctx, m, quota, perSender); !errors.Is(err, store.ErrConflict) {
			return err
		}
		m.ID = b.nextID(m.Stored)
	}
	return err
}

func (b *box) keep(ctx context.Context, m *stored, quota, perSender int) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		n, err := store.One(ctx, tx, store.Value[int64],
			`SELECT count(*) FROM message_offline WHERE recipient = $1 AND origin = $2`, m.Recipient, m.Origin)
		if err != nil || n > 0 {
			return err
		}
		n, err = store.One(ctx, tx, store.Value[int64], `SELECT count(*) FROM message_offline WHERE recipient = $1`, m.Recipient)
		if err != nil {
			return err
		}
		if n >= int64(quota) {
			return errFull
		}
		n, err = store.One(ctx, tx, store.Value[int64],
			`SELECT count(*) FROM message_offline WHERE recipient = $1 AND sender = $2`, m.Recipient, m.Sender)
		if err != nil {
			return err
		}
		if n >= int64(perSender) {
			return errFull
		}
		_, err = tx.Exec(ctx, `INSERT INTO message_offline (id, recipient, sender, origin, head, body, stored, expires, refused)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)`,
			m.ID, m.Recipient, m.Sender, m.Origin, m.Head, m.Body, store.Micros(m.Stored), store.Micros(m.Expires))
		return err
	})
}

// Waiting returns the oldest messages of a recipient, at most n.
func (b *box) Waiting(ctx context.Context, recipient string, now time.Time, n int) ([]stored, error) {
	return store.All(ctx, b.db, scanStored, `SELECT id, recipient, sender, origin, head, body, stored, expires, refused
		FROM message_offline WHERE recipient = $1 AND expires > $2 ORDER BY id LIMIT $3`, recipient, store.Micros(now), n)
}

func scanStored(s store.Scanner) (m stored, err error) {
	var at, until int64
	err = s.Scan(&m.ID, &m.Recipient, &m.Sender, &m.Origin, &m.Head, &m.Body, &at, &until, &m.Refused)
	m.Stored, m.Expires = store.FromMicros(at), store.FromMicros(until)
	return m, err
}

// Delivered forgets a message.
func (b *box) Delivered(ctx context.Context, id int64) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM message_offline WHERE id = $1`, id)
		return err
	})
}

// Refused notes that every endpoint refused a message for good.
func (b *box) Refused(ctx context.Context, id int64) error {
	return b.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE message_offline SET refused = refused + 1 WHERE id = $1`, id)
		return err
	})
}

// Recipients returns everybody for whom messages wait.
func (b *box) Recipients(ctx context.Context) ([]string, error) {
	return store.All(ctx, b.db, store.Value[string], `SELECT DISTINCT recipient FROM message_offline`)
}

// Count returns how many messages wait.
func (b *box) Count(ctx context.Context) (int64, error) {
	return store.One(ctx, b.db, store.Value[int64], `SELECT count(*) FROM message_offline`)
}

// Forget drops the messages of a user who was removed.
func (b *box) Forget(ctx context.Context, recipient string) error {
	_, err := b.db.Exec(ctx, `DELETE FROM message_offline WHERE recipient = $1`, recipient)
	return err
}

// Expire drops what nobody fetched in time and returns how many these were.
func (b *box) Expire(ctx context.Context, now time.Time) (int64, error) {
	return b.db.Exec(ctx, `DELETE FROM message_offline WHERE expires <= $1`, store.Micros(now))
}

// Count returns how many messages of all users wait in a store.
func Count(ctx context.Context, db *store.DB) (int64, error) { return (&box{db: db}).Count(ctx) }
