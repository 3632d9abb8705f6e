package topology

import (
	"fmt"
	"net/netip"

	"parley/internal/tomlfile"
)

// names checks what the document begins with and that nothing is called or addressed like something else.
func (c *checker) names() {
	if c.t.Version != 1 {
		c.fail("version", "write version = 1", "the format of this file is version %d, and this program knows version 1", c.t.Version)
	}
	if len(c.t.Domains) == 0 {
		c.fail("domains", `for example domains = ["example.test"]`, "there is no SIP domain")
	}
	seen := map[FQDN]bool{}
	for i, d := range c.t.Domains {
		if seen[d] {
			c.fail(tomlfile.At("domains", i), "", "SIP domain %s appears twice", d)
		}
		seen[d] = true
	}
	unique(c, "zone", len(c.t.Zones), "name", func(i int) string { return c.t.Zones[i].Name })
	unique(c, "site", len(c.t.Sites), "name", func(i int) string { return c.t.Sites[i].Name })
	unique(c, "trunk", len(c.t.Trunks), "name", func(i int) string { return c.t.Trunks[i].Name })
	unique(c, "file-share", len(c.t.FileShares), "name", func(i int) string { return c.t.FileShares[i].Name })
	unique(c, "load-balancer", len(c.t.LoadBalancers), "name", func(i int) string { return c.t.LoadBalancers[i].Name })
	unique(c, "pool", len(c.t.Pools), "fqdn", func(i int) string { return string(c.t.Pools[i].FQDN) })
	c.machines()
}

// unique checks that every entry of an array of tables has a name, and one of its own.
func unique(c *checker, kind string, n int, key string, name func(int) string) {
	first := map[string]int{}
	for i := range n {
		path := tomlfile.At(kind, i) + "." + key
		switch v := name(i); {
		case v == "":
			c.fail(path, "", "the %s has no %s", kind, key)
		default:
			if j, twice := first[v]; twice {
				c.fail(path, "", "%s %s is already defined%s", kind, v, c.where(tomlfile.At(kind, j)+"."+key))
				continue
			}
			first[v] = i
		}
	}
}

// where says in which line something is, when it is known.
func (c *checker) where(path string) string {
	if at := c.s.doc.Place(path); at.Line > 0 {
		return fmt.Sprintf(" in line %d", at.Line)
	}
	return ""
}

// machines checks names and addresses of all computers.
func (c *checker) machines() {
	names := map[FQDN]string{} // to the path where it was first seen
	addrs := map[netip.Addr]*Machine{}
	for _, m := range c.s.machines {
		key := ".fqdn"
		if m.Has(RoleFileShare) && m.Pool == nil {
			key = ".host"
		}
		if m.FQDN == "" {
			c.fail(m.Path+key, `for example fqdn = "server1.example.test"`, "the machine has no name")
			continue
		}
		if at, twice := names[m.FQDN]; twice {
			c.fail(m.Path+key, "every machine has a name of its own", "%s is already a machine%s", m.FQDN, c.where(at))
		} else {
			names[m.FQDN] = m.Path + key
			if p := c.s.pools[m.FQDN]; p != nil && (m.Pool != p || len(p.Servers) > 1) {
				c.fail(m.Path+key, "", "%s is the name of a pool, and cannot also be one of its several servers or another machine", m.FQDN)
			}
		}
		for i, a := range m.Addresses {
			path := tomlfile.At(m.Path+".addresses", i)
			if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
				c.fail(path, "", "%s is not the address of a machine", a)
				continue
			}
			if other := addrs[a]; other != nil && other != m {
				c.fail(path, "", "address %s already belongs to %s", a, other.FQDN)
				continue
			}
			addrs[a] = m
			if z := m.Zone; z != nil && len(z.Networks) > 0 && !inside(z.Networks, a) {
				c.warn(path, "", "address %s of %s is not in the networks of zone %s", a, m.FQDN, z.Name)
			}
		}
	}
}

func inside(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// sites checks the tree of sites.
func (c *checker) sites() {
	if len(c.t.Sites) == 0 {
		c.fail("site", `for example [[site]] with name = "main" and kind = "central"`, "there is no site")
		return
	}
	c.ringSites = c.parentCycles()
	inCycle := c.ringSites
	central := false
	for i := range c.t.Sites {
		s := &c.t.Sites[i]
		at := func(key string) string { return tomlfile.At("site", i) + "." + key }
		switch s.Kind {
		case CentralSite:
			central = true
			if s.Parent != "" && !inCycle[s.Name] {
				c.fail(at("parent"), "", "a central site has no parent")
			}
		case BranchSite:
			parent := c.s.sites[s.Parent]
			switch {
			case inCycle[s.Name]:
			case s.Parent == "":
				c.fail(at("kind"), `for example parent = "main"`, "branch site %s belongs to no central site", s.Name)
			case parent == nil:
				c.site(at("parent"), s.Parent)
			case parent.Kind != CentralSite:
				c.fail(at("parent"), "", "%s is no central site", s.Parent)
			}
		default:
			c.fail(at("kind"), "central or branch", "site %s has no kind", s.Name)
		}
		c.zone(at("zone"), s.Zone)
		c.zone(at("perimeter"), s.Perimeter)
		if z := c.s.zones[s.Perimeter]; z != nil && z.Kind != Perimeter {
			c.fail(at("perimeter"), "", "zone %s is of kind %s, want perimeter", z.Name, z.Kind)
		}
		if z := c.s.zones[s.Zone]; z != nil && z.Kind != Internal && z.Kind != Branch {
			c.fail(at("zone"), "", "zone %s is of kind %s, want internal or branch", z.Name, z.Kind)
		}
		c.pool(at("edge"), s.Edge, "Edge pool", func(p *Pool) bool { return p.Kind == Edge })
		c.pool(at("director"), s.Director, "Director pool", func(p *Pool) bool { return p.Kind == Director })
		if s.ReverseProxy != "" && c.s.proxies[s.ReverseProxy] == nil {
			c.unknown(at("reverse-proxy"), "reverse proxy", string(s.ReverseProxy), proxyNames(c.t))
		}
		for _, n := range []struct {
			key string
			v   int
		}{{"users", s.Users}, {"cloud-users", s.CloudUsers}, {"remote-users", s.RemoteUsers}} {
			if n.v < 0 {
				c.fail(at(n.key), "", "%d is no number of people", n.v)
			}
		}
		if i, text := s.Features.missing(); text != "" {
			c.fail(tomlfile.At(at("features"), i), "add it or leave both out", "%s", text)
		}
	}
	if !central && len(inCycle) == 0 {
		c.fail("site", "", "there is no central site")
	}
}

func proxyNames(t *Topology) []string {
	var out []string
	for _, r := range t.ReverseProxies {
		out = append(out, string(r.FQDN))
	}
	return out
}

// parentCycles reports each ring of sites that belong to each other, once.
func (c *checker) parentCycles() map[string]bool {
	in := map[string]bool{}
	for i, s := range c.t.Sites {
		if in[s.Name] {
			continue
		}
		var walked []string
		for at := c.s.sites[s.Name]; at != nil; at = c.s.sites[at.Parent] {
			walked = append(walked, at.Name)
			if at.Parent == s.Name {
				for _, w := range walked {
					in[w] = true
				}
				c.fail(tomlfile.At("site", i)+".parent", "a branch belongs to a central site, which belongs to none",
					"the sites belong to each other in a circle: %s", circle(walked))
				break
			}
			if len(walked) > len(c.t.Sites) {
				break // leads into a ring that does not contain s
			}
		}
	}
	return in
}

// circle prints a, b, c, a.
func circle(names []string) string {
	out := ""
	for _, n := range names {
		out += n + ", "
	}
	return out + names[0]
}
