package replicator

import (
	"context"
	"fmt"
	"time"

	"parley/internal/directory"
)

// remote is what a round needs of the other directory.
type remote interface {
	position() position
	people(since int64, m *mapping, fn func(person)) error
	touched(since int64, fn func(id string)) error
}

// Report tells of one round.
type Report struct {
	Began     time.Time     `json:"began"`
	Took      time.Duration `json:"took"`
	Node      string        `json:"node"`             // who did it
	Server    string        `json:"server,omitempty"` // controller that was asked
	Kind      string        `json:"kind"`             // "full" or "changes"
	Read      int           `json:"read"`             // people
	Added     int           `json:"added"`
	Changed   int           `json:"changed"`
	Disabled  int           `json:"disabled"`
	Withheld  int           `json:"withheld"`        // users who vanished there and are kept enabled, because they are too many
	Users     int           `json:"users"`           // from there, enabled
	Notes     []Note        `json:"notes,omitempty"` // the first of them
	NoteCount int           `json:"note_count"`      // how many there are
	Error     string        `json:"error,omitempty"` // nothing else changed for it
}

// Note says what was left out of a person, or why that is no user.
type Note struct {
	Who string `json:"who"`
	Why string `json:"why"`
}

const maxNotes = 50

func (r *Report) note(who, why string) {
	if r.NoteCount++; len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, Note{who, why})
	}
}

// few users may always vanish at a time: in a small company one is many percent.
const few = 3

// round reads what is new since a position (nil: everybody) and makes the users here the same. allow lets any number
// of them vanish. Whatever was read before an error stays; nobody is disabled for being absent from an answer that was
// not complete.
func round(ctx context.Context, from remote, dir *directory.Directory, m *mapping, since *position, allow bool, r *Report) error {
	r.Kind = "full"
	first := int64(0)
	if since != nil {
		r.Kind, first = "changes", since.USN+1
	}
	r.Server = from.position().Server
	if since != nil && from.position().USN <= since.USN {
		return nil // nothing changed at all
	}
	present := map[string]bool{}
	var page []person
	var failed error
	flush := func() {
		if failed == nil && len(page) > 0 {
			failed = replicate(ctx, dir, page, r)
		}
		page = page[:0]
	}
	err := from.people(first, m, func(p person) {
		r.Read++
		if p.Problem != "" {
			if p.Enabled {
				r.note(p.who(), p.Problem)
			}
			return
		}
		present[p.ID] = true
		if page = append(page, p); len(page) >= pageSize {
			flush()
		}
	})
	flush()
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	var absent []string
	missing := func(id string) {
		if u, ok := dir.ByOrigin(source, id); ok && u.Enabled && !present[id] {
			absent = append(absent, id)
			present[id] = true // once
		}
	}
	if since == nil {
		for _, u := range dir.Of(source) {
			missing(u.Origin.ID)
		}
	} else if err := from.touched(first, missing); err != nil {
		return err
	}
	if n := len(absent); n > few && n*100 > m.MaxRemovals*enabled(dir) && !allow {
		r.Withheld = n
		return nil
	}
	gone, err := dir.Withdraw(ctx, source, absent)
	r.Disabled += len(gone)
	return err
}

// enabled counts the users from the other directory.
func enabled(dir *directory.Directory) (n int) {
	for _, u := range dir.Of(source) {
		if u.Enabled {
			n++
		}
	}
	return n
}

// replicate makes users of people.
func replicate(ctx context.Context, dir *directory.Directory, all []person, r *Report) error {
	replicas := make([]directory.Replica, len(all))
	was := make([]*directory.User, len(all))
	for i := range all {
		replicas[i] = all[i].Replica
		was[i], _ = dir.ByOrigin(source, all[i].ID)
	}
	done, err := dir.Replicate(ctx, source, replicas)
	for i, d := range done {
		who := all[i].who()
		for _, why := range d.Notes {
			r.note(who, why)
		}
		switch {
		case d.Err != nil:
			if all[i].Enabled {
				r.note(who, d.Err.Error())
			}
		case d.User == nil:
		case was[i] == nil:
			r.Added++
		case was[i].Enabled && !d.User.Enabled:
			r.Disabled++
		case d.Changed:
			r.Changed++
		}
		if d.Err == nil && d.User != nil && d.User.Enabled {
			if _, err := dir.SetReplicaPhoto(ctx, d.User, all[i].Photo); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.note(who, fmt.Sprintf("photo: %v", err))
			}
		}
	}
	return err
}
