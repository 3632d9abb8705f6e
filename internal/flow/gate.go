package flow

import (
	"net/netip"
	"sync"
)

// gate bounds accepted connections and handshakes, in all and by source address.
type gate struct {
	config *Config
	stats  *Stats

	mu    sync.Mutex
	total usage
	from  map[netip.Addr]usage // by IPv4 address or IPv6 /64
}

type usage struct{ conns, handshakes int }

func (g *gate) init(c *Config, s *Stats) {
	g.config, g.stats = c, s
	g.from = make(map[netip.Addr]usage)
}

// enter counts a connection from addr, with a handshake to come or not, and reports whether it may stay. If so,
// leave must follow, and shaken when there is a handshake.
func (g *gate) enter(addr netip.Addr, handshake bool) bool {
	lim := &g.config.Limits
	exempt := g.config.Exempt(addr)
	key := source(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.from[key]
	switch {
	case g.total.conns >= lim.Conns:
		g.stats.RefusedConns.Add(1)
		return false
	case !exempt && u.conns >= lim.ConnsPerIP:
		g.stats.RefusedIP.Add(1)
		return false
	case handshake && (g.total.handshakes >= lim.Handshakes || !exempt && u.handshakes >= lim.HandshakesPerIP):
		g.stats.RefusedHandshakes.Add(1)
		return false
	}
	u.conns++
	g.total.conns++
	if handshake {
		u.handshakes++
		g.total.handshakes++
		g.stats.PendingTLS.Add(1)
	}
	g.from[key] = u
	g.stats.Accepted.Add(1)
	return true
}

// shaken counts a handshake that is over, and how it went.
func (g *gate) shaken(addr netip.Addr, err error) {
	key := source(addr)
	g.mu.Lock()
	u := g.from[key]
	u.handshakes--
	g.from[key] = u
	g.total.handshakes--
	g.mu.Unlock()
	g.stats.PendingTLS.Add(-1)
	if err != nil {
		g.stats.HandshakeFails.Add(1)
	} else {
		g.stats.Handshakes.Add(1)
	}
}

// leave counts a connection that is gone.
func (g *gate) leave(addr netip.Addr) {
	key := source(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total.conns--
	u := g.from[key]
	if u.conns--; u.conns == 0 {
		delete(g.from, key)
	} else {
		g.from[key] = u
	}
}

// source returns what counts as one source: a host for IPv4, a subnet for IPv6, where a host has as many addresses
// as it likes.
func source(addr netip.Addr) netip.Addr {
	if addr.Is4() || addr.Is4In6() {
		return addr.Unmap()
	}
	p, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}
