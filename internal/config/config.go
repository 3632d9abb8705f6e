// Package config reads the node file, parley.toml in the data directory: who this node is, what it listens
// on, and how it reaches store and bus. Everything else is topology and policy, which all nodes share.
//
// The types here are the manual: the tag doc is the comment in the sample file, and the tag reload says
// whether a running node takes up a change (live) or needs to be started again (restart). Sections that
// belong to services are registered by them and decoded in the same pass.
package config

import (
	"net/netip"

	"parley/internal/topology"
)

// FileName is the name of the node file in the data directory.
const FileName = "parley.toml"

// Config is the part of the node file that the node itself reads.
type Config struct {
	Node   Node   `toml:"node" doc:"Who this node is."`
	Listen Listen `toml:"listen" doc:"What this node listens on. The ports themselves come from the port plan."`
	Store  Store  `toml:"store" doc:"Where users, policies and everything people typed is kept."`
	Bus    Bus    `toml:"bus" doc:"How the nodes of a pool talk to each other."`
	Admin  Admin  `toml:"admin" doc:"Health and metrics, for this machine only."`
	Log    Log    `toml:"log" doc:"What is logged, to standard error."`
	Limits Limits `toml:"limits" doc:"How much a peer may ask for. A message or connection beyond a limit is refused with the protocol's own answer."`
	Drain  Drain  `toml:"drain" doc:"How the node stops."`
}

// Node says who the node is.
type Node struct {
	FQDN topology.FQDN `toml:"fqdn" doc:"The name of this node in the topology." reload:"restart" example:"server.example.test"`
}

// Listen says which addresses and optional ports are opened.
type Listen struct {
	Addresses []netip.Addr `toml:"addresses" doc:"Addresses to listen on. Empty means every address of the machine." reload:"restart"`
	Offset    int          `toml:"offset" doc:"Added to every listening port below 1024, and to no other, so that a node runs without privileges: with 10000 the port 443 becomes 10443." reload:"restart"`
	SIPUDP    bool         `toml:"sip-udp" doc:"SIP over UDP on port 5060. The port plan has no such row, but standard desk phones expect it and most know nothing else without being told. It is on, because requests there are authenticated like everywhere else and a firewall keeps the port inside; turn it off where every phone speaks TLS." reload:"restart"`
	SIPTCP    bool         `toml:"sip-tcp" doc:"SIP over TCP on port 5060 (row srv-fe-frontend-5060). For phones without TLS, and for static routes to servers without TLS." reload:"restart"`
	Enable    []string     `toml:"enable" doc:"Further optional listeners, by the name of their row as parley ports prints it." reload:"restart"`
}

// Names of the rows behind the two switches of Listen.
const (
	RowSIPUDP = "ext-sip-udp-5060"
	RowSIPTCP = "srv-fe-frontend-5060"
)

// Enabled reports whether an optional listener is switched on.
func (l Listen) Enabled(row string) bool {
	switch row {
	case RowSIPUDP:
		return l.SIPUDP
	case RowSIPTCP:
		return l.SIPTCP
	}
	for _, r := range l.Enable {
		if r == row {
			return true
		}
	}
	return false
}

// Store says where the database is.
type Store struct {
	DSN Secret `toml:"dsn" doc:"sqlite:FILE, relative to the data directory, for a single node; postgres://USER:PASSWORD@HOST/DATABASE for a pool. Never logged." reload:"restart" example:"sqlite:parley.db"`
}

// Bus says how the node takes part in the bus.
type Bus struct {
	Mode   BusMode    `toml:"mode" doc:"alone: embedded, without sockets. member: embedded, clustered with the other nodes of the pool. external: the NATS server at url." reload:"restart"`
	Listen AddrPort   `toml:"listen" doc:"Where a member listens for the others." reload:"restart"`
	Routes []AddrPort `toml:"routes" doc:"Where a member finds the others." reload:"restart"`
	URL    Secret     `toml:"url" doc:"The external server, as nats://USER:PASSWORD@HOST:4222. Never logged." reload:"restart"`
}

// Admin is the listener for health and metrics.
type Admin struct {
	Listen AddrPort `toml:"listen" doc:"A loopback address and port, or off. /healthz, /readyz and /metrics are served there. Port 0 takes a free one, which parley status prints." reload:"restart"`
}

// Log says what is logged.
type Log struct {
	Level Level `toml:"level" doc:"debug, info, warn or error." reload:"live"`
	JSON  bool  `toml:"json" doc:"One JSON object a line, for collectors, in place of text for people." reload:"restart"`
}

// Limits bound what peers can make the node do.
type Limits struct {
	ClientMessage  ByteSize `toml:"client-message" doc:"Largest message of a client, 64KiB to 256KiB." reload:"live"`
	ServerMessage  ByteSize `toml:"server-message" doc:"Largest message of a trusted server, 1000KiB to 20000KiB." reload:"live"`
	Connections    int      `toml:"connections" doc:"Connections at one time, of all peers together." reload:"restart"`
	PerAddress     int      `toml:"per-address" doc:"Connections at one time of one address. A site behind address translation counts as one." reload:"restart"`
	Endpoints      int      `toml:"endpoints" doc:"Endpoints of one user, 1 to 64. More than 8 is not advised." reload:"live"`
	ExpiresMin     Duration `toml:"expires-min" doc:"Shortest registration that is granted." reload:"live"`
	ExpiresDefault Duration `toml:"expires-default" doc:"Registration granted when a client asks for none." reload:"live"`
	ExpiresMax     Duration `toml:"expires-max" doc:"Longest registration that is granted." reload:"live"`
}

// Drain says how the node stops.
type Drain struct {
	Deadline Duration `toml:"deadline" doc:"How long calls in progress may go on after the node was told to stop." reload:"live"`
}

// Default is the configuration of a node whose file sets nothing. It lacks the name of the node.
func Default() Config {
	return Config{
		Listen: Listen{SIPUDP: true, SIPTCP: true},
		Store:  Store{DSN: NewSecret("sqlite:parley.db")},
		Bus:    Bus{Mode: BusAlone},
		Admin:  Admin{Listen: AddrPort{netip.MustParseAddrPort("127.0.0.1:9480")}},
		Log:    Log{Level: "info"},
		Limits: Limits{
			ClientMessage: 128 << 10, ServerMessage: 5000 << 10, Connections: 200_000, PerAddress: 20_000, Endpoints: 8,
			ExpiresMin: Duration(300e9), ExpiresDefault: Duration(600e9), ExpiresMax: Duration(900e9),
		},
		Drain: Drain{Deadline: Duration(30e9)},
	}
}
