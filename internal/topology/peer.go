package topology

import (
	"net/netip"
	"slices"
	"strings"
)

// PeerKind says why a server is trusted.
type PeerKind uint8

// The kinds of trusted peer.
const (
	PeerServer      PeerKind = iota + 1 // a member of a pool of the product
	PeerApplication                     // a trusted application or computer
	PeerGateway                         // a gateway at the end of a trunk
)

// String names the kind.
func (k PeerKind) String() string {
	switch k {
	case PeerServer:
		return "server"
	case PeerApplication:
		return "trusted application"
	case PeerGateway:
		return "gateway"
	}
	return "unknown"
}

// Peer is a server that the topology knows and therefore trusts, once it has proved its name.
type Peer struct {
	Name  FQDN // the server's own name, or the pool's when it was asked for by that
	Pool  FQDN // the pool that it belongs to; for a gateway or a single application its own name
	Kind  PeerKind
	Roles []Role
	// Challenge marks an application that is trusted to connect but authenticates its requests like a client.
	Challenge bool
	// ThrottleAsClient marks an application to which the limits of clients apply.
	ThrottleAsClient bool
	Applications     []TrustedApplication
}

// Has reports whether the peer has a role.
func (p Peer) Has(r Role) bool { return slices.Contains(p.Roles, r) }

// OnPort is the application of the peer that is known by a port.
func (p Peer) OnPort(port uint16) (TrustedApplication, bool) {
	for _, a := range p.Applications {
		if a.Port == port {
			return a, true
		}
	}
	return TrustedApplication{}, false
}

// Peer is the trusted server with that name. Pool names count too, since every member of a pool presents a
// certificate that carries the pool's name. Proving the name is the business of package cert.
func (s *Snapshot) Peer(name string) (Peer, bool) {
	p, ok := s.peers[canonical(name)]
	return p, ok
}

// PeerAt is the trusted server with that address, for the ports of the plan that have no TLS: gateways and
// remote-call-control servers over plain TCP have nothing else to be known by.
func (s *Snapshot) PeerAt(addr netip.Addr) (Peer, bool) {
	name, ok := s.byAddr[addr.Unmap()]
	if !ok {
		return Peer{}, false
	}
	return s.peers[name], true
}

// Trusted reports whether a request from a named server on a port is believed without authentication: it is
// when the name is a server of the deployment or a gateway, or a trusted pool with an application on that
// port that is not to be challenged.
func (s *Snapshot) Trusted(name string, port uint16) bool {
	p, ok := s.Peer(name)
	if !ok {
		return false
	}
	if p.Kind != PeerApplication {
		return true
	}
	_, ok = p.OnPort(port)
	return ok && !p.Challenge
}

// StaticRoute is the route for requests to a host: the longest match wins, and at equal length a route for
// telephone URIs only before one for all. Pool is the registrar that asks.
func (s *Snapshot) StaticRoute(host string, phone bool, pool FQDN) (StaticRoute, bool) {
	name := string(canonical(host))
	best, found := StaticRoute{}, false
	score := func(r StaticRoute) int {
		n := 2 * len(strings.TrimPrefix(r.Match, "*"))
		if r.PhoneOnly {
			n++
		}
		return n
	}
	for _, r := range s.topo.StaticRoutes {
		if r.PhoneOnly && !phone || r.Pool != "" && r.Pool != pool || !r.matches(name) {
			continue
		}
		if !found || score(r) > score(best) {
			best, found = r, true
		}
	}
	return best, found
}

func (r StaticRoute) matches(host string) bool {
	if below, ok := strings.CutPrefix(r.Match, "*"); ok {
		return strings.HasSuffix(host, below) && len(host) > len(below)
	}
	return host == r.Match
}

// PortOrDefault is the port of the next hop.
func (r StaticRoute) PortOrDefault() uint16 {
	switch {
	case r.Port != 0:
		return r.Port
	case r.Transport == OverTCP:
		return 5060
	}
	return 5061
}

func (s *Snapshot) collectPeers() {
	add := func(p Peer, addrs []netip.Addr) {
		if _, twice := s.peers[p.Name]; !twice {
			s.peers[p.Name] = p
		}
		for _, a := range addrs {
			if _, twice := s.byAddr[a.Unmap()]; !twice {
				s.byAddr[a.Unmap()] = p.Name
			}
		}
	}
	for _, m := range s.machines {
		if m.Pool != nil {
			add(Peer{Name: m.FQDN, Pool: m.Pool.FQDN, Kind: PeerServer, Roles: m.Roles}, m.Addresses)
		}
	}
	for i := range s.topo.Pools {
		p := &s.topo.Pools[i]
		add(Peer{Name: p.FQDN, Pool: p.FQDN, Kind: PeerServer, Roles: p.roles()}, nil)
	}
	for _, g := range s.topo.Gateways {
		add(Peer{Name: g.FQDN, Pool: g.FQDN, Kind: PeerGateway, Roles: []Role{RoleGateway}}, g.Addresses)
	}
	for _, p := range s.topo.TrustedPools {
		peer := Peer{Pool: p.FQDN, Kind: PeerApplication, Roles: []Role{RoleTrustedServer}, Challenge: p.Challenge,
			ThrottleAsClient: p.ThrottleAsClient, Applications: p.Applications}
		for _, c := range p.Computers {
			peer.Name = c.FQDN
			add(peer, c.Addresses)
		}
		peer.Name = p.FQDN
		add(peer, p.Addresses)
	}
}
