package sigauth

// Window is the replay window of one direction of an association: the highest number seen and which of the 256
// up to it ([MS-SIP] 3.1.5.1). The zero value has seen nothing; numbers begin with 1.
type Window struct {
	top  uint32
	seen [windowWidth / 64]uint64 // bit i of the whole: top-i was seen
}

const windowWidth = 256

// Accept marks n as seen. It reports false when n was seen before, or is so old that nobody knows.
func (w *Window) Accept(n uint32) bool {
	if n == 0 {
		return false
	}
	if n > w.top {
		w.shift(n - w.top)
		w.top = n
		w.seen[0] |= 1
		return true
	}
	age := w.top - n
	if age >= windowWidth {
		return false
	}
	bit := uint64(1) << (age % 64)
	if w.seen[age/64]&bit != 0 {
		return false
	}
	w.seen[age/64] |= bit
	return true
}

// shift makes room for by newer numbers.
func (w *Window) shift(by uint32) {
	if by >= windowWidth {
		w.seen = [len(w.seen)]uint64{}
		return
	}
	words, bits := int(by/64), by%64
	for i := len(w.seen) - 1; i >= 0; i-- {
		var v uint64
		if i >= words {
			v = w.seen[i-words] << bits
			if bits > 0 && i > words {
				v |= w.seen[i-words-1] >> (64 - bits)
			}
		}
		w.seen[i] = v
	}
}
