// Package interop lets real phones use the server: baresip registers, calls, holds, transfers, and sends
// messages over every transport.
//
// With PARLEY_PEER=kamailio the same tests run on Kamailio, to tell a fault of a test or a phone from a fault
// of Parley. What Kamailio does not do by itself is skipped then.
package interop

import (
	"context"
	"net/netip"
	"os"
	"regexp"
	"testing"
	"time"

	"parley/test/baresip"
	"parley/test/kamailio"
	"parley/test/lyncprobe"
	"parley/test/parleytest"
	"parley/test/phone"
)

func TestMain(m *testing.M) { parleytest.Main(m, lyncprobe.CleanUp) }

const domain = "example.test"

// target is the server under test.
type target struct {
	caFile  string
	at      func(transport string) netip.AddrPort
	foreign bool // not Parley
}

func start(t *testing.T, users ...string) *target {
	t.Helper()
	parleytest.Need(t, "baresip")
	if os.Getenv("PARLEY_PEER") != "kamailio" {
		s := parleytest.Start(t, parleytest.Users(users...))
		return &target{caFile: s.CAFile(), at: s.At}
	}
	var accounts []phone.Account
	for _, u := range users {
		accounts = append(accounts, phone.Account{User: u, Password: parleytest.Password, Domain: domain})
	}
	k, err := kamailio.Start(t.Context(), kamailio.Options{
		Domain: domain, Dir: t.TempDir(), Users: accounts, SharedMiB: 64, Children: 2, TCPChildren: 2, NAT: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	return &target{caFile: k.CAFile, foreign: true, at: func(transport string) netip.AddrPort {
		return map[string]netip.AddrPort{"udp": k.UDP, "tcp": k.TCP, "tls": k.TLS}[transport]
	}}
}

// actor is a phone in a test: every step that fails ends the test with the phone's log.
type actor struct {
	*baresip.Phone
	t    *testing.T
	mark int
}

// patience bounds every single wait. It is long because machines are slow, not because phones are.
const patience = 40 * time.Second

// signIn starts a phone of name over a transport and waits until it is registered.
func signIn(t *testing.T, s *target, name, transport string, change ...func(*baresip.Config)) *actor {
	t.Helper()
	c := baresip.Config{
		Name: name, Password: parleytest.Password, Domain: domain, Server: s.at(transport).String(),
		Transport: transport, CAFile: s.caFile, Dir: t.TempDir(),
	}
	for _, f := range change {
		f(&c)
	}
	p, err := baresip.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{Phone: p, t: t}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.Log())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Registered(ctx); err != nil {
		t.Fatalf("%s over %s does not get in: %v", name, transport, err)
	}
	return a
}

// await waits for one of the given events and moves the mark behind it.
func (a *actor) await(types ...string) baresip.Event {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	e, at, err := a.Await(ctx, a.mark, types...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.mark = at + 1
	return e
}

func (a *actor) do(command, params string) {
	a.t.Helper()
	if err := a.Command(command, params); err != nil {
		a.t.Fatalf("%s: %s: %v", a.Name, command, err)
	}
}

func (a *actor) dial(user string) {
	a.t.Helper()
	a.do("dial", "sip:"+user+"@"+domain)
}

// answers makes a phone answer by itself.
func answers(c *baresip.Config) { c.Answer = "auto" }

// says gives a phone a tone.
func says(hz float64) func(*baresip.Config) { return func(c *baresip.Config) { c.Tone = hz } }

// hears waits until the newest recording of a phone holds a second of nothing but hz.
func (a *actor) hears(hz float64) {
	a.t.Helper()
	deadline := time.After(patience)
	var share, rms, seconds float64
	for {
		if s, err := a.Heard(); err == nil {
			share, rms = s.Tone(hz)
			if seconds = s.Seconds(); share > 0.9 && rms > 0.05 {
				return
			}
		}
		select {
		case <-deadline:
			a.t.Fatalf("%s heard no tone of %.0f Hz in %.1f s: its share is %.2f, RMS %.3f", a.Name, hz, seconds, share, rms)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// logs waits until the phone's trace matches a pattern.
func (a *actor) logs(pattern string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	if err := a.AwaitLog(ctx, regexp.MustCompile(pattern)); err != nil {
		a.t.Fatal(err)
	}
}

// givesUpAfter makes a phone stop ringing when nobody answers it.
func givesUpAfter(d time.Duration) func(*baresip.Config) {
	return func(c *baresip.Config) { c.GiveUp = int(d.Seconds()) }
}
