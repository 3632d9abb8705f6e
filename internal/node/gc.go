package node

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A collection costs by what lives, and comes as often as what lives was allocated anew. A server with few users
// lives in little memory and would collect many times a second under load, so it gets slack of a fixed size; with
// many users it is the runtime's own proportion again, which is what bounds memory.
const (
	gcSlack      = 64 << 20 // bytes allocated between two collections, at least
	gcMin, gcMax = 100, 400 // percent of what lives
	gcLook       = 10 * time.Second
)

// gcPercent returns the runtime's GOGC for so many bytes that live.
func gcPercent(live uint64) int {
	return int(min(max(gcSlack*100/max(live, 1), gcMin), gcMax))
}

// paceGC sets GOGC by what lives until ctx ends. An administrator who set GOGC himself is left alone.
func paceGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(gcLook)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 0
	for {
		metrics.Read(live)
		if p := gcPercent(live[0].Value.Uint64()); p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
