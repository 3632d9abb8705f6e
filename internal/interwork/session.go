package interwork

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"parley/internal/flow"
	"parley/internal/media/engine"
	"parley/internal/media/transport"
	"parley/internal/sdp"
	"parley/internal/sip"
)

// Sides of a leg.
const (
	caller = 0
	callee = 1
)

// session is what the engine does for one call: all legs with one Call-ID and caller's tag.
type session struct {
	g    *Gateway
	key  sessionKey
	user string

	mu       sync.Mutex // held while the engine is called; RTP never takes it
	closed   bool
	caller   *end
	legs     []*leg
	taken    *leg // the one that was answered first; its media stays, whatever others do
	started  time.Time
	answered bool      // some leg has been confirmed
	until    time.Time // when the call is over without a refresh (RFC 4028); zero without a session timer
	alone    time.Time // since when the connections of both ends are gone
	quiet    time.Time // since when no packet came
	packets  uint64
}

type sessionKey struct{ id, tag string }

// end is one device, with its ports.
type end struct {
	id      string // of its endpoint, for memory
	profile Profile
	flow    *flow.Flow
	ports   []Port // one for each medium, nil for what is not used
	kinds   []engine.Kind
}

// leg is a dialog, or what may become one.
type leg struct {
	s     *session
	tag   string // of the called end; "" until it has answered
	sides [2]side
	media []*medium
	count int    // of media, in the descriptions that were agreed upon
	sent  *offer // an offer that was passed on in a response, and waits for its answer in ACK or PRACK

	confirmed bool // has a 2xx
	ended     bool
}

// side is what was said to one end of a leg, and by it.
type side struct {
	*end
	origin sdp.Origin
	text   string // of the last description to it
	last   *sdp.Description
	codecs [][]sdp.Codec // what it was told it may send, by medium
	mids   []string
	bundle bool // it bundles media
}

// medium is one medium of a leg as it was agreed upon.
type medium struct {
	kind   engine.Kind
	bridge Bridge
	legs   [2]engine.Leg
	on     bool
}

// offer is a description of one end and what was made of it for the other.
type offer struct {
	from  int
	d     *sdp.Description
	built *sdp.Description
	cseq  uint32
}

func payload(pt uint8) string { return strconv.Itoa(int(pt)) }

// newLeg adds a leg to the called end. The lock is held.
func (s *session) newLeg(called *end) *leg {
	l := &leg{s: s}
	l.sides[caller].end, l.sides[callee].end = s.caller, called
	for i := range l.sides {
		x := &l.sides[i]
		x.origin = sdp.Origin{User: "-", ID: strconv.FormatUint(rand.Uint64()>>2, 10), Version: 1}
		c := sdp.ConnectionTo(s.address(x.end))
		x.origin.AddrType, x.origin.Address = c.AddrType, c.Address
	}
	s.legs = append(s.legs, l)
	return l
}

// port returns the port of medium i of an end, which is opened if there is none.
func (s *session) port(e *end, i int, kind engine.Kind) (Port, error) {
	for len(e.ports) <= i {
		e.ports, e.kinds = append(e.ports, nil), append(e.kinds, 0)
	}
	if e.ports[i] != nil && e.kinds[i] == kind {
		return e.ports[i], nil
	}
	if e.ports[i] != nil {
		e.ports[i].Close()
		e.ports[i] = nil
	}
	listen := s.address(e)
	c := transport.Config{Listen: listen, Certificate: s.g.cfg.Certificate, Security: sdp.SDES, AllowPlain: true, Log: s.g.cfg.Log}
	if s.g.cfg.Advertise.IsValid() && s.g.cfg.Advertise.Is4() == listen.Is4() {
		c.Advertise = s.g.cfg.Advertise // ports are the same outside
	}
	switch e.profile {
	case Browser:
		c.Mux, c.Security, c.AllowPlain, c.ICE = true, sdp.DTLS, false, transport.Lite
	case Lync:
		c.ICE, c.Dialect = transport.Full, transport.Lync
	}
	e2, err := s.g.engine()
	if err != nil {
		return nil, err
	}
	p, err := e2.Transport(kind, c)
	if err != nil {
		return nil, err
	}
	e.ports[i], e.kinds[i] = p, kind
	return p, nil
}

// remoteOf is what a description says to a port of an end.
func (e *end) remoteOf(d *sdp.Description, m *sdp.Media, answer bool) (transport.Remote, error) {
	want := sdp.SDES
	if e.profile == Browser {
		want = sdp.DTLS
	}
	r, err := transport.RemoteOf(d, m, want)
	r.Answer = answer
	if e.profile == Phone || e.profile == Secure {
		r.ICE, r.Candidates = nil, nil // its default address is right without
	}
	if e.flow != nil {
		r.Source = e.flow.Remote().Addr()
	}
	return r, err
}

// end ends a leg.
func (l *leg) end() {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	l.drop()
	s.settle()
}

// settle ends the session when nothing is left of it: no leg, or after an answer none that was answered. The lock is
// held.
func (s *session) settle() {
	for _, l := range s.legs {
		if l.confirmed || !s.answered {
			return
		}
	}
	s.close()
}

// drop ends a leg. The lock is held.
func (l *leg) drop() {
	if l.ended {
		return
	}
	l.ended = true
	s := l.s
	for _, m := range l.media {
		m.stop()
	}
	shared := false
	for i, o := range s.legs {
		if o == l {
			s.legs = append(s.legs[:i], s.legs[i+1:]...)
			break
		}
	}
	for _, o := range s.legs {
		shared = shared || o.sides[callee].end == l.sides[callee].end
	}
	if !shared {
		l.sides[callee].close()
	}
	if s.taken == l {
		s.taken = nil
	}
}

func (m *medium) stop() {
	if m != nil && m.bridge != nil {
		m.bridge.Close()
		m.bridge = nil
	}
}

func (e *end) close() {
	for i, p := range e.ports {
		if p != nil {
			p.Close()
			e.ports[i] = nil
		}
	}
}

// close ends everything. The lock is held.
func (s *session) close() {
	if s.closed {
		return
	}
	s.closed = true
	for len(s.legs) > 0 {
		s.legs[0].drop()
	}
	s.caller.close()
	s.g.forget(s)
}

// find returns the leg of a request or response within a dialog, and which side sent the request; nil when there is
// none. The lock is held.
func (s *session) find(m *sip.Message) (l *leg, from int) {
	tag := string(m.ToTag())
	if string(m.FromTag()) != s.key.tag {
		if tag != s.key.tag {
			return nil, 0
		}
		tag, from = string(m.FromTag()), callee
	}
	for _, l := range s.legs {
		if l.tag == tag && tag != "" {
			return l, from
		}
	}
	return nil, 0
}

// heard are the packets that came from the ends so far. The lock is held.
func (s *session) heard() (n uint64) {
	count := func(e *end) {
		for _, p := range e.ports {
			if p != nil {
				st := p.Stats()
				n += st.RTPIn.Packets + st.RTCPIn.Packets + st.Checks
			}
		}
	}
	count(s.caller)
	for _, l := range s.legs {
		count(l.sides[callee].end)
	}
	return n
}

// over reports whether a session has to be ended although nobody said so. The lock is held.
func (s *session) over(now time.Time) bool {
	if !s.until.IsZero() && now.After(s.until) {
		return true
	}
	gone := s.caller.flow.Closed()
	for _, l := range s.legs {
		f := l.sides[callee].flow
		gone = gone && f != nil && f.Closed()
	}
	switch {
	case !gone:
		s.alone = time.Time{}
	case s.alone.IsZero():
		s.alone = now
	case now.Sub(s.alone) > orphaned:
		return true
	}
	if n := s.heard(); n != s.packets || s.quiet.IsZero() {
		s.packets, s.quiet = n, now
	}
	return now.Sub(s.quiet) > silence
}

// refreshed takes the session timer that a 2xx has agreed on. The lock is held.
func (s *session) refreshed(m *sip.Message) {
	sec, ok := m.Seconds(sip.HSessionExpires)
	if !ok || sec == 0 || sec > 1<<20 {
		s.until = time.Time{}
		return
	}
	s.until = s.g.cfg.Now().Add(time.Duration(sec)*time.Second + 32*time.Second)
}

// take gives a leg the caller's ear. The lock is held.
func (l *leg) take() {
	for i, m := range l.media {
		if m != nil && m.bridge == nil {
			l.use(i, m.kind, m.legs)
		}
	}
}

// address is where the engine listens for an end: the address by which it reached this server. Before anything came
// from a server that calls are passed on to, it is the one of the caller.
func (s *session) address(e *end) netip.Addr {
	f := e.flow
	if f == nil {
		f = s.caller.flow
	}
	if s.g.cfg.Listen != nil {
		return s.g.cfg.Listen(f)
	}
	return f.Local().Addr().Unmap()
}
