package service

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"parley/internal/topology"
)

// The transports of the media relay. What comes there is the service's own to read.
const (
	TURNUDP Transport = "turn-udp" // datagrams: see Raw.Packets
	TURNTCP Transport = "turn-tcp" // connections, with TLS and without: see Raw.Streams
)

// Network is "udp" or "tcp".
func (t Transport) Network() string {
	if t == UDP || t == TURNUDP {
		return "udp"
	}
	return "tcp"
}

// Raw opens listeners whose traffic a service reads itself (NeedRaw). Addresses, shifted ports and what `parley ports`
// shows are as for all others.
type Raw struct {
	// Packets calls open for each address that a port is to have, and notes what was opened. The service closes it.
	Packets func(ctx context.Context, p Port, open func(netip.AddrPort) (netip.AddrPort, error)) ([]netip.AddrPort, error)
	// Streams listens on TCP and calls serve, in a goroutine of its own, for each connection of a client of the relay, be
	// it with TLS or without. Where the web site has the same address, connections are told apart by what they begin
	// with. The node closes the listener, and waits for serve to return.
	Streams func(ctx context.Context, p Port, serve func(net.Conn)) ([]netip.AddrPort, error)
	// Secret returns 32 random octets under a name: the same on all members of a pool, and after a restart.
	Secret func(ctx context.Context, name string) ([]byte, error)
	// Shown are the addresses by which a listener of the node is reached, when it does not listen on all.
	Addresses func() []netip.Addr
}

// OpensOn reports whether the port is for nodes with these roles.
func (p Port) OpensOn(roles []topology.Role) bool {
	return len(p.Roles) == 0 || slices.ContainsFunc(p.Roles, func(r topology.Role) bool { return slices.Contains(roles, r) })
}
