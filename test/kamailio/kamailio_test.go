package kamailio_test

import (
	"context"
	"testing"
	"time"

	"parley/test/kamailio"
	"parley/test/parleytest"
	"parley/test/phone"
)

func TestRegisterChecksThePassword(t *testing.T) {
	parleytest.Need(t, "kamailio")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	alice := phone.Account{User: "alice", Password: "wonder", Domain: "example.test"}
	s, err := kamailio.Start(ctx, kamailio.Options{Domain: "example.test", Dir: t.TempDir(), Users: []phone.Account{alice}, SharedMiB: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	t.Logf("ready after %v", s.Ready)
	p, err := phone.Dial(ctx, alice, "tcp", s.TCP.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Register(ctx, 60); err != nil {
		t.Fatal(err)
	}
	alice.Password = "wrong"
	q, err := phone.Dial(ctx, alice, "udp", s.UDP.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Register(ctx, 60); err == nil {
		t.Error("a wrong password was accepted")
	}
}
