package turn

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"parley/internal/stun"
)

var (
	start  = time.Unix(1_790_000_000, 0)
	secret = Secret("a secret of the tests")
	client = Tuple{Remote: netip.MustParseAddrPort("198.51.100.7:5000")}
	peer   = netip.MustParseAddrPort("203.0.113.9:6000")
	realm  = "example.test"
)

// world is the network of a test.
type world struct {
	port    uint16
	replies []reply
	relays  []*fake
	err     error
	refuse  func(Want) error
	keep    bool // replies
}

type reply struct {
	to  Tuple
	b   []byte
	raw bool
}

type fake struct {
	w      *world
	addr   netip.AddrPort
	alloc  *Allocation
	sent   []datagram
	closed bool
}

type datagram struct {
	to netip.AddrPort
	b  string
}

func (w *world) Open(x Want) (Relay, [8]byte, error) {
	if w.err != nil {
		return nil, [8]byte{}, w.err
	}
	w.port += 2
	a := netip.MustParseAddr("192.0.2.1")
	if x.V6 {
		a = netip.MustParseAddr("2001:db8::1")
	}
	f := &fake{w: w, addr: netip.AddrPortFrom(a, 50000+w.port)}
	var token [8]byte
	switch {
	case x.Reserve:
		token = [8]byte{1, 2, 3}
	case x.Token == [8]byte{1, 2, 3}:
		f.addr = netip.AddrPortFrom(a, w.relays[0].addr.Port()+1)
	case x.Token != [8]byte{}:
		return nil, token, ErrNoToken
	}
	w.relays = append(w.relays, f)
	return f, token, nil
}
func (w *world) Reply(to Tuple, b []byte, raw bool) {
	if !w.keep {
		w.replies = append(w.replies, reply{to, bytes.Clone(b), raw})
	}
}
func (w *world) Attach(r Relay, a *Allocation) { r.(*fake).alloc = a }
func (f *fake) Addr() netip.AddrPort           { return f.addr }
func (f *fake) Send(to netip.AddrPort, b []byte) {
	if !f.w.keep {
		f.sent = append(f.sent, datagram{to, string(b)})
	}
}
func (f *fake) Close() { f.closed = true }

func (w *world) last(t testing.TB, d stun.Dialect) stun.Message {
	t.Helper()
	if len(w.replies) == 0 {
		t.Fatal("no answer")
	}
	m, err := stun.Parse(w.replies[len(w.replies)-1].b, d)
	if err != nil {
		t.Fatalf("answer %x: %v", w.replies[len(w.replies)-1].b, err)
	}
	return m
}

func newServer(w *world) *Server {
	return New(Config{Net: w, Secret: secret, Realm: realm, Users: NewUsers(3, 5, 0), NonceKey: []byte("n"),
		Allowed: func(p netip.AddrPort) Verdict {
			switch {
			case p.Addr().IsPrivate():
				return Refuse
			case p.Addr() == netip.MustParseAddr("192.0.2.1"):
				if p.Port() < 50000 {
					return Refuse
				}
				return OnePort
			}
			return AnyPort
		}})
}

// someone is a client of a test, in one of the dialects.
type someone struct {
	t     testing.TB
	s     *Server
	w     *world
	from  Tuple
	c     Credentials
	d     stun.Dialect
	nonce string
	id    byte
	name  string // on the wire
	key   []byte
	now   time.Time
}

func newUser(t testing.TB, s *Server, w *world, from Tuple, who string, d stun.Dialect) *someone {
	u := &someone{t: t, s: s, w: w, from: from, d: d, now: start}
	u.take(secret.Issue(who, start.Add(8*time.Hour)))
	if d == stun.MSTURN {
		u.take(secret.IssueOpaque(who, start.Add(8*time.Hour)))
	}
	return u
}

func (u *someone) take(c Credentials) {
	u.c, u.name = c, c.Username
	password := c.Password
	if u.d == stun.MSTURN {
		n, _ := base64.StdEncoding.DecodeString(c.Username)
		p, _ := base64.StdEncoding.DecodeString(c.Password)
		u.name, password = string(n), string(p)
	}
	u.key = stun.LongTermKey(u.name, realm, password)
}

// ask sends a request, with credentials once a nonce is known, and returns the answer. 401 and 438 are followed.
func (u *someone) ask(typ stun.Type, fill func(*stun.Builder)) stun.Message {
	u.t.Helper()
	for range 3 {
		u.id++
		b := stun.Start(nil, typ, stun.NewID([16]byte{15: u.id, 14: byte(u.from.Remote.Port())}, u.d), u.d)
		if u.d == stun.MSTURN {
			b.AddUint32(stun.MSMagicCookie, stun.MSMagic)
		}
		if fill != nil {
			fill(&b)
		}
		var key []byte
		if u.nonce != "" {
			realmAttr, nonceAttr := stun.Realm, stun.Nonce
			if u.d == stun.MSTURN {
				realmAttr, nonceAttr = stun.MSRealm, stun.MSNonce
			}
			b.AddString(stun.Username, u.name)
			b.AddString(realmAttr, realm)
			b.AddString(nonceAttr, u.nonce)
			key = u.key
		}
		u.s.Input(u.from, b.Finish(key, false), u.now)
		m := u.w.last(u.t, u.d)
		if m.ID() != stun.NewID([16]byte{15: u.id, 14: byte(u.from.Remote.Port())}, u.d) {
			u.t.Fatalf("no answer to %v", typ)
		}
		if code := m.Code(); code == 438 || code == 401 && u.nonce == "" {
			nonceAttr := stun.Nonce
			if u.d == stun.MSTURN {
				nonceAttr = stun.MSNonce
			}
			n, _ := m.Get(nonceAttr)
			u.nonce = string(n)
			continue
		}
		if m.Type().Class() == stun.Success && !m.CheckIntegrity(u.key) {
			u.t.Errorf("answer to %v is not protected", typ)
		}
		return m
	}
	u.t.Fatal("no end of challenges")
	return stun.Message{}
}

func udpOnly(b *stun.Builder) { b.AddUint32(stun.RequestedTransport, udp<<24) }

// allocate makes an allocation or ends the test.
func (u *someone) allocate() *fake {
	u.t.Helper()
	var fill func(*stun.Builder)
	if u.d == stun.RFC {
		fill = udpOnly
	}
	if m := u.ask(stun.AllocateRequest, fill); m.Type().Class() != stun.Success {
		u.t.Fatalf("Allocate: %d", m.Code())
	}
	return u.w.relays[len(u.w.relays)-1]
}

func (u *someone) want(code int, m stun.Message) {
	u.t.Helper()
	if m.Code() != code {
		u.t.Errorf("got %d, want %d", m.Code(), code)
	}
}

func withPeer(p netip.AddrPort) func(*stun.Builder) {
	return func(b *stun.Builder) { b.AddXorAddr(stun.XorPeerAddress, p) }
}

func withChannel(n uint16, p netip.AddrPort) func(*stun.Builder) {
	return func(b *stun.Builder) {
		b.AddUint32(stun.ChannelNumber, uint32(n)<<16)
		b.AddXorAddr(stun.XorPeerAddress, p)
	}
}

// fromPeer has a datagram come to the relay address.
func (f *fake) fromPeer(s *Server, from netip.AddrPort, text string, now time.Time) {
	buf := make([]byte, Headroom+len(text)+Tailroom)
	copy(buf[Headroom:], text)
	s.Peer(f.alloc, from, buf, Headroom+len(text), now)
}

func sendIndication(p netip.AddrPort, text string) []byte {
	b := stun.Start(nil, stun.SendIndication, dataID, stun.RFC)
	b.AddXorAddr(stun.XorPeerAddress, p)
	b.AddString(stun.Data, text)
	return b.Finish(nil, false)
}

func TestBinding(t *testing.T) {
	w := &world{}
	s := newServer(w)
	b := stun.Start(nil, stun.BindingRequest, stun.NewID([16]byte{9}, stun.RFC), stun.RFC)
	s.Input(client, b.Finish(nil, false), start)
	if a, ok := w.last(t, stun.RFC).XorAddr(stun.XorMappedAddress); !ok || a != client.Remote {
		t.Errorf("mapped address %v", a)
	}
}

func TestRelay(t *testing.T) {
	for _, p := range []netip.AddrPort{peer, netip.MustParseAddrPort("[2001:db8::9]:6000")} {
		w := &world{}
		s := newServer(w)
		u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
		m := u.ask(stun.AllocateRequest, func(b *stun.Builder) {
			udpOnly(b)
			if p.Addr().Is6() {
				b.AddUint32(stun.RequestedAddressFamily, 2<<24)
			}
		})
		relay := w.relays[0]
		if a, _ := m.XorAddr(stun.XorRelayedAddress); a != relay.addr {
			t.Fatalf("relayed address %v, code %d", a, m.Code())
		}
		if a, _ := m.XorAddr(stun.XorMappedAddress); a != client.Remote {
			t.Errorf("mapped address %v", a)
		}
		if l, _ := m.Uint32(stun.Lifetime); l != 600 {
			t.Errorf("lifetime %d", l)
		}
		// Without permission nothing goes either way.
		s.Input(client, sendIndication(p, "early"), start)
		relay.fromPeer(s, p, "early", start)
		if n := len(w.replies); len(relay.sent) != 0 || n != 2 || s.stats.NoPermission != 2 {
			t.Fatalf("relayed without permission: %v, %d answers, %+v", relay.sent, n, s.stats)
		}
		u.want(0, u.ask(stun.CreatePermissionRequest, withPeer(p)))
		for n := range 9 {
			text := "packet..."[:n]
			s.Input(client, sendIndication(p, text), start)
			if got := relay.sent[len(relay.sent)-1]; got != (datagram{p, text}) {
				t.Errorf("sent %v", got)
			}
			relay.fromPeer(s, netip.AddrPortFrom(p.Addr(), 7000), text, start)
			d := w.last(t, stun.RFC)
			from, _ := d.XorAddr(stun.XorPeerAddress)
			if data, _ := d.Get(stun.Data); d.Type() != stun.DataIndication || string(data) != text || from.Port() != 7000 || from.Addr() != p.Addr() {
				t.Errorf("indication %x", d.Raw)
			}
		}
		// And over a channel.
		u.want(0, u.ask(stun.ChannelBindRequest, withChannel(0x4001, p)))
		s.Input(client, []byte("\x40\x01\x00\x05hello+padding"), start)
		if got := relay.sent[len(relay.sent)-1]; got != (datagram{p, "hello"}) {
			t.Errorf("sent %v", got)
		}
		relay.fromPeer(s, p, "world", start)
		if got := string(w.replies[len(w.replies)-1].b); got != "\x40\x01\x00\x05world" {
			t.Errorf("channel data %q", got)
		}
		// Until the permission is over, in spite of the channel.
		later := start.Add(permissionLife + time.Second)
		s.Tick(later)
		s.Input(client, []byte("\x40\x01\x00\x05hello"), later)
		relay.fromPeer(s, p, "world", later)
		if string(w.replies[len(w.replies)-1].b) != "\x40\x01\x00\x05world" || len(relay.sent) != 10 {
			t.Error("relayed after the permission was over")
		}
		// A refresh of nothing ends it.
		m = u.ask(stun.RefreshRequest, func(b *stun.Builder) { b.AddUint32(stun.Lifetime, 0) })
		if !relay.closed || m.Code() != 0 || s.Stats().Allocations != 0 || s.cfg.Users.Len() != 0 {
			t.Errorf("not freed: %v %d", relay.closed, m.Code())
		}
		u.want(437, u.ask(stun.RefreshRequest, nil))
	}
}

func TestRefusals(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	u.want(437, u.ask(stun.CreatePermissionRequest, withPeer(peer)))
	u.want(437, u.ask(stun.ChannelBindRequest, withChannel(0x4000, peer)))
	u.want(400, u.ask(stun.AllocateRequest, nil))
	u.want(442, u.ask(stun.AllocateRequest, func(b *stun.Builder) { b.AddUint32(stun.RequestedTransport, 6<<24) }))
	u.want(440, u.ask(stun.AllocateRequest, func(b *stun.Builder) { udpOnly(b); b.AddUint32(stun.RequestedAddressFamily, 3<<24) }))
	u.want(508, u.ask(stun.AllocateRequest, func(b *stun.Builder) { udpOnly(b); b.Add(stun.ReservationToken, []byte("unknown!")) }))
	u.want(400, u.ask(stun.AllocateRequest, func(b *stun.Builder) {
		udpOnly(b)
		b.Add(stun.ReservationToken, []byte("unknown!"))
		b.Add(stun.EvenPort, []byte{0})
	}))
	m := u.ask(stun.AllocateRequest, func(b *stun.Builder) { udpOnly(b); b.Add(0x7001, []byte("what")); b.Add(stun.DontFragment, nil) })
	u.want(420, m)
	if list, _ := m.Get(stun.UnknownAttributes); !bytes.Equal(list, []byte{0x70, 1, 0, 0x1A}) {
		t.Errorf("unknown attributes %x", list)
	}
	w.err = ErrNoPort
	u.want(508, u.ask(stun.AllocateRequest, udpOnly))
	w.err = nil
	u.allocate()
	u.want(437, u.ask(stun.AllocateRequest, udpOnly))
	u.want(403, u.ask(stun.CreatePermissionRequest, withPeer(netip.MustParseAddrPort("10.0.0.1:5060"))))
	u.want(403, u.ask(stun.ChannelBindRequest, withChannel(0x4000, netip.MustParseAddrPort("10.0.0.1:5060"))))
	u.want(443, u.ask(stun.CreatePermissionRequest, withPeer(netip.MustParseAddrPort("[2001:db8::9]:1"))))
	u.want(400, u.ask(stun.CreatePermissionRequest, nil))
	u.want(400, u.ask(stun.ChannelBindRequest, withChannel(0x3FFF, peer)))
	u.want(400, u.ask(stun.ChannelBindRequest, withChannel(0x7FFF, peer)))
	u.want(0, u.ask(stun.ChannelBindRequest, withChannel(0x4123, peer)))
	u.want(0, u.ask(stun.ChannelBindRequest, withChannel(0x4123, peer)))
	u.want(400, u.ask(stun.ChannelBindRequest, withChannel(0x4124, peer)))
	u.want(400, u.ask(stun.ChannelBindRequest, withChannel(0x4123, netip.MustParseAddrPort("203.0.113.10:1"))))
	u.want(443, u.ask(stun.RefreshRequest, func(b *stun.Builder) { b.AddUint32(stun.RequestedAddressFamily, 2<<24) }))
	u.want(400, u.ask(0x000A, nil)) // CONNECT of RFC 6062
	// Permissions are all or none.
	u.want(403, u.ask(stun.CreatePermissionRequest, func(b *stun.Builder) {
		b.AddXorAddr(stun.XorPeerAddress, netip.MustParseAddrPort("203.0.113.77:1"))
		b.AddXorAddr(stun.XorPeerAddress, netip.MustParseAddrPort("10.0.0.1:1"))
	}))
	if a := w.relays[len(w.relays)-1].alloc; len(a.permissions) != 1 {
		t.Errorf("permissions %v", a.permissions)
	}
	if s.stats.Forbidden != 3 {
		t.Errorf("%d forbidden peers counted", s.stats.Forbidden)
	}
}

// TestOnePort: of our own addresses each port is judged.
func TestOnePort(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	relay := u.allocate()
	u.want(403, u.ask(stun.CreatePermissionRequest, withPeer(netip.MustParseAddrPort("192.0.2.1:5060"))))
	u.want(0, u.ask(stun.CreatePermissionRequest, withPeer(netip.MustParseAddrPort("192.0.2.1:50100"))))
	s.Input(client, sendIndication(netip.MustParseAddrPort("192.0.2.1:5060"), "OPTIONS"), start)
	if len(relay.sent) != 0 {
		t.Error("a permission for a media port led to another one")
	}
	s.Input(client, sendIndication(netip.MustParseAddrPort("192.0.2.1:50100"), "media"), start)
	if len(relay.sent) != 1 {
		t.Error("not relayed")
	}
}

func TestCredentials(t *testing.T) {
	w := &world{}
	s := newServer(w)
	for _, tt := range []struct {
		name  string
		c     Credentials
		count *uint64
	}{
		{"expired", secret.Issue("alice@example.test", start), &s.stats.ExpiredUser},
		{"expired, opaque", secret.IssueOpaque("alice@example.test", start), &s.stats.ExpiredUser},
		{"of another relay", Secret("other").Issue("alice@example.test", start.Add(time.Hour)), &s.stats.BadPassword},
		{"forged expiry", Credentials{Username: "1890000000:alice@example.test", Password: secret.Issue("alice@example.test", start.Add(time.Hour)).Password}, &s.stats.BadPassword},
		{"somebody's name and password", Credentials{Username: "alice", Password: "secret"}, &s.stats.BadUser},
		{"empty", Credentials{}, &s.stats.BadUser},
	} {
		u := newUser(t, s, w, client, "x", stun.RFC)
		u.take(tt.c)
		before := *tt.count
		m := u.ask(stun.AllocateRequest, udpOnly)
		if m.Code() != 401 || *tt.count != before+1 {
			t.Errorf("%s: %d, counted %d", tt.name, m.Code(), *tt.count-before)
		}
		if _, ok := m.Get(stun.MessageIntegrity); ok {
			t.Errorf("%s: a 401 is protected", tt.name)
		}
	}
	if s.Stats().Allocations != 0 {
		t.Error("allocated all the same")
	}
	// What is given to Lync clients is good for browsers as it is written.
	u := newUser(t, s, w, client, "x", stun.RFC)
	u.take(secret.IssueOpaque("sip:alice@example.test", start.Add(time.Hour)))
	u.allocate()
	// And somebody else cannot use the allocation from the same address, for instance behind one NAT.
	thief := newUser(t, s, w, client, "mallory@example.test", stun.RFC)
	thief.want(441, thief.ask(stun.RefreshRequest, nil))
	if s.stats.Stolen != 1 {
		t.Error("not counted")
	}
}

// TestOpaqueIsWhole: libnice takes quotes and zeros off the ends of name and password.
func TestOpaqueIsWhole(t *testing.T) {
	for range 3000 {
		c := secret.IssueOpaque("alice@example.test", start)
		for _, text := range []string{c.Username, c.Password} {
			if b, err := base64.StdEncoding.DecodeString(text); err != nil || len(bytes.Trim(b, "\"\x00")) != len(b) {
				t.Fatalf("%v: %x", err, b)
			}
		}
	}
}

func TestNonce(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	u.allocate()
	old := u.nonce
	u.now = start.Add(9 * time.Minute)
	u.want(0, u.ask(stun.RefreshRequest, func(b *stun.Builder) { b.AddUint32(stun.Lifetime, 9999) }))
	u.now = start.Add(nonceLife)
	u.want(0, u.ask(stun.RefreshRequest, nil))
	if s.stats.Stale != 1 || u.nonce == old {
		t.Errorf("%d stale", s.stats.Stale)
	}
	if checkNonce([]byte("n"), []byte(u.nonce), netip.MustParseAddr("198.51.100.8"), u.now) {
		t.Error("a nonce is good for another address")
	}
}

func TestLifetimes(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	relay := u.allocate()
	for asked, got := range map[uint32]uint32{1: 600, 600: 600, 1800: 1800, 1 << 31: 3600} {
		m := u.ask(stun.RefreshRequest, func(b *stun.Builder) { b.AddUint32(stun.Lifetime, asked) })
		if l, _ := m.Uint32(stun.Lifetime); l != got {
			t.Errorf("asked for %d, got %d", asked, l)
		}
	}
	u.ask(stun.RefreshRequest, nil)
	if s.Tick(start.Add(DefaultLifetime - 1)); relay.closed {
		t.Error("ended early")
	}
	if s.Tick(start.Add(DefaultLifetime)); !relay.closed || s.stats.Expired != 1 {
		t.Error("not ended")
	}
}

func TestQuotas(t *testing.T) {
	w := &world{}
	s := newServer(w)
	at := func(n int) Tuple { return Tuple{Remote: netip.AddrPortFrom(client.Remote.Addr(), uint16(6000+n))} }
	for n := range 3 {
		newUser(t, s, w, at(n), "alice@example.test", stun.RFC).allocate()
	}
	a := newUser(t, s, w, at(3), "ALICE@example.test", stun.RFC)
	a.want(486, a.ask(stun.AllocateRequest, udpOnly)) // a user has three
	for n := range 2 {
		newUser(t, s, w, at(4+n), "bob@example.test", stun.RFC).allocate()
	}
	c := newUser(t, s, w, at(6), "carol@example.test", stun.RFC)
	c.want(486, c.ask(stun.AllocateRequest, udpOnly)) // all have five
	s.Gone(at(0))
	c.allocate()
	if s.stats.Quota != 2 {
		t.Errorf("%d counted", s.stats.Quota)
	}
}

func TestRates(t *testing.T) {
	w := &world{}
	s := newServer(w)
	s.cfg.PortRate = 10
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	relay := u.allocate()
	u.ask(stun.ChannelBindRequest, withChannel(0x4000, peer))
	for range 3 {
		s.Input(client, []byte("\x40\x00\x00\x05hello"), start)
	}
	s.Input(client, []byte("\x40\x00\x00\x05hello"), start.Add(time.Second))
	if len(relay.sent) != 3 || s.stats.OverRate != 1 {
		t.Errorf("%d sent, %d over", len(relay.sent), s.stats.OverRate)
	}
	users := NewUsers(0, 0, 100)
	x := users.take(UserID{1})
	if !x.spend(toPeer, 100, start) || x.spend(toPeer, 1, start) || !x.spend(toClient, 100, start) || !x.spend(toPeer, 100, start.Add(time.Second)) {
		t.Error("the rate of a user is not held")
	}
}

func TestRepeatedAllocate(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	u.allocate()
	first := bytes.Clone(w.replies[len(w.replies)-1].b)
	u.id-- // the answer got lost
	u.want(0, u.ask(stun.AllocateRequest, udpOnly))
	if !bytes.Equal(w.replies[len(w.replies)-1].b, first) || len(w.relays) != 1 {
		t.Error("a repeated request is not answered as the first was")
	}
}

func TestReservation(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	m := u.ask(stun.AllocateRequest, func(b *stun.Builder) { udpOnly(b); b.Add(stun.EvenPort, []byte{0x80}) })
	token, ok := m.Get(stun.ReservationToken)
	if !ok {
		t.Fatalf("no token: %d", m.Code())
	}
	token = slices.Clone(token)
	v := newUser(t, s, w, Tuple{Remote: netip.MustParseAddrPort("198.51.100.7:5001")}, "alice@example.test", stun.RFC)
	m = v.ask(stun.AllocateRequest, func(b *stun.Builder) { udpOnly(b); b.Add(stun.ReservationToken, token) })
	if a, _ := m.XorAddr(stun.XorRelayedAddress); a.Port() != w.relays[0].addr.Port()+1 {
		t.Errorf("got %v after %v", a, w.relays[0].addr)
	}
}

// TestStrangers: what is sent to those who have shown no credentials is bounded.
func TestStrangers(t *testing.T) {
	w := &world{}
	s := newServer(w)
	s.cfg.AnonymousRate = 10
	b := stun.Start(nil, stun.AllocateRequest, stun.NewID([16]byte{9}, stun.RFC), stun.RFC)
	udpOnly(&b)
	msg := b.Finish(nil, false)
	for n := range 50 {
		s.Input(Tuple{Remote: netip.AddrPortFrom(client.Remote.Addr(), uint16(1000+n))}, msg, start)
	}
	if len(w.replies) != 10 || s.stats.Unanswered != 40 {
		t.Errorf("%d answers, %d not", len(w.replies), s.stats.Unanswered)
	}
}

func TestLync(t *testing.T) {
	for _, from := range []Tuple{client, {Remote: client.Remote, Conn: 7}} {
		t.Run(fmt.Sprint(from.Conn), func(t *testing.T) { lync(t, from) })
	}
}

func lync(t *testing.T, from Tuple) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, from, "alice@example.test", stun.MSTURN)
	m := u.ask(stun.AllocateRequest, nil)
	relay := w.relays[0]
	if a, _ := m.Addr(stun.MappedAddress); a != relay.addr {
		t.Fatalf("relay address %v, code %d", a, m.Code())
	}
	if a, _ := m.XorAddr(stun.MSXorMappedAddress); a != client.Remote {
		t.Errorf("mapped address %v", a)
	}
	if !bytes.Equal(m.Raw[20:28], []byte{0, 0x0f, 0, 4, 0x72, 0xc6, 0x4b, 0xc6}) {
		t.Errorf("the cookie is not first: %x", m.Raw)
	}
	seq, _ := m.Get(stun.MSSequenceNumber)
	conn := bytes.Clone(seq[:20])
	send := func(to netip.AddrPort, text string, number uint32, key []byte) {
		b := stun.Start(nil, stun.MSSendRequest, [16]byte{1}, stun.MSTURN)
		b.AddUint32(stun.MSMagicCookie, stun.MSMagic)
		b.AddString(stun.Username, u.name)
		b.AddAddr(stun.MSDestinationAddress, to)
		b.AddUint32(stun.MSVersion, 1)
		b.Add(stun.MSSequenceNumber, binary.BigEndian.AppendUint32(bytes.Clone(conn), number))
		if from.Conn != 0 {
			b.AddFramed(stun.Data, []byte(text))
		} else {
			b.AddString(stun.Data, text)
		}
		s.Input(from, b.Finish(key, false), start)
	}
	relay.fromPeer(s, peer, "early", start)
	answers := len(w.replies)
	send(peer, "forged", 1, []byte("another key"))
	send(netip.MustParseAddrPort("10.0.0.1:5060"), "inside", 2, u.key)
	if len(relay.sent) != 0 || s.stats.BadPassword != 1 || s.stats.Forbidden != 1 || s.stats.NoPermission != 1 {
		t.Fatalf("sent %v, %+v", relay.sent, s.stats)
	}
	send(peer, "hello", 3, u.key)
	send(peer, "again", 3, u.key)
	if len(relay.sent) != 1 || relay.sent[0] != (datagram{peer, "hello"}) || s.stats.Replayed != 1 {
		t.Fatalf("sent %v, %+v", relay.sent, s.stats)
	}
	if len(w.replies) != answers {
		t.Error("Send is answered")
	}
	relay.fromPeer(s, peer, "data", start)
	d := w.last(t, stun.MSTURN)
	data, _ := d.Get(stun.Data)
	want := "data"
	if from.Conn != 0 {
		want = "\x00\x04data"
	}
	if a, _ := d.Addr(stun.MSRemoteAddress); d.Type() != stun.MSDataIndication || a != peer || string(data) != want {
		t.Errorf("indication %x", d.Raw)
	}
	// The active destination.
	to := func(b *stun.Builder) { b.AddAddr(stun.MSDestinationAddress, peer) }
	u.want(0, u.ask(stun.MSSetActiveDestinationRequest, to))
	raw := "\x80raw packet"
	in := raw
	if from.Conn != 0 {
		in = "\x00\x0b" + raw
	}
	s.Input(from, []byte(in), start.Add(time.Hour/2))
	if got := relay.sent[len(relay.sent)-1]; got != (datagram{peer, raw}) {
		t.Errorf("sent %v", got)
	}
	relay.fromPeer(s, peer, raw, start)
	if r := w.replies[len(w.replies)-1]; string(r.b) != in || !r.raw {
		t.Errorf("raw %q", r.b)
	}
	u.want(403, u.ask(stun.MSSetActiveDestinationRequest, func(b *stun.Builder) {
		b.AddAddr(stun.MSDestinationAddress, netip.MustParseAddrPort("10.0.0.1:5060"))
	}))
	// Refresh and end.
	m = u.ask(stun.AllocateRequest, func(b *stun.Builder) { b.AddUint32(stun.Lifetime, 1800) })
	if l, _ := m.Uint32(stun.Lifetime); l != 1800 || len(w.relays) != 1 {
		t.Errorf("lifetime %d", l)
	}
	u.want(420, u.ask(stun.AllocateRequest, func(b *stun.Builder) { b.Add(0x7001, []byte("what")) }))
	u.want(0, u.ask(stun.AllocateRequest, func(b *stun.Builder) { b.AddUint32(stun.Lifetime, 0) }))
	if !relay.closed {
		t.Error("not freed")
	}
	u.want(437, u.ask(stun.MSSetActiveDestinationRequest, to))
}

func TestLyncCredentials(t *testing.T) {
	w := &world{}
	s := newServer(w)
	for code, c := range map[int]Credentials{
		430: secret.IssueOpaque("alice@example.test", start),
		431: Secret("other").IssueOpaque("alice@example.test", start.Add(time.Hour)),
		436: {Username: "AAAA", Password: "AAAA"},
	} {
		u := newUser(t, s, w, client, "x", stun.MSTURN)
		u.nonce = nonce(s.cfg.NonceKey, client.Remote.Addr(), start)
		u.take(c)
		u.want(code, u.ask(stun.AllocateRequest, nil))
	}
	for code, leave := range map[int]stun.Attr{432: stun.Username, 434: stun.MSRealm, 435: stun.MSNonce} {
		b := stun.Start(nil, stun.AllocateRequest, [16]byte{1}, stun.MSTURN)
		b.AddUint32(stun.MSMagicCookie, stun.MSMagic)
		for _, a := range []stun.Attr{stun.Username, stun.MSRealm, stun.MSNonce} {
			if a != leave {
				b.AddString(a, "x")
			}
		}
		s.Input(client, b.Finish([]byte("key"), false), start)
		if m := w.last(t, stun.MSTURN); m.Code() != code {
			t.Errorf("without %x: %d, want %d", leave, m.Code(), code)
		}
	}
}

func TestReplay(t *testing.T) {
	var r replay
	for _, x := range []struct {
		n    uint32
		want bool
	}{{5, true}, {5, false}, {4, true}, {4, false}, {100, true}, {36, false}, {37, true}, {37, false}, {5000, true}, {100, false}} {
		if got := r.take(x.n); got != x.want {
			t.Errorf("%d: %v", x.n, got)
		}
	}
}

// TestNoAllocation: packets of an allocation that exists cost no memory, whichever way they go.
func TestNoAllocation(t *testing.T) {
	w := &world{}
	s := newServer(w)
	u := newUser(t, s, w, client, "alice@example.test", stun.RFC)
	relay := u.allocate()
	u.ask(stun.ChannelBindRequest, withChannel(0x4000, peer))
	v := newUser(t, s, w, Tuple{Remote: netip.MustParseAddrPort("198.51.100.8:1")}, "bob@example.test", stun.MSTURN)
	lync := v.allocate()
	v.ask(stun.MSSetActiveDestinationRequest, func(b *stun.Builder) { b.AddAddr(stun.MSDestinationAddress, peer) })
	w.keep = true
	ind, ch, raw := sendIndication(peer, "a packet"), []byte("\x40\x00\x00\x08a packet"), []byte("\x80 packet")
	buf := make([]byte, Headroom+100+Tailroom)
	other := netip.AddrPortFrom(peer.Addr(), 7)
	for name, f := range map[string]func(){
		"indication":         func() { s.Input(client, ind, start) },
		"channel":            func() { s.Input(client, ch, start) },
		"raw":                func() { s.Input(v.from, raw, start) },
		"peer to channel":    func() { s.Peer(relay.alloc, peer, buf, Headroom+100, start) },
		"peer to indication": func() { s.Peer(relay.alloc, other, buf, Headroom+99, start) },
		"peer to raw":        func() { s.Peer(lync.alloc, peer, buf, Headroom+100, start) },
		"peer to Lync data":  func() { s.Peer(lync.alloc, other, buf, Headroom+100, start) },
		"stranger":           func() { s.Peer(relay.alloc, netip.AddrPortFrom(client.Remote.Addr(), 1), buf, Headroom+100, start) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzServer: whatever comes from a client, in the middle of allocations or before, nothing breaks, nothing is relayed that
// has no permission, and answers are messages.
func FuzzServer(f *testing.F) {
	f.Add(sendIndication(peer, "data"), []byte("\x40\x00\x00\x05hello"), true)
	f.Add([]byte{0, 3, 0, 8, 15: 0, 19: 0, 20: 0, 21: 0xf, 23: 4, 24: 0x72, 25: 0xc6, 26: 0x4b, 27: 0xc6}, []byte("\x80raw"), false)
	f.Fuzz(func(t *testing.T, a, b []byte, rfc bool) {
		w := &world{}
		s := newServer(w)
		d := stun.MSTURN
		if rfc {
			d = stun.RFC
		}
		u := newUser(t, s, w, client, "alice@example.test", d)
		relay := u.allocate()
		for _, from := range []Tuple{client, {Remote: client.Remote, Conn: 1}, {Remote: peer}} {
			s.Input(from, a, start)
			s.Input(from, b, start.Add(time.Second))
		}
		if !relay.closed {
			relay.fromPeer(s, peer, string(a[:min(len(a), 1000)]), start)
		}
		if len(relay.sent) != 0 {
			t.Errorf("relayed %v", relay.sent)
		}
		for _, r := range w.replies {
			if len(r.b) < 20 || len(r.b) > 4096 {
				t.Errorf("answer %x", r.b)
			}
		}
		s.Tick(start.Add(2 * time.Hour))
		s.Close()
		if s.cfg.Users.Len() != 0 {
			t.Error("users are left")
		}
	})
}

func BenchmarkChannel(b *testing.B) {
	w := &world{}
	s := newServer(w)
	u := newUser(b, s, w, client, "alice@example.test", stun.RFC)
	relay := u.allocate()
	u.ask(stun.ChannelBindRequest, withChannel(0x4000, peer))
	w.keep = true
	ch := append([]byte("\x40\x00\x00\xa0"), make([]byte, 160)...)
	buf := make([]byte, Headroom+160+Tailroom)
	for b.Loop() {
		s.Input(client, ch, start)
		s.Peer(relay.alloc, peer, buf, Headroom+160, start)
	}
}
