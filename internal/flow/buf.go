package flow

import "sync"

// buf is a pooled byte buffer that is filled at its end and emptied from its front.
type buf struct {
	b []byte // everything not yet given back
	r int    // how much of it was taken
}

// Buffers come in a few sizes, so that an idle flow holds none and a busy one does not allocate.
var (
	bufSizes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
	bufPools [len(bufSizes)]sync.Pool
)

// newBuf returns an empty buffer with room for n bytes.
func newBuf(n int) *buf {
	for i, size := range bufSizes {
		if n <= size {
			if b, ok := bufPools[i].Get().(*buf); ok {
				return b
			}
			return &buf{b: make([]byte, 0, size)}
		}
	}
	return &buf{b: make([]byte, 0, n)}
}

// free gives the buffer back. A nil buffer is nothing to give back.
func (b *buf) free() {
	if b == nil {
		return
	}
	b.b, b.r = b.b[:0], 0
	for i, size := range bufSizes {
		if cap(b.b) == size {
			bufPools[i].Put(b)
			return
		}
	}
}

// len returns how many bytes wait.
func (b *buf) len() int {
	if b == nil {
		return 0
	}
	return len(b.b) - b.r
}

// bytes returns what waits.
func (b *buf) bytes() []byte { return b.b[b.r:] }

// grow returns a buffer with the same bytes and room for n more. It takes over b, which may be nil.
func (b *buf) grow(n int) *buf {
	if b == nil {
		return newBuf(n)
	}
	if cap(b.b)-len(b.b) >= n {
		return b
	}
	bigger := newBuf(max(b.len()+n, min(2*cap(b.b), b.len()+n+1<<20)))
	bigger.b = append(bigger.b, b.bytes()...)
	b.free()
	return bigger
}

// append returns a buffer that ends with p. It takes over b, which may be nil.
func (b *buf) append(p []byte) *buf {
	b = b.grow(len(p))
	b.b = append(b.b, p...)
	return b
}
