// Package load lets SIPp work on the server: registers, messages and calls over UDP, TCP and TLS, without a
// single unexpected message. The counts are small unless PARLEY_LOAD=full, which `make load` sets.
package load

import (
	"context"
	"os"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/sipp"
)

func TestMain(m *testing.M) { parleytest.Main(m) }

const domain = "example.test"

// work is how much of each kind is done on each transport, and how fast.
var work = []struct {
	kind          string
	n, full, rate int
}{
	{"register", 2000, 20_000, 800},
	{"message", 2000, 20_000, 800},
	{"call", 1000, 10_000, 150},
}

func TestEveryUnitEndsAsItShould(t *testing.T) {
	parleytest.Need(t, "sipp", "stunnel4")
	full := os.Getenv("PARLEY_LOAD") == "full"
	accounts := func(prefix string, n int) []phone.Account {
		return sipp.Accounts(prefix, n, domain, parleytest.Password)
	}
	users := accounts("user", 200)
	everybody := append([]phone.Account(nil), users...)
	for _, transport := range []string{"udp", "tcp", "tls"} {
		everybody = append(everybody, accounts("caller-"+transport, 1)...)
		everybody = append(everybody, accounts("callee-"+transport, 50)...)
	}
	// SIPp 3.6.1 knows MD5 alone and takes the first challenge.
	s := parleytest.Start(t, parleytest.Accounts(everybody), parleytest.Config("auth", map[string]any{"algorithms": []string{"MD5"}}))
	for _, transport := range []string{"udp", "tcp", "tls"} {
		l := sipp.Load{
			Transport: transport, Server: s.At(transport), Domain: domain, Dir: t.TempDir(), Users: users,
			Callers: accounts("caller-"+transport, 1), Callees: accounts("callee-"+transport, 50),
		}
		if transport == "tls" {
			tunnel, err := sipp.StartStunnel(t.Context(), t.TempDir(), s.At("tls"), s.CAFile(), "sip."+domain)
			if err != nil {
				t.Fatal(err)
			}
			defer tunnel.Stop()
			l.Tunnel = tunnel.Addr
		}
		for _, w := range work {
			t.Run(transport+"/"+w.kind, func(t *testing.T) {
				n := w.n
				if full {
					n = w.full
				}
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
				defer cancel()
				res, err := l.Run(ctx, w.kind, n, w.rate)
				if err != nil {
					t.Fatal(err)
				}
				if err := res.Clean(n); err != nil {
					t.Fatal(err)
				}
				t.Logf("%d good, none unexpected, %d repeated, in %v", res.Successful, res.Retransmissions, res.Elapsed.Round(time.Second/10))
			})
		}
	}
}
