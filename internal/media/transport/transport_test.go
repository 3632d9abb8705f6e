package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/media/ports"
	"parley/internal/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool has the ports of tests: on an address of their own, since those of the product's ranges are taken at random.
func pool(t testing.TB) *ports.Pool {
	t.Helper()
	p, err := ports.New(ports.Range{First: 20000, Last: 29999}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var here = netip.MustParseAddr("127.0.0.85")

func open(t testing.TB, c Config) *Transport {
	t.Helper()
	if c.Ports == nil {
		c.Ports = pool(t)
	}
	if !c.Listen.IsValid() {
		c.Listen = here
	}
	x, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// arrived is what a handler was given.
type arrived struct {
	kind int
	pkt  []byte
}

type inbox chan arrived

func newInbox(x *Transport) inbox {
	in := make(inbox, 100)
	x.Handle(in)
	return in
}

func (in inbox) RTP(pkt []byte, _ time.Time)  { in.put(rtp, pkt) }
func (in inbox) RTCP(pkt []byte, _ time.Time) { in.put(rtcp, pkt) }

func (in inbox) put(kind int, pkt []byte) {
	select {
	case in <- arrived{kind, append([]byte(nil), pkt...)}:
	default:
	}
}

func (in inbox) want(t testing.TB, kind int, pkt []byte) {
	t.Helper()
	select {
	case a := <-in:
		if a.kind != kind || string(a.pkt) != string(pkt) {
			t.Errorf("got %d %x, want %d %x", a.kind, a.pkt, kind, pkt)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing arrived; want %d %x", kind, pkt)
	}
}

func voice(ssrc uint32, seq uint16) []byte {
	b := make([]byte, 12, 172)
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], uint32(seq)*160)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for i := range 160 {
		b = append(b, byte(i)^byte(seq))
	}
	return b
}

// report is an empty receiver report.
func report(ssrc uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0x80, 201, 0, 1}, ssrc)
}

// phone is the other side, without a transport.
type phone struct {
	t    testing.TB
	conn *net.UDPConn
}

func newPhone(t testing.TB, addr string) phone {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr+":0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return phone{t, c}
}

func (p phone) addr() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p phone) send(x *Transport, kind int, pkts ...[]byte) {
	p.t.Helper()
	port := x.pair.Port
	if kind == rtcp && !x.mux.Load() {
		port++
	}
	for _, b := range pkts {
		if _, err := p.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(here, port)); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p phone) want(pkt []byte) {
	p.t.Helper()
	b := make([]byte, 4096)
	p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := p.conn.Read(b)
	if err != nil || string(b[:n]) != string(pkt) {
		p.t.Fatalf("got %x %v, want %x", b[:n], err, pkt)
	}
}

func wait(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

func set(t testing.TB, x *Transport, r Remote) {
	t.Helper()
	if err := x.SetRemote(r); err != nil {
		t.Fatal(err)
	}
}

func TestPlain(t *testing.T) {
	x := open(t, Config{})
	in := newInbox(x)
	if err := x.WriteRTP(voice(1, 1)); err != ErrNotReady {
		t.Errorf("before a description: %v", err)
	}
	a, b := newPhone(t, "127.0.0.1"), newPhone(t, "127.0.0.1")
	set(t, x, Remote{RTP: a.addr(), RTCP: b.addr()})
	if err := x.WriteRTP(voice(1, 2)); err != nil {
		t.Fatal(err)
	}
	a.want(voice(1, 2))
	if err := x.WriteRTCP(report(1)); err != nil {
		t.Fatal(err)
	}
	b.want(report(1))
	a.send(x, rtp, voice(7, 1))
	in.want(t, rtp, voice(7, 1))
	b.send(x, rtcp, report(7))
	in.want(t, rtcp, report(7))

	// Both on one port, by a later description.
	set(t, x, Remote{RTP: a.addr(), Mux: true})
	if l := x.Local(); !l.Mux || l.RTCP != l.RTP {
		t.Errorf("%+v", l)
	}
	if err := x.WriteRTCP(report(2)); err != nil {
		t.Fatal(err)
	}
	a.want(report(2))
	a.send(x, rtcp, report(8))
	in.want(t, rtcp, report(8))

	// Hold of RFC 2543: nothing goes out, and what comes in still does.
	set(t, x, Remote{RTP: netip.MustParseAddrPort("0.0.0.0:4000"), Mux: true})
	if err := x.WriteRTP(voice(1, 3)); err != ErrNotReady {
		t.Errorf("on hold: %v", err)
	}
	s := x.Stats()
	if s.RTPIn != (Count{1, 172}) || s.RTPOut != (Count{1, 172}) || s.RTCPIn.Packets != 2 || s.RTCPOut.Packets != 2 || s.NotReady != 2 || s.Keys != "none" {
		t.Errorf("%+v", s)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	if err := x.WriteRTP(voice(1, 4)); err == nil {
		t.Error("written after the end")
	}
	if err := x.SetRemote(Remote{}); err != ErrClosed {
		t.Error(err)
	}
}

// A source other than the named one is taken when it has the named address, or that of the signalling, and sends two
// packets in order; and then nobody else is.
func TestSource(t *testing.T) {
	named, nat, hijacker, stranger := newPhone(t, "127.0.0.1"), newPhone(t, "127.0.0.2"), newPhone(t, "127.0.0.2"), newPhone(t, "127.0.0.3")
	x := open(t, Config{})
	in := newInbox(x)
	set(t, x, Remote{RTP: named.addr(), Source: netip.MustParseAddr("127.0.0.2")})
	stranger.send(x, rtp, voice(1, 1), voice(1, 2), voice(1, 3))
	nat.send(x, rtp, voice(2, 1))
	nat.send(x, rtp, voice(2, 2))
	in.want(t, rtp, voice(2, 2))
	if err := x.WriteRTP(voice(9, 1)); err != nil {
		t.Fatal(err)
	}
	nat.want(voice(9, 1))
	for _, p := range []phone{hijacker, stranger, named} {
		p.send(x, rtp, voice(3, 1), voice(3, 2), voice(3, 3))
	}
	nat.send(x, rtp, voice(2, 3))
	in.want(t, rtp, voice(2, 3))
	wait(t, "the count of strangers", func() bool { return x.Stats().UnknownSource == 13 })

	// The same description again changes nothing; another one does.
	set(t, x, Remote{RTP: named.addr(), Source: netip.MustParseAddr("127.0.0.2")})
	nat.send(x, rtp, voice(2, 4))
	in.want(t, rtp, voice(2, 4))
	set(t, x, Remote{RTP: hijacker.addr()})
	hijacker.send(x, rtp, voice(4, 1))
	in.want(t, rtp, voice(4, 1))
	nat.send(x, rtp, voice(2, 5))
	wait(t, "the count of the former peer", func() bool { return x.Stats().UnknownSource == 14 })
}

// Nothing is sent where a description must not have it sent.
func TestAcceptable(t *testing.T) {
	x := Transport{config: Config{Listen: netip.MustParseAddr("192.0.2.1")}}
	for a, ok := range map[string]bool{"192.0.2.9:4000": true, "[::ffff:192.0.2.9]:4000": true, "10.0.0.1:4000": true, "192.0.2.9:0": false,
		"127.0.0.1:4000": false, "0.0.0.0:4000": false, "224.0.0.1:4000": false, "255.255.255.255:4000": false, "[2001:db8::1]:4000": false} {
		if got := x.acceptable(netip.MustParseAddrPort(a)); got.IsValid() != ok || ok && got.Addr().Is4In6() {
			t.Errorf("%s: %v", a, got)
		}
	}
	if x.acceptable(netip.AddrPort{}).IsValid() {
		t.Error("no address is one")
	}
}

func TestMalformed(t *testing.T) {
	a := newPhone(t, "127.0.0.1")
	x := open(t, Config{})
	in := newInbox(x)
	set(t, x, Remote{RTP: a.addr(), RTCP: a.addr()})
	bad := [][]byte{
		{}, {0x80}, make([]byte, 12), voice(1, 1)[:11], append([]byte{0x8F}, voice(1, 1)[1:60]...), append([]byte{0x90}, voice(1, 1)[1:14]...),
		append([]byte{0xC0}, voice(1, 1)[1:]...), append([]byte{0x50}, voice(1, 1)[1:]...), report(1)[:7], make([]byte, 9000),
		append(voice(1, 1), make([]byte, maxPacket)...),
	}
	for _, b := range bad {
		a.send(x, rtp, b)
	}
	a.send(x, rtcp, voice(1, 1))
	wait(t, "the counts", func() bool { // one of them looks like a check
		s := x.Stats()
		return s.Malformed == uint64(len(bad)) && s.Checks == 1
	})
	a.send(x, rtp, voice(1, 9))
	in.want(t, rtp, voice(1, 9))
	for _, b := range bad {
		if err := x.WriteRTP(b); err != ErrPacket {
			t.Errorf("%x: %v", b[:min(len(b), 12)], err)
		}
	}
}

// What is said in a description is what is read out of it.
func TestDescribe(t *testing.T) {
	x := open(t, Config{})
	d := sdp.New(sdp.Origin{User: "-", ID: "1", Version: 1, AddrType: "IP4", Address: "192.0.2.1"}, sdp.ConnectionTo(netip.MustParseAddr("192.0.2.1")))
	m := sdp.NewMedia(sdp.MLine{Kind: "audio", Port: 9, Ports: 1, Proto: "RTP/AVP", Formats: []string{"0"}})
	m.Add(sdp.Attribute("candidate", "1 1 UDP 1 192.0.2.1 1 typ host"), sdp.Attribute("ptime", "20"))
	d.Media = append(d.Media, m)
	x.Local().Describe(m, true)
	d, err := sdp.Parse(d.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	r, err := RemoteOf(d, d.Media[0], sdp.Plain)
	if err != nil || r.RTP != netip.AddrPortFrom(here, x.pair.Port) || r.RTCP != netip.AddrPortFrom(here, x.pair.Port+1) || r.Mux || r.ICE != nil {
		t.Errorf("%+v %v", r, err)
	}
	if len(d.Media[0].Candidates()) != 0 || !d.Media[0].Has("ptime") {
		t.Errorf("%s", d.Append(nil))
	}
}

// TestFlood: whoever else sends, the peer is heard.
func TestFlood(t *testing.T) {
	peer, others := newPhone(t, "127.0.0.1"), []phone{newPhone(t, "127.0.0.2"), newPhone(t, "127.0.0.3"), newPhone(t, "127.0.0.4")}
	x := open(t, Config{})
	in := newInbox(x)
	set(t, x, Remote{RTP: peer.addr()})
	sent := uint64(0)
	for seq := range uint16(50) {
		peer.send(x, rtp, voice(1, seq))
		in.want(t, rtp, voice(1, seq))
		for range 20 {
			for _, o := range others {
				o.send(x, rtp, voice(2, seq), []byte{0, 1, 0, 0}, []byte{22, 254, 253}, []byte{80}, make([]byte, 3000))
				sent += 5
			}
			wait(t, "the counts", func() bool {
				s := x.Stats()
				return s.UnknownSource+s.Checks+s.Malformed == sent
			})
		}
	}
	if s := x.Stats(); s.RTPIn.Packets != 50 || s.UnknownSource != 2*sent/5 {
		t.Errorf("%+v", s)
	}
}

// FuzzDatagram: whatever arrives from wherever is handled or counted, and nothing of it reaches the handler that is not a
// packet.
func FuzzDatagram(f *testing.F) {
	f.Add(voice(1, 1), uint8(0))
	f.Add(report(1), uint8(1))
	f.Add([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, uint8(2))
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(3))
	var ts []*Transport
	from := netip.MustParseAddrPort("127.0.0.9:4000")
	for _, keying := range []sdp.Keying{sdp.Plain, sdp.SDES, sdp.DTLS} {
		for _, mode := range []ICEMode{None, Full} {
			x := open(f, Config{Security: keying, ICE: mode, Certificate: ephemeral.Get})
			r := Remote{RTP: from, RTCP: from, Keying: keying, Setup: "active", Fingerprints: []sdp.Fingerprint{{Hash: "sha-256", Sum: make([]byte, 32)}},
				Crypto: []sdp.Crypto{{Tag: 1, Suite: suites[0].name, Key: make(sdp.Key, 30), Keys: 1}}}
			if mode == Full {
				r.ICE = &sdp.ICE{Ufrag: "peer", Pwd: "password"}
			}
			set(f, x, r)
			for _, k := range x.comps {
				k.rx.prove(from)
			}
			x.Handle(strict{f})
			ts = append(ts, x)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		if len(b) > maxPacket {
			return
		}
		x := ts[int(which/4)%len(ts)]
		k := x.comps[which%2]
		before := x.Stats()
		sender := from
		if which&2 != 0 {
			sender = netip.MustParseAddrPort("127.0.0.10:4000")
		}
		k.datagram(b, sender, time.Now())
		after := x.Stats()
		sum := func(s Stats) uint64 {
			return s.RTPIn.Packets + s.RTCPIn.Packets + s.UnknownSource + s.AuthFailed + s.Replayed + s.Malformed + s.Checks + s.Handshake + s.Unkeyed
		}
		if sum(after) <= sum(before) {
			t.Errorf("%x is not counted", b)
		}
	})
}

// strict takes packets only.
type strict struct{ t testing.TB }

func (s strict) RTP(pkt []byte, _ time.Time) {
	if !wellFormed(pkt, rtp) {
		s.t.Errorf("%x is no RTP", pkt)
	}
}

func (s strict) RTCP(pkt []byte, _ time.Time) {
	if !wellFormed(pkt, rtcp) {
		s.t.Errorf("%x is no RTCP", pkt)
	}
}

// FuzzRemote: whatever a description says is agreed to or refused.
func FuzzRemote(f *testing.F) {
	for _, c := range []Config{{}, {Security: sdp.SDES, ICE: Full, Dialect: Lync}, {Security: sdp.DTLS, ICE: Lite, Certificate: ephemeral.Get}} {
		l := open(f, c).Local()
		d := sdp.New(sdp.Origin{User: "-", ID: "1", Version: 1, AddrType: "IP4", Address: "192.0.2.1"}, sdp.ConnectionTo(l.Addr))
		m := sdp.NewMedia(sdp.MLine{Kind: "audio", Port: 9, Ports: 1, Proto: "RTP/AVP", Formats: []string{"0"}})
		l.Describe(m, true)
		d.Media = append(d.Media, m)
		f.Add(d.Append(nil))
	}
	ports := pool(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := sdp.Parse(b)
		if err != nil || len(d.Media) == 0 {
			return
		}
		for _, keying := range []sdp.Keying{sdp.Plain, sdp.SDES, sdp.DTLS} {
			r, err := RemoteOf(d, d.Media[0], keying)
			if err != nil {
				continue
			}
			x := open(t, Config{Ports: ports, Security: keying, ICE: Full, Certificate: ephemeral.Get})
			if err := x.SetRemote(r); err == nil {
				x.Local().Describe(sdp.NewMedia(sdp.MLine{Kind: "audio", Port: 9, Proto: "RTP/AVP", Formats: []string{"0"}}), false)
			}
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
