package interwork

import (
	"parley/internal/proxy"
	"parley/internal/sdp"
	"parley/internal/sip"
)

// inside is the exchange of a request within a dialog that the engine serves.
type inside struct {
	l    *leg
	from int
	m    *sip.Message

	offer *offer // that the request brought
	seen  []answered
	done  bool
}

// Attempt implements proxy.Exchange.
func (x *inside) Attempt(int, *proxy.Branch) (*sip.Body, error) {
	text := described(x.m)
	if text == nil {
		return nil, nil
	}
	s := x.l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.l.ended {
		return nil, nil
	}
	d, err := sdp.Parse(text)
	if o := x.l.sent; o != nil && o.from != x.from && answers(x.m, o) {
		x.l.sent = nil
		if err != nil {
			d = nil
		}
		return bodyOf(x.l.answer(o, d)), nil
	}
	if x.m.Method() == sip.ACK {
		return nil, nil // an answer to nothing that is known
	}
	if err != nil {
		s.g.counts.Refused.Add(1)
		return nil, &sip.Error{Code: 400, Diagnostic: "malformed session description", Err: err}
	}
	o, err := x.l.offer(x.from, d, x.l.sides[1-x.from].profile)
	if err != nil {
		s.g.counts.Refused.Add(1)
		return nil, err
	}
	x.offer = o
	return bodyOf(o.built), nil
}

// answers reports whether a request brings the answer to an offer that was passed on in a response: the ACK of that
// INVITE, or a PRACK.
func answers(m *sip.Message, o *offer) bool {
	n, _ := m.CSeq()
	return m.Method() == sip.ACK && n == o.cseq || m.Method() == sip.PRACK
}

// Again implements proxy.Exchange: within a dialog there is one way to make an offer.
func (x *inside) Again(int, *proxy.Branch, *sip.Message) bool { return false }

// Response implements proxy.Exchange.
func (x *inside) Response(_ int, _ *proxy.Branch, m *sip.Message) *sip.Body {
	code := m.StatusCode()
	if x.m.Method() == sip.BYE {
		// Whatever the answer, one end has left; after a challenge it comes again.
		if code >= 200 && code != 401 && code != 407 {
			x.l.end()
		}
		return nil
	}
	s := x.l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.l.ended {
		return nil
	}
	if code >= 300 {
		x.undo()
		return nil
	}
	if code >= 200 {
		s.refreshed(m)
	}
	text := described(m)
	if text == nil {
		return nil
	}
	for _, a := range x.seen {
		if a.text == string(text) {
			return a.body
		}
	}
	d, err := sdp.Parse(text)
	var body *sip.Body
	switch {
	case x.offer != nil:
		if err != nil {
			d = nil
		}
		body = bodyOf(x.l.answer(x.offer, d))
		x.done = true
	case x.m.Method() == sip.INVITE && err == nil:
		o, err := x.l.offer(1-x.from, d, x.l.sides[x.from].profile)
		if err != nil {
			return nil
		}
		o.cseq, _ = x.m.CSeq()
		x.l.sent = o
		body = bodyOf(o.built)
	default:
		return nil
	}
	if len(x.seen) < maxSeen {
		x.seen = append(x.seen, answered{text: string(text), body: body})
	}
	return body
}

// undo takes an offer back that was refused. The lock is held.
func (x *inside) undo() {
	if x.offer != nil && !x.done {
		x.l.rollback(x.offer)
	}
	x.offer = nil
}

// Failed implements proxy.Exchange.
func (x *inside) Failed(int, *proxy.Branch, int) {
	if x.m.Method() == sip.BYE {
		x.l.end()
		return
	}
	x.l.s.mu.Lock()
	defer x.l.s.mu.Unlock()
	if !x.l.ended {
		x.undo()
	}
}

// Rewrites implements proxy.Exchange.
func (x *inside) Rewrites(int) bool { return x.offer != nil || x.m.Method() == sip.INVITE }
