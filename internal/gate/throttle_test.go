package gate

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

func testLog(testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestThrottle(t *testing.T) {
	now := time.Unix(1000, 0)
	k := source{addr: netip.MustParseAddr("192.0.2.1")}
	th := newThrottle(2, 4)
	take := func(n int) (got int) {
		for range n {
			if th.take(k, now) {
				got++
			}
		}
		return got
	}
	if n := take(10); n != 4 {
		t.Errorf("burst of %d, want 4", n)
	}
	now = now.Add(time.Second)
	if n := take(10); n != 2 {
		t.Errorf("%d after a second, want 2", n)
	}
	if !th.empty(k, now) || th.empty(source{}, now) {
		t.Error("empty is wrong")
	}
	th.giveBack(k, now)
	if n := take(10); n != 1 {
		t.Errorf("%d after giving one back, want 1", n)
	}
}

// However many addresses come, memory is bounded, and those known keep theirs.
func TestThrottleIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	th := newThrottle(1, 2)
	known := source{addr: netip.MustParseAddr("192.0.2.1")}
	th.take(known, now)
	for i := range 1_000_000 {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], uint64(i))
		th.take(source{addr: netip.AddrFrom16(a)}, now)
	}
	n := 0
	for i := range th.shard {
		n += len(th.shard[i].fullAt)
	}
	if n > len(th.shard)*(maxSources+2) {
		t.Errorf("%d entries", n)
	}
	if !th.take(known, now) {
		t.Error("a known address suffers from the flood")
	}
}

func TestReplays(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newReplays()
	if r.use([]byte("n"), now, 1, now) != first || r.use([]byte("n"), now, 1, now) != repeated || r.use([]byte("n"), now, 2, now) != first {
		t.Error("counts are not told apart")
	}
	// Three generations later the nonce is forgotten and must not be taken anew.
	for i := range 3 * len(r.shard) * replayEntries {
		now = now.Add(time.Microsecond)
		r.use(binary.BigEndian.AppendUint64(nil, uint64(i)), now, 1, now)
	}
	if got := r.use([]byte("n"), time.Unix(1000, 0), 2, now); got != tooOld {
		t.Errorf("a forgotten nonce is %d", got)
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::"} {
		if got := network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
