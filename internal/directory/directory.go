package directory

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/bus"
	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/uc"
)

//go:embed schema
var schema embed.FS

// Directory is the open directory. Reading methods answer from memory, never
// wait for I/O, and may be called from the readers of SIP messages.
type Directory struct {
	db     *store.DB
	bus    *bus.Bus // nil: this process is alone with the store
	keys   *keyring.Keyring
	log    *slog.Logger
	memory *memory
	groups groups

	following sync.Mutex // held while changes are fetched and told; guards revision
	revision  int64      // of the newest change that memory holds

	mu       sync.Mutex
	watchers []*watcher
	problem  error // why some passwords cannot be used

	poke   chan struct{} // somebody says that there is news
	cancel context.CancelFunc
	work   sync.WaitGroup
	quiet  func() // ends the subscription
}

// Open migrates the tables, loads all users and follows the changes that other
// nodes make. b may be nil for a tool that works on a stopped node.
//
// Users whose password is sealed with a key that is missing are loaded without
// it, so that passwords can be set anew; see Problem.
func Open(ctx context.Context, db *store.DB, b *bus.Bus, keys *keyring.Keyring, log *slog.Logger) (*Directory, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := db.Migrate(ctx, "directory", schema); err != nil {
		return nil, err
	}
	d := &Directory{db: db, bus: b, keys: keys, log: log, memory: newMemory(), revision: -1,

		groups: groups{byAddress: map[uc.AOR]*Group{}, byID: map[string]*Group{}}, poke: make(chan struct{}, 1), quiet: func() {}}
	if err := d.catchUp(ctx); err != nil {
		return nil, fmt.Errorf("load the users: %w", err)
	}
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	if b == nil {
		return d, nil
	}
	quiet, err := b.Subscribe(d.subject(), func(bus.Message) { d.hint() })
	if err != nil {
		cancel()
		return nil, err
	}
	d.quiet = quiet
	d.work.Go(func() { d.follow(following) })
	d.hint() // what changed between loading and subscribing
	return d, nil
}

// Close stops following the changes of other nodes. Lookups keep working.
func (d *Directory) Close() {
	d.quiet()
	d.cancel()
	d.work.Wait()
}

// Problem returns nil, or why the passwords of some users cannot be used.
func (d *Directory) Problem() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problem
}

// An announcement may get lost, so a node also looks by itself now and then; a
// look costs one read of one row.
const lookEvery = 30 * time.Second

func (d *Directory) subject() bus.Subject { return d.bus.Subject("directory", "changed") }

func (d *Directory) hint() {
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

func (d *Directory) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.poke:
		case <-tick.C:
		}
		fetch, cancel := context.WithTimeout(ctx, lookEvery)
		err := d.catchUp(fetch)
		cancel()
		if err != nil && ctx.Err() == nil {
			d.log.Warn("users not brought up to date", "err", err)
		}
	}
}

// EventKind is what happened to a user.
type EventKind uint8

// The kinds of event. A user who was disabled is Changed with Enabled false.
const (
	Added EventKind = iota + 1
	Changed
	Removed
	PasswordSet
)

func (k EventKind) String() string {
	return [...]string{"", "added", "changed", "removed", "password set"}[k]
}

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
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers = append(d.watchers, w)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		var rest []*watcher
		for _, other := range d.watchers {
			if other != w {
				rest = append(rest, other)
			}
		}
		d.watchers = rest
	}
}

func (d *Directory) tell(e Event) {
	d.mu.Lock()
	watchers := d.watchers
	d.mu.Unlock()
	for _, w := range watchers {
		w.fn(e)
	}
}
