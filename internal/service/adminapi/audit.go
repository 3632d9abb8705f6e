package adminapi

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"time"

	"parley/internal/store"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// Schema is the table of the audit records, applied under the owner "admin".
func Schema() fs.FS {
	sub, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Audit keeps who changed what. Records are never changed.
type Audit struct{ db *store.DB }

// NewAudit uses the table made by Schema.
func NewAudit(db *store.DB) *Audit { return &Audit{db} }

// Add writes a record. detail is anything that JSON can say about the change;
// secrets have no place in it.
func (a *Audit) Add(ctx context.Context, at time.Time, who, action, object string, detail any) error {
	text := ""
	if detail != nil {
		b, err := json.Marshal(detail)
		if err != nil {
			return err
		}
		text = string(b)
	}
	return a.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO admin_audit (id, at, who, action, object, detail)
			SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5 FROM admin_audit`,
			store.Micros(at), who, action, object, text)
		return err
	})
}

// List returns the newest records, newest first, of one object or of all.
func (a *Audit) List(ctx context.Context, object string, max int) ([]AuditRecord, error) {
	return store.All(ctx, a.db, func(s store.Scanner) (r AuditRecord, err error) {
		var at int64
		var detail string
		err = s.Scan(&at, &r.Who, &r.Action, &r.Object, &detail)
		r.At = store.FromMicros(at).UTC()
		if detail != "" {
			r.Detail = json.RawMessage(detail)
		}
		return r, err
	}, `SELECT at, who, action, object, detail FROM admin_audit
		WHERE object = $1 OR $1 = '' ORDER BY id DESC LIMIT $2`, object, max)
}
