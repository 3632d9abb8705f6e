// Package member is what the nodes of a pool know of each other: who is there,
// and who takes new work. Each says so again and again on the bus (bucket
// member_v1); one that was killed is forgotten when its word has run out.
package member

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/internal/bus"
	"parley/internal/uc"
)

const bucketName = "member_v1"

// A node says every beat that it is there, and is believed for life.
const (
	beat = 2 * time.Second
	life = 6 * time.Second
)

// Table is safe for concurrent use. Asking is memory only; a nil Table answers for
// a node that is alone.
type Table struct {
	self   string
	bucket *bus.Bucket // nil for a node that is alone
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.RWMutex
	leaving bool
	synced  bool
	nodes   map[string]bool // by name; true: takes new work
}

// state is what a node says. Values are additive JSON.
type state struct {
	Version int  `json:"v"`
	Serving bool `json:"serving"`
}

// New returns the table of the node called self. A node that is alone has no
// others.
func New(b *bus.Bus, self string, log *slog.Logger) (*Table, error) {
	t := &Table{self: self, log: log, wake: make(chan struct{}, 1), nodes: map[string]bool{}}
	if b == nil || b.Mode() == bus.Alone {
		return t, nil
	}
	var err error
	t.bucket, err = b.Bucket(bus.BucketConfig{Name: bucketName, TTL: life, MaxBytes: 1 << 20, MaxValue: 1024})
	return t, err
}

// Run says that this node is there, and listens to the others, until ctx ends.
func (t *Table) Run(ctx context.Context) {
	if t.bucket == nil {
		return
	}
	var following sync.WaitGroup
	following.Go(func() { t.follow(ctx) })
	defer following.Wait()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, beat)
		err := t.say(try)
		cancel()
		if err != nil && ctx.Err() == nil && !errors.Is(err, bus.ErrNotReady) {
			t.log.Debug("the pool was not told that this node is there", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.wake:
		}
	}
}

func (t *Table) say(ctx context.Context) error {
	value, err := json.Marshal(state{1, !t.Leaving()})
	if err != nil {
		return err
	}
	_, err = t.bucket.Put(ctx, bus.MakeKey(t.self), value, life)
	return err
}

// Leave says that this node takes no new work any more.
func (t *Table) Leave() {
	t.mu.Lock()
	t.leaving = true
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Leaving reports whether Leave was called.
func (t *Table) Leaving() bool {
	if t == nil {
		return false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.leaving
}

// Alive reports whether a member is there. Before this node has heard of any, it
// takes everybody to be.
func (t *Table) Alive(node string) bool {
	if t == nil {
		return true
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.nodes[node]
	return ok || !t.synced
}

// Successor is the other member that a user goes to when this one takes nobody:
// the same whichever member is asked, and another for another user.
func (t *Table) Successor(user uc.AOR) (node string, ok bool) {
	if t == nil {
		return "", false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var best uint64
	for name, serving := range t.nodes {
		if !serving || name == t.self {
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(name))
		h.Write([]byte{0})
		h.Write([]byte(user))
		if w := mix(h.Sum64()); !ok || w > best || w == best && name < node {
			node, best, ok = name, w, true
		}
	}
	return node, ok
}

// mix spreads what FNV leaves in the lower bits (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Others lists the other members that are there, in order.
func (t *Table) Others() []string {
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []string
	for name := range t.nodes {
		if name != t.self {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// follow keeps nodes like the bucket.
func (t *Table) follow(ctx context.Context) {
	for ctx.Err() == nil {
		seen := map[string]bool{} // of the running snapshot, nil after it
		err := t.bucket.Watch(ctx, "", func(c bus.Change) {
			t.mu.Lock()
			defer t.mu.Unlock()
			switch c.Op {
			case bus.Reset:
				seen = map[string]bool{}
				return
			case bus.Synced:
				t.nodes, seen, t.synced = seen, nil, true
				return
			}
			parts, err := c.Key.Parts()
			if err != nil || len(parts) != 1 {
				return
			}
			to := seen
			if to == nil {
				to = t.nodes
			}
			var s state
			if c.Op != bus.Put || json.Unmarshal(c.Value, &s) != nil {
				delete(to, parts[0])
				return
			}
			to[parts[0]] = s.Serving
		})
		if ctx.Err() != nil || errors.Is(err, bus.ErrClosed) {
			return
		}
		t.log.Warn("members of the pool not followed", "err", err)
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}
