package ice

import (
	"net/netip"
	"slices"
	"time"

	"parley/internal/stun"
)

// begin empties the effects.
func (a *Agent) begin() {
	a.out.Send, a.out.Sources, a.out.Paths = a.out.Send[:0], a.out.Sources[:0], a.out.Paths[:0]
	a.buf = a.buf[:0]
}

// finish does what is due and tells when there will be more.
func (a *Agent) finish(now time.Time) *Effects {
	if a.known {
		a.expire(now)
		if !a.config.Lite {
			a.pace(now)
			a.refresh(now)
		}
	}
	a.out.State, a.out.Wake = a.state, a.wake(now)
	return &a.out
}

// Tick does what is due.
func (a *Agent) Tick(now time.Time) *Effects {
	a.begin()
	return a.finish(now)
}

// expire ends what has lasted too long.
func (a *Agent) expire(now time.Time) {
	if a.state == Checking && !now.Before(a.deadline()) {
		a.fail()
	}
	for i := range a.components {
		if p := &a.parts[i]; p.selected != nil && !a.config.Lync && now.Sub(p.consent) >= expiry {
			p.selected, p.done = nil, false
			a.fail()
		}
	}
}

// deadline is when checks are given up. The side that answers may have to wait for the peer's, which begin when the
// answer has come; its own have ended long before.
func (a *Agent) deadline() time.Time {
	if a.controlling || a.heard {
		return a.began.Add(expiry)
	}
	return a.began.Add(ringing)
}

// fail gives up. What the peer checks from now on may still lead to a path.
func (a *Agent) fail() {
	a.state = Failed
	a.triggered = nil
	for i := range a.components {
		if a.parts[i].selected == nil {
			a.route(i, netip.AddrPort{})
		}
	}
	for _, c := range a.checks {
		if !c.consent {
			a.drop(c)
		}
	}
	for _, p := range a.pairs {
		if p.state != succeeded || !a.parts[p.component].done {
			p.state, p.nominated, p.nominate = failed, false, false
		}
	}
}

// nominate asks for the best pair of each component to be used, once it is known or settle has passed (RFC 8445 8.1.1).
func (a *Agent) nominate(now time.Time) {
	if !a.controlling {
		return
	}
	for i := range a.components {
		if p := a.best(i); p != nil && !p.nominate && !now.Before(a.settled(i)) {
			p.nominate = true
			a.trigger(p)
		}
	}
}

// best is the pair of a component that is to be nominated: the first valid one, if none has been.
func (a *Agent) best(component int) *pair {
	if a.parts[component].done {
		return nil
	}
	for _, p := range a.pairs {
		if p.component == component && p.state == succeeded {
			return p
		}
		if p.component == component && p.nominate {
			return nil // it is being asked for
		}
	}
	return nil
}

// settled is when nothing better is waited for than the best pair.
func (a *Agent) settled(component int) time.Time {
	for _, p := range a.pairs {
		if p.component == component && p.state == succeeded {
			break
		}
		if p.component == component && p.state != failed {
			return a.parts[component].valid.Add(settle)
		}
	}
	return time.Time{}
}

// trigger has a pair checked before others.
func (a *Agent) trigger(p *pair) {
	if p.state != succeeded {
		p.state = waiting
	}
	if !slices.Contains(a.triggered, p) {
		a.triggered = append(a.triggered, p)
	}
}

// pace sends at most one check: a triggered one, one that is to be repeated, or the best that waits.
func (a *Agent) pace(now time.Time) {
	for !now.Before(a.lastSend.Add(Ta)) {
		a.nominate(now)
		c := a.due()
		switch {
		case len(a.triggered) > 0:
			p := a.triggered[0]
			a.triggered = a.triggered[1:]
			if p.sent < maxSent {
				a.start(now, p)
			} else {
				a.lose(p)
			}
		case c != nil && !now.Before(c.next):
			a.again(now, c)
		default:
			p := a.first()
			if p == nil {
				return
			}
			a.start(now, p)
		}
	}
}

// first is the best pair that waits to be checked.
func (a *Agent) first() *pair {
	if a.state == Checking {
		for _, p := range a.pairs {
			if p.state == waiting {
				return p
			}
		}
	}
	return nil
}

// due is the check that is to be repeated first.
func (a *Agent) due() *check {
	var first *check
	for _, c := range a.checks {
		if first == nil || c.next.Before(first.next) {
			first = c
		}
	}
	return first
}

// start sends the first check of a pair, in the place of one that is under way.
func (a *Agent) start(now time.Time, p *pair) {
	if p.check != nil {
		a.drop(p.check)
	}
	if p.state != succeeded {
		p.state = inProgress
	}
	active := time.Duration(len(a.checks) + 1)
	c := &check{pair: p, nominate: p.nominate && a.controlling, rto: max(minRTO, Ta*active)}
	a.build(c)
	p.check = c
	a.again(now, c)
}

// again sends a check once more, or ends it.
func (a *Agent) again(now time.Time, c *check) {
	p := c.pair
	if c.consent || c.sent == sends {
		a.drop(c)
		if !c.consent {
			a.lose(p)
		}
		return
	}
	a.send(now, c)
	a.lastSend = now
	p.sent++
	c.next = now.Add(c.rto)
	c.rto = min(2*c.rto, max(maxRTO, c.rto))
}

// lose gives up a pair. One that worked before is asked again for its nomination, as long as there is no other.
func (a *Agent) lose(p *pair) {
	again := p.state == succeeded && !slices.ContainsFunc(a.pairs, func(q *pair) bool {
		return q != p && q.component == p.component && q.state == succeeded
	})
	if p.nominate = false; !again {
		p.state = failed
	}
	a.unfreeze()
}

func (a *Agent) send(now time.Time, c *check) {
	c.sent++
	a.out.Send = append(a.out.Send, Datagram{c.pair.component, c.pair.to, c.packet})
	if c.old != nil && !a.version {
		a.out.Send = append(a.out.Send, Datagram{c.pair.component, c.pair.to, c.old})
	}
}

func (a *Agent) drop(c *check) {
	delete(a.checks, c.id)
	if c.pair.check == c {
		c.pair.check = nil
	}
}

// build makes the request of a check (RFC 8445 7.2.2, [MS-ICE2] 3.1.4.8.2).
func (a *Agent) build(c *check) {
	var random [16]byte
	a.config.Random(random[:])
	c.id, c.controlling, c.key = stun.NewID(random, stun.RFC), a.controlling, []byte(a.remote.Pwd)
	a.checks[c.id] = c
	c.packet = a.request(c, a.dialect())
	if a.config.Lync && !a.version {
		c.old = a.request(c, stun.MSICEOld)
	}
}

func (a *Agent) request(c *check, d stun.Dialect) []byte {
	b := stun.Start(nil, stun.BindingRequest, c.id, d)
	b.AddString(stun.Username, a.remote.Ufrag+":"+a.local.Ufrag)
	b.AddUint32(stun.Priority, priority(prflx, 65535, c.pair.component))
	role := stun.IceControlled
	if a.controlling {
		role = stun.IceControlling
	}
	b.AddUint64(role, a.tieBreaker)
	if c.nominate {
		b.Add(stun.UseCandidate, nil)
	}
	if a.config.Lync {
		b.AddString(stun.MSCandidateIdentifier, "1\x00\x00\x00") // the foundation of the base
		b.AddUint32(stun.MSImplementationVersion, implementationVersion)
	}
	return b.Finish(c.key, true)
}

// implementationVersion is that of [MS-ICE2] with RFC 5389 messages.
const implementationVersion = 2

// dialect is that of what this side begins.
func (a *Agent) dialect() stun.Dialect {
	if a.config.Lync {
		return stun.MSICE
	}
	return stun.RFC
}

// refresh asks for consent, or keeps translators awake.
func (a *Agent) refresh(now time.Time) {
	for i := range a.components {
		part := &a.parts[i]
		if part.selected == nil || now.Before(part.ask) {
			continue
		}
		if a.config.Lync {
			part.ask = now.Add(keepAlive)
			var random [16]byte
			a.config.Random(random[:])
			b := stun.Start(nil, stun.BindingRequest|stun.Indication, stun.NewID(random, stun.RFC), a.dialect())
			a.out.Send = append(a.out.Send, Datagram{i, part.selected.to, b.Finish(nil, true)})
			continue
		}
		part.ask = now.Add(a.gap())
		c := &check{pair: part.selected, consent: true, next: now.Add(expiry)}
		a.build(c)
		a.send(now, c)
	}
}

// gap is consentGap, give or take a fifth (RFC 7675 5.1).
func (a *Agent) gap() time.Duration {
	var b [1]byte
	a.config.Random(b[:])
	return consentGap*4/5 + consentGap*2/5*time.Duration(b[0])/255
}

// wake is when there will be something to do.
func (a *Agent) wake(now time.Time) time.Time {
	if !a.known {
		return time.Time{}
	}
	var at time.Time
	at0 := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	slot := a.lastSend.Add(Ta)
	if slot.Before(now) {
		slot = now
	}
	if a.state == Checking {
		at0(a.deadline())
	}
	for i := range a.components {
		part := &a.parts[i]
		if part.selected != nil {
			if !a.config.Lync {
				at0(part.consent.Add(expiry))
			}
			if !a.config.Lite {
				at0(part.ask)
			}
		}
		if a.controlling && !a.config.Lite {
			if p := a.best(i); p != nil && !p.nominate {
				at0(later(slot, a.settled(i)))
			}
		}
	}
	if a.config.Lite {
		return at
	}
	if len(a.triggered) > 0 || a.first() != nil {
		at0(slot)
	}
	if c := a.due(); c != nil {
		at0(later(slot, c.next))
	}
	return at
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}
