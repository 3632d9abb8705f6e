package interwork

import (
	"strings"

	"parley/internal/contract/binding"
	"parley/internal/flow"
	"parley/internal/proxy"
	"parley/internal/sdp"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/uc"
)

// invite is the exchange of an INVITE that begins a call.
type invite struct {
	g  *Gateway
	tx *stack.ServerTxn
	m  *sip.Message

	looked bool
	d      *sdp.Description // nil without, or when it is malformed
	bad    error
	class  class
	from   *end // the caller, until a session has it

	s        *session
	branches []*branch
}

// branch is one place the INVITE goes to.
type branch struct {
	to    *end
	leg   *leg    // nil while nothing is between
	offer *offer  // what the leg was offered
	tried [4]bool // ways: untouched, and by profile
	way   way     // that is under way
	known class   // offers that the end is known to refuse
	seen  []answered
}

// answered is a description that came in a response, and what was passed on for it.
type answered struct {
	tag, text string
	body      *sip.Body
}

// way is how the offer of a branch is made.
type way uint8

const (
	untouched way = iota
	asPhone
	asSecure
	asOther
)

func (w way) profile(p Profile) Profile {
	switch w {
	case asPhone:
		return Phone
	case asSecure:
		return Secure
	}
	return p
}

// look reads the offer, once, when somebody has to know.
func (x *invite) look() {
	if x.looked {
		return
	}
	x.looked = true
	f := x.tx.Flow()
	x.from = &end{flow: f, id: endpointOf(x.m)}
	if text := described(x.m); text != nil {
		if x.d, x.bad = sdp.Parse(text); x.d != nil {
			x.class = classOf(x.d, isLync(x.m))
		}
	}
	now := x.g.cfg.Now()
	x.from.profile = x.class.profile()
	switch {
	case x.from.profile != Unknown:
		if x.class == secure || x.class == plain {
			x.g.memory.learn(x.from.id, x.from.profile, (secure|plain|optional)&^x.class, x.class, now)
		}
	case webSocket(f):
		x.from.profile = Browser
	case isLync(x.m):
		x.from.profile = Lync
	default:
		x.from.profile, _ = x.g.memory.get(x.from.id, now)
	}
}

func webSocket(f *flow.Flow) bool {
	return f != nil && (f.Transport() == flow.WS || f.Transport() == flow.WSS)
}

// isLync reports whether a Lync-protocol client sent m: only those have an epid ([MS-SIPRE] 2.2.1).
func isLync(m *sip.Message) bool {
	var n sip.NameAddr
	return sip.ParseNameAddr(m.Header(sip.HFrom), &n) == nil && n.Params.Has("epid")
}

// endpointOf names the endpoint a request came from: its instance, or its contact.
func endpointOf(m *sip.Message) string {
	var n sip.NameAddr
	v := m.Values(sip.HContact)
	c, ok := v.Next()
	if !ok || sip.ParseNameAddr(c, &n) != nil {
		return ""
	}
	if i, ok := n.Params.Get("+sip.instance"); ok {
		return strings.Trim(string(sip.Unquote(i)), "<>")
	}
	return string(n.URI)
}

// called is the end of a branch, as far as it is known.
func (x *invite) called(b *proxy.Branch) (*end, class) {
	e := &end{flow: b.Dest.Flow}
	bound, ok := b.Tag.(*binding.Binding)
	if ok {
		if e.id = bound.Instance; e.id == "" {
			e.id = bound.Contact
		}
	}
	takes, refuses := x.g.memory.get(e.id, x.g.cfg.Now())
	switch {
	case webSocket(e.flow):
		e.profile = Browser
	case ok && bound.EPID != "":
		e.profile = Lync
	default:
		e.profile = takes
	}
	return e, refuses
}

// Attempt implements proxy.Exchange.
func (x *invite) Attempt(i int, b *proxy.Branch) (*sip.Body, error) {
	x.look()
	for len(x.branches) <= i {
		x.branches = append(x.branches, nil)
	}
	br := x.branches[i]
	if br == nil {
		br = &branch{}
		x.branches[i] = br
		br.to, br.known = x.called(b)
		br.way = x.first(br, b)
	}
	br.tried[br.way] = true
	if br.way == untouched {
		return nil, nil
	}
	body, err := x.engage(br)
	if err != nil {
		x.g.counts.Refused.Add(1)
	}
	return body, err
}

// first decides how the offer is made at first.
func (x *invite) first(br *branch, b *proxy.Branch) way {
	if br.to.flow == nil || x.d == nil && x.bad == nil {
		return untouched // another server, which knows its ends itself; or there is no offer yet
	}
	if b.Dest.Flow.Identity().Class.Server() || b.Dest.Flow.Identity().Class == uc.Trunk {
		return untouched
	}
	to := br.to.profile
	if x.bad != nil {
		if to == Browser != webSocket(x.from.flow) {
			return asOther
		}
		return untouched
	}
	switch {
	case x.class == 0:
		return untouched // no audio or video of RTP
	case x.class.share(to) && x.class&br.known == 0 && (to != Unknown || x.class != dtls && x.class != ice):
		return untouched
	case to == Unknown:
		return asPhone
	case to == Phone:
		return asPhone
	case to == Secure:
		return asSecure
	}
	return asOther
}

// engage puts the engine between and returns the offer that the end gets.
func (x *invite) engage(br *branch) (*sip.Body, error) {
	if x.bad != nil {
		return nil, &sip.Error{Code: 400, Diagnostic: "malformed session description", Err: x.bad}
	}
	br.to.profile = br.way.profile(br.to.profile)
	if x.s == nil || x.s.isClosed() {
		s, err := x.session()
		if s == nil {
			return nil, err
		}
		x.s = s
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if br.leg == nil {
		br.leg = s.newLeg(br.to)
	}
	o, err := br.leg.offer(caller, x.d, br.to.profile)
	if err != nil {
		br.leg.drop()
		br.leg = nil
		if len(s.legs) == 0 {
			s.close()
		}
		return nil, err
	}
	br.offer, br.seen = o, nil
	return bodyOf(o.built), nil
}

func (x *invite) session() (*session, error) {
	user := ""
	if id := x.tx.Identity(); id.Class == uc.Client {
		user = string(id.AOR)
	}
	return x.g.session(sessionKey{string(x.m.CallID()), string(x.m.FromTag())}, x.from, user)
}

func (s *session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Again implements proxy.Exchange.
func (x *invite) Again(i int, b *proxy.Branch, m *sip.Message) bool {
	br := x.branches[i]
	switch m.StatusCode() {
	case 415, 488, 606:
	default:
		return false
	}
	if x.d == nil || x.class == 0 || br.to.profile == Browser || br.to.profile == Lync || br.way == asOther {
		return false
	}
	if bound, ok := b.Tag.(*binding.Binding); ok && bound.Node != "" {
		return false // another member of the pool has tried what there is to try
	}
	for _, w := range []way{asPhone, asSecure} {
		if !br.tried[w] {
			br.way = w
			x.g.counts.Retried.Add(1)
			return true
		}
	}
	return false
}

// Response implements proxy.Exchange.
func (x *invite) Response(i int, _ *proxy.Branch, m *sip.Message) *sip.Body {
	br := x.branches[i]
	code := m.StatusCode()
	if code >= 300 {
		x.over(br)
		return nil
	}
	text := described(m)
	if br.leg == nil && x.d == nil && x.bad == nil && text != nil {
		x.offered(br, text)
	}
	if br.leg == nil {
		if text != nil && code >= 200 {
			x.learn(br, text)
		}
		return nil
	}
	s := br.leg.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	l := br.fork(string(m.ToTag()))
	if code >= 200 {
		l.confirmed, s.answered = true, true
		if s.taken == nil {
			s.taken = l
		}
		s.refreshed(m)
		refused := class(0) // only now it is known that the way was wrong, and not the call
		if br.tried[untouched] {
			refused = x.class
		}
		x.g.memory.learn(br.to.id, br.to.profile, refused, 0, x.g.cfg.Now())
	}
	var body *sip.Body
	if text != nil {
		body = br.describe(l, string(text), m)
	}
	if s.taken == l {
		l.take()
	}
	return body
}

// describe returns what is passed on for a description in a response. The lock is held.
func (br *branch) describe(l *leg, text string, m *sip.Message) *sip.Body {
	for _, a := range br.seen {
		if a.tag == l.tag && a.text == text {
			return a.body
		}
	}
	if len(br.seen) >= maxSeen {
		br.seen = br.seen[1:]
	}
	d, err := sdp.Parse([]byte(text))
	var body *sip.Body
	switch {
	case br.offer != nil:
		if err != nil {
			d = nil
		}
		body = bodyOf(l.answer(br.offer, d))
	case err == nil && l.sent == nil:
		if o, err := l.offer(callee, d, l.sides[caller].profile); err == nil {
			o.cseq, _ = m.CSeq()
			l.sent = o
			body = bodyOf(o.built)
		}
	}
	if body == nil {
		return nil
	}
	br.seen = append(br.seen, answered{l.tag, text, body})
	return body
}

// maxSeen is how many different descriptions of one branch are remembered with what was passed on for them.
const maxSeen = 16

// fork returns the leg of a response by its tag. Of the forks that another proxy makes of one branch all have the same
// port of ours. The lock is held.
func (br *branch) fork(tag string) *leg {
	first := br.leg
	if first.tag == "" || tag == "" {
		first.tag = tag
		return first
	}
	for _, l := range first.s.legs {
		if l.tag == tag && l.sides[callee].end == br.to {
			return l
		}
	}
	if first.tag == tag || len(first.s.legs) >= maxLegs {
		return first
	}
	l := first.s.newLeg(br.to)
	l.tag, l.sides[callee] = tag, first.sides[callee]
	return l
}

// maxLegs bounds the dialogs of one call.
const maxLegs = 64

// offered looks at the offer in a response to an INVITE without one, and puts the engine between when the caller could
// not use it.
func (x *invite) offered(br *branch, text []byte) {
	d, err := sdp.Parse(text)
	if err != nil || br.to.flow == nil {
		return
	}
	c := classOf(d, br.to.profile == Lync)
	caller := x.from.profile
	if c == 0 || c.share(caller) && (caller != Unknown || c != dtls && c != ice) {
		return
	}
	if caller == Unknown {
		x.from.profile = Phone
	}
	s, _ := x.session()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	br.to.profile = c.profile()
	x.s, br.leg = s, s.newLeg(br.to)
}

// learn remembers whether an end took an offer that nobody touched.
func (x *invite) learn(br *branch, text []byte) {
	if x.d == nil || x.class == 0 {
		return
	}
	d, err := sdp.Parse(text)
	if err != nil {
		return
	}
	now := x.g.cfg.Now()
	switch used := classOf(d, br.to.profile == Lync); {
	case used == 0:
		x.g.memory.learn(br.to.id, Unknown, x.class, 0, now)
	case br.known != 0:
		x.g.memory.learn(br.to.id, Unknown, 0, x.class, now)
	}
}

// over ends what a branch had that was not answered.
func (x *invite) over(br *branch) {
	if br == nil || br.leg == nil {
		return
	}
	s := br.leg.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.legs) - 1; i >= 0; i-- {
		if l := s.legs[i]; l.sides[callee].end == br.to && !l.confirmed {
			l.drop()
		}
	}
	s.settle()
	br.leg = nil
}

// Failed implements proxy.Exchange.
func (x *invite) Failed(i int, _ *proxy.Branch, _ int) {
	if i < len(x.branches) {
		x.over(x.branches[i])
	}
}

// Rewrites implements proxy.Exchange.
func (x *invite) Rewrites(i int) bool {
	return i < len(x.branches) && x.branches[i] != nil && x.branches[i].leg != nil
}
