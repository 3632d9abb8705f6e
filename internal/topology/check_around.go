package topology

import (
	"strings"

	"parley/internal/tomlfile"
)

// around checks the machines that stand around the product.
func (c *checker) around() {
	gateways := map[FQDN]bool{}
	var names []string
	for i, g := range c.t.Gateways {
		at := func(key string) string { return tomlfile.At("gateway", i) + "." + key }
		c.site(at("site"), g.Site)
		c.zone(at("zone"), g.Zone)
		if g.Kind == "" {
			c.fail(at("kind"), "pstn, ip-pbx, sbc or emergency", "gateway %s has no kind", g.FQDN)
		}
		gateways[g.FQDN] = true
		names = append(names, string(g.FQDN))
	}
	for i, t := range c.t.Trunks {
		at := func(key string) string { return tomlfile.At("trunk", i) + "." + key }
		if !gateways[t.Gateway] {
			c.unknown(at("gateway"), "gateway", string(t.Gateway), names)
		}
		if t.Mediation == "" {
			c.fail(at("name"), "set mediation", "trunk %s has no Mediation pool", t.Name)
		}
		c.pool(at("mediation"), t.Mediation, "Mediation pool", func(p *Pool) bool { return p.Has(RoleMediation) })
	}
	for i, d := range c.t.Databases {
		at := func(key string) string { return tomlfile.At("database", i) + "." + key }
		c.site(at("site"), d.Site)
		if d.Mirror == d.FQDN && d.Mirror != "" {
			c.fail(at("mirror"), "", "database server %s mirrors itself", d.FQDN)
		} else {
			c.database(at("mirror"), d.Mirror)
		}
	}
	for i, f := range c.t.FileShares {
		c.site(tomlfile.At("file-share", i)+".site", f.Site)
	}
	for i, l := range c.t.LoadBalancers {
		c.site(tomlfile.At("load-balancer", i)+".site", l.Site)
		c.zone(tomlfile.At("load-balancer", i)+".zone", l.Zone)
	}
	for i, r := range c.t.ReverseProxies {
		at := func(key string) string { return tomlfile.At("reverse-proxy", i) + "." + key }
		c.site(at("site"), r.Site)
		c.zone(at("zone"), r.Zone)
		web := func(p *Pool) bool { return p.Kind.FrontEnd() || p.Kind == Director }
		c.pool(at("next-hop"), r.NextHop, "Director or Front End pool", web)
		for j, name := range r.Publishes {
			path := tomlfile.At(at("publishes"), j)
			c.pool(path, name, "Director or Front End pool", web)
			if p := c.s.pools[name]; p != nil && web(p) && p.ExternalWeb == "" {
				c.fail(path, "set external-web in the pool", "pool %s has no external web name to publish", name)
			}
		}
	}
	for i, h := range c.t.Hosts {
		at := func(key string) string { return tomlfile.At("host", i) + "." + key }
		c.site(at("site"), h.Site)
		c.zone(at("zone"), h.Zone)
		if h.Kind == "" {
			c.fail(at("kind"), "for example dns, ntp, pki", "host %s has no kind", h.FQDN)
		}
	}
}

// trust checks trusted applications, static routes and federation.
func (c *checker) trust() {
	pools := map[FQDN]bool{}
	for i, p := range c.t.TrustedPools {
		at := func(key string) string { return tomlfile.At("trusted-application-pool", i) + "." + key }
		c.site(at("site"), p.Site)
		c.pool(at("registrar"), p.Registrar, "Front End pool", func(q *Pool) bool { return q.Kind.Registrar() })
		switch {
		case p.FQDN == "":
			if len(p.Computers) > 0 {
				c.fail(at("fqdn"), `for example fqdn = "apps.example.test"`, "the trusted application pool has no name")
			}
		case pools[p.FQDN]:
			c.fail(at("fqdn"), "", "trusted application pool %s is already defined", p.FQDN)
		case c.s.pools[p.FQDN] != nil && (c.s.byName[p.FQDN] == nil || c.s.byName[p.FQDN].Pool == nil): // else a machine has the name
			c.fail(at("fqdn"), "", "%s is already a pool of the product", p.FQDN)
		}
		pools[p.FQDN] = true
		if len(p.Applications) == 0 {
			c.warn(at("fqdn"), "add a [[trusted-application-pool.application]] with id and port", "trusted application pool %s has no application", p.FQDN)
		}
		ids, ports := map[string]bool{}, map[uint16]bool{}
		for j, a := range p.Applications {
			in := func(key string) string { return tomlfile.At(at("application"), j) + "." + key }
			switch {
			case a.ID == "":
				c.fail(in("id"), "", "the application has no id")
			case ids[a.ID]:
				c.fail(in("id"), "", "application %s is already defined in this pool", a.ID)
			}
			switch {
			case a.Port == 0:
				c.fail(in("port"), "", "application %s has no port", a.ID)
			case ports[a.Port]:
				c.fail(in("port"), "ports are unique in a pool", "port %d already belongs to another application of this pool", a.Port)
			}
			ids[a.ID], ports[a.Port] = true, true
		}
	}
	type key struct {
		match string
		phone bool
		pool  FQDN
	}
	routes := map[key]bool{}
	for i, r := range c.t.StaticRoutes {
		at := func(key string) string { return tomlfile.At("static-route", i) + "." + key }
		domain, err := ParseFQDN(strings.TrimPrefix(r.Match, "*."))
		switch {
		case err != nil:
			c.fail(at("match"), `for example "pbx.example.test" or "*.example.test"`, "%q matches no domain: %v", r.Match, err)
		case string(domain) != strings.TrimPrefix(r.Match, "*."):
			c.fail(at("match"), "write it in lower case", "%q is not in canonical form", r.Match)
		case c.s.domains[domain] && !strings.HasPrefix(r.Match, "*") && !r.PhoneOnly:
			c.fail(at("match"), "set phone-only, or match another domain", "a route for the whole own domain %s would lead every user away", domain)
		case routes[key{r.Match, r.PhoneOnly, r.Pool}]:
			c.fail(at("match"), "", "there is already a route for %s", r.Match)
		}
		routes[key{r.Match, r.PhoneOnly, r.Pool}] = true
		if r.Destination == "" {
			c.fail(at("destination"), "", "the route leads nowhere")
		} else if c.s.OwnHost(r.Destination) {
			c.fail(at("destination"), "", "the route leads back to %s, a server of the deployment", r.Destination)
		}
		c.pool(at("pool"), r.Pool, "Front End pool", func(p *Pool) bool { return p.Kind.Registrar() || p.Kind == Director })
	}
	f := c.t.Federation
	c.pool("federation.edge", f.Edge, "Edge pool", func(p *Pool) bool { return p.Kind == Edge })
	partners := map[FQDN]bool{}
	for i, p := range f.Partners {
		at := tomlfile.At("federation.partner", i) + ".domain"
		switch {
		case p.Domain == "":
			c.fail(at, "", "the partner has no domain")
		case c.s.domains[p.Domain]:
			c.fail(at, "", "%s is an own domain", p.Domain)
		case partners[p.Domain]:
			c.fail(at, "", "partner %s appears twice", p.Domain)
		}
		partners[p.Domain] = true
	}
	for i, d := range f.Blocked {
		if partners[d] {
			c.fail(tomlfile.At("federation.blocked", i), "", "%s is both a partner and blocked", d)
		}
	}
}

// urls checks the simple URLs of the deployment and of sites that have their own.
func (c *checker) urls() {
	c.simpleURLs("simple-urls", c.t.SimpleURLs, c.t.Features.Has(Conferencing))
	for i, s := range c.t.Sites {
		if !s.SimpleURLs.IsZero() {
			c.simpleURLs(tomlfile.At("site", i)+".simple-urls", s.SimpleURLs, true)
		}
	}
}

func (c *checker) simpleURLs(at string, u SimpleURLs, wanted bool) {
	type entry struct {
		path string
		url  URL
	}
	var all []entry
	for _, d := range sortedKeys(u.Meet) {
		path := tomlfile.Join(at+".meet", string(d))
		if !c.s.domains[d] {
			c.fail(path, "", "%s is no SIP domain", d)
			continue
		}
		all = append(all, entry{path, u.Meet[d]})
	}
	if wanted && !u.IsZero() {
		for _, d := range c.t.Domains {
			if u.Meet[d].IsZero() {
				c.warn(at, "add one to meet", "there is no address for meetings of %s", d)
			}
		}
	}
	for _, e := range []entry{{at + ".dial-in", u.DialIn}, {at + ".admin", u.Admin}} {
		if !e.url.IsZero() {
			all = append(all, e)
		}
	}
	for i, a := range all {
		if p := c.s.pools[a.url.Host]; p != nil {
			c.fail(a.path, "use a name of its own", "%s contains the name of a pool", a.url)
		}
		for _, b := range all[:i] {
			switch {
			case a.url == b.url:
				c.fail(a.path, "", "%s is used twice", a.url)
			case a.url.prefixes(b.url) || b.url.prefixes(a.url):
				c.fail(a.path, "", "of %s and %s, one begins with the other", a.url, b.url)
			}
		}
	}
}

// prefixes reports whether u leads to a page above v.
func (u URL) prefixes(v URL) bool {
	return u.Host == v.Host && (u.Path == "" || strings.HasPrefix(strings.ToLower(v.Path)+"/", strings.ToLower(u.Path)+"/"))
}
