package binding

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/uc"
)

const shardCount = 64

// Table holds bindings by user. Reading is a map access under a short lock
// and allocates nothing. All methods are safe for concurrent use.
type Table struct {
	seed   maphash.Seed
	shards [shardCount]shard
	gen    atomic.Uint64
	count  atomic.Int64
	users  atomic.Int64

	mu       sync.Mutex
	watchers atomic.Pointer[[]func(Event)]
	publish  func(uc.AOR) // told when other members must hear of a user's own bindings
}

type shard struct {
	mu      sync.Mutex
	records map[uc.AOR]*record
	expiry  expiryHeap
}

// record is what is known of one user. all is own and remote together and is
// replaced, never written to, so that readers may keep it.
type record struct {
	aor    uc.AOR
	own    []*Binding
	remote []*Binding
	all    []*Binding
	queued Time // when the expiry heap looks at it next; 0 when it will not

	published      uint64 // what other members were told of own, see signature
	publishedUntil Time   // how long they believe it
}

// Event says that bindings of a user appeared or ended. A refresh is no event.
// It is a hint: events about one user may arrive out of order, so a watcher
// looks into the Table for what is true now.
type Event struct {
	AOR    uc.AOR
	Before int // bindings before
	Now    int // bindings after
	New    int // bindings that were not there before
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{seed: maphash.MakeSeed()}
	t.gen.Store(uint64(time.Now().UnixNano()))
	for i := range t.shards {
		t.shards[i].records = make(map[uc.AOR]*record)
	}
	return t
}

// NextGen returns a number for a new binding that was never used before.
func (t *Table) NextGen() uint64 { return t.gen.Add(1) }

// Watch has fn called after each Event, in whatever goroutine caused it, with
// no lock held. fn must not block. Watchers cannot be removed: they are part of
// how a node is put together.
func (t *Table) Watch(fn func(Event)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []func(Event)
	if old := t.watchers.Load(); old != nil {
		all = append(all, *old...)
	}
	all = append(all, fn)
	t.watchers.Store(&all)
}

func (t *Table) tell(e Event) {
	if all := t.watchers.Load(); all != nil {
		for _, fn := range *all {
			fn(e)
		}
	}
}

func (t *Table) shard(aor uc.AOR) *shard {
	return &t.shards[maphash.String(t.seed, string(aor))%shardCount]
}

// Of returns the bindings of a user, own ones first. The slice and what it
// points to do not change and must not be changed.
func (t *Table) Of(aor uc.AOR) []*Binding {
	s := t.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[aor]; r != nil {
		return r.all
	}
	return nil
}

// OfBytes is Of for a name in a buffer.
func (t *Table) OfBytes(aor []byte) []*Binding {
	s := &t.shards[maphash.Bytes(t.seed, aor)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[uc.AOR(aor)]; r != nil {
		return r.all
	}
	return nil
}

// Len returns how many bindings there are, and how many users have some.
func (t *Table) Len() (bindings, users int) { return int(t.count.Load()), int(t.users.Load()) }

// Each calls yield with the bindings of one user after the other, in no
// particular order, until it returns false.
func (t *Table) Each(yield func(uc.AOR, []*Binding) bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		sets := make([][]*Binding, 0, len(s.records))
		for _, r := range s.records {
			if len(r.all) > 0 {
				sets = append(sets, r.all)
			}
		}
		s.mu.Unlock()
		for _, set := range sets {
			if !yield(set[0].AOR, set) {
				return
			}
		}
	}
}

// Update replaces this node's bindings of a user by what fn makes of them. fn
// runs under a lock: it decides from memory and calls nothing of the Table but
// NextGen. It may return its argument for "no change", and must not write to
// it. A binding on a flow that has closed meanwhile is dropped.
func (t *Table) Update(aor uc.AOR, fn func(own []*Binding) []*Binding) {
	s := t.shard(aor)
	s.mu.Lock()
	r := s.records[aor]
	var old []*Binding
	if r != nil {
		old = r.own
	}
	own := fn(old)
	if same(old, own) {
		s.mu.Unlock()
		return
	}
	if r == nil {
		r = &record{aor: aor}
		s.records[aor] = r
	}
	own = t.attach(aor, old, own)
	before := r.all
	r.own = own
	event := t.replaced(s, r, before)
	publish := t.publish != nil && r.unpublished()
	s.mu.Unlock()
	if publish {
		t.publish(aor)
	}
	if event.New > 0 || event.Before != event.Now {
		t.tell(event)
	}
}

// replaced brings all, the counters and the expiry queue in line with own and
// remote. The shard is locked.
func (t *Table) replaced(s *shard, r *record, before []*Binding) Event {
	r.all = r.own
	if len(r.remote) > 0 {
		r.all = append(append(make([]*Binding, 0, len(r.own)+len(r.remote)), r.own...), r.remote...)
	}
	t.count.Add(int64(len(r.all) - len(before)))
	switch {
	case len(before) == 0 && len(r.all) > 0:
		t.users.Add(1)
	case len(before) > 0 && len(r.all) == 0:
		t.users.Add(-1)
	}
	if len(r.all) == 0 && r.queued == 0 {
		delete(s.records, r.aor)
	} else {
		s.expiry.schedule(r)
	}
	return Event{AOR: r.aor, Before: len(before), Now: len(r.all), New: fresh(before, r.all)}
}

// Remove ends this node's binding with generation gen, if it is still there,
// and reports whether it was.
func (t *Table) Remove(aor uc.AOR, gen uint64) bool {
	found := false
	t.Update(aor, func(own []*Binding) []*Binding {
		kept := without(own, func(b *Binding) bool { return b.Gen == gen })
		found = len(kept) < len(own)
		return kept
	})
	return found
}

// SetRemote replaces what is known of a user's bindings on another member.
func (t *Table) SetRemote(aor uc.AOR, node string, set []*Binding) {
	s := t.shard(aor)
	s.mu.Lock()
	r := s.records[aor]
	if r == nil {
		if len(set) == 0 {
			s.mu.Unlock()
			return
		}
		r = &record{aor: aor}
		s.records[aor] = r
	}
	before := r.all
	kept := without(r.remote, func(b *Binding) bool { return b.Node == node })
	r.remote = append(append(make([]*Binding, 0, len(kept)+len(set)), kept...), set...)
	event := t.replaced(s, r, before)
	s.mu.Unlock()
	if event.New > 0 || event.Before != event.Now {
		t.tell(event)
	}
}

// Sweep ends the bindings that have expired. It is called about once a second.
func (t *Table) Sweep(now Time) {
	var events []Event
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for {
			r := s.expiry.due(now)
			if r == nil {
				break
			}
			before := r.all
			expired := func(b *Binding) bool { return b.Expires <= now }
			old := r.own
			r.own = without(old, expired)
			r.remote = without(r.remote, expired)
			t.attach(r.aor, old, r.own)
			if e := t.replaced(s, r, before); e.Before != e.Now {
				events = append(events, e)
			}
		}
		s.mu.Unlock()
	}
	for _, e := range events {
		if t.publish != nil {
			t.publish(e.AOR)
		}
		t.tell(e)
	}
}

// unpublished reports whether other members must be told: when bindings came,
// changed or went, and when they would soon cease to believe in them.
func (r *record) unpublished() bool {
	if signature(r.own) != r.published {
		return true
	}
	for _, b := range r.own {
		if r.publishedUntil-b.Refreshed < Time(validity/time.Millisecond/2) {
			return true
		}
	}
	return false
}

// signature is a number for which bindings there are.
func signature(own []*Binding) uint64 {
	sum := uint64(len(own))
	for _, b := range own {
		sum = sum*0x9e3779b97f4a7c15 + b.Gen
	}
	return sum
}

// taken returns a user's own bindings to be published, and notes that others
// will believe in them until then.
func (t *Table) taken(aor uc.AOR, until Time) []*Binding {
	s := t.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[aor]
	if r == nil {
		return nil
	}
	r.published, r.publishedUntil = signature(r.own), until
	return r.own
}

// holds reports whether the user has a binding on this node.
func (t *Table) holds(aor uc.AOR) bool {
	s := t.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[aor]
	return r != nil && len(r.own) > 0
}

// published returns the users with bindings on this node, all of whom others should know.
func (t *Table) published() []uc.AOR {
	var all []uc.AOR
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for aor, r := range s.records {
			if len(r.own) > 0 {
				all = append(all, aor)
			}
		}
		s.mu.Unlock()
	}
	return all
}

// without returns set itself when nothing in it is to go.
func without(set []*Binding, gone func(*Binding) bool) []*Binding {
	for i, b := range set {
		if !gone(b) {
			continue
		}
		kept := append([]*Binding(nil), set[:i]...)
		for _, b := range set[i+1:] {
			if !gone(b) {
				kept = append(kept, b)
			}
		}
		return kept
	}
	return set
}

func same(a, b []*Binding) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// fresh counts the bindings of now whose generation was not there before.
func fresh(before, now []*Binding) int {
	n := 0
next:
	for _, b := range now {
		for _, a := range before {
			if a.Gen == b.Gen && a.Node == b.Node {
				continue next
			}
		}
		n++
	}
	return n
}
