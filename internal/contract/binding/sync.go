package binding

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"parley/internal/bus"
	"parley/internal/uc"
)

// bucketName holds the bindings of the pool, keyed by user and member. Values
// are additive JSON: a member ignores fields it does not know.
const bucketName = "reg_v1"

// validity is how long other members believe a publication. A binding that
// only is refreshed is published again when half of it has passed; the member
// that holds it withdraws it when it ends.
const validity = 30 * time.Minute

// settle is how long changes of one user are gathered before they are written.
const settle = 25 * time.Millisecond

// Sync shares the table with the other members of the pool.
type Sync struct {
	table  *Table
	bucket *bus.Bucket
	node   string
	log    *slog.Logger

	mu    sync.Mutex
	dirty map[uc.AOR]struct{}
	wake  chan struct{}
}

// wireBinding is a binding in the bucket.
type wireBinding struct {
	Contact  string `json:"c"`
	Params   string `json:"p,omitempty"`
	Instance string `json:"i,omitempty"`
	RegID    uint32 `json:"r,omitempty"`
	Q        uint16 `json:"q"`
	Gen      uint64 `json:"g"`
	Flow     uint64 `json:"f,omitempty"`
	Path     string `json:"path,omitempty"`
	Agent    string `json:"ua,omitempty"`
	Created  Time   `json:"t"`
}

type wireSet struct {
	Version int           `json:"v"`
	Until   Time          `json:"until"`
	Set     []wireBinding `json:"b"`
}

// NewSync returns what shares t over b, or nil when this node is alone: then
// nobody could read it. It must be called before bindings are made.
func NewSync(t *Table, b *bus.Bus, node string, log *slog.Logger) (*Sync, error) {
	if b == nil || b.Mode() == bus.Alone {
		return nil, nil
	}
	return newSync(t, b, node, log)
}

func newSync(t *Table, b *bus.Bus, node string, log *slog.Logger) (*Sync, error) {
	bucket, err := b.Bucket(bus.BucketConfig{Name: bucketName, TTL: validity, MaxBytes: 512 << 20})
	if err != nil {
		return nil, err
	}
	s := &Sync{table: t, bucket: bucket, node: node, log: log, dirty: map[uc.AOR]struct{}{}, wake: make(chan struct{}, 1)}
	t.publish = s.mark
	return s, nil
}

// mark is called by the table when a user's bindings must be published.
func (s *Sync) mark(aor uc.AOR) {
	s.mu.Lock()
	s.dirty[aor] = struct{}{}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run publishes and follows until ctx ends.
func (s *Sync) Run(ctx context.Context) {
	var following sync.WaitGroup
	following.Go(func() { s.follow(ctx) })
	defer following.Wait()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		wait := settle
		if err := s.flush(ctx); err != nil {
			wait = time.Second
			if !errors.Is(err, bus.ErrNotReady) && ctx.Err() == nil {
				s.log.Warn("bindings not shared with the pool", "err", err)
			}
		}
		pause.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// flush writes what changed. What could not be written stays marked.
func (s *Sync) flush(ctx context.Context) error {
	s.mu.Lock()
	batch := s.dirty
	s.dirty = make(map[uc.AOR]struct{})
	s.mu.Unlock()
	for aor := range batch {
		if err := s.write(ctx, aor); err != nil {
			s.mu.Lock()
			maps.Copy(s.dirty, batch)
			s.mu.Unlock()
			select {
			case s.wake <- struct{}{}:
			default:
			}
			return err
		}
		delete(batch, aor)
	}
	return nil
}

func (s *Sync) write(ctx context.Context, aor uc.AOR) error {
	key := bus.MakeKey(string(aor), s.node)
	now := At(time.Now())
	set := s.table.taken(aor, now.Add(validity))
	if len(set) == 0 {
		return s.bucket.Delete(ctx, key, 0)
	}
	w := wireSet{Version: 1, Until: now.Add(validity)}
	for _, b := range set {
		wb := wireBinding{Contact: b.Contact, Params: b.Params, Instance: b.Instance, RegID: b.RegID, Q: b.Q, Gen: b.Gen,
			Path: b.Path, Agent: b.UserAgent, Created: b.Created}
		if b.Flow != nil {
			wb.Flow = b.Flow.ID()
		}
		w.Set = append(w.Set, wb)
	}
	value, err := json.Marshal(w)
	if err != nil {
		return err
	}
	_, err = s.bucket.Put(ctx, key, value, validity)
	return err
}

// follow keeps the remote half of the table like the bucket.
func (s *Sync) follow(ctx context.Context) {
	for ctx.Err() == nil {
		f := follower{sync: s, known: map[remoteKey]bool{}}
		err := s.bucket.Watch(ctx, "", func(c bus.Change) { f.change(ctx, c) })
		if ctx.Err() != nil || errors.Is(err, bus.ErrClosed) {
			return
		}
		s.log.Warn("bindings of the pool not followed", "err", err)
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

type remoteKey struct {
	aor  uc.AOR
	node string
}

// follower applies one watch. known says which keys of others have been set, and whether
// the running snapshot has shown them.
type follower struct {
	sync  *Sync
	known map[remoteKey]bool
	own   map[uc.AOR]bool // of this node, while a snapshot runs
}

func (f *follower) change(ctx context.Context, c bus.Change) {
	switch c.Op {
	case bus.Reset:
		for k := range f.known {
			f.known[k] = false
		}
		f.own = map[uc.AOR]bool{}
		return
	case bus.Synced:
		for k, shown := range f.known {
			if !shown {
				delete(f.known, k)
				f.sync.table.SetRemote(k.aor, k.node, nil)
			}
		}
		// A bucket that was made anew does not have ours any more.
		for _, aor := range f.sync.table.published() {
			if !f.own[aor] {
				f.sync.mark(aor)
			}
		}
		f.own = nil
		return
	}
	parts, err := c.Key.Parts()
	if err != nil || len(parts) != 2 {
		return
	}
	k := remoteKey{uc.AOR(parts[0]), parts[1]}
	if k.node == f.sync.node {
		if f.own != nil {
			f.own[k.aor] = c.Op == bus.Put
		}
		// Left behind by an earlier life of this node, or gone while it holds: say what is true.
		if (c.Op == bus.Put) != f.sync.table.holds(k.aor) {
			f.sync.mark(k.aor)
		}
		return
	}
	if c.Op != bus.Put {
		delete(f.known, k)
		f.sync.table.SetRemote(k.aor, k.node, nil)
		return
	}
	f.known[k] = true
	f.sync.table.SetRemote(k.aor, k.node, decode(k, c.Value))
}

// decode reads what another member published. What cannot be read is as good
// as not there.
func decode(k remoteKey, value []byte) []*Binding {
	var w wireSet
	if json.Unmarshal(value, &w) != nil {
		return nil
	}
	set := make([]*Binding, 0, len(w.Set))
	for _, b := range w.Set {
		set = append(set, &Binding{AOR: k.aor, Node: k.node, Contact: b.Contact, Params: b.Params, Instance: b.Instance,
			RegID: b.RegID, Q: b.Q, Gen: b.Gen, Path: b.Path, UserAgent: b.Agent, Created: b.Created, Refreshed: b.Created,
			Expires: w.Until})
	}
	return set
}
