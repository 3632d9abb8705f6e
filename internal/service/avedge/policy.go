package avedge

import (
	"net/netip"
	"slices"
	"time"

	"parley/internal/media/turn"
	"parley/internal/topology"
)

// policy says which peers the relay sends to. It never changes; a new topology makes a new one.
type policy struct {
	own    []netip.Addr         // of this machine and of the relay as others see it
	ports  []topology.PortRange // of own addresses: relay ports and those of media servers
	listed []netip.Prefix       // that the topology allows
	from   *topology.Snapshot
	made   time.Time
}

// never are networks that are not the Internet's: no peer is there unless the topology lists it (RFC 6890).
var never = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8")

// notEvenListed are those that no topology can allow.
var notEvenListed = prefixes("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8")

// carriers hold an IPv4 address that is the peer in truth: 6to4, NAT64 and IPv4-compatible addresses.
var carriers = []struct {
	prefix netip.Prefix
	at     int // where in the address
}{
	{netip.MustParsePrefix("2002::/16"), 2}, {netip.MustParsePrefix("64:ff9b::/96"), 12}, {netip.MustParsePrefix("::/96"), 12},
}

func prefixes(text ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(text))
	for i, t := range text {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// allowed judges a peer. Of our own machine only media ports are peers: a relayed address of somebody else, and what the
// media servers here listen on.
func (p *policy) allowed(peer netip.AddrPort) turn.Verdict {
	a := peer.Addr().Unmap().WithZone("")
	if slices.Contains(p.own, a) {
		for _, r := range p.ports {
			if port := peer.Port(); r.Start <= port && port <= r.Last() {
				return turn.OnePort
			}
		}
		if !within(p.listed, a) || within(notEvenListed, a) {
			return turn.Refuse
		}
		return turn.AnyPort
	}
	for _, c := range carriers {
		if c.prefix.Contains(a) && !within(p.listed, a) {
			b := a.As16()
			inner := netip.AddrFrom4([4]byte(b[c.at : c.at+4]))
			return p.allowed(netip.AddrPortFrom(inner, peer.Port()))
		}
	}
	switch {
	case within(notEvenListed, a):
		return turn.Refuse
	case within(p.listed, a):
		return turn.AnyPort
	case within(never, a):
		return turn.Refuse
	}
	return turn.AnyPort
}
