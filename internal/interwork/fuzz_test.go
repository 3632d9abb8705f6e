package interwork

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"parley/internal/flow"
	"parley/internal/sdp"
)

// Whatever two ends write, each gets a description that can be read, has the media of what it answers or of what was
// offered, and names no address but ours; and nothing is left when the call is over.
func FuzzRewrite(f *testing.F) {
	samples := []string{plainAudio, secureAudio, browser, browserVideo, answerAudio}
	for _, name := range []string{"webrtc", "lync", "baresip-srtp", "baresip-dtls", "spelling"} {
		if b, err := os.ReadFile("../sdp/testdata/" + name + ".sdp"); err == nil {
			samples = append(samples, string(b))
		}
	}
	for _, a := range samples {
		for _, b := range samples {
			f.Add([]byte(a), []byte(b), uint8(Browser), uint8(Phone), false)
		}
	}
	ours := netip.MustParseAddr("198.51.100.7")
	f.Fuzz(func(t *testing.T, offer, answer []byte, p, q uint8, callee bool) {
		d, err := sdp.Parse(offer)
		if err != nil {
			return
		}
		a, _ := sdp.Parse(answer)
		eng := newFake()
		g := New(Config{Start: func() (Engine, error) { return eng, nil }, Log: slog.New(slog.DiscardHandler),
			Listen: func(*flow.Flow) netip.Addr { return ours }})
		s, _ := g.session(sessionKey{"call", "tag"}, &end{profile: Profile(p % 5)}, "")
		s.mu.Lock()
		l := s.newLeg(&end{profile: Profile(q % 5)})
		from := 0
		if callee {
			from = 1
		}
		for range 2 {
			o, err := l.offer(from, d, l.sides[1-from].profile)
			if err != nil {
				break
			}
			check(t, o.built, d, ours)
			check(t, l.answer(o, a), d, ours)
			from = 1 - from
			if a == nil || len(a.Media) < l.count {
				break
			}
			d, a = a, d
		}
		s.close()
		s.mu.Unlock()
		if st := eng.state(); st != "0 ports, 0 bridges" {
			t.Fatalf("left: %s", st)
		}
	})
}

func check(t *testing.T, d, of *sdp.Description, ours netip.Addr) {
	t.Helper()
	text := d.Append(nil)
	back, err := sdp.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if !bytes.Equal(back.Append(nil), text) {
		t.Fatalf("it changes when it is read:\n%s", text)
	}
	if len(back.Media) != len(of.Media) {
		t.Fatalf("%d media of %d", len(back.Media), len(of.Media))
	}
	for i, m := range back.Media {
		if m.MLine().Kind != of.Media[i].MLine().Kind {
			t.Fatalf("medium %d is %s", i, m.MLine().Kind)
		}
		if m.MLine().Port == 0 {
			continue
		}
		if c, ok := back.Connection(m); !ok || c.Address != ours.String() {
			t.Fatalf("an address that is not ours:\n%s", text)
		}
		if len(m.Codecs()) != len(m.MLine().Formats) {
			t.Fatalf("formats that nobody explains:\n%s", text)
		}
	}
}
