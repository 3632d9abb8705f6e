package certprov

import (
	"context"
	"time"

	"parley/internal/store"
)

// row is the certificate of one device.
type row struct {
	UserID   string
	Device   string
	Serial   string
	Issued   time.Time
	NotAfter time.Time
}

// rows is the table of certificates.
type rows struct{ db *store.DB }

// Put makes a certificate the one of its device.
func (r *rows) Put(ctx context.Context, c *row) error {
	_, err := r.db.Exec(ctx, `INSERT INTO certprov_certificate (user_id, device, serial, issued, not_after) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, device) DO UPDATE SET serial = excluded.serial, issued = excluded.issued, not_after = excluded.not_after`,
		c.UserID, c.Device, c.Serial, c.Issued.UnixMicro(), c.NotAfter.UnixMicro())
	return err
}

// Since returns what was issued after a time.
func (r *rows) Since(ctx context.Context, t time.Time) ([]*row, error) {
	since := int64(0)
	if !t.IsZero() {
		since = t.UnixMicro()
	}
	return store.All(ctx, r.db, scan, `SELECT user_id, device, serial, issued, not_after FROM certprov_certificate WHERE issued > $1 ORDER BY issued`, since)
}

// Expire removes what is not good any more.
func (r *rows) Expire(ctx context.Context, now time.Time) error {
	_, err := r.db.Exec(ctx, `DELETE FROM certprov_certificate WHERE not_after <= $1`, now.UnixMicro())
	return err
}

func scan(s store.Scanner) (*row, error) {
	c := new(row)
	var issued, notAfter int64
	if err := s.Scan(&c.UserID, &c.Device, &c.Serial, &issued, &notAfter); err != nil {
		return nil, err
	}
	c.Issued, c.NotAfter = time.UnixMicro(issued), time.UnixMicro(notAfter)
	return c, nil
}
