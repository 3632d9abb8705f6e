package binding

import (
	"sync"

	"parley/internal/flow"
	"parley/internal/uc"
)

// onFlow is what a flow's SlotBindings holds: the users registered over it. A
// phone has one; a gateway, or a load generator, thousands.
// Lock order: shard, then onFlow.
type onFlow struct {
	mu     sync.Mutex
	closed bool
	one    uc.AOR
	more   map[uc.AOR]struct{}
}

func (o *onFlow) add(aor uc.AOR) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return false
	case o.one == "" || o.one == aor:
		o.one = aor
		return true
	case o.more == nil:
		o.more = make(map[uc.AOR]struct{})
	}
	o.more[aor] = struct{}{}
	return true
}

func (o *onFlow) remove(aor uc.AOR) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.one == aor {
		o.one = ""
		return
	}
	delete(o.more, aor)
}

// close takes everybody off.
func (o *onFlow) close() []uc.AOR {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	var all []uc.AOR
	if o.one != "" {
		all = append(all, o.one)
	}
	for aor := range o.more {
		all = append(all, aor)
	}
	o.one, o.more = "", nil
	return all
}

// Uses reports whether anybody is registered over a flow.
func (t *Table) Uses(f *flow.Flow) bool {
	o, ok := f.Value(flow.SlotBindings).(*onFlow)
	if !ok {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.one != "" || len(o.more) > 0
}

// slot returns the users of a flow, made on first use. mu serialises the first
// use of a flow by two users.
func (t *Table) slot(f *flow.Flow) *onFlow {
	if o, ok := f.Value(flow.SlotBindings).(*onFlow); ok {
		return o
	}
	t.mu.Lock()
	o, ok := f.Value(flow.SlotBindings).(*onFlow)
	if !ok {
		o = new(onFlow)
		f.SetValue(flow.SlotBindings, o)
	}
	t.mu.Unlock()
	if !ok {
		f.OnClose(func(error) { t.flowClosed(f, o) })
	}
	return o
}

// flowClosed ends the bindings made on a flow: nobody can be reached over it,
// and clients are never dialled.
func (t *Table) flowClosed(f *flow.Flow, o *onFlow) {
	for _, aor := range o.close() {
		t.Update(aor, func(own []*Binding) []*Binding {
			return without(own, func(b *Binding) bool { return b.Flow == f })
		})
	}
}

// attach records which flows the user's bindings use now, and holds them open.
// It returns own without bindings whose flow has gone. The shard is locked.
func (t *Table) attach(aor uc.AOR, old, own []*Binding) []*Binding {
	var dead []*flow.Flow
	for i, b := range own {
		if b.Flow == nil || uses(old, b.Flow) || uses(own[:i], b.Flow) {
			continue
		}
		if b.Flow.Closed() || !t.slot(b.Flow).add(aor) {
			dead = append(dead, b.Flow)
			continue
		}
		b.Flow.Hold()
	}
	for i, b := range old {
		if b.Flow == nil || uses(own, b.Flow) || uses(old[:i], b.Flow) {
			continue
		}
		t.slot(b.Flow).remove(aor)
		b.Flow.Release()
	}
	if dead == nil {
		return own
	}
	return without(own, func(b *Binding) bool {
		for _, f := range dead {
			if b.Flow == f {
				return true
			}
		}
		return false
	})
}

func uses(set []*Binding, f *flow.Flow) bool {
	for _, b := range set {
		if b.Flow == f {
			return true
		}
	}
	return false
}
