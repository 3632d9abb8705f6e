package adminweb

import (
	"net/netip"
	"sync"
	"time"
)

// limiter bounds how many wrong passwords may be tried: from one network, and for one name from anywhere. It is safe
// for concurrent use.
type limiter struct {
	mu     sync.Mutex
	fullAt map[string]time.Time // when the bucket of a key will be full again
}

// A network may fail 10 times at once, a name 50 times, and then once in 10 seconds. The larger bucket of a name keeps
// one network from locking an administrator out of all others.
const (
	perNetwork = 10
	perName    = 50
	comesBack  = 10 * time.Second
	maxKeys    = 10_000 // beyond it, keys that are new share one bucket
)

func newLimiter() *limiter { return &limiter{fullAt: map[string]time.Time{}} }

// wait returns how long somebody has to wait before the next attempt, 0 for not at all.
func (l *limiter) wait(from netip.Addr, name string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.missing(network(from), perNetwork, now), l.missing("name "+name, perName, now))
}

func (l *limiter) missing(key string, burst int, now time.Time) time.Duration {
	at, known := l.fullAt[l.key(key)]
	if !known {
		return 0
	}
	return at.Sub(now) - comesBack*time.Duration(burst-1)
}

// failed counts a wrong password.
func (l *limiter) failed(from netip.Addr, name string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.fullAt) >= maxKeys {
		for k, at := range l.fullAt {
			if !at.After(now) {
				delete(l.fullAt, k)
			}
		}
	}
	for _, k := range []string{network(from), "name " + name} {
		k = l.key(k)
		at := l.fullAt[k]
		if at.Before(now) {
			at = now
		}
		l.fullAt[k] = at.Add(comesBack)
	}
}

// key is where the bucket of a key is.
func (l *limiter) key(k string) string {
	if _, known := l.fullAt[k]; !known && len(l.fullAt) >= maxKeys {
		return "all others"
	}
	return k
}

// network is what of an address counts as one source.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
