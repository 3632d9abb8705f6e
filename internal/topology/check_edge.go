package topology

import (
	"net/netip"

	"parley/internal/tomlfile"
)

// edges checks what is special about Edge pools: two interfaces, three services, one kind of balancing.
func (c *checker) edges() {
	used := map[netip.Addr]FQDN{} // external addresses
	for i := range c.t.Pools {
		p := &c.t.Pools[i]
		at := func(key string) string { return tomlfile.At("pool", i) + "." + key }
		if p.Kind != Edge {
			switch {
			case p.Has(RoleMediaRelay):
				c.relayPeers(p, at)
				if r := p.EdgeSettings; !r.relayOnly().isZero() {
					c.fail(at("edge-settings"), "a media relay on Front Ends has av, media-ports and relay-peers", "pool %s is of kind %s and has no other Edge service", p.FQDN, p.Kind)
				}
				c.mediaPorts(p, at)
			case !p.EdgeSettings.isZero():
				c.fail(at("edge-settings"), "", "pool %s is of kind %s and has no Edge services", p.FQDN, p.Kind)
			}
			continue
		}
		e := p.EdgeSettings
		if p.NextHop == "" {
			c.fail(at("fqdn"), "set next-hop to a Director or Front End pool", "Edge pool %s leads nowhere inside", p.FQDN)
		}
		if e.Access.FQDN == "" {
			c.fail(at("fqdn"), `for example access = { fqdn = "access.example.test" } in [pool.edge-settings]`,
				"Edge pool %s has no name for its Access service", p.FQDN)
		}
		c.edgeBalancing(p, at)
		c.edgePorts(p, at)
		c.mediaPorts(p, at)
		c.relayPeers(p, at)
		for j := range p.Servers {
			c.edgeServer(p, j, func(key string) string { return tomlfile.At(at("server"), j) + "." + key }, used)
		}
	}
}

func (e EdgeSettings) isZero() bool {
	return e.Access.FQDN == "" && e.WebConference.FQDN == "" && e.AV.FQDN == "" && !e.NAT && e.MediaPorts.IsZero() &&
		e.InternalBalancing == BalanceNone && e.ExternalBalancing == BalanceNone && len(e.DNSServers) == 0 && len(e.RelayPeers) == 0
}

// relayOnly is what is left when the settings of the media relay are taken out.
func (e EdgeSettings) relayOnly() EdgeSettings {
	e.AV, e.MediaPorts, e.RelayPeers = EdgeService{}, PortRange{}, nil
	return e
}

func (c *checker) edgeBalancing(p *Pool, at func(string) string) {
	in, out := p.InternalBalancing(), p.ExternalBalancing()
	place := at("balancing")
	if p.EdgeSettings.ExternalBalancing != BalanceNone {
		place = at("edge-settings.external-balancing")
	}
	switch {
	case len(p.Servers) > 1 && (in == BalanceNone || out == BalanceNone):
		c.fail(at("fqdn"), `balancing = "dns" or "hardware"`, "Edge pool %s has %d servers and no load balancing", p.FQDN, len(p.Servers))
	case in != out:
		c.fail(place, "use the same kind on both sides", "Edge pool %s is balanced by %s inside and by %s outside", p.FQDN, in, out)
	case out == BalanceHardware && p.EdgeSettings.NAT:
		c.fail(at("edge-settings.nat"), "use public addresses, or DNS balancing", "Edge pool %s is behind a load balancer, its addresses cannot be translated as well", p.FQDN)
	case out == BalanceHardware && len(p.EdgeSettings.Access.Virtual) == 0:
		c.warn(at("edge-settings.access"), "set virtual-addresses", "the Access service of Edge pool %s is behind a load balancer that has no address", p.FQDN)
	}
}

func (c *checker) edgePorts(p *Pool, at func(string) string) {
	e := p.EdgeSettings
	if e.Shared() {
		ports := []uint16{e.AccessPort(), e.WebConferencePort(), e.AVPort()}
		if ports[0] == ports[1] || ports[0] == ports[2] || ports[1] == ports[2] {
			c.fail(at("edge-settings"), "for example access 5061, web-conferencing 443, av 444",
				"the services of Edge pool %s share a name and two of them a port: %d, %d, %d", p.FQDN, ports[0], ports[1], ports[2])
		}
	}
}

func (c *checker) mediaPorts(p *Pool, at func(string) string) {
	if r := p.EdgeSettings.RelayPorts(); int(r.Start)+int(r.Count) > 65536 || r.Start < 1024 {
		c.fail(at("edge-settings.media-ports"), "the default is start 50000, count 10000", "media ports from %d, %d of them, are out of range", r.Start, r.Count)
	}
}

// relayPeers checks the networks that the relay may send to.
func (c *checker) relayPeers(p *Pool, at func(string) string) {
	for i, n := range p.EdgeSettings.RelayPeers {
		place := tomlfile.At(at("edge-settings.relay-peers"), i)
		switch {
		case n != n.Masked():
			c.fail(place, "write "+n.Masked().String(), "relay peers %s are no network: the address has bits beyond the prefix", n)
		case n.Addr().IsMulticast() || n.Addr().IsUnspecified() && n.Bits() == 0 || n.Addr().IsLinkLocalUnicast():
			c.fail(place, "name the networks where clients and media servers are", "the relay never sends to %s", n)
		case n.Addr().IsLoopback():
			c.warn(place, "for tests on one machine only", "the relay of %s may send to every service that listens on %s", p.FQDN, n)
		}
	}
}

// edgeServer checks the two interfaces of one Edge.
func (c *checker) edgeServer(p *Pool, j int, at func(string) string, used map[netip.Addr]FQDN) {
	s := &p.Servers[j]
	if s.External.All() == nil {
		c.warn(at("fqdn"), "set access in [pool.server.external]", "Edge %s has no external address", s.FQDN)
		return
	}
	for _, list := range []struct {
		key   string
		addrs []netip.Addr
	}{{"external.access", s.External.Access}, {"external.web-conferencing", s.External.WebConference}, {"external.av", s.External.AV}} {
		for k, a := range list.addrs {
			path := tomlfile.At(at(list.key), k)
			if other, twice := used[a]; twice && other != s.FQDN {
				c.fail(path, "", "external address %s already belongs to %s", a, other)
				continue
			}
			used[a] = s.FQDN
			for _, b := range s.Addresses {
				if z := c.s.ZoneOf(a); a == b || z != nil && z == c.s.ZoneOf(b) && sameNetwork(z, a, b) {
					c.fail(path, "the two interfaces are on separate networks", "the external address %s of %s is on the network of its internal address %s", a, s.FQDN, b)
				}
			}
			if p.EdgeSettings.NAT && a.Is6() {
				c.fail(path, "leave out nat, or the address", "%s of %s is an IPv6 address, and the pool says that its addresses are translated", a, s.FQDN)
				continue
			}
			switch private := a.IsPrivate() || a.IsLoopback(); {
			case p.EdgeSettings.NAT && !private:
				c.warn(path, "leave out nat", "address %s of %s is public, and the pool says that its addresses are translated", a, s.FQDN)
			case !p.EdgeSettings.NAT && a.IsPrivate():
				c.warn(path, "set nat = true and the public addresses", "external address %s of %s cannot be reached from outside", a, s.FQDN)
			}
		}
	}
	if p.EdgeSettings.NAT && len(s.External.PublicAccess) == 0 {
		c.warn(at("external"), "set public-access, and the others if they differ", "Edge %s is behind address translation and its public address is not known", s.FQDN)
	}
}

func sameNetwork(z *Zone, a, b netip.Addr) bool {
	for _, n := range z.Networks {
		if n.Contains(a) && n.Contains(b) {
			return true
		}
	}
	return false
}
