package node

import (
	"net"
	"net/netip"

	"parley/internal/service"
)

// self is what this node is called in URIs: its name and its pool's, and the
// addresses and ports it listens on. It is immutable.
type self struct {
	hosts map[string]bool
	ports map[uint16]bool
}

// updateSelf works it out anew, since addresses of the machine come and go.
func (n *Node) updateSelf() {
	s := &self{hosts: map[string]bool{n.fqdn(): true, n.pool(): true}, ports: map[uint16]bool{}}
	for _, l := range n.listeners.all() {
		switch l.port.Transport {
		case service.HTTP, service.TURNUDP, service.TURNTCP:
			continue // HTTPS is among them: WebSockets bring SIP there
		}
		addr := l.addr
		s.ports[addr.Port()] = true
		if !addr.Addr().IsUnspecified() {
			s.hosts[addr.Addr().String()] = true
			continue
		}
		all, err := net.InterfaceAddrs()
		if err != nil {
			continue // keep to the names; the next second asks again
		}
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				s.hosts[p.Addr().Unmap().WithZone("").String()] = true
			}
		}
	}
	n.self.Store(s)
}

// isSelf reports whether a host and a port (0: none was named) mean this node.
// It is called in readers.
func (n *Node) isSelf(host []byte, port uint16) bool {
	s := n.self.Load()
	if s == nil || port != 0 && !s.ports[port] {
		return false
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if s.hosts[string(host)] {
		return true
	}
	var low [256]byte
	if len(host) > len(low) {
		return false
	}
	for i, c := range host {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	return s.hosts[string(low[:len(host)])]
}
