package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"parley/internal/tomlfile"
)

func sortedKeys[K ~string, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

// features checks that what is wanted has what it needs.
func (c *checker) features() {
	if i, text := c.t.Features.missing(); text != "" {
		c.fail(tomlfile.At("features", i), "add it or leave both out", "%s", text)
	}
	has := func(kind PoolKind) bool { return len(c.s.PoolsWith(kind.Roles()[0])) > 0 }
	gateways := func(k GatewayKind) bool {
		return slices.ContainsFunc(c.t.Gateways, func(g Gateway) bool { return g.Kind == k })
	}
	for i, f := range c.t.Features {
		at := tomlfile.At("features", i)
		switch f {
		case RemoteAccess, FederationAccess, PublicIM, XMPP:
			if !has(Edge) {
				c.fail(at, "add an Edge pool", "feature %q needs an Edge", f)
			}
		case Chat:
			if !has(PersistentChat) {
				c.fail(at, "add a persistent-chat pool, or the role to a Standard pool", "feature %q has no server", f)
			}
		case WebApps:
			if !has(OfficeWebApps) {
				c.fail(at, "add an office-web-apps pool", "feature %q has no farm", f)
			}
		case Mobility:
			if c.t.Features.Has(RemoteAccess) && len(c.t.ReverseProxies) == 0 {
				c.fail(at, "add a reverse proxy", "mobile clients outside need a reverse proxy")
			}
		case Emergency:
			if !gateways(EmergencyGateway) && len(c.t.Trunks) == 0 {
				c.warn(at, "", "emergency calls have no gateway or trunk")
			}
		case VoiceMail:
			if !slices.ContainsFunc(c.t.Hosts, func(h Host) bool { return h.Kind == UnifiedMessagingHost }) {
				c.warn(at, "add a host of kind unified-messaging", "feature %q has no host", f)
			}
		}
	}
}

// media checks the port ranges of the deployment and of sites that differ.
func (c *checker) media() {
	c.mediaRanges("media", c.t.Media, c.s.MediaAt(nil))
	for i := range c.t.Sites {
		if s := &c.t.Sites[i]; s.Media != (Media{}) {
			at := tomlfile.At("site", i) + ".media"
			c.mediaRanges(at, s.Media, c.s.MediaAt(s))
			if s.Kind == BranchSite && !c.s.hasRegistrar(s.Name) && s.Media.forClients() {
				c.warn(at, "set them for site "+s.Parent, "clients at %s sign in at site %s and learn its media ports, not those set here", s.Name, s.Parent)
			}
		}
	}
}

func (c *checker) mediaRanges(at string, set, m Media) {
	ranges := []struct {
		key      string
		set, now PortRange
		least    uint16 // ports, while client ranges are on
	}{
		{"audio", set.Audio, m.Audio, 0}, {"video", set.Video, m.Video, 0}, {"application-sharing", set.AppSharing, m.AppSharing, 0},
		{"client-sip", set.ClientSIP, m.ClientSIP, 0}, {"client-media", set.ClientMedia, m.ClientMedia, 0},
		{"client-audio", set.ClientAudio, m.ClientAudio, MinClientPorts}, {"client-video", set.ClientVideo, m.ClientVideo, MinClientPorts},
		{"client-application-sharing", set.ClientAppSharing, m.ClientAppSharing, 0}, {"client-file-transfer", set.ClientFile, m.ClientFile, 0},
	}
	ok := true
	for _, r := range ranges {
		path := at + "." + r.key
		switch {
		case r.set.IsZero():
		case r.set.Count == 0:
			c.fail(path, "for example { start = 50020, count = 20 }", "the range has no ports")
			ok = false
		case r.set.Start < 1024 || int(r.set.Start)+int(r.set.Count) > 65536:
			c.fail(path, "ports from 1024 to 65535", "ports from %d, %d of them, are out of range", r.set.Start, r.set.Count)
			ok = false
		case m.ClientRangesOn() && r.now.Count < r.least:
			c.fail(path, "", "%d ports are too few, clients need at least %d", r.now.Count, r.least)
			ok = false
		}
	}
	if !ok {
		return
	}
	if m.Audio.Overlaps(m.Video) {
		c.fail(at+"."+pick(set.Video.IsZero(), "audio", "video"), "", "the ranges for audio (%s) and video (%s) overlap", m.Audio, m.Video)
	}
	if (!set.AppSharing.IsZero() || c.t.Features.Has(QoS)) && (m.AppSharing.Overlaps(m.Audio) || m.AppSharing.Overlaps(m.Video)) {
		c.warn(at+".application-sharing", "the advised range is start 40803, count 8348",
			"the range for application sharing (%s) overlaps audio (%s) or video (%s), so the network cannot tell them apart", m.AppSharing, m.Audio, m.Video)
	}
	if m.ClientRangesOn() {
		client := ranges[5:]
		for i, a := range client {
			for _, b := range client[:i] {
				if a.now.Overlaps(b.now) {
					c.warn(at+"."+a.key, "each medium needs a range of its own", "the ranges of %s (%s) and %s (%s) overlap", b.key, b.now, a.key, a.now)
					return
				}
			}
		}
	}
}

func pick(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

// zones checks that every address is in one zone at most.
func (c *checker) zones() {
	unlimited := false
	type known struct {
		zone int
		net  netip.Prefix
	}
	var seen []known
	for i, z := range c.t.Zones {
		at := func(key string) string { return tomlfile.At("zone", i) + "." + key }
		if z.Kind == "" {
			c.fail(at("kind"), "internal, perimeter, external or branch", "zone %s has no kind", z.Name)
			continue
		}
		if len(z.Networks) == 0 {
			switch {
			case z.Kind != External:
				c.fail(at("name"), `for example networks = ["10.0.0.0/16"]`, "zone %s has no networks", z.Name)
			case unlimited:
				c.fail(at("name"), "", "two external zones both contain everything else")
			}
			unlimited = true
		}
		for j, n := range z.Networks {
			path := tomlfile.At(at("networks"), j)
			if n != n.Masked() {
				c.fail(path, fmt.Sprintf("the network is %s", n.Masked()), "%s is an address inside a network, not a network", n)
				continue
			}
			for _, k := range seen {
				if k.zone != i && k.net.Overlaps(n) {
					c.fail(path, "", "network %s overlaps %s of zone %s", n, k.net, c.t.Zones[k.zone].Name)
					break
				}
			}
			seen = append(seen, known{i, n})
		}
	}
}

// network checks the model behind admission control and media bypass.
func (c *checker) network() {
	n := &c.t.Network
	control := c.t.Features.Has(AdmissionControl)
	if control && n.Bypass == BypassAlways {
		c.fail("network.media-bypass", `use "sites" or "off"`, "media that always bypasses Mediation cannot be admitted by bandwidth")
	}
	unique(c, "network.region", len(n.Regions), "name", func(i int) string { return n.Regions[i].Name })
	unique(c, "network.site", len(n.Sites), "name", func(i int) string { return n.Sites[i].Name })
	unique(c, "network.link", len(n.Links), "name", func(i int) string { return n.Links[i].Name })
	regions, sites, links := map[string]bool{}, map[string]bool{}, map[string]RegionLink{}
	for i, r := range n.Regions {
		regions[r.Name] = true
		at := tomlfile.At("network.region", i)
		switch {
		case r.CentralSite != "":
			c.site(at+".central-site", r.CentralSite)
		case control:
			c.fail(at+".name", "set central-site", "admission control needs a central site for region %s", r.Name)
		}
	}
	for i, s := range n.Sites {
		sites[s.Name] = true
		at := tomlfile.At("network.site", i)
		if s.Region != "" && !regions[s.Region] {
			c.unknown(at+".region", "region", s.Region, sortedKeys(regions))
		}
		c.bandwidth(at+".limit", s.Limit)
	}
	c.subnets(sites, control)
	for i, l := range n.Links {
		links[l.Name] = l
		at := tomlfile.At("network.link", i)
		c.ends(at, "region", l.From, l.To, regions)
		c.bandwidth(at+".limit", l.Limit)
	}
	for i, l := range n.InterSite {
		at := tomlfile.At("network.inter-site", i)
		c.ends(at, "network site", l.From, l.To, sites)
		c.bandwidth(at+".limit", l.Limit)
	}
	c.routes(regions, links, control)
}

func (c *checker) ends(at, what, from, to string, known map[string]bool) {
	switch {
	case !known[from]:
		c.unknown(at+".from", what, from, sortedKeys(known))
	case !known[to]:
		c.unknown(at+".to", what, to, sortedKeys(known))
	case from == to:
		c.fail(at+".to", "", "both ends are %s", from)
	}
}

func (c *checker) bandwidth(at string, b Bandwidth) {
	for _, v := range []struct {
		key        string
		value, min int
	}{{"audio", b.Audio, 0}, {"audio-session", b.AudioSession, 40}, {"video", b.Video, 0}, {"video-session", b.VideoSession, 100}} {
		if v.value != 0 && v.value < v.min || v.value < 0 {
			c.fail(at+"."+v.key, "", "%d kbit/s is less than %d", v.value, v.min)
		}
	}
}

func (c *checker) subnets(sites map[string]bool, control bool) {
	n := &c.t.Network
	seen := map[netip.Prefix]bool{}
	for i, s := range n.Subnets {
		at := tomlfile.At("network.subnet", i)
		switch {
		case s.Network != s.Network.Masked():
			c.fail(at+".network", fmt.Sprintf("the network is %s", s.Network.Masked()), "%s is an address inside a network, not a network", s.Network)
		case seen[s.Network]:
			c.fail(at+".network", "", "subnet %s appears twice", s.Network)
		}
		seen[s.Network] = true
		if s.Site == "" {
			c.fail(at+".network", "set site", "subnet %s has no site", s.Network)
		} else if !sites[s.Site] {
			c.unknown(at+".site", "network site", s.Site, sortedKeys(sites))
		}
	}
	if !control {
		return
	}
	for i := range c.t.Pools {
		p := &c.t.Pools[i]
		if p.Kind != Edge {
			continue
		}
		for j := range p.Servers {
			e := p.Servers[j].External.Fill()
			addrs := e.AV
			if p.EdgeSettings.NAT {
				addrs = e.PublicAV
			}
			for _, a := range addrs {
				if !seen[netip.PrefixFrom(a, a.BitLen())] {
					c.warn(tomlfile.At(tomlfile.At("pool", i)+".server", j)+".external", "add a [[network.subnet]] for the single address",
						"admission control does not know where the public address %s of Edge %s is", a, p.Servers[j].FQDN)
				}
			}
		}
	}
}

// routes checks that every pair of regions is joined by links that follow each other.
func (c *checker) routes(regions map[string]bool, links map[string]RegionLink, control bool) {
	n := &c.t.Network
	type pair [2]string
	between := func(a, b string) pair {
		if a > b {
			a, b = b, a
		}
		return pair{a, b}
	}
	have := map[pair]bool{}
	for i, r := range n.Routes {
		at := tomlfile.At("network.route", i)
		c.ends(at, "region", r.From, r.To, regions)
		if have[between(r.From, r.To)] {
			c.fail(at+".from", "", "there is already a route between %s and %s", r.From, r.To)
		}
		have[between(r.From, r.To)] = true
		here := r.From
		for j, name := range r.Links {
			l, ok := links[name]
			path := tomlfile.At(at+".links", j)
			if !ok {
				c.unknown(path, "link", name, sortedKeys(links))
				here = r.To
				break
			}
			switch here {
			case l.From:
				here = l.To
			case l.To:
				here = l.From
			default:
				c.fail(path, "", "link %s joins %s and %s, the route has come to %s", name, l.From, l.To, here)
			}
		}
		if regions[r.From] && regions[r.To] && here != r.To {
			c.fail(at+".links", "", "the links lead from %s to %s, not to %s", r.From, here, r.To)
		}
	}
	if !control {
		return
	}
	for i, a := range n.Regions {
		for _, b := range n.Regions[:i] {
			if !have[between(a.Name, b.Name)] {
				c.fail(tomlfile.At("network.region", i)+".name", "add a [[network.route]]", "there is no route between the regions %s and %s", b.Name, a.Name)
			}
		}
	}
}
