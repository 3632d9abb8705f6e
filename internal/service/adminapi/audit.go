package adminapi

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strconv"

	"parley/internal/obs"
	"parley/internal/service"
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

// Add writes a record. Its ID is given here. Detail is anything that JSON can
// say about the change; secrets have no place in it.
func (a *Audit) Add(ctx context.Context, r AuditRecord) error {
	return a.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO admin_audit (id, at, who, action, object, detail, source)
			SELECT coalesce(max(id), 0) + 1, $1, $2, $3, $4, $5, $6 FROM admin_audit`,
			store.Micros(r.At), r.Who, r.Action, r.Object, string(r.Detail), r.From)
		return err
	})
}

// AuditFilter chooses records. Zero values choose all.
type AuditFilter struct {
	Object string
	Who    string
	Action string
	Before int64 // ID: what is older than this
	Max    int
}

// List returns the newest records that the filter chooses, newest first.
func (a *Audit) List(ctx context.Context, f AuditFilter) ([]AuditRecord, error) {
	return store.All(ctx, a.db, func(s store.Scanner) (r AuditRecord, err error) {
		var at int64
		var detail string
		err = s.Scan(&r.ID, &at, &r.Who, &r.From, &r.Action, &r.Object, &detail)
		r.At = store.FromMicros(at).UTC()
		if detail != "" {
			r.Detail = json.RawMessage(detail)
		}
		return r, err
	}, `SELECT id, at, who, source, action, object, detail FROM admin_audit
		WHERE (object = $1 OR $1 = '') AND (who = $2 OR $2 = '') AND (action = $3 OR $3 = '') AND (id < $4 OR $4 = 0)
		ORDER BY id DESC LIMIT $5`, f.Object, f.Who, f.Action, f.Before, f.Max)
}

func (s *Server) auditLog(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := AuditFilter{Object: q.Get("object"), Who: q.Get("who"), Action: q.Get("action"), Max: 100}
	if n, err := strconv.Atoi(q.Get("max")); err == nil && n > 0 && n <= 10000 {
		f.Max = n
	}
	if text := q.Get("before"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return &Problem{http.StatusBadRequest, "bad-before", "before must be the id of a record"}
		}
		f.Before = n
	}
	recs, err := s.cfg.Audit.List(r.Context(), f)
	if err != nil {
		return err
	}
	return reply(w, list(recs))
}

// audit writes down a change.
func (s *Server) audit(r *http.Request, action, object string, detail any) {
	s.Record(r.Context(), action, object, detail)
}

// Record writes down what whoever acts in ctx has done. It has happened: an
// error is logged and does not undo it.
func (s *Server) Record(ctx context.Context, action, object string, detail any) {
	rec := AuditRecord{At: s.cfg.Now(), Who: "local", Action: action, Object: object}
	if w, ok := ctx.Value(whoKey{}).(string); ok {
		rec.Who = w
	}
	if a, ok := service.AdministratorOf(ctx); ok {
		rec.Who, rec.From = string(a.AOR), a.From
	}
	var err error
	if detail != nil {
		rec.Detail, err = json.Marshal(detail)
	}
	if err == nil {
		err = s.cfg.Audit.Add(context.WithoutCancel(ctx), rec)
	}
	if err != nil {
		s.cfg.Log.Error("audit record lost", "action", action, "object", object, "who", rec.Who, obs.Err(err))
	}
}
