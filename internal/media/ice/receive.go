package ice

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"parley/internal/stun"
)

// Input takes a datagram that looks like STUN (its first octet is below 4). What has no right password is dropped
// without an answer: an agent that answered would let anybody have it send somewhere.
func (a *Agent) Input(now time.Time, component int, from netip.AddrPort, b []byte) *Effects {
	a.begin()
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	m, err := stun.Parse(b, stun.RFC)
	if err != nil && a.config.Lync {
		m, err = stun.Parse(b, stun.MSTURN) // draft-ietf-behave-rfc3489bis-02, of the first Lync clients
	}
	taken := false
	if err == nil {
		switch m.Type() {
		case stun.BindingRequest:
			taken = a.asked(now, component, from, m)
		case stun.BindingRequest | stun.Success, stun.BindingRequest | stun.Failure:
			taken = a.answered(now, component, from, m)
		}
	}
	if !taken {
		return &a.out // a flood is not even worth a look at the clock
	}
	return a.finish(now)
}

// authentic finds the dialect in which a message was protected by a key.
func (a *Agent) authentic(m *stun.Message, key []byte) bool {
	if m.Dialect == stun.MSTURN {
		return m.CheckIntegrity(key)
	}
	if a.config.Lync {
		// The first implementations tell no version. Of a message of others, a second copy comes with their FINGERPRINT.
		// Both kinds are the same for many messages.
		order := []stun.Dialect{stun.MSICE, stun.MSICEOld}
		if _, told := m.Uint32(stun.MSImplementationVersion); !told {
			order = []stun.Dialect{stun.MSICEOld, stun.MSICE}
		}
		for _, m.Dialect = range order {
			if m.CheckFingerprint() && m.CheckIntegrity(key) {
				return true
			}
		}
		m.Dialect = stun.RFC
	}
	if _, has := m.Get(stun.Fingerprint); has && !m.CheckFingerprint() {
		return false
	}
	return m.CheckIntegrity(key)
}

// asked serves a check of the peer (RFC 8445 7.3), and reports whether it is one.
func (a *Agent) asked(now time.Time, component int, from netip.AddrPort, m stun.Message) bool {
	name, _ := m.Get(stun.Username)
	ours, _, ok := bytes.Cut(name, []byte(":"))
	if !ok {
		return false
	}
	// A restart does not end the former password at once. Browsers even begin with it from new ports, before the answer
	// has told them the new one, and then stay with it.
	local := a.local
	if a.former.Ufrag != "" && string(ours) == a.former.Ufrag {
		local = a.former
	}
	key := []byte(local.Pwd)
	if string(ours) != local.Ufrag || !a.authentic(&m, key) {
		return false
	}
	version, told := m.Uint32(stun.MSImplementationVersion)
	a.version = a.version || told && version >= implementationVersion
	if m.Dialect == stun.MSICEOld && told {
		m.Dialect = stun.MSICE
	}
	if unknown := unknowns(m); unknown != nil {
		a.refuse(component, from, m, key, 420, "Unknown Attribute", unknown)
		return true
	}
	if !a.config.Lite && a.conflict(m) {
		a.refuse(component, from, m, key, 487, "Role Conflict", nil)
		return true
	}
	a.reply(component, from, m, key)
	if component < a.components {
		a.learn(now, component, from, m)
	}
	return true
}

// learn draws the conclusions of a check of the peer (RFC 8445 7.3.1.3 to 5).
func (a *Agent) learn(now time.Time, component int, from netip.AddrPort, m stun.Message) {
	p := a.find(component, from)
	if p == nil {
		prio, _ := m.Uint32(stun.Priority)
		p = &pair{component: component, to: from, remote: prio}
		if !a.addPair(p) {
			return
		}
	}
	if a.known && !a.heard {
		a.heard, a.began = true, now
	}
	p.asked = now
	a.proved(p)
	part := &a.parts[component]
	if a.config.Lite && part.selected == p {
		part.consent = now
	}
	if _, use := m.Get(stun.UseCandidate); use && !a.controlling {
		p.nominated = true
	}
	switch {
	case !a.known:
		return // SetRemote goes on
	case a.config.Lite:
		p.state = succeeded
	case p.state != succeeded && (p.state != inProgress || p.check == nil || p.check.sent > 1):
		a.trigger(p)
	}
	if p.state == succeeded && p.nominated && !a.controlling {
		a.take(now, p)
	}
}

// proved notes that an address is the peer's.
func (a *Agent) proved(p *pair) {
	if !p.source {
		p.source = true
		a.out.Sources = append(a.out.Sources, Path{p.component, p.to})
	}
}

// conflict settles who controls (RFC 8445 7.3.1.1), and reports whether the peer has to give way.
func (a *Agent) conflict(m stun.Message) bool {
	attr := stun.IceControlled
	if a.controlling {
		attr = stun.IceControlling
	}
	v, ok := m.Get(attr)
	if !ok || len(v) != 8 {
		return false
	}
	larger := a.tieBreaker >= binary.BigEndian.Uint64(v)
	if larger != a.controlling {
		a.setRole(!a.controlling)
		return false
	}
	return true
}

// setRole changes the role, by which pairs have their order.
func (a *Agent) setRole(controlling bool) {
	a.controlling = controlling
	for _, p := range a.pairs {
		p.nominate, p.nominated = false, false
	}
	slices.SortStableFunc(a.pairs, func(p, q *pair) int {
		switch x, y := a.weight(p), a.weight(q); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
}

// known attributes of a request that must be understood.
func unknowns(m stun.Message) []byte {
	var u []byte
	for a := range m.Attributes() {
		switch a {
		case stun.Username, stun.MessageIntegrity, stun.Priority, stun.UseCandidate, stun.MSMagicCookie:
		default:
			if a.Required() && len(u) < 16 {
				u = binary.BigEndian.AppendUint16(u, uint16(a))
			}
		}
	}
	return u
}

func (a *Agent) reply(component int, to netip.AddrPort, m stun.Message, key []byte) {
	b := stun.Start(a.buf, m.Type()|stun.Success, m.ID(), m.Dialect)
	if m.Dialect == stun.MSTURN {
		b.AddAddr(stun.MappedAddress, to)
	} else {
		b.AddXorAddr(stun.XorMappedAddress, to)
	}
	a.answer(component, to, &b, m, key)
}

func (a *Agent) refuse(component int, to netip.AddrPort, m stun.Message, key []byte, code int, reason string, unknown []byte) {
	b := stun.Start(a.buf, m.Type()|stun.Failure, m.ID(), m.Dialect)
	b.AddError(code, reason)
	if unknown != nil {
		b.Add(stun.UnknownAttributes, unknown)
	}
	a.answer(component, to, &b, m, key)
}

func (a *Agent) answer(component int, to netip.AddrPort, b *stun.Builder, m stun.Message, key []byte) {
	if a.config.Lync && m.Dialect != stun.MSTURN {
		b.AddUint32(stun.MSImplementationVersion, implementationVersion)
	}
	at := len(a.buf)
	a.buf = b.Finish(key, m.Dialect != stun.MSTURN)
	a.out.Send = append(a.out.Send, Datagram{component, to, a.buf[at:]})
}

// answered takes the answer to a check (RFC 8445 7.2.5), and reports whether it is one.
func (a *Agent) answered(now time.Time, component int, from netip.AddrPort, m stun.Message) bool {
	c := a.checks[m.ID()]
	if c == nil || c.pair.component != component || !a.authentic(&m, c.key) {
		return false
	}
	if version, ok := m.Uint32(stun.MSImplementationVersion); ok && version >= implementationVersion {
		a.version = true
	}
	p := c.pair
	a.drop(c)
	switch {
	case m.Type().Class() == stun.Failure && m.Code() == 487:
		if a.controlling == c.controlling {
			var tie [8]byte
			a.config.Random(tie[:])
			a.tieBreaker = binary.BigEndian.Uint64(tie[:])
			a.setRole(!c.controlling)
		}
		a.trigger(p)
	case m.Type().Class() == stun.Failure || from != p.to: // RFC 8445 7.2.5.2.1: the way back is not the way there
		if !c.consent {
			a.lose(p)
		}
	case c.consent:
		if part := &a.parts[component]; part.selected == p {
			part.consent = now
		}
	default:
		a.succeed(now, p, c)
	}
	return true
}

// succeed notes that a check went both ways (RFC 8445 7.2.5.3).
func (a *Agent) succeed(now time.Time, p *pair, c *check) {
	p.state, p.sent = succeeded, 0
	a.proved(p)
	part := &a.parts[p.component]
	if part.valid.IsZero() {
		part.valid = now
	}
	if part.selected == nil && !part.route.IsValid() {
		a.route(p.component, p.to) // RFC 8445 12.1: until there is a selected pair, a valid one may be used
	}
	a.unfreeze()
	if c.nominate && a.controlling {
		p.nominate, p.nominated = false, true
	}
	if p.nominated {
		a.take(now, p)
	}
}

// take uses a nominated pair: the best of those that are, unless the one in use is not asked about any more.
func (a *Agent) take(now time.Time, p *pair) {
	part := &a.parts[p.component]
	if s := part.selected; part.done && s != nil && s != p && a.weight(s) >= a.weight(p) && now.Sub(s.asked) <= takeOver {
		return
	}
	if part.selected != p {
		a.route(p.component, p.to)
		part.selected, part.ask = p, now.Add(a.gap())
		part.consent = now
	}
	part.done = true
	for _, c := range a.checks { // what is worse is not tried any more
		if !c.consent && c.pair.component == p.component && c.pair != p && a.weight(c.pair) < a.weight(p) {
			c.pair.state = failed
			a.drop(c)
		}
	}
	for i := range a.components {
		if !a.parts[i].done {
			return
		}
	}
	a.state = Connected
}

// route has media of a component sent to an address, or nowhere.
func (a *Agent) route(component int, to netip.AddrPort) {
	if part := &a.parts[component]; part.route != to {
		part.route = to
		a.out.Paths = append(a.out.Paths, Path{component, to})
	}
}

// selectDefault is what two lite agents do: the best candidate of the peer is the path (RFC 8445 8.2.2).
func (a *Agent) selectDefault(now time.Time) {
	for i := range a.components {
		for _, p := range a.pairs {
			if p.component == i {
				p.state = succeeded
				a.proved(p)
				a.take(now, p)
				break
			}
		}
	}
}
