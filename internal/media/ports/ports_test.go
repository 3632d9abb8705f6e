package ports

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/porttable"
	"parley/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Unix(1_800_000_000, 0)

func pool(t testing.TB, r Range, reuse time.Duration) *Pool {
	t.Helper()
	p, err := New(r, reuse)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPortTable: every pair of the default topology is inside the row of the port table for its medium. The defaults
// of the product, which the topology has, leave out the last port of both rows.
func TestPortTable(t *testing.T) {
	m := topology.DefaultMedia()
	for _, x := range []struct {
		row   string
		media topology.PortRange
		pairs int
	}{{"srv-internal-audio-range", m.Audio, 4174}, {"srv-fe-av-video-range", m.Video, 4016}} {
		var row porttable.Row
		for _, r := range porttable.All() {
			if r.ID == x.row {
				row = r
			}
		}
		p := pool(t, Range{x.media.Start, x.media.Last()}, 0)
		seen := map[uint16]bool{}
		for {
			port, err := p.Take(start)
			if err != nil {
				break
			}
			if seen[port] || port%2 != 0 || !row.Contains(port) || !row.Contains(port+1) {
				t.Fatalf("%s: %d", x.row, port)
			}
			seen[port] = true
		}
		if len(seen) != x.pairs {
			t.Errorf("%s: %d pairs, want %d", x.row, len(seen), x.pairs)
		}
	}
}

func TestRange(t *testing.T) {
	for r, pairs := range map[Range]int{
		{50000, 50001}: 1, {50001, 50002}: 0, {50001, 50003}: 1, {50000, 50000}: 0, {65534, 65535}: 1, {65535, 65535}: 0,
		{50010, 50000}: 0, {0, 65535}: 0, {1, 65535}: 32767,
	} {
		if _, n := r.pairs(); n != pairs {
			t.Errorf("%v: %d pairs, want %d", r, n, pairs)
		}
		if _, err := New(r, 0); (err == nil) != (pairs > 0) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestReuse(t *testing.T) {
	p := pool(t, Range{50000, 50005}, time.Minute)
	var taken []uint16
	for range 3 {
		port, err := p.Take(start)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, port)
	}
	if _, err := p.Take(start); !errors.Is(err, ErrExhausted) {
		t.Errorf("a fourth of three: %v", err)
	}
	p.Release(taken[1], start)
	for range 3 { // twice, and what was never taken
		p.Release(taken[1], start)
		p.Release(49998, start)
		p.Release(50006, start)
		p.Release(taken[0]+1, start)
	}
	if used, of := p.InUse(); used != 2 || of != 3 {
		t.Errorf("%d of %d in use", used, of)
	}
	if _, err := p.Take(start.Add(time.Minute - 1)); !errors.Is(err, ErrExhausted) {
		t.Errorf("before it has rested: %v", err)
	}
	if port, err := p.Take(start.Add(time.Minute)); port != taken[1] || err != nil {
		t.Errorf("%d, %v", port, err)
	}
	// The one that rests longest comes first.
	p.Release(taken[2], start)
	p.Release(taken[0], start.Add(1))
	if port, _ := p.Take(start.Add(time.Hour)); port != taken[2] {
		t.Errorf("%d comes back before %d", port, taken[2])
	}
}

// No port is ever held twice, however many ask.
func TestConcurrency(t *testing.T) {
	p := pool(t, Range{50000, 50063}, 0)
	var mu sync.Mutex
	held := map[uint16]bool{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				port, err := p.Take(start)
				if err != nil {
					continue
				}
				mu.Lock()
				if held[port] {
					t.Errorf("%d is held twice", port)
				}
				held[port] = true
				mu.Unlock()
				mu.Lock()
				delete(held, port)
				mu.Unlock()
				p.Release(port, start)
			}
		})
	}
	wg.Wait()
	if used, _ := p.InUse(); used != 0 {
		t.Errorf("%d in use", used)
	}
}

// free is a range of so many pairs in which nobody listens just now.
func free(t *testing.T, addr netip.Addr, pairs int) Range {
	t.Helper()
	for first := 20000; first < 32000; first += 2 * pairs {
		ok := true
		for port := first; ok && port < first+2*pairs; port++ {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(port))))
			if ok = err == nil; ok {
				c.Close()
			}
		}
		if ok {
			return Range{uint16(first), uint16(first + 2*pairs - 1)}
		}
	}
	t.Fatal("no free ports")
	return Range{}
}

func TestListen(t *testing.T) {
	for _, a := range []string{"127.0.0.83", "::1"} {
		addr := netip.MustParseAddr(a)
		r := free(t, addr, 3)
		p := pool(t, r, time.Minute)
		// Another program has the RTCP port of one pair.
		other, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, r.First+3)))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		var got []*Pair
		for range 2 {
			pair, err := p.Listen(addr, false, start)
			if err != nil {
				t.Fatal(err)
			}
			if local := pair.RTCP.LocalAddr().(*net.UDPAddr).Port; local != int(pair.Port)+1 {
				t.Errorf("RTCP of %d is at %d", pair.Port, local)
			}
			got = append(got, pair)
		}
		ports := []uint16{got[0].Port, got[1].Port}
		slices.Sort(ports)
		if ports[0] != r.First || ports[1] != r.First+4 {
			t.Errorf("%v of %v", ports, r)
		}
		if _, err := p.Listen(addr, false, start); !errors.Is(err, ErrExhausted) {
			t.Errorf("a port that somebody has: %v", err)
		}
		// The pair can do without its RTCP port when it is not needed.
		pair, err := p.Listen(addr, true, start.Add(time.Hour))
		if err != nil || pair.RTCP != nil || pair.Port != r.First+2 {
			t.Fatalf("%+v, %v", pair, err)
		}
		for _, x := range append(got, pair) {
			if err := errors.Join(x.Close(start), x.Close(start)); err != nil {
				t.Error(err)
			}
		}
		if used, _ := p.InUse(); used != 0 {
			t.Errorf("%d in use", used)
		}
	}
}

// An address that is not ours costs no port.
func TestListenElsewhere(t *testing.T) {
	p := pool(t, Range{50000, 50001}, time.Minute)
	for range 3 {
		if _, err := p.Listen(netip.MustParseAddr("192.0.2.1"), false, start); err == nil || errors.Is(err, ErrExhausted) {
			t.Fatal(err)
		}
	}
	if used, _ := p.InUse(); used != 0 {
		t.Errorf("%d in use", used)
	}
}

func BenchmarkTakeRelease(b *testing.B) {
	p := pool(b, Range{49152, 57500}, 0)
	for b.Loop() {
		port, _ := p.Take(start)
		p.Release(port, start)
	}
}
