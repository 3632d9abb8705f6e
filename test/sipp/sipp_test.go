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
	// Each load has users of its own: one who was signed in before would be called on a connection that is gone,
	// which Kamailio then dials.
	kinds := []string{"register", "message", "call"}
	for _, transport := range transports {
		for _, kind := range kinds {
			all = append(all, accounts("caller-"+kind+"-"+transport, 1)...)
			all = append(all, accounts("callee-"+kind+"-"+transport, 50)...)
		}
	}
	s, err := kamailio.Start(ctx, kamailio.Options{Domain: "example.test", Dir: t.TempDir(), Users: all, SharedMiB: 128})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	for _, transport := range transports {
		server := map[string]netip.AddrPort{"udp": s.UDP, "tcp": s.TCP, "tls": s.TLS}[transport]
		for _, kind := range kinds {
			t.Run(transport+"/"+kind, func(t *testing.T) {
				l := sipp.Load{
					Transport: transport, Server: server, TLS: &tls.Config{InsecureSkipVerify: true},
					Domain: "example.test", Users: users, Dir: t.TempDir(),
					Callers: accounts("caller-"+kind+"-"+transport, 1), Callees: accounts("callee-"+kind+"-"+transport, 50),
				}
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
