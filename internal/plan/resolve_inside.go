package plan

import (
	"net/netip"

	"parley/internal/porttable"
	"parley/internal/topology"
)

// servers adds what every server of the product needs.
func (r *resolver) servers() {
	owners := r.pools(func(p *topology.Pool) bool { return p.CentralManagement })
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind != topology.OfficeWebApps && p.Kind != topology.Edge }) {
		self := r.pool(p)
		for _, row := range []string{porttable.SrvAllSqlbrowser1434, porttable.SrvAllSqlbrowser1434Dup} {
			r.add(Flow{Row: row, From: self, To: self, Transport: "udp", Ports: Range{1434, 1434}, Protocol: "UDP",
				Note: "On each server, from itself only.", Local: true})
		}
		for _, o := range owners {
			if o != p || len(p.Servers) > 1 {
				r.flow(porttable.SrvCmsReplicator445, r.pool(o), self, "")
			}
		}
	}
}

// frontEnds adds what Front End pools speak inside.
func (r *resolver) frontEnds() {
	all := r.frontEndPools()
	for _, p := range all {
		self := r.pool(p)
		r.frontEndClients(p, self)
		r.frontEndServers(p, self, all)
		r.frontEndApplications(p, self)
		r.collocatedMediation(p, self)
		r.balancers(p, self)
	}
}

// frontEndClients adds what clients inside open to a Front End pool.
func (r *resolver) frontEndClients(p *topology.Pool, self Party) {
	media := r.media(p)
	for _, c := range r.clientZones() {
		r.flow(porttable.SrvFeFrontend5061, c, r.sip(p), "Clients sign in and signal over TLS.")
		r.flow(porttable.SrvFeWebcompat80, c, r.web(p), "")
		r.flow(porttable.SrvFeWebcompat443, c, r.web(p), "")
		if r.has(p, topology.Mobility) {
			r.flow(porttable.SrvFeMobility443, c, r.web(p), "")
		}
		if r.has(p, topology.Conferencing) {
			r.flow(porttable.SrvFeWebconf8057, c, self, "")
			if r.has(p, topology.LegacyClients) {
				r.flow(porttable.SrvFeWebconfcompat8058, c, self, "")
			}
		}
		if r.has(p, topology.AdmissionControl) {
			r.flow(porttable.SrvFePdp5080, c, r.sip(p), "")
		}
		// Media runs both ways; each side may send first.
		if r.has(p, topology.AudioVideo) || r.has(p, topology.DialIn) || r.has(p, topology.Voice) {
			r.on(porttable.SrvInternalAudioRange, c, self, ports(media.Audio), "")
		}
		if r.has(p, topology.AudioVideo) {
			r.on(porttable.SrvFeAvVideoRange, c, self, ports(media.Video), "")
		}
		if r.has(p, topology.AppSharing) {
			r.on(porttable.SrvFeAsRange, c, self, ports(media.AppSharing), "")
		}
	}
}

// frontEndServers adds what servers open to a Front End pool.
func (r *resolver) frontEndServers(p *topology.Pool, self Party, all []*topology.Pool) {
	for _, m := range r.hosts(topology.ManagementHost) {
		r.flow(porttable.SrvFeDcom135, m, self, "")
	}
	for _, q := range all {
		if q != p || len(p.Servers) > 1 {
			r.flow(porttable.SrvFeFrontend5061, r.pool(q), self, "SIP between Front Ends over mutual TLS.")
			r.flow(porttable.SrvFeDcom135, r.pool(q), self, "Moving users, synchronising address books.")
		}
		if q != p {
			r.flow(porttable.SrvFeWeb4443, r.pool(q), self, "Between Front End pools, for discovery at sign-in.")
		}
	}
	// The Focus speaks to the conferencing servers of its own pool, on the same machine or another.
	r.flow(porttable.SrvFeFrontend444, self, self, "The Focus and the conferencing servers.")
	for _, b := range r.pools(func(b *topology.Pool) bool { return b.Kind.Branch() && b.Backup == p.FQDN }) {
		r.flow(porttable.SrvFeFrontend444, r.pool(b), self, "Branch registrar to its pool at the centre.")
		r.flow(porttable.SrvFeFrontend5061, r.pool(b), self, "SIP from the branch over mutual TLS.")
		if r.has(p, topology.Mobility) {
			r.fact("mobility-5088", r.pool(b), self)
			r.fact("mobility-5089", r.pool(b), self)
		}
	}
	for _, m := range r.pools(func(m *topology.Pool) bool { return m.Has(topology.RoleMediation) && m != p }) {
		r.flow(porttable.SrvFeFrontend5061, r.pool(m), self, "Mediation to the registrar over mutual TLS.")
	}
	for _, c := range r.pools(func(c *topology.Pool) bool { return c.Kind == topology.PersistentChat }) {
		r.flow(porttable.SrvFeFrontend5061, r.pool(c), self, "Chat rooms to the registrar over mutual TLS.")
	}
	if len(p.Servers) > 1 && r.has(p, topology.ResponseGroup) {
		r.flow(porttable.SrvFeRgs8404, self, self, "")
	}
	if r.has(p, topology.AdmissionControl) {
		r.flow(porttable.SrvFePdp448, self, self, "")
		for _, m := range r.pools(func(m *topology.Pool) bool { return m.Kind == topology.Mediation }) {
			r.flow(porttable.SrvFePdp448, r.pool(m), self, "")
		}
	}
	if share, ok := r.s.FileShare(p.FileShare); ok {
		r.flow(porttable.SrvFeFileshare445, self, r.machine(share.Host, "file-share"), "")
	}
	if q, ok := r.s.Pool(p.Pair); ok {
		if share, ok := r.s.FileShare(q.FileShare); ok {
			r.flow(porttable.SrvFeFileshare445, self, r.machine(share.Host, "file-share"), "User data and meeting content for the paired pool.")
		}
	}
}

// frontEndApplications adds the conferencing servers and applications inside a pool: the Front End service
// of one member speaks to the application on another.
func (r *resolver) frontEndApplications(p *topology.Pool, self Party) {
	for _, a := range []struct {
		row  string
		need topology.Feature
	}{
		{porttable.SrvFeIm5062, ""},
		{porttable.SrvFeAv5063, topology.AudioVideo},
		{porttable.SrvFeCaa5064, topology.DialIn},
		{porttable.SrvFeCaa5072, topology.DialIn},
		{porttable.SrvFeCas5073, topology.DialIn},
		{porttable.SrvFeAs5065, topology.AppSharing},
		{porttable.SrvFeCps5075, topology.CallPark},
		{porttable.SrvFeAts5076, topology.Voice},
		{porttable.SrvFeRgs5071, topology.ResponseGroup},
		{porttable.SrvFeWeb8060, topology.Conferencing},
		{porttable.SrvFeWeb8061, topology.Conferencing},
		{porttable.SrvFeMobility5086, topology.Mobility},
		{porttable.SrvFeMobility5087, topology.Mobility},
	} {
		if a.need == "" || r.has(p, a.need) {
			r.flow(a.row, self, self, "")
		}
	}
	if r.has(p, topology.Emergency) {
		for _, g := range r.t.Gateways {
			if g.Kind == topology.EmergencyGateway {
				r.flow(porttable.SrvFeE9115066, self, r.machine(g.FQDN, "gateway"), "")
			}
		}
	}
	if r.has(p, topology.VoiceMail) {
		for _, h := range r.t.Hosts {
			if h.Kind == topology.UnifiedMessagingHost && (p.VoiceMail == "" || p.VoiceMail == h.FQDN) {
				um := r.machine(h.FQDN, "unified-messaging")
				r.flow(porttable.SrvFeFrontend5061, um, self, "Voice mail to the registrar over mutual TLS.")
				r.flow(porttable.SrvFeFrontend5061, self, um, "Calls to voice mail over mutual TLS.")
			}
		}
	}
}

// collocatedMediation adds Mediation on the Front Ends themselves.
func (r *resolver) collocatedMediation(p *topology.Pool, self Party) {
	if !p.Has(topology.RoleMediation) {
		return
	}
	r.flow(porttable.SrvColmed5070, self, self, "")
	r.trunks(p, self, porttable.SrvColmed5067, porttable.SrvColmed5068)
}

// mediation adds stand-alone Mediation pools.
func (r *resolver) mediation() {
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind == topology.Mediation }) {
		self := r.pool(p)
		for _, f := range r.frontEndPools() {
			for _, row := range []string{porttable.SrvMed5070Tcp, porttable.SrvMed5070Mtls} {
				r.flow(row, r.pool(f), r.sip(p), "")
			}
		}
		r.trunks(p, self, porttable.SrvMed5067, porttable.SrvMed5068)
		for _, c := range r.clientZones() {
			r.on(porttable.SrvInternalAudioRange, c, self, ports(r.media(p).Audio), "")
		}
		if balancedSIP(p) {
			r.flow(porttable.HlbMed5070, r.balancer(p, p.Virtual), self, "")
		}
	}
}

// trunks adds what runs between a Mediation pool and its gateways: SIP both ways, audio both ways.
func (r *resolver) trunks(p *topology.Pool, self Party, tlsRow, tcpRow string) {
	audio := ports(r.media(p).Audio)
	for _, t := range r.t.Trunks {
		if t.Mediation != p.FQDN {
			continue
		}
		gw := r.machine(t.Gateway, "gateway")
		inRow, outRow, protocol := tlsRow, porttable.SrvColmed5082, "SIP/TLS"
		in, out := uint16(5067), uint16(5067)
		if t.Transport == topology.OverTCP {
			inRow, outRow, protocol = tcpRow, porttable.SrvColmed5081, "SIP/TCP"
			in, out = 5068, 5066
		}
		if t.MediationPort != 0 {
			in = t.MediationPort
		}
		if t.GatewayPort != 0 {
			out = t.GatewayPort
		}
		r.on(inRow, gw, self, Range{in, in}, "Trunk "+t.Name+": calls from the gateway.")
		printed := porttable.MustByID(outRow).Ports
		r.add(Flow{Row: outRow, From: self, To: gw, Transport: "tcp", Ports: Range{out, out}, Protocol: protocol,
			Note: "Trunk " + t.Name + ": calls to the gateway, on the port where it listens; the port table prints " + printed + "."})
		r.on(porttable.SrvInternalAudioRange, gw, self, audio, "Trunk "+t.Name+": audio from the gateway.")
		r.on(porttable.SrvInternalAudioRange, self, gw, Range{1024, 65535}, "Trunk "+t.Name+": audio to the gateway, which chooses its ports.")
	}
}

// directors adds Director pools.
func (r *resolver) directors() {
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind == topology.Director }) {
		self := r.pool(p)
		for _, c := range r.clientZones() {
			r.flow(porttable.SrvDirFrontend5061, c, r.sip(p), "Clients sign in over TLS and are redirected.")
			r.flow(porttable.SrvDirWeb80, c, r.web(p), "")
			r.flow(porttable.SrvDirWeb443, c, r.web(p), "")
		}
		for _, f := range r.frontEndPools() {
			r.flow(porttable.SrvDirFrontend444, r.pool(f), self, "")
			r.flow(porttable.SrvDirFrontend5061, r.pool(f), self, "SIP between servers over mutual TLS.")
			r.flow(porttable.SrvFeFrontend5061, self, r.pool(f), "SIP from the Director over mutual TLS.")
			r.flow(porttable.SrvFeFrontend444, self, r.pool(f), "Client certificates between Director and Front Ends.")
			r.flow(porttable.SrvFeWebcompat443, self, r.pool(f), "Web requests that the Director passes to the home pool.")
		}
		if balancedWeb(p) {
			lb := r.balancer(p, webAddresses(p))
			rows := []string{porttable.DnslbDir443, porttable.DnslbDir4443}
			if balancedSIP(p) {
				rows = []string{porttable.HlbDir443, porttable.HlbDir444, porttable.HlbDir5061, porttable.HlbDir4443}
			}
			for _, row := range rows {
				r.flow(row, lb, self, "")
			}
		}
	}
}

// branches adds survivable registrars.
func (r *resolver) branches() {
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind.Branch() }) {
		self := r.pool(p)
		for _, c := range r.clientZones() {
			r.flow(porttable.SrvFeFrontend5061, c, self, "Clients of the branch sign in over TLS.")
			r.on(porttable.SrvInternalAudioRange, c, self, ports(r.media(p).Audio), "")
		}
		if centre, ok := r.s.Pool(p.Backup); ok {
			r.flow(porttable.SrvFeFrontend5061, r.pool(centre), self, "SIP from the centre over mutual TLS.")
			r.flow(porttable.SrvMed5070Mtls, r.pool(centre), self, "Calls of the centre through the branch's gateway.")
		}
		r.trunks(p, self, porttable.SrvMed5067, porttable.SrvMed5068)
	}
}

// chat adds chat rooms, in pools of their own and collocated with a Standard pool.
func (r *resolver) chat() {
	for _, p := range r.s.PoolsWith(topology.RolePersistentChat) {
		self := r.pool(p)
		for _, f := range r.frontEndPools() {
			r.flow(porttable.SrvPchatSip5041, r.pool(f), self, "")
		}
		r.flow(porttable.SrvPchatWcf881, self, self, "")
		for _, m := range r.hosts(topology.ManagementHost) {
			r.flow(porttable.SrvPchatWcf881, m, self, "Administration of chat rooms.")
		}
		if len(p.Servers) > 1 {
			r.fact("chat-8011", self, self)
		}
		for _, c := range r.clientZones() {
			r.flow(porttable.SrvPchatFile443, c, self, "")
		}
	}
}

// webApps adds the farms that render presentations.
func (r *resolver) webApps() {
	for _, p := range r.pools(func(p *topology.Pool) bool { return p.Kind == topology.OfficeWebApps }) {
		for _, f := range r.frontEndPools() {
			if f.WebApps == "" || f.WebApps == p.FQDN {
				r.flow(porttable.SrvOwa443, r.pool(f), r.web(p), "")
			}
		}
		for _, c := range r.clientZones() {
			r.flow(porttable.SrvOwa443, c, r.web(p), "Clients load presentations.")
		}
	}
}

// trusted adds trusted applications and static routes.
func (r *resolver) trusted() {
	for _, a := range r.t.TrustedPools {
		apps := Party{Name: string(a.FQDN), Role: "trusted-application"}
		if len(a.Computers) == 0 {
			apps = r.machine(a.FQDN, apps.Role)
		}
		for _, c := range a.Computers {
			m := r.machine(c.FQDN, apps.Role)
			apps.Hosts, apps.Site, apps.Zone, apps.Kind = append(apps.Hosts, m.Hosts...), m.Site, m.Zone, m.Kind
		}
		for _, f := range r.registrars(a.Registrar) {
			row, plain := porttable.SrvFeFrontend5061, porttable.SrvFeFrontend5060
			if f.Kind == topology.Director {
				row, plain = porttable.SrvDirFrontend5061, porttable.SrvDirFrontend5060
			}
			for _, app := range a.Applications {
				in, protocol := row, "SIP/MTLS"
				if app.TCP {
					in, protocol = plain, "SIP/TCP"
				}
				r.flow(in, apps, r.pool(f), "Application "+app.ID+".")
				if !a.OutboundOnly {
					r.add(Flow{Row: in, From: r.pool(f), To: apps, Transport: "tcp", Ports: Range{app.Port, app.Port}, Protocol: protocol,
						Note: "To application " + app.ID + " on the port it is known by."})
				}
			}
		}
	}
	for _, route := range r.t.StaticRoutes {
		to, ok := r.s.Machine(topology.FQDN(route.Destination))
		hop := Party{Name: route.Destination, Role: "next hop", Hosts: []Host{{Name: route.Destination}}, Kind: topology.Internal, Zone: string(topology.Internal)}
		if a, err := netip.ParseAddr(route.Destination); err == nil {
			hop.Hosts[0].Addresses = []netip.Addr{a}
		}
		if ok {
			hop = r.machine(to.FQDN, "next hop")
		}
		row, protocol := porttable.SrvFeFrontend5061, "SIP/TLS"
		if route.Transport == topology.OverTCP {
			row, protocol = porttable.SrvFeFrontend5060, "SIP/TCP"
		}
		port := route.PortOrDefault()
		for _, f := range r.registrars(route.Pool) {
			r.add(Flow{Row: row, From: r.pool(f), To: hop, Transport: "tcp", Ports: Range{port, port}, Protocol: protocol,
				Note: "Static route for " + route.Match + "."})
		}
	}
}

// registrars are the named pool, or every pool that may serve an application: Front Ends, and Directors when
// remote call control passes them.
func (r *resolver) registrars(name topology.FQDN) []*topology.Pool {
	if p, ok := r.s.Pool(name); ok {
		out := []*topology.Pool{p}
		if r.anywhere(topology.RemoteControl) {
			out = append(out, r.pools(func(d *topology.Pool) bool { return d.Kind == topology.Director && d.Site == p.Site })...)
		}
		return out
	}
	return r.pools(func(p *topology.Pool) bool { return p.Kind.FrontEnd() || p.Kind == topology.Director })
}

// balancers adds what the balancer in front of a Front End pool opens to the members.
func (r *resolver) balancers(p *topology.Pool, self Party) {
	if !balancedWeb(p) {
		return
	}
	web := r.balancer(p, webAddresses(p))
	if !balancedSIP(p) {
		for _, row := range []string{porttable.DnslbFe80, porttable.DnslbFe443, porttable.DnslbFe8080, porttable.DnslbFe4443} {
			r.flow(row, web, self, "")
		}
		r.flow(porttable.SrvFeFrontend5061, web, self, "Health check.")
		return
	}
	for _, row := range []string{porttable.HlbFe80, porttable.HlbFe443, porttable.HlbFe8080, porttable.HlbFe4443} {
		r.flow(row, web, self, "")
	}
	sip := r.balancer(p, p.Virtual)
	for _, b := range hardwareOnly {
		if b.need == "" || r.has(p, b.need) {
			r.flow(b.row, sip, self, "")
		}
	}
	if p.Has(topology.RoleMediation) {
		r.flow(porttable.HlbFemed5070, sip, self, "")
	}
}

// hardwareOnly are the ports of a Front End pool that only a design without DNS balancing puts behind a
// balancer.
var hardwareOnly = []struct {
	row  string
	need topology.Feature
}{
	{porttable.HlbFe5061, ""},
	{porttable.HlbFe444, ""},
	{porttable.HlbFe135, ""},
	{porttable.HlbFe5072, topology.DialIn},
	{porttable.HlbFe5073, topology.DialIn},
	{porttable.HlbFe5075, topology.CallPark},
	{porttable.HlbFe5076, topology.Voice},
	{porttable.HlbFe5071, topology.ResponseGroup},
	{porttable.HlbFe5080, topology.AdmissionControl},
	{porttable.HlbFe448, topology.AdmissionControl},
}
