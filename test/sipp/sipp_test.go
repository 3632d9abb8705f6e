package sipp_test

import (
	"context"
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"parley/test/kamailio"
	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/sipp"
)

var transports = []string{"udp", "tcp", "tls"}

// The scenarios prove themselves on a server that is known to be good.
func TestScenariosOnAKnownGoodServer(t *testing.T) {
	parleytest.Need(t, "sipp", "kamailio")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	accounts := func(prefix string, n int) []phone.Account { return sipp.Accounts(prefix, n, "example.test", "secret") }
	users := accounts("user", 100)
	all := append([]phone.Account(nil), users...)
	// A user who is signed in over two transports would be called on both.
	for _, transport := range transports {
		all = append(all, accounts("caller-"+transport, 1)...)
		all = append(all, accounts("callee-"+transport, 50)...)
	}
	s, err := kamailio.Start(ctx, kamailio.Options{Domain: "example.test", Dir: t.TempDir(), Users: all, SharedMiB: 128})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	for _, transport := range transports {
		server := map[string]netip.AddrPort{"udp": s.UDP, "tcp": s.TCP, "tls": s.TLS}[transport]
		l := sipp.Load{
			Transport: transport, Server: server, TLS: &tls.Config{InsecureSkipVerify: true},
			Domain: "example.test", Users: users,
			Callers: accounts("caller-"+transport, 1), Callees: accounts("callee-"+transport, 50), Dir: t.TempDir(),
		}
		for _, kind := range []string{"register", "message", "call"} {
			t.Run(transport+"/"+kind, func(t *testing.T) {
				res, err := l.Run(ctx, kind, 500, 300)
				if err != nil {
					t.Fatal(err)
				}
				if err := res.Clean(500); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
