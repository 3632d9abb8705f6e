package binding

// expiryHeap orders records by when they must be looked at. A record is in it
// at most once. A refresh moves the expiry later and leaves the heap alone;
// when the record comes up it is queued again for what is true then.
type expiryHeap []expiryEntry

type expiryEntry struct {
	at  Time
	rec *record // queued == at, or the entry is void
}

// schedule queues r for its first expiry, unless it is queued early enough.
func (h *expiryHeap) schedule(r *record) {
	var first Time
	for _, b := range r.all {
		if first == 0 || b.Expires < first {
			first = b.Expires
		}
	}
	if first == 0 || r.queued != 0 && r.queued <= first {
		return
	}
	r.queued = first
	h.push(expiryEntry{first, r})
}

// due takes out the next record to look at, nil when there is none.
func (h *expiryHeap) due(now Time) *record {
	for len(*h) > 0 && (*h)[0].at <= now {
		e := h.pop()
		if e.rec.queued == e.at {
			e.rec.queued = 0
			return e.rec
		}
	}
	return nil
}

func (h *expiryHeap) push(e expiryEntry) {
	a := append(*h, e)
	i := len(a) - 1
	for i > 0 {
		up := (i - 1) / 2
		if a[up].at <= a[i].at {
			break
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
	*h = a
}

func (h *expiryHeap) pop() expiryEntry {
	a := *h
	top, last := a[0], len(a)-1
	a[0], a[last] = a[last], expiryEntry{}
	a = a[:last]
	for i := 0; ; {
		kid := 2*i + 1
		if kid >= last {
			break
		}
		if kid+1 < last && a[kid+1].at < a[kid].at {
			kid++
		}
		if a[i].at <= a[kid].at {
			break
		}
		a[i], a[kid] = a[kid], a[i]
		i = kid
	}
	*h = a
	return top
}
