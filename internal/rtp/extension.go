package rtp

// Profiles of header extensions (RFC 8285 4).
const (
	oneByte     = 0xBEDE
	twoByte     = 0x1000 // the lower four bits are the application's
	twoByteMask = 0xFFF0
)

// Element returns the value of the element with an identifier of RFC 8285, one of the a=extmap lines; ok is false
// when the packet has none. Lengths that run over the extension end it.
func (p Packet) Element(id uint8) (value []byte, ok bool) {
	profile, data, _ := p.Extension()
	for rest := data; len(rest) > 0 && id != 0; {
		var e element
		if e, rest = next(profile, rest); e.id == id {
			return e.value, true
		}
	}
	return nil, false
}

// MapElements gives the elements of the header extension the identifiers of another peer: what was id becomes
// ids[id], and what has 0 there is taken out. Without any element left the extension goes as well, and with it one
// that is not of RFC 8285. It returns the packet, as WithoutExtension does; p is no longer valid.
func (p Packet) MapElements(ids *[256]uint8) Packet {
	profile, data, ok := p.Extension()
	if !ok {
		return p
	}
	left := false
	for rest := data; len(rest) > 0; {
		var e element
		e, rest = next(profile, rest)
		switch {
		case e.id == 0: // padding, or what cannot be understood: nothing of it gets through
			clear(e.whole)
		case ids[e.id] == 0 || profile == oneByte && ids[e.id] > 14:
			clear(e.whole)
		case profile == oneByte:
			e.whole[0] = ids[e.id]<<4 | e.whole[0]&0x0F
			left = true
		default:
			e.whole[0] = ids[e.id]
			left = true
		}
	}
	if !left {
		return p.WithoutExtension()
	}
	return p
}

// element is one element; id 0 is padding.
type element struct {
	id    uint8
	value []byte
	whole []byte // with its head
}

// next is the first element of what is left, and what follows it. What cannot be understood is one element without
// an identifier that ends the extension.
func next(profile uint16, b []byte) (e element, rest []byte) {
	head, n := 0, 0
	switch {
	case b[0] == 0:
		return element{}, b[1:]
	case profile == oneByte && b[0]>>4 == 15: // RFC 8285 4.2: stop here
	case profile == oneByte:
		e.id, head, n = b[0]>>4, 1, int(b[0]&0x0F)+1
	case profile&twoByteMask == twoByte && len(b) >= 2:
		e.id, head, n = b[0], 2, int(b[1])
	}
	if e.id == 0 || len(b) < head+n {
		return element{whole: b}, nil
	}
	e.value, e.whole = b[head:head+n], b[:head+n]
	return e, b[head+n:]
}
