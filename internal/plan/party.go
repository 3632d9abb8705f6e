package plan

import (
	"net/netip"
	"slices"
	"strconv"

	"parley/internal/topology"
)

func itoa(n uint16) string { return strconv.Itoa(int(n)) }

// in fills in where a party is.
func (p Party) in(site *topology.Site, zone *topology.Zone, fallback topology.ZoneKind) Party {
	if site != nil {
		p.Site = site.Name
	}
	p.Kind, p.Zone = fallback, string(fallback)
	if zone != nil {
		p.Kind, p.Zone = zone.Kind, zone.Name
	}
	return p
}

// pool is the members of a pool, by their inner interface.
func (r *resolver) pool(p *topology.Pool) Party {
	if known, ok := r.parties[p]; ok {
		return known
	}
	out := Party{Name: string(p.FQDN), Role: string(p.Kind)}
	kind := topology.Internal
	if p.Kind == topology.Edge {
		kind = topology.Perimeter
	} else if p.Kind.Branch() {
		kind = topology.Branch
	}
	site, _ := r.s.Site(p.Site)
	var zone *topology.Zone
	for _, m := range r.s.Members(p.FQDN) {
		zone = m.Zone
		out.Hosts = append(out.Hosts, Host{string(m.FQDN), m.Addresses})
	}
	out = out.in(site, zone, kind)
	r.parties[p] = out
	return out
}

// machine is one machine outside the pools.
func (r *resolver) machine(name topology.FQDN, role string) Party {
	m, ok := r.s.Machine(name)
	if !ok {
		return Party{Name: string(name), Role: role, Hosts: []Host{{Name: string(name)}}, Kind: topology.Internal, Zone: string(topology.Internal)}
	}
	kind := topology.Internal
	if m.Has(topology.RoleReverseProxy) {
		kind = topology.Perimeter
	}
	return Party{Name: string(name), Role: role, Hosts: []Host{{string(name), m.Addresses}}}.in(m.Site, m.Zone, kind)
}

// virtual is an address that a balancer answers for a pool.
func (r *resolver) virtual(p *topology.Pool, addrs []netip.Addr, what string) Party {
	v := r.pool(p)
	v.Name = what + " of " + string(p.FQDN)
	v.Role = "load-balancer"
	v.Hosts = []Host{{v.Name, addrs}}
	return v
}

// balancer is the device in front of a pool as its members see it.
func (r *resolver) balancer(p *topology.Pool, addrs []netip.Addr) Party {
	v := r.virtual(p, addrs, "load balancer")
	for i := range r.t.LoadBalancers {
		if b := &r.t.LoadBalancers[i]; b.Name == p.LoadBalancer && len(b.Addresses) > 0 {
			v.Name, v.Hosts = "load balancer "+b.Name, []Host{{b.Name, b.Addresses}}
		}
	}
	return v
}

// balancedSIP reports whether clients reach the SIP services of a pool through a balancer.
func balancedSIP(p *topology.Pool) bool {
	return p.Balancing == topology.BalanceHardware && len(p.Servers) > 1
}

// balancedWeb reports whether web traffic to a pool goes through a balancer: always with several members.
func balancedWeb(p *topology.Pool) bool { return len(p.Servers) > 1 }

// webAddresses are the virtual addresses for web traffic.
func webAddresses(p *topology.Pool) []netip.Addr {
	if len(p.WebVirtual) > 0 {
		return p.WebVirtual
	}
	return p.Virtual
}

// sip is what clients connect to for SIP: the balancer or the members.
func (r *resolver) sip(p *topology.Pool) Party {
	if balancedSIP(p) {
		return r.virtual(p, p.Virtual, "SIP address")
	}
	return r.pool(p)
}

// web is what clients connect to for web services.
func (r *resolver) web(p *topology.Pool) Party {
	if balancedWeb(p) {
		return r.virtual(p, webAddresses(p), "web address")
	}
	return r.pool(p)
}

// clientZones are the zones in which users sit: internal ones and branches. Without zones there is one
// internal network whose addresses are not known.
func (r *resolver) clientZones() []Party {
	var out []Party
	for i := range r.t.Zones {
		z := &r.t.Zones[i]
		if z.Kind == topology.Internal || z.Kind == topology.Branch {
			out = append(out, Party{Name: "clients in " + z.Name, Role: "client", Zone: z.Name, Kind: z.Kind, Networks: z.Networks})
		}
	}
	if len(out) == 0 {
		out = append(out, Party{Name: "clients", Role: "client", Zone: string(topology.Internal), Kind: topology.Internal})
	}
	return out
}

// outside is anybody beyond the outer firewall.
func (r *resolver) outside(name string) Party {
	p := Party{Name: name, Role: "outside", Zone: string(topology.External), Kind: topology.External}
	for i := range r.t.Zones {
		if z := &r.t.Zones[i]; z.Kind == topology.External {
			p.Zone = z.Name
			p.Networks = z.Networks
		}
	}
	return p
}

// pools lists the pools that keep accepts, in the order of the document.
func (r *resolver) pools(keep func(*topology.Pool) bool) []*topology.Pool {
	var out []*topology.Pool
	for i := range r.t.Pools {
		if keep(&r.t.Pools[i]) {
			out = append(out, &r.t.Pools[i])
		}
	}
	return out
}

func (r *resolver) frontEndPools() []*topology.Pool {
	return r.pools(func(p *topology.Pool) bool { return p.Kind.FrontEnd() })
}

// has reports whether the site of a pool wants a feature.
func (r *resolver) has(p *topology.Pool, f topology.Feature) bool {
	site, _ := r.s.Site(p.Site)
	return r.s.FeaturesAt(site).Has(f)
}

// anywhere reports whether any site wants a feature.
func (r *resolver) anywhere(f topology.Feature) bool {
	return r.t.Features.Has(f) || slices.ContainsFunc(r.t.Sites, func(s topology.Site) bool { return s.Features.Has(f) })
}

// media is the media configuration that applies to a pool.
func (r *resolver) media(p *topology.Pool) topology.Media {
	site, _ := r.s.Site(p.Site)
	return r.s.MediaAt(site)
}

// hosts lists the machines of a kind outside the product.
func (r *resolver) hosts(kind topology.HostKind) []Party {
	var out []Party
	for _, h := range r.t.Hosts {
		if h.Kind == kind {
			out = append(out, r.machine(h.FQDN, string(kind)))
		}
	}
	return out
}

func ports(p topology.PortRange) Range { return Range{p.Start, p.Last()} }

// edgesFor are the Edge pools that a pool uses: its own, its site's, that of the central site above, or
// all of them when none is named.
func (r *resolver) edgesFor(p *topology.Pool) []*topology.Pool {
	name := p.Edge
	for site, ok := r.s.Site(p.Site); name == "" && ok; site, ok = r.s.Site(site.Parent) {
		name = site.Edge
		if site.Parent == "" {
			break
		}
	}
	if e, ok := r.s.Pool(name); ok {
		return []*topology.Pool{e}
	}
	return r.pools(func(e *topology.Pool) bool { return e.Kind == topology.Edge })
}
