package flow

import "sync"

const tableShards = 64

// table finds flows by number.
type table struct {
	shards [tableShards]struct {
		sync.Mutex
		m map[uint64]*Flow
		_ [48]byte // a cache line each
	}
}

func (t *table) init() {
	for i := range t.shards {
		t.shards[i].m = make(map[uint64]*Flow)
	}
}

func (t *table) get(id uint64) (*Flow, bool) {
	s := &t.shards[id%tableShards]
	s.Lock()
	f, ok := s.m[id]
	s.Unlock()
	return f, ok
}

func (t *table) add(f *Flow) {
	s := &t.shards[f.id%tableShards]
	s.Lock()
	s.m[f.id] = f
	s.Unlock()
}

func (t *table) remove(f *Flow) {
	s := &t.shards[f.id%tableShards]
	s.Lock()
	delete(s.m, f.id)
	s.Unlock()
}

// all returns every flow, in no order.
func (t *table) all() []*Flow {
	var all []*Flow
	for i := range t.shards {
		all = t.shard(i, all)
	}
	return all
}

// shard appends the flows of one shard to dst.
func (t *table) shard(i int, dst []*Flow) []*Flow {
	s := &t.shards[i]
	s.Lock()
	for _, f := range s.m {
		dst = append(dst, f)
	}
	s.Unlock()
	return dst
}
