package avedge

import (
	"net/netip"
	"testing"
	"time"

	"parley/internal/media/turn"
	"parley/internal/topology"
)

func TestPolicy(t *testing.T) {
	p := &policy{own: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		ports:  []topology.PortRange{{Start: 50000, Count: 10000}},
		listed: prefixes("10.1.0.0/16", "fd00:1::/32", "100.64.7.0/24")}
	for peer, want := range map[string]turn.Verdict{
		"203.0.113.9:5060":        turn.AnyPort,
		"[2001:db8::9]:5060":      turn.AnyPort,
		"192.0.2.1:50000":         turn.OnePort,
		"192.0.2.1:59999":         turn.OnePort,
		"192.0.2.1:60000":         turn.Refuse,
		"192.0.2.1:5060":          turn.Refuse,
		"[2001:db8::1]:443":       turn.Refuse,
		"[::ffff:192.0.2.1]:443":  turn.Refuse,
		"10.1.2.3:1":              turn.AnyPort,
		"10.2.2.3:1":              turn.Refuse,
		"[::ffff:10.2.2.3]:1":     turn.Refuse,
		"172.16.0.1:1":            turn.Refuse,
		"192.168.1.1:1":           turn.Refuse,
		"100.64.7.1:1":            turn.AnyPort,
		"100.64.8.1:1":            turn.Refuse,
		"127.0.0.1:50001":         turn.Refuse,
		"[::1]:50001":             turn.Refuse,
		"0.0.0.0:1":               turn.Refuse,
		"[::]:1":                  turn.Refuse,
		"169.254.169.254:80":      turn.Refuse,
		"[fe80::1]:1":             turn.Refuse,
		"224.0.0.251:5353":        turn.Refuse,
		"255.255.255.255:1":       turn.Refuse,
		"[ff02::1]:1":             turn.Refuse,
		"[fd00:1::5]:1":           turn.AnyPort,
		"[fd00:2::5]:1":           turn.Refuse,
		"[64:ff9b::10.2.3.4]:1":   turn.Refuse,
		"[64:ff9b::8.8.8.8]:1":    turn.AnyPort,
		"[2002:a02:304::]:1":      turn.Refuse, // 10.2.3.4
		"[2002:7f00:1::]:1":       turn.Refuse, // 127.0.0.1
		"[::10.2.3.4]:1":          turn.Refuse,
		"[64:ff9b::192.0.2.1]:80": turn.Refuse,
	} {
		if got := p.allowed(netip.MustParseAddrPort(peer)); got != want {
			t.Errorf("%s: %d, want %d", peer, got, want)
		}
	}
	// Nobody lists everything by mistake.
	p.listed = prefixes("0.0.0.0/1", "128.0.0.0/1")
	for _, peer := range []string{"169.254.169.254:80", "224.0.0.1:1", "0.0.0.0:1"} {
		if p.allowed(netip.MustParseAddrPort(peer)) != turn.Refuse {
			t.Errorf("%s is allowed when listed", peer)
		}
	}
}

func TestPorts(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	p := newPool(50001, 5) // 50001 to 50005
	port, token, ok := p.take(true, true, now)
	if !ok || port != 50002 && port != 50004 || token == [8]byte{} {
		t.Fatalf("%d %x %v", port, token, ok)
	}
	next, ok := p.redeem(token, now)
	if !ok || next != port+1 {
		t.Errorf("kept %d", next)
	}
	if _, ok := p.redeem(token, now); ok {
		t.Error("a token is good twice")
	}
	got := map[uint16]bool{port: true, next: true}
	for range 3 {
		x, _, ok := p.take(false, false, now)
		if !ok || got[x] {
			t.Fatalf("%d again", x)
		}
		got[x] = true
	}
	if _, _, ok := p.take(false, false, now); ok || p.used() != 5 {
		t.Error("a sixth of five")
	}
	p.release(port, now)
	if _, _, ok := p.take(false, false, now.Add(reuse-1)); ok {
		t.Error("given out before it had rested")
	}
	now = now.Add(reuse)
	p.release(next, now.Add(-reuse))
	if _, token, ok = p.take(true, true, now); !ok {
		t.Fatal("not given out after its rest")
	}
	if _, _, ok := p.take(false, false, now.Add(kept-1)); ok {
		t.Error("a reserved port was given away")
	}
	if x, _, ok := p.take(false, false, now.Add(kept)); !ok || x != next {
		t.Error("a reserved port that nobody came for is lost")
	}
	if _, ok := p.redeem(token, now.Add(kept)); ok {
		t.Error("a token is good too long")
	}
}
