package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/topology"
)

// Wish is what an organisation tells about itself: how many people, where, and what they want to do.
type Wish struct {
	Name        string
	Domains     []topology.FQDN // SIP domains; servers get names in the first
	Site        string
	Users       int
	RemoteUsers int // signed in from outside at the busiest moment
	Features    topology.Features
	Available   bool // goes on when any one server is lost
	Translated  bool // the Edges have private addresses behind NAT
	Branches    []BranchWish

	Inside    netip.Prefix // network of servers and clients
	Perimeter netip.Prefix // between the firewalls
	Public    netip.Prefix // addresses as seen from outside
}

// BranchWish is a branch office.
type BranchWish struct {
	Name    string
	Users   int
	Network netip.Prefix
}

// Design sizes a deployment by the planning figures and makes a topology of it, to be adapted: names and addresses are
// proposals.
func Design(w Wish) (*topology.Topology, error) {
	d := &designer{w: w, next: map[netip.Prefix]netip.Addr{}}
	if err := d.check(); err != nil {
		return nil, err
	}
	d.outerSide = w.Public
	networks := []netip.Prefix{w.Perimeter, w.Public}
	if w.Translated && d.outside() {
		// The two sides of an Edge are on separate networks: one half of the perimeter each.
		d.w.Perimeter, d.outerSide = halves(w.Perimeter)
		networks = []netip.Prefix{d.w.Perimeter, d.outerSide, w.Public}
	}
	domain := w.Domains[0]
	d.t = &topology.Topology{
		Version: 1, Name: w.Name, Domains: w.Domains, Features: w.Features,
		SimpleURLs: topology.SimpleURLs{Meet: map[topology.FQDN]topology.URL{}, DialIn: topology.URL{Host: "dialin." + domain}, Admin: topology.URL{Host: "admin." + domain}},
		Media:      topology.Media{AppSharing: topology.PortRange{Start: 40803, Count: 8348}},
	}
	for _, n := range w.Domains {
		d.t.SimpleURLs.Meet[n] = topology.URL{Host: "meet." + n}
	}
	d.t.Zones = append(d.t.Zones, topology.Zone{Name: "inside", Kind: topology.Internal, Networks: []netip.Prefix{w.Inside}})
	site := topology.Site{Name: w.Site, Kind: topology.CentralSite, Zone: "inside", Users: w.Users, RemoteUsers: w.RemoteUsers}
	if d.outside() {
		site.Perimeter = "perimeter"
		d.t.Zones = append(d.t.Zones, topology.Zone{Name: "perimeter", Kind: topology.Perimeter, Networks: networks},
			topology.Zone{Name: "outside", Kind: topology.External})
	}
	d.t.Sites = append(d.t.Sites, site)
	d.frontEnds()
	d.voice()
	d.edge()
	for i, b := range w.Branches {
		d.branch(i, b)
	}
	if err := d.exhausted; err != nil {
		return nil, err
	}
	return d.t, nil
}

type designer struct {
	w         Wish
	t         *topology.Topology
	next      map[netip.Prefix]netip.Addr
	outerSide netip.Prefix // of the Edges
	exhausted error
}

// halves splits a network in two.
func halves(n netip.Prefix) (a, b netip.Prefix) {
	if n.IsSingleIP() {
		return n, n // too small, which shows when addresses are handed out
	}
	a = netip.PrefixFrom(n.Masked().Addr(), n.Bits()+1)
	bytes := a.Addr().AsSlice()
	bytes[n.Bits()/8] |= 0x80 >> (n.Bits() % 8)
	second, _ := netip.AddrFromSlice(bytes)
	return a, netip.PrefixFrom(second, n.Bits()+1)
}

func (d *designer) check() error {
	w := d.w
	switch {
	case len(w.Domains) == 0:
		return errors.New("a deployment needs a SIP domain")
	case w.Site == "":
		return errors.New("the site needs a name")
	case w.Users < 1:
		return errors.New("how many users are there?")
	case w.Users > usersPerPool:
		return fmt.Errorf("%d users are more than a pool carries, %d: plan several sites and join their topologies", w.Users, usersPerPool)
	case !w.Inside.IsValid():
		return errors.New("which network is inside?")
	case d.outside() && (!w.Perimeter.IsValid() || !w.Public.IsValid()):
		return errors.New("access from outside needs a perimeter network and public addresses")
	}
	used := []netip.Prefix{w.Inside}
	if d.outside() {
		used = append(used, w.Perimeter, w.Public)
	}
	for _, b := range w.Branches {
		if b.Users > 5000 {
			return fmt.Errorf("branch %s: %d users are more than a branch carries, 5000: make it a central site", b.Name, b.Users)
		}
		if !b.Network.IsValid() {
			return fmt.Errorf("branch %s needs a network", b.Name)
		}
		used = append(used, b.Network)
	}
	for i, a := range used {
		for _, b := range used[:i] {
			if a.Overlaps(b) {
				return fmt.Errorf("networks %s and %s overlap", b, a)
			}
		}
	}
	return nil
}

// outside reports whether anything is reached from outside.
func (d *designer) outside() bool {
	for _, f := range []topology.Feature{topology.RemoteAccess, topology.FederationAccess, topology.PublicIM, topology.XMPP, topology.Anonymous} {
		if d.w.Features.Has(f) {
			return true
		}
	}
	return false
}

// address hands out the addresses of a network in order, from the eleventh on where there is room: the first ones are
// usually taken.
func (d *designer) address(n netip.Prefix) []netip.Addr {
	a, ok := d.next[n]
	if !ok {
		a = n.Masked().Addr()
		skip := 11
		if n.Addr().BitLen()-n.Bits() < 6 {
			skip = 2
		}
		for range skip {
			a = a.Next()
		}
	}
	d.next[n] = a.Next()
	if !n.Contains(a) || !n.Contains(a.Next()) && a.Is4() {
		d.exhausted = fmt.Errorf("network %s is too small for what stands in it", n)
	}
	return []netip.Addr{a}
}

func (d *designer) name(host string) topology.FQDN {
	return topology.FQDN(host + "." + string(d.w.Domains[0]))
}

func (d *designer) servers(prefix string, n int, network netip.Prefix) []topology.Server {
	var out []topology.Server
	for i := range n {
		out = append(out, topology.Server{FQDN: d.name(fmt.Sprintf("%s%02d", prefix, i+1)), Addresses: d.address(network)})
	}
	return out
}

// frontEnds adds the pools in which users are homed, with what only they use.
func (d *designer) frontEnds() {
	w, in := d.w, d.w.Inside
	external := func(i int) topology.FQDN {
		if !d.outside() {
			return ""
		}
		return d.name(fmt.Sprintf("web%d", i))
	}
	var collocated []topology.Role
	if w.Users <= usersPerStandard {
		if w.Features.Has(topology.Chat) {
			collocated = append(collocated, topology.RolePersistentChat)
		}
		for i := range map[bool]int{false: 1, true: 2}[w.Available] {
			s := d.servers(fmt.Sprintf("server%d-", i+1), 1, in)
			s[0].FQDN = d.name(fmt.Sprintf("server%d", i+1))
			p := topology.Pool{FQDN: s[0].FQDN, Kind: topology.Standard, Site: w.Site, Collocated: slices.Clone(collocated), CentralManagement: i == 0, ExternalWeb: external(i + 1), Servers: s}
			if i == 1 {
				// Chat rooms live on one of the two.
				p.Collocated = nil
				p.Pair, d.t.Pools[0].Pair = d.t.Pools[0].FQDN, p.FQDN
			}
			d.t.Pools = append(d.t.Pools, p)
		}
		return
	}
	n := max(3, ceil(w.Users, usersPerFrontEnd)+1)
	n = min(n, 12)
	d.t.Pools = append(d.t.Pools, topology.Pool{
		FQDN: d.name("pool"), Kind: topology.Enterprise, Site: w.Site, CentralManagement: true, Balancing: topology.BalanceDNS,
		WebVirtual: d.address(in), InternalWeb: d.name("web-int"), ExternalWeb: external(1), Database: d.name("db"), FileShare: "share",
		Servers: d.servers("fe", n, in),
	})
	db := topology.Database{FQDN: d.name("db"), Site: w.Site, Addresses: d.address(in)}
	if w.Available {
		db.Mirror = d.name("db-mirror")
		d.t.Databases = append(d.t.Databases, db, topology.Database{FQDN: db.Mirror, Site: w.Site, Addresses: d.address(in)})
	} else {
		d.t.Databases = append(d.t.Databases, db)
	}
	d.t.FileShares = append(d.t.FileShares, topology.FileShare{Name: "share", Host: d.name("files"), Site: w.Site, Addresses: d.address(in)})
	if w.Features.Has(topology.Chat) {
		chat := topology.Pool{FQDN: d.name("chatpool"), Kind: topology.PersistentChat, Site: w.Site, Servers: d.servers("chat", 2, in)}
		d.t.Pools = append(d.t.Pools, chat)
	}
}

// first pool is where users are homed.
func (d *designer) home() *topology.Pool { return &d.t.Pools[0] }

// voice adds Mediation, collocated while that carries the calls, with a gateway, and the farm and hosts that features
// ask for.
func (d *designer) voice() {
	w, in := d.w, d.w.Inside
	if w.Features.Has(topology.Voice) {
		calls := ceil(w.Users*voicePercent/100*pstnPercent/100*callsPerBusyHour*minutesPerCall/60*(100-bypassPercent), 100)
		mediation := d.home().FQDN
		if d.home().Kind == topology.Enterprise && calls > len(d.home().Servers)*callsCollocated {
			n := ceil(calls, callsMediation)
			if w.Available {
				n = max(2, n+1)
			}
			p := topology.Pool{FQDN: d.name("medpool"), Kind: topology.Mediation, Site: w.Site, Servers: d.servers("med", n, in)}
			if n > 1 {
				p.Balancing = topology.BalanceDNS
			}
			d.t.Pools = append(d.t.Pools, p)
			mediation = p.FQDN
		} else {
			for i := range d.t.Pools {
				if d.t.Pools[i].Kind.FrontEnd() {
					d.t.Pools[i].Collocated = append(d.t.Pools[i].Collocated, topology.RoleMediation)
				}
			}
		}
		d.t.Gateways = append(d.t.Gateways, topology.Gateway{FQDN: d.name("gateway"), Kind: topology.SBC, Site: w.Site, Addresses: d.address(in)})
		d.t.Trunks = append(d.t.Trunks, topology.Trunk{Name: "carrier", Gateway: d.name("gateway"), Mediation: mediation, Transport: topology.OverTLS})
		if d.home().Pair != "" {
			d.t.Trunks = append(d.t.Trunks, topology.Trunk{Name: "carrier, second server", Gateway: d.name("gateway"), Mediation: d.home().Pair, Transport: topology.OverTLS})
		}
		if w.Features.Has(topology.Emergency) {
			d.t.Gateways = append(d.t.Gateways, topology.Gateway{FQDN: d.name("emergency"), Kind: topology.EmergencyGateway, Site: w.Site, Addresses: d.address(in)})
		}
	}
	if w.Features.Has(topology.WebApps) {
		d.t.Pools = append(d.t.Pools, topology.Pool{FQDN: d.name("slides"), Kind: topology.OfficeWebApps, Site: w.Site, Servers: d.servers("slides", 1, in)})
	}
	host := func(f topology.Feature, name string, kind topology.HostKind) {
		if f == "" || w.Features.Has(f) {
			d.t.Hosts = append(d.t.Hosts, topology.Host{FQDN: d.name(name), Kind: kind, Site: w.Site, Addresses: d.address(in)})
		}
	}
	host(topology.Phones, "dhcp", topology.DHCPHost)
	host(topology.VoiceMail, "voicemail", topology.UnifiedMessagingHost)
	host("", "management", topology.ManagementHost)
}

// edge adds what stands in the perimeter, and Directors in front of large pools.
func (d *designer) edge() {
	if !d.outside() {
		return
	}
	w := d.w
	hop := d.home().FQDN
	if w.Users > 10_000 {
		hop = d.name("dirpool")
		d.t.Pools = append(d.t.Pools, topology.Pool{FQDN: hop, Kind: topology.Director, Site: w.Site, Balancing: topology.BalanceDNS,
			WebVirtual: d.address(w.Inside), InternalWeb: d.name("dir-int"), ExternalWeb: d.name("dir-web"), Servers: d.servers("dir", 2, w.Inside)})
		d.t.Sites[0].Director = hop
	}
	n := max(1, ceil(w.RemoteUsers, remotePerEdge))
	if w.Available {
		n = max(2, n+1)
	}
	p := topology.Pool{FQDN: d.name("edgepool"), Kind: topology.Edge, Site: w.Site, NextHop: hop,
		EdgeSettings: topology.EdgeSettings{Access: topology.EdgeService{FQDN: d.name("access")}, WebConference: topology.EdgeService{FQDN: d.name("webcon")},
			AV: topology.EdgeService{FQDN: d.name("av")}, NAT: w.Translated},
		Servers: d.servers("edge", n, w.Perimeter)}
	if n == 1 {
		p.FQDN = p.Servers[0].FQDN
	} else {
		p.Balancing = topology.BalanceDNS
	}
	for i := range p.Servers {
		e := &p.Servers[i].External
		e.Access, e.WebConference, e.AV = d.address(d.outerSide), d.address(d.outerSide), d.address(d.outerSide)
		if w.Translated {
			e.PublicAccess, e.PublicWebConference, e.PublicAV = d.address(w.Public), d.address(w.Public), d.address(w.Public)
		}
	}
	d.t.Pools = append(d.t.Pools, p)
	d.t.Sites[0].Edge = p.FQDN
	d.t.ReverseProxies = append(d.t.ReverseProxies, topology.ReverseProxy{FQDN: d.name("proxy"), Site: w.Site, Addresses: d.address(w.Perimeter),
		External: d.address(w.Public), NextHop: hop})
	d.t.Sites[0].ReverseProxy = d.name("proxy")
	if w.Features.Has(topology.FederationAccess) {
		d.t.Federation.Edge = p.FQDN
	}
}

// branch adds a branch office with what survives there when the line is down.
func (d *designer) branch(i int, b BranchWish) {
	w := d.w
	label := strings.ToLower(Identifier(b.Name, "-"))
	if label == "" {
		label = fmt.Sprintf("branch%d", i+1)
	}
	d.t.Zones = append(d.t.Zones, topology.Zone{Name: b.Name, Kind: topology.Branch, Networks: []netip.Prefix{b.Network}})
	d.t.Sites = append(d.t.Sites, topology.Site{Name: b.Name, Kind: topology.BranchSite, Parent: w.Site, Zone: b.Name, Users: b.Users})
	kind := topology.BranchAppliance
	if b.Users > 1000 {
		kind = topology.BranchServer
	}
	server := d.name(label)
	d.t.Pools = append(d.t.Pools, topology.Pool{FQDN: server, Kind: kind, Site: b.Name, Backup: d.home().FQDN,
		Servers: []topology.Server{{FQDN: server, Addresses: d.address(b.Network)}}})
	if w.Features.Has(topology.Voice) {
		gw := d.name(label + "-gw")
		d.t.Gateways = append(d.t.Gateways, topology.Gateway{FQDN: gw, Kind: topology.PSTNGateway, Site: b.Name, Addresses: d.address(b.Network)})
		d.t.Trunks = append(d.t.Trunks, topology.Trunk{Name: b.Name, Gateway: gw, Mediation: server, Transport: topology.OverTLS})
	}
}
