package stack

import "sync"

// buffer is scratch space to write a message into before flow.Send copies it.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 4096)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

// putBuffer gives scratch space back, unless it grew so much that keeping it would be a waste.
func putBuffer(b *buffer) {
	if cap(b.b) <= 64<<10 {
		buffers.Put(b)
	}
}
