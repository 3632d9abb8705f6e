package topology

import "net/netip"

// Ports and ranges of an Edge (planning facts).
const (
	EdgeSIPPort         = 443 // clients from outside
	EdgeFederationPort  = 5061
	EdgeSharedMediaPort = 444 // TCP relay when one address serves all
)

// InternalBalancing is the balancing of the inner side of an Edge pool.
func (p *Pool) InternalBalancing() Balancing {
	return first(p.EdgeSettings.InternalBalancing, p.Balancing)
}

// ExternalBalancing is the balancing of the outer side of an Edge pool.
func (p *Pool) ExternalBalancing() Balancing {
	return first(p.EdgeSettings.ExternalBalancing, p.Balancing)
}

func first[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

// Shared reports whether one external name, and so one address, serves all three services of an Edge pool.
func (e EdgeSettings) Shared() bool {
	return e.Access.FQDN != "" && first(e.WebConference.FQDN, e.Access.FQDN) == e.Access.FQDN &&
		first(e.AV.FQDN, e.Access.FQDN) == e.Access.FQDN
}

// AccessPort, WebConferencePort and AVPort are the TCP ports for clients from outside: 443 each, or distinct
// ones when the services share an address.
func (e EdgeSettings) AccessPort() uint16 {
	if e.Access.Port == 0 && e.Shared() {
		return EdgeFederationPort
	}
	return first(e.Access.Port, EdgeSIPPort)
}

// WebConferencePort is described at AccessPort.
func (e EdgeSettings) WebConferencePort() uint16 {
	if e.WebConference.Port == 0 && e.Shared() {
		return 443
	}
	return first(e.WebConference.Port, 443)
}

// AVPort is described at AccessPort.
func (e EdgeSettings) AVPort() uint16 {
	if e.AV.Port == 0 && e.Shared() {
		return EdgeSharedMediaPort
	}
	return first(e.AV.Port, 443)
}

// RelayPorts is the range of the media relay outside.
func (e EdgeSettings) RelayPorts() PortRange { return first(e.MediaPorts, PortRange{50000, 10000}) }

// Fill returns the external interface with the services that share another's address filled in.
func (e EdgeServer) Fill() EdgeServer {
	or := func(a, b []netip.Addr) []netip.Addr {
		if len(a) > 0 {
			return a
		}
		return b
	}
	e.WebConference, e.AV = or(e.WebConference, e.Access), or(e.AV, e.Access)
	e.PublicWebConference, e.PublicAV = or(e.PublicWebConference, e.PublicAccess), or(e.PublicAV, e.PublicAccess)
	return e
}

// All lists the addresses of the external interface without repeating one.
func (e EdgeServer) All() []netip.Addr {
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, l := range [][]netip.Addr{e.Access, e.WebConference, e.AV} {
		for _, a := range l {
			if !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}

// RelayPool is the pool whose media relay serves the users of a pool: the pool itself, or its Edge pool, or that of its
// site.
func (s *Snapshot) RelayPool(pool FQDN) (*Pool, bool) {
	p, ok := s.Pool(pool)
	if !ok {
		return nil, false
	}
	if p.Has(RoleMediaRelay) || p.Kind == Edge {
		return p, true
	}
	name := p.Edge
	if site := s.sites[p.Site]; name == "" && site != nil {
		name = site.Edge
	}
	e, ok := s.Pool(name)
	return e, ok && e.Kind == Edge
}
