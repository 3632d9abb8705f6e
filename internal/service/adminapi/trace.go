package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"parley/internal/directory"
	"parley/internal/obs"
)

// trace serves what the ring holds and, with follow=1, what comes after.
// Parameters: user, call, flow choose; bodies=1 and credentials=1 unmask, and
// leave an audit record; new=1 skips the past.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := obs.Filter{User: q.Get("user"), Call: q.Get("call")}
	if text := q.Get("flow"); text != "" {
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return &Problem{http.StatusBadRequest, "bad-flow", "flow must be a number, as parley registrations --json shows it"}
		}
		f.Flow = id
	}
	v := obs.View{Bodies: q.Get("bodies") != "", Credentials: q.Get("credentials") != ""}
	if v.Bodies || v.Credentials {
		if err := allowed(r, directory.Administrator); err != nil {
			return err
		}
		s.audit(r, "trace.unmask", f.User+f.Call, v)
	}
	t := s.cfg.Control.Trace()
	var seq uint64
	if q.Get("new") != "" {
		seq = t.Next()
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	rc := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	emit := func(rec obs.Record) error {
		if !f.Match(rec) {
			return nil
		}
		return enc.Encode(TraceLine{rec.TraceMeta, rec.Title(), rec.Text(v)})
	}
	if q.Get("follow") == "" {
		recs, _ := t.Snapshot(seq, 0)
		for _, rec := range recs {
			if err := emit(rec); err != nil {
				return nil // the caller left
			}
		}
		return nil
	}
	w.WriteHeader(http.StatusOK)
	rc.Flush()
	err := t.Follow(r.Context(), seq, func(rec obs.Record) error {
		if err := emit(rec); err != nil {
			return err
		}
		return rc.Flush()
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return nil // the caller left; nothing can be said any more
}
