package adminweb

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"parley/internal/directory"
	"parley/internal/store"
)

// sessions are those of administrators who are signed in. It is safe for concurrent use.
type sessions struct {
	db     *store.DB
	users  *directory.Directory
	now    func() time.Time
	bounds func() (idle, life time.Duration)
}

// maxSessions is how many sessions one user has: beyond it, the one that was used least recently ends.
const maxSessions = 16

// errEnded says that a session is not there, not good any more, or of a user who may not have one.
var errEnded = errors.New("no session")

// key is what the store knows of a token.
func key(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// begin starts a session and returns what the cookie holds: 130 random bits. Sessions that are over leave the store.
func (s *sessions) begin(ctx context.Context, u *directory.User, from string) (string, error) {
	token, now := rand.Text(), s.now()
	idle, life := s.bounds()
	return token, s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM adminweb_session WHERE used < $1 OR begun < $2`,
			store.Micros(now.Add(-idle)), store.Micros(now.Add(-life))); err != nil {
			return err
		}
		old, err := store.All(ctx, tx, store.Value[string],
			`SELECT token FROM adminweb_session WHERE user_id = $1 ORDER BY used DESC, token`, u.ID)
		if err != nil {
			return err
		}
		for _, one := range old[min(len(old), maxSessions-1):] {
			if _, err := tx.Exec(ctx, `DELETE FROM adminweb_session WHERE token = $1`, one); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO adminweb_session (token, user_id, password, source, begun, used) VALUES ($1, $2, $3, $4, $5, $5)`,
			key(token), u.ID, u.PasswordSet, from, store.Micros(now))
		return err
	})
}

// find returns whose session a token is, if that user still has the role, the password and the permission to sign in
// that the session was begun with. active says that a person did something, which keeps the session alive.
func (s *sessions) find(ctx context.Context, token string, active bool) (*directory.User, error) {
	if len(token) < 26 || len(token) > 64 {
		return nil, errEnded
	}
	var id string
	var password, begun, used int64
	err := s.db.QueryRow(ctx, `SELECT user_id, password, begun, used FROM adminweb_session WHERE token = $1`, key(token)).
		Scan(&id, &password, &begun, &used)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errEnded
	}
	if err != nil {
		return nil, err
	}
	now := s.now()
	idle, life := s.bounds()
	u, ok := s.users.ByID(id)
	if !ok || !u.Enabled || u.PasswordSet != password || !u.Role.Covers(directory.Viewer) ||
		now.Sub(store.FromMicros(used)) >= idle || now.Sub(store.FromMicros(begun)) >= life {
		return nil, errors.Join(errEnded, s.end(ctx, token))
	}
	// A write for each click would be wasted; to the fraction of a minute nobody knows how long he was idle.
	if active && now.Sub(store.FromMicros(used)) > min(idle/4, time.Minute) {
		_, err = s.db.Exec(ctx, `UPDATE adminweb_session SET used = $1 WHERE token = $2`, store.Micros(now), key(token))
	}
	return u, err
}

// end ends a session.
func (s *sessions) end(ctx context.Context, token string) error {
	_, err := s.db.Exec(ctx, `DELETE FROM adminweb_session WHERE token = $1`, key(token))
	return err
}
