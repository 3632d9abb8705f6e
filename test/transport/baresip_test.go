package transport

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"parley/internal/cert"
	"parley/internal/media/ports"
	"parley/internal/media/transport"
	"parley/internal/sdp"
	"parley/test/baresip"
	"parley/test/parleytest"
)

// TestBaresip: a phone hears its own tone come back, with every kind of keys that it has, with and without ICE, whoever
// calls, and after a hold.
func TestBaresip(t *testing.T) {
	parleytest.Need(t, "baresip")
	for _, x := range []struct {
		encryption string // of the account
		keying     sdp.Keying
		ice        transport.ICEMode
	}{
		{"", sdp.Plain, transport.None},
		{"srtp", sdp.SDES, transport.None},
		{"srtp-mand", sdp.SDES, transport.None},
		{"dtls_srtp", sdp.DTLS, transport.None},
		{"", sdp.Plain, transport.Full},
		{"srtp-mand", sdp.SDES, transport.Full},
		{"dtls_srtp", sdp.DTLS, transport.Full},
		{"dtls_srtp", sdp.DTLS, transport.Lite},
	} {
		for _, calls := range []bool{true, false} {
			if !calls && x.encryption == "srtp" {
				continue // it would not be asked in another way than srtp-mand
			}
			t.Run(fmt.Sprintf("%v,%s,ice=%d,calls=%v", x.keying, x.encryption, x.ice, calls), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				pool, err := ports.New(ports.Range{First: 49152, Last: 57500}, ports.Reuse)
				if err != nil {
					t.Fatal(err)
				}
				var identity cert.Ephemeral
				m, err := transport.New(transport.Config{Ports: pool, Listen: here, Security: x.keying, ICE: x.ice, Certificate: identity.Get})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				m.Handle(&echo{x: m})
				u := newUser(t, m, x.keying)

				c := baresip.Config{Name: "alice", Domain: u.addr(), Tone: 440, Answer: "auto", Dir: t.TempDir(),
					Lines: []string{"module srtp.so", "module dtls_srtp.so", "module ice.so"}}
				if x.encryption != "" {
					c.Account = append(c.Account, "mediaenc="+x.encryption)
				}
				if x.ice != transport.None {
					c.Account = append(c.Account, "medianat=ice")
				}
				phone, err := baresip.Start(ctx, c)
				if err != nil {
					t.Fatal(err)
				}
				defer phone.Stop()
				defer func() {
					if t.Failed() {
						t.Logf("%+v\n%+v\n%s", m.Stats(), m.Local(), tail(phone.Log()))
					}
				}()
				if calls {
					if err := phone.Command("dial", "sip:bob@"+u.addr()); err != nil {
						t.Fatal(err)
					}
				} else {
					u.invite(netip.AddrPortFrom(here, uint16(phone.Port)))
				}
				if _, _, err := phone.Await(ctx, 0, "CALL_ESTABLISHED"); err != nil {
					t.Fatal(err)
				}
				heard := func() bool {
					s, err := phone.Heard()
					if err != nil {
						return false
					}
					share, rms := s.Tone(440)
					return share > 0.9 && rms > 0.05
				}
				await(t, ctx, "its tone", heard)
				if calls { // it holds the call and takes it again: two more offers
					before := m.Stats().RTPIn.Packets
					for i, command := range []string{"hold", "resume"} {
						if err := phone.Command(command, ""); err != nil {
							t.Fatal(err)
						}
						await(t, ctx, "the offer of "+command, func() bool { return u.described() >= i+2 })
					}
					await(t, ctx, "media after the hold", func() bool { return m.Stats().RTPIn.Packets > before+100 })
				}
				await(t, ctx, "RTCP", func() bool { return m.Stats().RTCPIn.Packets > 0 })
				s := m.Stats()
				t.Logf("%+v", s)
				// It reports once without protection, at the beginning; and media may be earlier than the answer.
				if s.State != transport.Connected || s.AuthFailed+s.Malformed > 2 || s.Replayed != 0 || s.UnknownSource > 50 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// described is how many offers the phone has made.
func (u *user) described() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.offers
}

func await(t *testing.T, ctx context.Context, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come", what)
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-8000):] }
