package media_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"parley/internal/media/engine"
	"parley/internal/media/opus"
	"parley/internal/media/ports"
	"parley/internal/media/transport"
	"parley/internal/sdp"
	"parley/test/baresip"
	"parley/test/parleytest"
)

// lossy loses one in twenty of the packets that arrive.
type lossy struct{ *transport.Transport }

func (l lossy) Handle(h transport.Handler) {
	if h == nil {
		l.Transport.Handle(nil)
		return
	}
	l.Transport.Handle(losing{h})
}

type losing struct{ transport.Handler }

func (l losing) RTP(pkt []byte, now time.Time) {
	if rand.IntN(20) > 0 {
		l.Handler.RTP(pkt, now)
	}
}

// end is a phone that is in a call with the engine.
type end struct {
	*baresip.Phone
	conn *transport.Transport
	leg  engine.Leg
	hz   float64 // what it says
}

// connect lets a phone with one codec call the engine.
func connect(ctx context.Context, t *testing.T, e *engine.Engine, name, codec string, hz float64) *end {
	t.Helper()
	conn, err := e.Transport(engine.Audio, transport.Config{Listen: here})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	all := append(engine.Codecs(), sdp.Codec{Name: "telephone-event", Clock: 8000, Channels: 1}, sdp.Codec{Name: "telephone-event", Clock: 48000, Channels: 1})
	local := conn.Local()
	p := newSignalling(t, sdp.Local{Codecs: all, Direction: sdp.SendRecv, Keyings: []sdp.Keying{sdp.Plain}}, netip.AddrPortFrom(local.Addr, local.RTP))
	phone, err := baresip.Start(ctx, baresip.Config{
		Name: name, Domain: p.conn.LocalAddr().String(), Tone: hz, Dir: t.TempDir(), Codec: codec,
		Lines: []string{"module g722.so", "module opus.so", "opus_stereo no", "opus_sprop_stereo no", "opus_bitrate 24000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(phone.Stop)
	if err := phone.Command("dial", "sip:bridge@"+p.conn.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	var c call
	select {
	case c = <-p.taken:
	case <-ctx.Done():
		t.Fatalf("%s: no call\n%s", name, phone.Log())
	}
	if _, _, err := phone.Await(ctx, 0, "CALL_ESTABLISHED"); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, phone.Log())
	}
	remote := transport.Remote{RTP: c.remote, RTCP: netip.AddrPortFrom(c.remote.Addr(), c.remote.Port()+1), Keying: sdp.Plain}
	if err := conn.SetRemote(remote); err != nil {
		t.Fatal(err)
	}
	return &end{phone, conn, engine.Leg{Transport: conn, Receive: c.all, Send: c.all, Direction: sdp.SendRecv}, hz}
}

// TestBridge: two phones that have no codec in common hear each other, also when one packet of twenty is lost, and
// press keys.
func TestBridge(t *testing.T) {
	parleytest.Need(t, "baresip")
	cases := []struct {
		name, one, other string
		loss             bool
	}{
		{"forwarded", "PCMU/8000/1", "PCMU/8000/1", false},
		{"PCMU and G722", "PCMU/8000/1", "G722/16000/1", false},
		{"PCMA and G722, loss", "PCMA/8000/1", "G722/16000/1", true},
	}
	if opus.Available() { // test/all runs this with the codec and without it
		cases = append(cases, struct {
			name, one, other string
			loss             bool
		}{"PCMA and opus", "PCMA/8000/1", "opus/48000/1", false})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			e, err := engine.New(engine.Config{Audio: ports.Range{First: 49152, Last: 57500}, MostBusy: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			alice := connect(ctx, t, e, "alice", c.one, 440)
			bob := connect(ctx, t, e, "bob", c.other, 700)
			if c.loss {
				alice.leg.Transport, bob.leg.Transport = lossy{alice.conn}, lossy{bob.conn}
			}
			b, err := e.Bridge(engine.Audio, alice.leg, bob.leg)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()

			least := 0.9
			if c.loss {
				least = 0.8
			}
			until(ctx, t, func() bool { return heard(alice, bob.hz) > least && heard(bob, alice.hz) > least }, func() {
				t.Errorf("of what alice hears %.2f is bob, of what he hears %.2f is she\n%+v", heard(alice, bob.hz), heard(bob, alice.hz), b.Stats())
			})
			if err := alice.Command("sndcode", "12#"); err != nil {
				t.Fatal(err)
			}
			if err := bob.Command("sndcode", "42*"); err != nil {
				t.Fatal(err)
			}
			until(ctx, t, func() bool { return received(bob.Log()) == "12#" && received(alice.Log()) == "42*" }, func() {
				t.Errorf("bob got %q, alice %q", received(bob.Log()), received(alice.Log()))
			})
			s := b.Stats()
			t.Logf("%s: %+v", c.name, s)
			for i, l := range s.Legs {
				if l.Sent.Packets == 0 || l.Received.Packets == 0 || c.loss != (l.Lost > 0) && c.loss {
					t.Errorf("leg %d: %+v", i, l)
				}
			}
		})
	}
}

func heard(p *end, hz float64) float64 {
	s, err := p.Heard()
	if err != nil {
		return 0
	}
	share, _ := s.Tone(hz)
	return share
}

// until waits for a condition, or tells what is wrong at the end of the time.
func until(ctx context.Context, t *testing.T, ok func() bool, wrong func()) {
	t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			wrong()
			t.FailNow()
		}
	}
}
