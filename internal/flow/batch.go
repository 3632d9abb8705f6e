package flow

import (
	"bytes"
	"sync"

	"parley/internal/sip"
)

// batch collects what is to be written when a reader has handled everything it read: streams that got bytes, and
// for UDP the datagrams themselves. Any goroutine may add to it while it is open.
//
// Locks: a stream's mu may be held while taking a batch's mu, never the other way round.
type batch struct {
	mu    sync.Mutex
	open  bool
	dirty []*stream
	ring  *sendRing // the socket's, nil for a stream's reader
}

// begin opens the batch. dirty is an empty list to be used until end.
func (b *batch) begin(dirty []*stream) {
	b.mu.Lock()
	b.open = true
	b.dirty = dirty
	b.mu.Unlock()
}

// add notes a stream to be flushed at the end and reports whether it did. The caller holds s.mu.
func (b *batch) add(s *stream) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false
	}
	b.dirty = append(b.dirty, s)
	return true
}

// end closes the batch and writes what it collected. It returns the emptied list for the next begin.
func (b *batch) end() []*stream {
	b.mu.Lock()
	b.open = false
	dirty := b.dirty
	b.dirty = nil
	if b.ring != nil {
		b.ring.flush()
	}
	b.mu.Unlock()
	for i, s := range dirty {
		s.flush()
		dirty[i] = nil
	}
	return dirty[:0]
}

// readSize is how much a stream's reader takes from the socket at a time, and thereby the length of a batch.
const readSize = 64 << 10

// workspace is what a stream's reader needs while it has something to read. It is borrowed from a pool, so that
// only as many exist as readers run at the same time.
type workspace struct {
	in    []byte       // what was read from the socket
	plain []byte       // TLS: what was decrypted
	raw   bytes.Buffer // TLS: records while they are decrypted
	read  streamRead
	msg   sip.Message
	dirty []*stream
}

var workspaces = sync.Pool{New: func() any { return &workspace{in: make([]byte, readSize)} }}
