package topology

import (
	"net/netip"
)

// Topology is the document that describes a deployment: who is where and what for. It is plain data as
// written in topology.toml; questions are asked of a Snapshot, which is made from it.
type Topology struct {
	Version    int        `toml:"version"` // of the format; 1
	Name       string     `toml:"name,omitempty"`
	Domains    []FQDN     `toml:"domains"`            // SIP domains; the first is the default
	Features   Features   `toml:"features,omitempty"` // what the organisation wants; a site may differ
	SimpleURLs SimpleURLs `toml:"simple-urls,omitempty"`
	Media      Media      `toml:"media,omitempty"`
	Federation Federation `toml:"federation,omitempty"`
	Network    Network    `toml:"network,omitempty"`

	Zones          []Zone         `toml:"zone,omitempty"`
	Sites          []Site         `toml:"site,omitempty"`
	Pools          []Pool         `toml:"pool,omitempty"`
	Gateways       []Gateway      `toml:"gateway,omitempty"`
	Trunks         []Trunk        `toml:"trunk,omitempty"`
	Databases      []Database     `toml:"database,omitempty"`
	FileShares     []FileShare    `toml:"file-share,omitempty"`
	ReverseProxies []ReverseProxy `toml:"reverse-proxy,omitempty"`
	LoadBalancers  []LoadBalancer `toml:"load-balancer,omitempty"`
	Hosts          []Host         `toml:"host,omitempty"`
	TrustedPools   []TrustedPool  `toml:"trusted-application-pool,omitempty"`
	StaticRoutes   []StaticRoute  `toml:"static-route,omitempty"`
}

// Zone is a part of the network between two firewalls.
type Zone struct {
	Name     string         `toml:"name"`
	Kind     ZoneKind       `toml:"kind"`
	Networks []netip.Prefix `toml:"networks,omitempty"` // empty only for the external zone: everything else
}

// SiteKind is the kind of a site.
type SiteKind string

// A central site has Front Ends of its own; a branch site belongs to a central one.
const (
	CentralSite SiteKind = "central"
	BranchSite  SiteKind = "branch"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *SiteKind) UnmarshalText(b []byte) error {
	return oneOf(k, "kind of site", b, []SiteKind{CentralSite, BranchSite})
}

// Site is a set of machines joined by a fast network.
type Site struct {
	Name        string   `toml:"name"`
	Kind        SiteKind `toml:"kind"`
	Parent      string   `toml:"parent,omitempty"` // the central site of a branch
	Description string   `toml:"description,omitempty"`

	Zone      string `toml:"zone,omitempty"`      // where its servers and clients are
	Perimeter string `toml:"perimeter,omitempty"` // where its Edges and reverse proxies are

	Users       int `toml:"users,omitempty"`        // enabled accounts homed here, or at this branch
	CloudUsers  int `toml:"cloud-users,omitempty"`  // homed elsewhere by a cloud provider
	RemoteUsers int `toml:"remote-users,omitempty"` // signed in from outside at the busiest moment

	Edge         FQDN `toml:"edge,omitempty"`          // Edge pool for media and remote access
	Director     FQDN `toml:"director,omitempty"`      // Director pool that answers first
	ReverseProxy FQDN `toml:"reverse-proxy,omitempty"` // publishes the web services of the site

	Features   Features   `toml:"features,omitempty"`    // in place of the deployment's, when given
	SimpleURLs SimpleURLs `toml:"simple-urls,omitempty"` // in place of the deployment's, when given
	Media      Media      `toml:"media,omitempty"`       // in place of the deployment's, value by value
}

// SimpleURLs are the addresses of the pages that people type or click.
type SimpleURLs struct {
	Meet   map[FQDN]URL `toml:"meet,omitempty"` // one per SIP domain
	DialIn URL          `toml:"dial-in,omitempty"`
	Admin  URL          `toml:"admin,omitempty"` // reached from inside only
}

// IsZero reports whether no address is set.
func (s SimpleURLs) IsZero() bool { return len(s.Meet) == 0 && s.DialIn.IsZero() && s.Admin.IsZero() }

// Pool is a set of machines with the same roles, known by one name. A single server is a pool of one.
type Pool struct {
	FQDN FQDN     `toml:"fqdn"`
	Kind PoolKind `toml:"kind"`
	Site string   `toml:"site"`
	Zone string   `toml:"zone,omitempty"` // when it is not the one that the site and kind imply

	// Collocated are roles that the members have besides that of the kind: mediation and media-relay on Front Ends,
	// persistent-chat on a Standard pool.
	Collocated []Role `toml:"collocated,omitempty"`
	// CentralManagement marks the pool whose first member owns the configuration. One pool has it.
	CentralManagement bool `toml:"central-management,omitempty"`

	Balancing  Balancing    `toml:"balancing,omitempty"`
	Virtual    []netip.Addr `toml:"virtual-addresses,omitempty"`     // SIP, with hardware balancing
	WebVirtual []netip.Addr `toml:"web-virtual-addresses,omitempty"` // web; always a balancer with several members

	InternalWeb FQDN `toml:"internal-web,omitempty"` // name of the internal web services; default the pool name
	ExternalWeb FQDN `toml:"external-web,omitempty"` // name under which they are published outside

	Database     FQDN   `toml:"database,omitempty"`   // server that holds the back end
	FileShare    string `toml:"file-share,omitempty"` // name of a file share
	Monitoring   FQDN   `toml:"monitoring,omitempty"` // database server of the records
	Archiving    FQDN   `toml:"archiving,omitempty"`
	Edge         FQDN   `toml:"edge,omitempty"`      // Edge pool, when it is not that of the site
	Mediation    FQDN   `toml:"mediation,omitempty"` // Mediation pool, when it is not the pool itself
	WebApps      FQDN   `toml:"office-web-apps,omitempty"`
	VoiceMail    FQDN   `toml:"unified-messaging,omitempty"` // host outside the product
	Pair         FQDN   `toml:"pair,omitempty"`              // the pool that takes over when this one is lost
	Backup       FQDN   `toml:"backup-registrar,omitempty"`  // of a branch pool
	NextHop      FQDN   `toml:"next-hop,omitempty"`          // of an Edge: Director or Front End pool
	LoadBalancer string `toml:"load-balancer,omitempty"`     // name of the balancer in front of the pool

	Users       int    `toml:"users,omitempty"` // homed on the pool; default its share of the site
	Virtualised bool   `toml:"virtualised,omitempty"`
	System      string `toml:"system,omitempty"` // operating system, compared between paired pools

	MediationSettings MediationSettings `toml:"mediation-settings,omitempty"`
	EdgeSettings      EdgeSettings      `toml:"edge-settings,omitempty"`

	Servers []Server `toml:"server,omitempty"` // in the order of their first start
}

// Server is one machine of a pool.
type Server struct {
	FQDN      FQDN         `toml:"fqdn"`
	Addresses []netip.Addr `toml:"addresses,omitempty"` // of the internal interface
	External  EdgeServer   `toml:"external,omitempty"`  // the other interface of an Edge
}

// MediationSettings are the ports toward gateways. A port of 0 is the default; a negative one is off.
type MediationSettings struct {
	TLSPort int  `toml:"tls-port,omitempty"` // default 5067
	TCPPort int  `toml:"tcp-port,omitempty"` // default off; 5068 once a trunk over TCP exists
	Bypass  bool `toml:"media-bypass,omitempty"`
}

// EdgeSettings are the names, ports and ways of an Edge pool.
type EdgeSettings struct {
	Access        EdgeService `toml:"access,omitempty"`
	WebConference EdgeService `toml:"web-conferencing,omitempty"`
	AV            EdgeService `toml:"av,omitempty"`

	InternalBalancing Balancing `toml:"internal-balancing,omitempty"` // default that of the pool
	ExternalBalancing Balancing `toml:"external-balancing,omitempty"`
	NAT               bool      `toml:"nat,omitempty"` // external addresses are private and translated
	// MediaPorts is the range of the relay outside; default 50000, count 10000.
	MediaPorts PortRange `toml:"media-ports,omitempty"`
	// RelayPeers are networks that the relay may send to although they are private, shared or loopback: those where
	// clients and media servers inside are.
	RelayPeers []netip.Prefix `toml:"relay-peers,omitempty"`
	DNSServers []netip.Addr   `toml:"dns-servers,omitempty"` // that the external side asks
}

// EdgeService is one of the three services of an Edge as seen from outside.
type EdgeService struct {
	FQDN    FQDN         `toml:"fqdn,omitempty"`
	Port    uint16       `toml:"port,omitempty"`              // TCP; default 443, 5061, 444 when one name serves all
	Virtual []netip.Addr `toml:"virtual-addresses,omitempty"` // with hardware balancing
}

// EdgeServer is the external interface of one Edge: an address per service, or the same for all.
type EdgeServer struct {
	Access        []netip.Addr `toml:"access,omitempty"`
	WebConference []netip.Addr `toml:"web-conferencing,omitempty"`
	AV            []netip.Addr `toml:"av,omitempty"`
	// Public are the addresses that the network translates to the three, in that order or one for all.
	PublicAccess        []netip.Addr `toml:"public-access,omitempty"`
	PublicWebConference []netip.Addr `toml:"public-web-conferencing,omitempty"`
	PublicAV            []netip.Addr `toml:"public-av,omitempty"`
}

// GatewayKind says what stands at the other end of a trunk.
type GatewayKind string

// The kinds of gateway.
const (
	PSTNGateway      GatewayKind = "pstn"
	IPPBX            GatewayKind = "ip-pbx"
	SBC              GatewayKind = "sbc"
	EmergencyGateway GatewayKind = "emergency"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *GatewayKind) UnmarshalText(b []byte) error {
	return oneOf(k, "kind of gateway", b, []GatewayKind{PSTNGateway, IPPBX, SBC, EmergencyGateway})
}

// Gateway is a machine that leads to the telephone network or to another exchange.
type Gateway struct {
	FQDN      FQDN         `toml:"fqdn"`
	Kind      GatewayKind  `toml:"kind"`
	Site      string       `toml:"site"`
	Zone      string       `toml:"zone,omitempty"`
	Addresses []netip.Addr `toml:"addresses,omitempty"`
	Media     netip.Addr   `toml:"media-address,omitempty"` // when it differs from the signalling address
}

// TrunkTransport is what a trunk or route is spoken over.
type TrunkTransport string

// Transports of trunks and static routes.
const (
	OverTLS TrunkTransport = "tls"
	OverTCP TrunkTransport = "tcp"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *TrunkTransport) UnmarshalText(b []byte) error {
	return oneOf(t, "transport", b, []TrunkTransport{OverTLS, OverTCP})
}

// Trunk joins a Mediation pool and a gateway.
type Trunk struct {
	Name          string         `toml:"name"`
	Gateway       FQDN           `toml:"gateway"`
	Mediation     FQDN           `toml:"mediation"` // pool
	Transport     TrunkTransport `toml:"transport,omitempty"`
	GatewayPort   uint16         `toml:"gateway-port,omitempty"`   // where the gateway listens; default 5067 TLS, 5066 TCP
	MediationPort uint16         `toml:"mediation-port,omitempty"` // where Mediation listens; default 5067 TLS, 5068 TCP
}

// Database is a database server outside the product.
type Database struct {
	FQDN      FQDN         `toml:"fqdn"`
	Site      string       `toml:"site"`
	Addresses []netip.Addr `toml:"addresses,omitempty"`
	Port      uint16       `toml:"port,omitempty"` // default 5432
	Mirror    FQDN         `toml:"mirror,omitempty"`
}

// FileShare is where address books, meeting content and backups lie.
type FileShare struct {
	Name      string       `toml:"name"`
	Host      FQDN         `toml:"host"`
	Site      string       `toml:"site"`
	Addresses []netip.Addr `toml:"addresses,omitempty"`
}

// ReverseProxy publishes web services to the outside.
type ReverseProxy struct {
	FQDN      FQDN         `toml:"fqdn"`
	Site      string       `toml:"site"`
	Zone      string       `toml:"zone,omitempty"`
	Addresses []netip.Addr `toml:"addresses,omitempty"`          // inner interface
	External  []netip.Addr `toml:"external-addresses,omitempty"` // outer interface, as clients see it
	NextHop   FQDN         `toml:"next-hop,omitempty"`           // pool that gets meet, dial-in and discovery
	Publishes []FQDN       `toml:"publishes,omitempty"`          // pools; default every pool with an external web name
}

// LoadBalancer is a device or program in front of pools.
type LoadBalancer struct {
	Name      string       `toml:"name"`
	Site      string       `toml:"site"`
	Zone      string       `toml:"zone,omitempty"`
	Addresses []netip.Addr `toml:"addresses,omitempty"` // its own, from which health checks come
}

// HostKind says what a machine outside the product is for.
type HostKind string

// The kinds of host.
const (
	DNSHost              HostKind = "dns"
	DHCPHost             HostKind = "dhcp"
	TimeHost             HostKind = "ntp"
	PKIHost              HostKind = "pki" // issues certificates and publishes revocation lists
	DirectoryHost        HostKind = "directory"
	ManagementHost       HostKind = "management" // from which administrators work
	UnifiedMessagingHost HostKind = "unified-messaging"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *HostKind) UnmarshalText(b []byte) error {
	return oneOf(k, "kind of host", b, []HostKind{DNSHost, DHCPHost, TimeHost, PKIHost, DirectoryHost, ManagementHost, UnifiedMessagingHost})
}

// Host is a machine outside the product that a plan has to name.
type Host struct {
	FQDN      FQDN         `toml:"fqdn"`
	Kind      HostKind     `toml:"kind"`
	Site      string       `toml:"site"`
	Zone      string       `toml:"zone,omitempty"`
	Addresses []netip.Addr `toml:"addresses,omitempty"`
}

// TrustedPool is a pool of servers of other makers whose requests are believed.
type TrustedPool struct {
	FQDN      FQDN   `toml:"fqdn"`
	Site      string `toml:"site"`
	Registrar FQDN   `toml:"registrar,omitempty"` // pool that serves it
	// OutboundOnly pools send and are never connected to.
	OutboundOnly bool `toml:"outbound-only,omitempty"`
	// Challenge makes the pool authenticate like a client; by default its requests are believed.
	Challenge bool `toml:"challenge,omitempty"`
	// ThrottleAsClient applies the limits of clients; by default those of servers apply.
	ThrottleAsClient bool `toml:"throttle-as-client,omitempty"`

	Computers    []Server             `toml:"computer,omitempty"` // none when the pool is one machine
	Addresses    []netip.Addr         `toml:"addresses,omitempty"`
	Applications []TrustedApplication `toml:"application,omitempty"`
}

// TrustedApplication is one program on a trusted pool, known by its port.
type TrustedApplication struct {
	ID   string `toml:"id"`
	Port uint16 `toml:"port"`
	TCP  bool   `toml:"tcp,omitempty"` // plain TCP in place of mutual TLS
}

// StaticRoute sends requests for a domain to a fixed next hop.
type StaticRoute struct {
	Match string `toml:"match"` // "pbx.example.test", or "*.example.test" for every name below
	// PhoneOnly restricts the route to URIs with user=phone.
	PhoneOnly   bool           `toml:"phone-only,omitempty"`
	Destination string         `toml:"destination"`    // FQDN or address of the next hop
	Port        uint16         `toml:"port,omitempty"` // default 5061 TLS, 5060 TCP
	Transport   TrunkTransport `toml:"transport,omitempty"`
	ReplaceHost bool           `toml:"replace-host,omitempty"` // the host part of the URI becomes the destination
	Pool        FQDN           `toml:"pool,omitempty"`         // for one registrar only; default all
}

// Federation says how other organisations are reached.
type Federation struct {
	Edge      FQDN      `toml:"edge,omitempty"` // the pool that carries it for the deployment
	Discovery bool      `toml:"partner-discovery,omitempty"`
	Partners  []Partner `toml:"partner,omitempty"`
	Blocked   []FQDN    `toml:"blocked,omitempty"`
}

// Partner is an allowed domain.
type Partner struct {
	Domain FQDN `toml:"domain"`
	Proxy  FQDN `toml:"proxy,omitempty"` // default by SRV record
}
