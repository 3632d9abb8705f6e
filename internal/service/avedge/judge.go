package avedge

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"parley/internal/media/turn"
	"parley/internal/topology"
)

// policyLife is how long a policy is used before the machine is asked for its addresses again.
const policyLife = time.Minute

// own is a where it is an address of this machine, and the unspecified one of its family where it is not, as behind
// address translation.
func own(a netip.Addr) netip.Addr {
	if a.IsLoopback() || slices.Contains(machineAddresses(), a) {
		return a
	}
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// machineAddresses are those of the machine's interfaces, without loopback.
func machineAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, i := range all {
		if p, err := netip.ParsePrefix(i.String()); err == nil && !p.Addr().IsLoopback() {
			out = append(out, p.Addr().Unmap().WithZone(""))
		}
	}
	return out
}

// allowed judges a peer by the topology of now.
func (s *Service) allowed(peer netip.AddrPort) turn.Verdict {
	p := s.policy.Load()
	if p == nil || p.from != s.host.Topology() || s.host.Now().Sub(p.made) > policyLife {
		p = s.judge()
	}
	return p.allowed(peer)
}

// judge makes the policy anew.
func (s *Service) judge() *policy {
	topo, m, ok := s.machine()
	p := &policy{own: machineAddresses(), from: topo, made: s.host.Now()}
	if r := s.relay.Load(); r != nil {
		for _, a := range []netip.Addr{r.v4.bind, r.v4.shown, r.v6.bind, r.v6.shown} {
			if a.IsValid() && !a.IsUnspecified() {
				p.own = append(p.own, a)
			}
		}
	}
	if ok {
		e := m.Pool.EdgeSettings
		p.own = append(append(p.own, m.Addresses...), e.AV.Virtual...)
		p.ports = []topology.PortRange{e.RelayPorts()}
		p.listed = e.RelayPeers
		if media := topo.MediaAt(m.Site); m.Has(topology.RoleFrontEnd) || m.Has(topology.RoleMediation) {
			p.ports = append(p.ports, media.Audio, media.Video) // of the media engine here
		}
	}
	for i, a := range p.own {
		p.own[i] = a.Unmap()
	}
	s.policy.Store(p)
	return p
}
