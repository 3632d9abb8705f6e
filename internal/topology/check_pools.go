package topology

import (
	"slices"

	"parley/internal/tomlfile"
)

// What the product supports (planning figures).
const (
	maxFrontEnds      = 12
	maxDirectors      = 10
	maxEdges          = 12
	maxMediation      = 12
	maxChat           = 8 // four active, four in reserve
	usersPerFrontEnd  = 6660
	usersPerStandard  = 2500
	usersPerChatPool  = 150_000
	remotePerEdge     = 12_000
	minGoodEnterprise = 3
)

// pools checks every pool by itself and against those it names.
func (c *checker) pools() {
	inCycle := c.hopCycles()
	var central []int
	frontEnds := 0
	external := map[FQDN]int{}
	for i := range c.t.Pools {
		p := &c.t.Pools[i]
		at := func(key string) string { return tomlfile.At("pool", i) + "." + key }
		if p.Kind == "" {
			c.fail(at("kind"), "for example standard, enterprise, edge", "pool %s has no kind", p.FQDN)
			continue
		}
		if p.Kind.FrontEnd() {
			frontEnds++
		}
		if p.CentralManagement {
			central = append(central, i)
			if !p.Kind.FrontEnd() {
				c.fail(at("central-management"), "", "only a Front End pool owns the configuration, %s is of kind %s", p.FQDN, p.Kind)
			}
		}
		c.site(at("site"), p.Site)
		c.zone(at("zone"), p.Zone)
		c.size(p, at)
		c.collocation(p, at)
		c.balancing(p, at)
		c.references(p, at, inCycle)
		c.pairing(p, at)
		c.population(p, at)
		if p.ExternalWeb != "" {
			if j, twice := external[p.ExternalWeb]; twice {
				c.fail(at("external-web"), "every pool and Director is published under a name of its own",
					"external web name %s is already used by %s", p.ExternalWeb, c.t.Pools[j].FQDN)
			} else {
				external[p.ExternalWeb] = i
			}
			if p.ExternalWeb == p.InternalWebName() {
				c.fail(at("external-web"), "the internal name resolves only inside, the external one only outside",
					"%s is both the internal and the external web name of %s", p.ExternalWeb, p.FQDN)
			}
		}
	}
	switch {
	case frontEnds == 0:
		c.fail("pool", `for example a [[pool]] with kind = "standard"`, "there is no Front End pool")
	case len(central) == 0:
		c.fail("pool", "set central-management = true in one Front End pool", "no pool owns the configuration")
	case len(central) > 1:
		c.fail(tomlfile.At("pool", central[1])+".central-management", "",
			"%s already owns the configuration", c.t.Pools[central[0]].FQDN)
	}
}

// size checks the number of members.
func (c *checker) size(p *Pool, at func(string) string) {
	n := len(p.Servers)
	limit := map[PoolKind]int{Standard: 1, Enterprise: maxFrontEnds, Director: maxDirectors, Edge: maxEdges,
		Mediation: maxMediation, PersistentChat: maxChat, BranchAppliance: 1, BranchServer: 1}[p.Kind]
	switch {
	case n == 0:
		c.fail(at("fqdn"), "add a [[pool.server]]", "pool %s has no server", p.FQDN)
	case limit > 0 && n > limit:
		c.fail(tomlfile.At(at("server"), limit), "use a second pool", "pool %s has %d servers, a pool of kind %s has at most %d", p.FQDN, n, p.Kind, limit)
	case p.Kind == Enterprise && n == 1 && p.FQDN == p.Servers[0].FQDN:
		c.fail(at("server[0].fqdn"), "", "the pool and its server are both called %s, an Enterprise pool has a name of its own", p.FQDN)
	case p.Kind == Enterprise && n < minGoodEnterprise:
		c.warn(at("fqdn"), "", "pool %s has %d Front Ends, three or more are advised", p.FQDN, n)
	}
	if (p.Kind == Standard || p.Kind.Branch()) && n == 1 && p.Servers[0].FQDN != p.FQDN && p.Servers[0].FQDN != "" {
		c.fail(at("server[0].fqdn"), "give both the same name", "the only server of a %s pool has the name of the pool, here they are %s and %s", p.Kind, p.Servers[0].FQDN, p.FQDN)
	}
}

func (c *checker) collocation(p *Pool, at func(string) string) {
	for i, r := range p.Collocated {
		ok := false
		switch r {
		case RoleMediation:
			ok = p.Kind.FrontEnd()
		case RolePersistentChat:
			ok = p.Kind == Standard
		case RoleMediaRelay:
			ok = p.Kind.FrontEnd()
		}
		switch {
		case slices.Contains(p.Kind.Roles(), r):
			c.fail(tomlfile.At(at("collocated"), i), "leave it out", "every %s pool has the role %s anyway", p.Kind, r)
		case !ok:
			c.fail(tomlfile.At(at("collocated"), i), "mediation and media-relay may be collocated with Front Ends, persistent-chat with a standard pool",
				"role %s cannot be collocated with a pool of kind %s", r, p.Kind)
		}
	}
}

// balancing checks everything but Edge pools, whose two sides have a check of their own.
func (c *checker) balancing(p *Pool, at func(string) string) {
	several := len(p.Servers) > 1
	web := p.Kind.FrontEnd() || p.Kind == Director
	sip := web || p.Kind == Mediation
	if several && sip && p.Balancing == BalanceNone {
		c.fail(at("fqdn"), `balancing = "dns" or "hardware"`, "pool %s has %d servers and no load balancing", p.FQDN, len(p.Servers))
	}
	if several && web {
		if p.Balancing == BalanceDNS && p.InternalWebName() == p.FQDN {
			place := at("balancing")
			if p.InternalWeb != "" {
				place = at("internal-web")
			}
			c.fail(place, `for example internal-web = "web-int.example.test"`,
				"pool %s is balanced by DNS, its internal web services need a name of their own for the balancer", p.FQDN)
		}
		if len(p.WebVirtual) == 0 && p.Balancing != BalanceNone && !(p.Balancing == BalanceHardware && len(p.Virtual) > 0) {
			c.warn(at("balancing"), "set web-virtual-addresses", "web traffic to pool %s always needs a load balancer, and it has no address", p.FQDN)
		}
	}
	if several && sip && p.Balancing == BalanceHardware && len(p.Virtual) == 0 {
		c.warn(at("balancing"), "set virtual-addresses", "pool %s is behind a load balancer that has no address", p.FQDN)
	}
	if p.LoadBalancer != "" && !slices.ContainsFunc(c.t.LoadBalancers, func(l LoadBalancer) bool { return l.Name == p.LoadBalancer }) {
		var known []string
		for _, l := range c.t.LoadBalancers {
			known = append(known, l.Name)
		}
		c.unknown(at("load-balancer"), "load balancer", p.LoadBalancer, known)
	}
}

func (c *checker) references(p *Pool, at func(string) string, inCycle map[FQDN]bool) {
	c.database(at("database"), p.Database)
	c.database(at("monitoring"), p.Monitoring)
	c.database(at("archiving"), p.Archiving)
	if p.FileShare != "" && c.s.shares[p.FileShare] == nil {
		var known []string
		for _, f := range c.t.FileShares {
			known = append(known, f.Name)
		}
		c.unknown(at("file-share"), "file share", p.FileShare, known)
	}
	c.pool(at("edge"), p.Edge, "Edge pool", func(q *Pool) bool { return q.Kind == Edge })
	c.pool(at("mediation"), p.Mediation, "Mediation pool", func(q *Pool) bool { return q.Has(RoleMediation) })
	c.pool(at("office-web-apps"), p.WebApps, "Office Web Apps farm", func(q *Pool) bool { return q.Kind == OfficeWebApps })
	c.pool(at("backup-registrar"), p.Backup, "Front End pool", func(q *Pool) bool { return q.Kind.FrontEnd() })
	if p.VoiceMail != "" && !slices.ContainsFunc(c.t.Hosts, func(h Host) bool { return h.FQDN == p.VoiceMail && h.Kind == UnifiedMessagingHost }) {
		var known []string
		for _, h := range c.t.Hosts {
			if h.Kind == UnifiedMessagingHost {
				known = append(known, string(h.FQDN))
			}
		}
		c.unknown(at("unified-messaging"), "host of unified messaging", string(p.VoiceMail), known)
	}
	if !inCycle[p.FQDN] {
		c.pool(at("next-hop"), p.NextHop, "Director or Front End pool", func(q *Pool) bool { return q.Kind.FrontEnd() || q.Kind == Director })
	}
	if p.NextHop != "" && p.Kind != Edge && p.Kind != Director && !inCycle[p.FQDN] {
		c.fail(at("next-hop"), "", "only an Edge or a Director has a next hop, %s is of kind %s", p.FQDN, p.Kind)
	}
	if p.Kind.Branch() && p.Backup == "" {
		c.warn(at("fqdn"), "set backup-registrar", "branch pool %s has no backup registrar at the centre", p.FQDN)
	}
	if site := c.s.sites[p.Site]; site == nil || c.ringSites[p.Site] {
		// Reported where it is wrong.
	} else if p.Kind.Branch() && site.Kind != BranchSite {
		c.fail(at("site"), "", "a pool of kind %s belongs to a branch site, %s is central", p.Kind, p.Site)
	} else if site.Kind == BranchSite && !p.Kind.Branch() && p.Kind != Mediation {
		c.fail(at("site"), "", "a branch site holds an appliance, a branch server or a Mediation pool, not a pool of kind %s", p.Kind)
	}
	if p.Kind == Enterprise {
		if p.Database == "" {
			c.warn(at("fqdn"), "set database", "Enterprise pool %s has no database server", p.FQDN)
		}
		if p.FileShare == "" {
			c.warn(at("fqdn"), "set file-share", "Enterprise pool %s has no file share", p.FQDN)
		}
	}
}

// pairing checks that two pools that stand in for each other agree about it and are alike.
func (c *checker) pairing(p *Pool, at func(string) string) {
	if p.Pair == "" {
		if p.Kind == Standard && len(c.s.PoolsWith(RoleFrontEnd)) > 1 {
			c.warn(at("fqdn"), "set pair in both", "Standard pool %s is not paired, its users have no other when it is lost", p.FQDN)
		}
		return
	}
	q := c.s.pools[p.Pair]
	switch {
	case p.Pair == p.FQDN:
		c.fail(at("pair"), "", "pool %s is paired with itself", p.FQDN)
	case q == nil || !q.Kind.FrontEnd():
		c.pool(at("pair"), p.Pair, "Front End pool", func(q *Pool) bool { return q.Kind.FrontEnd() && q != p })
	case !p.Kind.FrontEnd():
		c.fail(at("pair"), "", "only Front End pools are paired, %s is of kind %s", p.FQDN, p.Kind)
	case q.Pair != p.FQDN:
		c.fail(at("pair"), "set pair in both", "pool %s is paired with %s, but not the other way round", p.FQDN, q.FQDN)
	case p.FQDN > q.FQDN:
		// Differences are reported once, at the first of the two by name.
	case p.Kind != q.Kind:
		c.warn(at("pair"), "pair like with like", "%s is a %s pool and its partner %s a %s one", p.FQDN, p.Kind, q.FQDN, q.Kind)
	case p.Virtualised != q.Virtualised:
		c.warn(at("pair"), "pair like with like", "one of the paired pools %s and %s is virtualised", p.FQDN, q.FQDN)
	case p.System != q.System:
		c.warn(at("pair"), "pair like with like", "the paired pools %s and %s run on %q and %q", p.FQDN, q.FQDN, p.System, q.System)
	}
}

// population warns when the users of a pool, and of its partner, are too many for the servers left after one
// is lost.
func (c *checker) population(p *Pool, at func(string) string) {
	if p.Users < 0 {
		c.fail(at("users"), "", "%d is no number of people", p.Users)
		return
	}
	place := at("fqdn")
	if p.Users > 0 {
		place = at("users")
	}
	users := c.s.UsersOf(p)
	switch p.Kind {
	case Enterprise:
		left := len(p.Servers) - 1
		if left > 0 && users > left*usersPerFrontEnd {
			c.warn(place, "add Front Ends or a pool", "pool %s homes %d users: when one of its %d Front Ends is lost, %d are left for each, more than %d",
				p.FQDN, users, len(p.Servers), (users+left-1)/left, usersPerFrontEnd)
		}
	case Standard:
		if users > 2*usersPerStandard || p.Pair != "" && users > usersPerStandard {
			c.warn(place, "", "Standard pool %s homes %d users, it is meant for %d, and for %d more when its partner is lost", p.FQDN, users, usersPerStandard, usersPerStandard)
		}
	}
}

// UsersOf is the number of users homed on a pool: its own figure, or an equal share of what the site's
// figure leaves over.
func (s *Snapshot) UsersOf(p *Pool) int {
	if p.Users > 0 || !p.Kind.Registrar() {
		return p.Users
	}
	site := s.sites[p.Site]
	if site == nil {
		return 0
	}
	left, sharing := site.Users, 0
	for i := range s.topo.Pools {
		if q := &s.topo.Pools[i]; q.Site == p.Site && q.Kind.Registrar() {
			left -= q.Users
			if q.Users == 0 {
				sharing++
			}
		}
	}
	if left <= 0 {
		return 0
	}
	return (left + sharing - 1) / sharing
}

// hopCycles reports each ring of next hops, once, and returns the pools in rings.
func (c *checker) hopCycles() map[FQDN]bool {
	in := map[FQDN]bool{}
	for i := range c.t.Pools {
		first := &c.t.Pools[i]
		if in[first.FQDN] || first.NextHop == "" {
			continue
		}
		var walked []string
		for p := first; p != nil && len(walked) <= len(c.t.Pools); p = c.s.pools[p.NextHop] {
			walked = append(walked, string(p.FQDN))
			if p.NextHop == first.FQDN {
				for _, w := range walked {
					in[FQDN(w)] = true
				}
				c.fail(tomlfile.At("pool", i)+".next-hop", "an Edge leads to a Director or Front End pool",
					"the next hops run in a circle: %s", circle(walked))
				break
			}
		}
	}
	return in
}
