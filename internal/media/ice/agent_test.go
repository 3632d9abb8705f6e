package ice

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"parley/internal/sdp"
	"parley/internal/stun"
)

var start = time.Unix(1_800_000_000, 0)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// seeded is a source of randomness that a test can repeat.
func seeded(seed uint64) func([]byte) {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
}

// side is an agent with its place in a network.
type side struct {
	*Agent
	name    string
	wake    time.Time
	sources [2][]netip.AddrPort
	paths   [2]netip.AddrPort
	got     int // datagrams
}

func (s *side) do(n *network, e *Effects) {
	for _, d := range e.Send {
		n.send(s, d)
	}
	for _, p := range e.Sources {
		s.sources[p.Component] = append(s.sources[p.Component], p.To)
	}
	for _, p := range e.Paths {
		s.paths[p.Component] = p.To
	}
	s.wake = e.Wake
}

type flying struct {
	at       time.Time
	from, to netip.AddrPort
	packet   []byte
}

// network carries datagrams between sides in 10 ms, unless drop says otherwise.
type network struct {
	t     *testing.T
	now   time.Time
	sides []*side
	air   []flying
	drop  func(from, to netip.AddrPort, b []byte) bool
	nat   map[netip.AddrPort]netip.AddrPort // inside to outside
	lost  map[netip.AddrPort]int            // sent to nobody
}

func newNetwork(t *testing.T, sides ...*side) *network {
	return &network{t: t, now: start, sides: sides, lost: map[netip.AddrPort]int{}}
}

func (n *network) send(s *side, d Datagram) {
	from := s.config.Bases[d.Component]
	if outside, ok := n.nat[from]; ok {
		from = outside
	}
	if n.drop == nil || !n.drop(from, d.To, d.Packet) {
		n.air = append(n.air, flying{n.now.Add(10 * time.Millisecond), from, d.To, slices.Clone(d.Packet)})
	}
}

// run lets time pass until done, or until an end.
func (n *network) run(until time.Duration, done func() bool) {
	end := n.now.Add(until)
	for !done() {
		next := end
		for _, f := range n.air {
			if f.at.Before(next) {
				next = f.at
			}
		}
		for _, s := range n.sides {
			if !s.wake.IsZero() && s.wake.Before(next) {
				next = s.wake
			}
		}
		if !next.Before(end) {
			n.now = end
			return
		}
		n.now = later(n.now, next)
		for _, s := range n.sides {
			if !s.wake.IsZero() && !s.wake.After(n.now) {
				s.do(n, s.Tick(n.now))
				if s.wake.Equal(n.now) {
					n.t.Fatalf("%s wants to wake at once again", s.name)
				}
			}
		}
		air := n.air
		n.air = nil
		for _, f := range air {
			if f.at.After(n.now) {
				n.air = append(n.air, f)
			} else {
				n.deliver(f)
			}
		}
	}
}

func (n *network) deliver(f flying) {
	for inside, outside := range n.nat {
		if outside == f.to {
			f.to = inside
		}
	}
	for _, s := range n.sides {
		if i := slices.Index(s.config.Bases, f.to); i >= 0 {
			s.got++
			s.do(n, s.Input(n.now, i, f.from, f.packet))
			return
		}
	}
	n.lost[f.to]++
}

func (n *network) describe(s, peer *side, controlling bool) {
	s.do(n, s.SetRemote(n.now, peer.Local(), peer.Candidates(), len(peer.config.Bases), controlling))
}

func connected(sides ...*side) func() bool {
	return func() bool {
		for _, s := range sides {
			if s.state != Connected {
				return false
			}
		}
		return true
	}
}

func newSide(name string, seed uint64, c Config) *side {
	c.Random = seeded(seed)
	return &side{Agent: NewAgent(c), name: name}
}

func pairOf(components int, offerer, answerer Config) (*side, *side) {
	offerer.Bases = []netip.AddrPort{addr("192.0.2.1:40000"), addr("192.0.2.1:40001")}[:components]
	answerer.Bases = []netip.AddrPort{addr("192.0.2.2:50000"), addr("192.0.2.2:50001")}[:components]
	offerer.Controlling = true
	return newSide("offerer", 1, offerer), newSide("answerer", 2, answerer)
}

// TestConnect: all kinds of sides find each other, with one component and with two, whoever is told first of the other.
func TestConnect(t *testing.T) {
	for name, x := range map[string]struct{ offerer, answerer Config }{
		"full":               {},
		"lite answers":       {Config{}, Config{Lite: true}},
		"lite offers":        {Config{Lite: true}, Config{}},
		"both lite":          {Config{Lite: true}, Config{Lite: true}},
		"Lync":               {Config{Lync: true}, Config{Lync: true}},
		"translated answers": {Config{}, Config{Advertise: netip.MustParseAddr("198.51.100.2")}},
		"translated offers":  {Config{Advertise: netip.MustParseAddr("198.51.100.2")}, Config{}},
		"translated lite":    {Config{}, Config{Lite: true, Advertise: netip.MustParseAddr("198.51.100.2")}},
	} {
		for components := 1; components <= 2; components++ {
			t.Run(name, func(t *testing.T) {
				a, b := pairOf(components, x.offerer, x.answerer)
				n := newNetwork(t, a, b)
				n.describe(b, a, false)
				n.run(200*time.Millisecond, connected(a, b)) // the answer takes its time
				n.describe(a, b, true)
				n.run(time.Minute, connected(a, b))
				for i := range components {
					if a.paths[i] != b.config.Bases[i] || b.paths[i] != a.config.Bases[i] {
						t.Errorf("component %d: %v and %v", i, a.paths[i], b.paths[i])
					}
					if !slices.Contains(a.sources[i], a.paths[i]) || !slices.Contains(b.sources[i], b.paths[i]) {
						t.Errorf("component %d: sources %v and %v", i, a.sources[i], b.sources[i])
					}
				}
				if took := n.now.Sub(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				// It lasts, and costs little.
				got := a.got + b.got
				n.run(10*time.Minute, func() bool { return !connected(a, b)() })
				if bothLite := x.offerer.Lite && x.answerer.Lite; n.now.Sub(start) < 10*time.Minute && !bothLite {
					t.Errorf("it ended after %v: %v and %v", n.now.Sub(start), a.state, b.state)
				} else if each := float64(a.got+b.got-got) / 600 / float64(components); each > 1 {
					t.Errorf("%.1f datagrams a second", each)
				}
			})
		}
	}
}

// TestLoss: a quarter of everything is lost.
func TestLoss(t *testing.T) {
	for seed := range uint64(30) {
		a, b := pairOf(2, Config{}, Config{})
		n := newNetwork(t, a, b)
		r := rand.New(rand.NewPCG(seed, 7))
		n.drop = func(_, _ netip.AddrPort, _ []byte) bool { return r.IntN(4) == 0 }
		n.describe(b, a, false)
		n.describe(a, b, true)
		if n.run(29*time.Second, connected(a, b)); !connected(a, b)() {
			t.Errorf("%d: %v and %v", seed, a.state, b.state)
		}
	}
}

// TestTranslated: the peer's address is not the one that it named, and its checks show the right one (7.3.1.3).
func TestTranslated(t *testing.T) {
	for _, lite := range []bool{false, true} {
		a, b := pairOf(1, Config{}, Config{Lite: lite})
		n := newNetwork(t, a, b)
		n.nat = map[netip.AddrPort]netip.AddrPort{a.config.Bases[0]: addr("203.0.113.7:61000")}
		n.drop = func(_, to netip.AddrPort, _ []byte) bool { return to == a.config.Bases[0] } // a private address
		n.describe(b, a, false)
		n.describe(a, b, true)
		n.run(time.Minute, connected(a, b))
		if b.paths[0] != addr("203.0.113.7:61000") || a.paths[0] != b.config.Bases[0] {
			t.Errorf("lite %v: %v and %v", lite, a.paths[0], b.paths[0])
		}
	}
}

// TestNames: the candidates of a browser that hides its addresses are names; its checks show where it is.
func TestNames(t *testing.T) {
	for _, offers := range []bool{true, false} {
		a, b := pairOf(1, Config{}, Config{})
		n := newNetwork(t, a, b)
		named := b.Candidates()
		for i := range named {
			named[i].Address = "b8d2e4f0-0000-4000-8000-000000000000.local"
		}
		n.describe(b, a, !offers)
		a.do(n, a.SetRemote(n.now, b.Local(), named, 1, offers))
		if n.run(5*time.Second, connected(a, b)); a.Selected(0) != b.config.Bases[0] || !connected(a, b)() {
			t.Errorf("offers %v: %v, %v and %v", offers, a.Selected(0), a.state, b.state)
		}
	}
}

// TestConflict: both believe to control, or neither does (7.3.1.1).
func TestConflict(t *testing.T) {
	for _, both := range []bool{true, false} {
		for seed := range uint64(8) {
			a, b := pairOf(1, Config{}, Config{})
			a.tieBreaker, b.tieBreaker = seed%3, (seed+1)%3
			n := newNetwork(t, a, b)
			n.describe(b, a, both)
			n.describe(a, b, both)
			n.run(20*time.Second, connected(a, b))
			if !connected(a, b)() || a.controlling == b.controlling {
				t.Errorf("both %v, %d: %v and %v, %v and %v", both, seed, a.state, b.state, a.controlling, b.controlling)
			}
		}
	}
}

// TestRestart: the old path is used, and its checks are answered, until there is a new one.
func TestRestart(t *testing.T) {
	a, b := pairOf(1, Config{}, Config{})
	n := newNetwork(t, a, b)
	n.describe(b, a, false)
	n.describe(a, b, true)
	n.run(time.Minute, connected(a, b))
	before := [2]sdp.ICE{a.Local(), b.Local()}
	a.Restart()
	// The peer moved, and the restart tells so.
	b.config.Bases = []netip.AddrPort{addr("192.0.2.9:50000")}
	b.candidates = b.gather()
	n.describe(b, a, false)
	if a.Local().Ufrag == before[0].Ufrag || b.Local().Pwd == before[1].Pwd {
		t.Error("the credentials are the old ones")
	}
	if a.Selected(0) != addr("192.0.2.2:50000") {
		t.Errorf("the old path is gone: %v", a.Selected(0))
	}
	n.describe(a, b, true)
	if a.state != Checking || b.state != Checking {
		t.Errorf("%v and %v", a.state, b.state)
	}
	n.run(time.Minute, connected(a, b))
	if a.Selected(0) != addr("192.0.2.9:50000") || b.Selected(0) != a.config.Bases[0] {
		t.Errorf("%v and %v", a.Selected(0), b.Selected(0))
	}
	// A description with the same credentials is none.
	n.describe(a, b, true)
	if a.state != Connected {
		t.Errorf("%v", a.state)
	}
}

// TestFormerPassword: a browser restarts from another port, with the password of before, and stays with it.
func TestFormerPassword(t *testing.T) {
	for _, lite := range []bool{true, false} {
		a, b := pairOf(1, Config{}, Config{Lite: lite})
		n := newNetwork(t, a, b)
		n.describe(b, a, false)
		n.describe(a, b, true)
		n.run(time.Minute, connected(a, b))
		before := b.Local()
		a.Restart()
		a.config.Bases = []netip.AddrPort{addr("192.0.2.1:41000")}
		a.candidates = a.gather()
		n.describe(b, a, false)
		a.do(n, a.SetRemote(n.now, before, b.Candidates(), 1, true))
		if n.run(20*time.Second, connected(a, b)); b.Selected(0) != addr("192.0.2.1:41000") || !connected(a, b)() {
			t.Errorf("lite %v: %v, %v and %v", lite, b.Selected(0), a.state, b.state)
		}
	}
}

// TestConsent: nothing is sent to who does not answer any more (RFC 7675 5.1), and whoever comes back is heard.
func TestConsent(t *testing.T) {
	a, b := pairOf(2, Config{}, Config{})
	n := newNetwork(t, a, b)
	n.describe(b, a, false)
	n.describe(a, b, true)
	n.run(time.Minute, connected(a, b))
	gone := n.now
	n.drop = func(_, _ netip.AddrPort, _ []byte) bool { return true }
	n.run(time.Minute, func() bool { return a.state == Failed && b.state == Failed })
	if since := n.now.Sub(gone); since < 20*time.Second || since > 31*time.Second || a.paths[0].IsValid() || b.Selected(0).IsValid() {
		t.Errorf("after %v: %v, %v", since, a.paths, b.paths)
	}
	n.run(5*time.Minute, func() bool { return false })
	if len(a.checks)+len(b.checks) != 0 || !a.wake.IsZero() || !b.wake.IsZero() {
		t.Errorf("%d and %d checks, %v", len(a.checks), len(b.checks), a.wake)
	}
	n.drop = nil
	a.Restart()
	n.describe(b, a, false)
	n.describe(a, b, true)
	if n.run(time.Minute, connected(a, b)); !connected(a, b)() {
		t.Errorf("%v and %v", a.state, b.state)
	}
}

// TestExpiry: a description of many strangers has few datagrams sent to them (19.5.1), and then nothing.
func TestExpiry(t *testing.T) {
	a, _ := pairOf(2, Config{}, Config{})
	n := newNetwork(t, a)
	var cs []sdp.Candidate
	for i := range 500 {
		cs = append(cs, sdp.Candidate{Foundation: string(rune('a' + i%20)), Component: 1 + i%2, Transport: "udp", Priority: uint32(i),
			Address: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}).String(), Port: 4000, Type: "host"})
	}
	a.do(n, a.SetRemote(n.now, sdp.ICE{Ufrag: "peer", Pwd: "password"}, cs, 2, true))
	n.run(time.Hour, func() bool { return false })
	total := 0
	for to, count := range n.lost {
		total += count
		if count > sends {
			t.Errorf("%d to %v", count, to)
		}
	}
	if a.state != Failed || len(n.lost) > maxRemote || total > int(expiry/Ta) {
		t.Errorf("%v, %d to %d addresses", a.state, total, len(n.lost))
	}
}

// TestRinging: who answers waits for the peer's checks until somebody has taken the call, and sends no more meanwhile.
func TestRinging(t *testing.T) {
	for _, lite := range []bool{true, false} {
		a, b := pairOf(1, Config{}, Config{Lite: lite})
		n := newNetwork(t, a, b)
		n.drop = func(_, to netip.AddrPort, _ []byte) bool { return to == a.config.Bases[0] && a.state == New } // a translator
		n.describe(b, a, false)
		n.run(2*time.Minute, func() bool { return false })
		if b.state != Checking {
			t.Errorf("lite %v: %v", lite, b.state)
		}
		n.describe(a, b, true)
		if n.run(5*time.Second, connected(a, b)); !connected(a, b)() {
			t.Errorf("lite %v: %v and %v", lite, a.state, b.state)
		}
		_, b = pairOf(1, Config{}, Config{Lite: lite})
		n = newNetwork(t, b)
		n.describe(b, a, false)
		n.run(time.Hour, func() bool { return false })
		if b.state != Failed || n.lost[a.config.Bases[0]] > sends {
			t.Errorf("lite %v: %v, %v", lite, b.state, n.lost)
		}
	}
}

// TestPassedOver: what may not be a candidate of a peer is none.
func TestPassedOver(t *testing.T) {
	a, _ := pairOf(1, Config{Lync: true}, Config{})
	n := newNetwork(t, a)
	c := func(transport, address string, port uint16, component int) sdp.Candidate {
		return sdp.Candidate{Foundation: "1", Component: component, Transport: transport, Priority: 1, Address: address, Port: port, Type: "host"}
	}
	a.do(n, a.SetRemote(n.now, sdp.ICE{Ufrag: "peer", Pwd: "password"}, []sdp.Candidate{
		c("TCP-PASS", "192.0.2.7", 4000, 1), c("TCP-ACT", "192.0.2.7", 4000, 1), c("tcp", "192.0.2.7", 4000, 1),
		c("udp", "b8d2e4f0-0000-4000-8000-000000000000.local", 4000, 1), c("udp", "2001:db8::7", 4000, 1), c("udp", "127.0.0.1", 4000, 1),
		c("udp", "0.0.0.0", 4000, 1), c("udp", "224.0.0.251", 5353, 1), c("udp", "255.255.255.255", 4000, 1), c("udp", "169.254.1.1", 4000, 1),
		c("udp", "192.0.2.7", 53, 1), c("udp", "192.0.2.7", 4000, 2), c("udp", "192.0.2.7", 4000, 3),
	}, 1, true))
	if len(a.pairs) != 0 {
		t.Errorf("%+v", a.pairs)
	}
	a.do(n, a.SetRemote(n.now, sdp.ICE{Ufrag: "peer", Pwd: "password"}, []sdp.Candidate{c("UDP", "192.0.2.7", 4000, 1)}, 1, true)) // late
	if len(a.pairs) != 1 || a.pairs[0].to != addr("192.0.2.7:4000") {
		t.Errorf("%+v", a.pairs)
	}
}

// TestRefused: what has no right password leads to nothing, and what it cannot understand is told (RFC 8489 6.3.1).
func TestRefused(t *testing.T) {
	a, _ := pairOf(1, Config{}, Config{})
	from := addr("192.0.2.66:6000")
	request := func(name, key string, more func(*stun.Builder)) []byte {
		b := stun.Start(nil, stun.BindingRequest, stun.NewID([16]byte{9}, stun.RFC), stun.RFC)
		b.AddString(stun.Username, name)
		b.AddUint32(stun.Priority, 1)
		if more != nil {
			more(&b)
		}
		if key == "none" {
			return b.Finish(nil, true)
		}
		return b.Finish([]byte(key), true)
	}
	ours := a.Local()
	for what, b := range map[string][]byte{
		"wrong password": request(ours.Ufrag+":peer", "guess", nil),
		"no password":    request(ours.Ufrag+":peer", "none", nil),
		"another name":   request("xxxx:peer", ours.Pwd, nil),
		"no colon":       request(ours.Ufrag, ours.Pwd, nil),
		"no name":        request(":peer", "", nil),
		"wrong end":      append(request(ours.Ufrag+":peer", ours.Pwd, nil), 0, 0, 0, 0),
		"short":          {0, 1, 0, 0},
	} {
		e := a.Input(start, 0, from, b)
		if len(e.Send)+len(e.Sources) > 0 || len(a.pairs) > 0 {
			t.Errorf("%s: %+v", what, e)
		}
	}
	e := a.Input(start, 0, from, request(ours.Ufrag+":peer", ours.Pwd, func(b *stun.Builder) { b.AddUint32(0x7777, 1) }))
	if len(e.Send) != 1 || len(e.Sources) > 0 {
		t.Fatalf("%+v", e)
	}
	m, err := stun.Parse(e.Send[0].Packet, stun.RFC)
	if u, _ := m.Get(stun.UnknownAttributes); err != nil || m.Code() != 420 || string(u) != "\x77\x77" || !m.CheckIntegrity([]byte(ours.Pwd)) {
		t.Errorf("%x", e.Send[0].Packet)
	}
	e = a.Input(start, 0, from, request(ours.Ufrag+":peer", ours.Pwd, nil))
	if len(e.Send) != 1 || len(e.Sources) != 1 {
		t.Errorf("the right one: %+v", e)
	}
}

// TestForms: a check of a Lync client is answered in the form that it came in ([MS-ICE2] 3.1.4.8.2).
func TestForms(t *testing.T) {
	for _, x := range []struct {
		name         string
		sent, answer stun.Dialect
		version      bool
	}{
		{"RFC 5389", stun.RFC, stun.RFC, false},
		{"today's", stun.MSICE, stun.MSICE, true},
		{"today's, second copy", stun.MSICEOld, stun.MSICE, true},
		{"the first implementation's", stun.MSICEOld, stun.MSICEOld, false},
		{"the draft's, without a cookie", stun.MSTURN, stun.MSTURN, false},
	} {
		a, _ := pairOf(1, Config{Lync: true}, Config{})
		key := []byte(a.Local().Pwd)
		b := stun.Start(nil, stun.BindingRequest, stun.NewID([16]byte{1, 2, 3}, x.sent), x.sent)
		b.AddString(stun.Username, a.Local().Ufrag+":peer")
		b.AddUint32(stun.Priority, 1)
		if x.version {
			b.AddUint32(stun.MSImplementationVersion, 2)
		}
		from := addr("192.0.2.9:4000")
		e := a.Input(start, 0, from, b.Finish(key, x.sent != stun.MSTURN))
		if len(e.Send) != 1 || len(e.Sources) != 1 || a.version != x.version {
			t.Errorf("%s: %+v", x.name, e)
			continue
		}
		m, err := stun.Parse(e.Send[0].Packet, x.answer)
		if err != nil || m.Type() != stun.BindingRequest|stun.Success || !m.CheckIntegrity(key) || x.answer != stun.MSTURN && !m.CheckFingerprint() {
			t.Errorf("%s: %v %x", x.name, err, e.Send[0].Packet)
		}
		mapped, ok := m.XorAddr(stun.XorMappedAddress)
		if x.answer == stun.MSTURN {
			mapped, ok = m.Addr(stun.MappedAddress)
		}
		if !ok || mapped != from {
			t.Errorf("%s: %v", x.name, mapped)
		}
	}
}

// TestTwice: a check goes out in both forms until the peer has told its version.
func TestTwice(t *testing.T) {
	a, b := pairOf(1, Config{Lync: true}, Config{Lync: true})
	e := a.SetRemote(start, b.Local(), b.Candidates(), 1, true)
	if len(e.Send) != 2 || string(e.Send[0].Packet[:20]) != string(e.Send[1].Packet[:20]) {
		t.Fatalf("%d datagrams", len(e.Send))
	}
	answer := b.Input(start, 0, a.config.Bases[0], e.Send[0].Packet)
	if len(answer.Send) != 1 {
		t.Fatalf("%+v", answer.Send)
	}
	e = a.Input(start, 0, b.config.Bases[0], slices.Clone(answer.Send[0].Packet))
	for range 10 {
		start := e.Wake
		if e = a.Tick(start); len(e.Send) > 1 {
			t.Errorf("%d datagrams", len(e.Send))
		}
	}
}

// TestStrangersAnswer: an answer counts only from where the check went, with the peer's password.
func TestStrangersAnswer(t *testing.T) {
	a, _ := pairOf(1, Config{}, Config{})
	peer := sdp.ICE{Ufrag: "peer", Pwd: "password"}
	c := sdp.Candidate{Foundation: "1", Component: 1, Transport: "udp", Priority: 1, Address: "192.0.2.7", Port: 4000, Type: "host"}
	e := a.SetRemote(start, peer, []sdp.Candidate{c}, 1, true)
	if len(e.Send) != 1 {
		t.Fatalf("%+v", e)
	}
	q, _ := stun.Parse(slices.Clone(e.Send[0].Packet), stun.RFC)
	answer := func(key string) []byte {
		b := stun.Start(nil, stun.BindingRequest|stun.Success, q.ID(), stun.RFC)
		b.AddXorAddr(stun.XorMappedAddress, a.config.Bases[0])
		return b.Finish([]byte(key), true)
	}
	if e := a.Input(start, 0, addr("192.0.2.7:4000"), answer("guess")); len(e.Sources) > 0 {
		t.Error("a wrong password was taken")
	}
	if e := a.Input(start, 0, addr("192.0.2.8:4000"), answer("password")); len(e.Sources) > 0 || a.pairs[0].state != failed {
		t.Error("a stranger's answer was taken")
	}
}

// TestAggressive: the peer nominates every pair (RFC 5245 8.1.1.2), and the best is taken.
func TestAggressive(t *testing.T) {
	_, b := pairOf(1, Config{}, Config{})
	n := newNetwork(t, b)
	peer := sdp.ICE{Ufrag: "peer", Pwd: "password"}
	good, bad := addr("192.0.2.7:4000"), addr("192.0.2.8:4000")
	c := func(a netip.AddrPort, p uint32) sdp.Candidate {
		return sdp.Candidate{Foundation: a.String(), Component: 1, Transport: "udp", Priority: p, Address: a.Addr().String(), Port: a.Port(), Type: "host"}
	}
	serve := func(e *Effects) {
		for _, d := range e.Send { // answer its checks
			if m, err := stun.Parse(d.Packet, stun.RFC); err == nil && m.Type() == stun.BindingRequest {
				r := stun.Start(nil, stun.BindingRequest|stun.Success, m.ID(), stun.RFC)
				r.AddXorAddr(stun.XorMappedAddress, b.config.Bases[0])
				b.do(n, b.Input(n.now, 0, d.To, r.Finish([]byte(peer.Pwd), true)))
			}
		}
	}
	check := func(from netip.AddrPort) {
		n.now = n.now.Add(Ta)
		m := stun.Start(nil, stun.BindingRequest, stun.NewID([16]byte{15: byte(n.now.UnixMilli())}, stun.RFC), stun.RFC)
		m.AddString(stun.Username, b.Local().Ufrag+":peer")
		m.AddUint32(stun.Priority, 1)
		m.AddUint64(stun.IceControlling, 1)
		m.Add(stun.UseCandidate, nil)
		serve(b.Input(n.now, 0, from, m.Finish([]byte(b.Local().Pwd), true)))
	}
	serve(b.SetRemote(n.now, peer, []sdp.Candidate{c(bad, 100), c(good, 200)}, 1, false))
	check(bad)
	if b.Selected(0) != bad {
		t.Errorf("%v", b.Selected(0))
	}
	check(good)
	check(bad)
	if b.Selected(0) != good {
		t.Errorf("%v", b.Selected(0))
	}
	// When nobody asks about the better one any more, the peer has moved.
	n.now = n.now.Add(takeOver)
	check(bad)
	if b.Selected(0) != bad || b.state != Connected {
		t.Errorf("%v", b.Selected(0))
	}
}

// FuzzInput: whatever arrives, bounds hold, and only what has our password is answered.
func FuzzInput(f *testing.F) {
	for _, lync := range []bool{false, true} {
		a, b := pairOf(1, Config{Lync: lync}, Config{Lync: lync})
		n := newNetwork(nil, a, b)
		n.drop = func(_, _ netip.AddrPort, p []byte) bool {
			f.Add(p, lync)
			return false
		}
		n.describe(b, a, false)
		n.describe(a, b, true)
		n.run(10*time.Second, connected(a, b))
	}
	f.Fuzz(func(t *testing.T, p []byte, lync bool) {
		a, b := pairOf(1, Config{Lync: lync}, Config{Lync: lync})
		a.SetRemote(start, b.Local(), b.Candidates(), 1, true)
		now := start
		for i := range 60 {
			now = now.Add(time.Second)
			e := a.Input(now, 0, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(4000+i)), p)
			if len(a.pairs) > maxPairs || a.remotes > maxRemote || len(a.checks) > 2*maxPairs || len(a.triggered) > maxPairs {
				t.Fatalf("%d pairs, %d candidates, %d checks", len(a.pairs), a.remotes, len(a.checks))
			}
			if len(e.Send) > 4 {
				t.Fatalf("%d datagrams for one", len(e.Send))
			}
		}
	})
}

func BenchmarkInput(b *testing.B) {
	a, c := pairOf(1, Config{}, Config{})
	e := c.SetRemote(start, a.Local(), a.Candidates(), 1, false)
	right := slices.Clone(e.Send[0].Packet)
	wrong, other := slices.Clone(right), slices.Clone(right)
	wrong[len(wrong)-20]++ // in MESSAGE-INTEGRITY
	other[24]++            // in the name
	for name, p := range map[string][]byte{"right": right, "wrong password": wrong, "another name": other} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Input(start, 0, c.config.Bases[0], p)
			}
		})
	}
}
