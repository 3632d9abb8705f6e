package directory

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"parley/internal/bus"
	"parley/internal/store"
)

// EventKind is what happened to a user.
type EventKind uint8

// The kinds of event. A user who was disabled is Changed with Enabled false.
const (
	Added EventKind = iota + 1
	Changed
	Removed
	PasswordSet
)

// Event tells of a change that is in memory already.
type Event struct {
	Kind EventKind
	User *User // after the change; for Removed, before it
	Old  *User // before the change; nil for Added
}

type watcher struct{ fn func(Event) }

// Watch calls fn after each change, wherever it was made, one at a time and in
// order. fn must not block for long and must not call Add, Set and the like.
func (d *Directory) Watch(fn func(Event)) (stop func()) {
	w := &watcher{fn}
	d.change.Lock()
	defer d.change.Unlock()
	d.watchers = append(d.watchers, w)
	return func() {
		d.change.Lock()
		defer d.change.Unlock()
		d.watchers = slices.DeleteFunc(d.watchers, func(o *watcher) bool { return o == w })
	}
}

// tell is called with change held.
func (d *Directory) tell(e Event) {
	for _, w := range d.watchers {
		w.fn(e)
	}
}

// The subject on which nodes tell each other what to read again.
const (
	topic       = "directory"
	verbChanged = "changed"
	reloadLimit = 10 * time.Second
)

// announcement names what changed, by ID: what it became is in the store.
type announcement struct {
	Node   string `json:"node"`
	User   string `json:"user,omitempty"`
	Domain string `json:"domain,omitempty"`
}

func (d *Directory) announce(a announcement) {
	if d.bus == nil {
		return
	}
	a.Node = d.bus.Node()
	data, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings always encode
	}
	if err := d.bus.Publish(d.bus.Subject(topic, verbChanged), data); err != nil {
		d.log.Warn("other nodes did not hear of a change to the directory", "err", err)
	}
}

// heard takes in what another node changed.
func (d *Directory) heard(m bus.Message) {
	var a announcement
	if err := json.Unmarshal(m.Data, &a); err != nil {
		d.log.Warn("unreadable announcement of a change to the directory", "err", err)
		return
	}
	if a.Node == d.bus.Node() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadLimit)
	defer cancel()
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.reload(ctx, a); err != nil {
		d.log.Error("cannot read a change to the directory that another node made", "err", err)
	}
}

// reload is called with change held.
func (d *Directory) reload(ctx context.Context, a announcement) error {
	if a.Domain != "" {
		_, err := store.One(ctx, d.db, store.Value[string], "SELECT name FROM directory_domain WHERE name = $1", a.Domain)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		d.idx.setDomain(a.Domain, err == nil)
		return nil
	}
	records, err := d.readUsers(ctx, d.db, a.User)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		if old := d.idx.remove(a.User); old != nil {
			d.tell(Event{Kind: Removed, User: old, Old: old})
		}
		return nil
	}
	r := records[0]
	switch old := d.idx.put(r); {
	case old == nil:
		d.tell(Event{Kind: Added, User: r.User})
	case old.Version != r.Version:
		d.tell(Event{Kind: Changed, User: r.User, Old: old})
	}
	return nil
}
