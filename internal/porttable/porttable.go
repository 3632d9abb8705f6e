// Package porttable holds the port plan of the product as data: the 106 rows of the server, load balancer,
// client and IPsec tables, with typed access. Nothing in Parley listens on a port that has no row here, and
// everything Parley prints about ports (firewall rules, balancers, exceptions) names the row it comes from.
//
// The rows are the four CSV files under data/, embedded as they are. They are parsed once, on first use.
package porttable

import (
	"fmt"
	"strings"
)

// Row is one line of the port tables. Rows are values; changing one changes nothing else.
type Row struct {
	ID        string // stable name of the row, such as "srv-fe-frontend-5061"
	Table     Table
	SourceRow int // position in the table of the port document, from 1

	Role     RoleID // which kind of machine opens or uses the port
	RoleText string // the role as the table prints it

	Service     ServiceID // which service on that machine
	ServiceText string    // the service as the table prints it; for IPsec rows the name of the rule

	Ports     string // the port cell as printed: "5061", "49152-57500", "67/68" or "any"
	PortFirst uint16 // first port; 0 when the row means any port
	PortLast  uint16 // last port, PortFirst for a single port; 0 when the row means any port

	Transports Transports
	Protocol   string // the protocol cell as printed, such as "TCP (MTLS)"
	TLS        TLSModes
	Direction  Directions
	Peer       string // who is at the other end, in words
	Purpose    string // what the port is for, one sentence
	Note       string // what the source adds
	// DuplicateOf names the row that this one repeats (same role, service and port), or is empty.
	DuplicateOf string

	// Exception is set on the rows of the IPsec table only.
	Exception *Exception
}

// Exception is the part of an IPsec row that the other tables do not have: between whom traffic is exempt.
type Exception struct {
	Source         string // "Any" or a role in words
	Destination    string
	SourcePort     string // "any", or "client media port range"
	Authentication string // always "do not authenticate"
}

// Any reports whether the row means every port.
func (r Row) Any() bool { return r.PortFirst == 0 }

// Single reports whether the row is exactly one port.
func (r Row) Single() bool { return r.PortFirst != 0 && r.PortFirst == r.PortLast }

// Contains reports whether port belongs to the row.
func (r Row) Contains(port uint16) bool {
	return r.Any() || r.PortFirst <= port && port <= r.PortLast
}

// Count is the number of ports in the row; 65535 for a row that means any port.
func (r Row) Count() int {
	if r.Any() {
		return 65535
	}
	return int(r.PortLast) - int(r.PortFirst) + 1
}

// Offset is port shifted for a process that may not open privileged ports: ports below 1024 move up by
// offset, all others stay where the plan puts them.
func Offset(port uint16, offset int) uint16 {
	if offset == 0 || port == 0 || port >= 1024 {
		return port
	}
	return uint16(int(port) + offset)
}

// Table says which of the five tables of the port document a row belongs to.
type Table string

// The tables, as the files name them.
const (
	Server   Table = "server"
	LBOnly   Table = "lb-hlb-only"    // every port through a hardware load balancer
	LBAndDNS Table = "lb-with-dns-lb" // what stays on hardware when SIP is balanced by DNS
	Client   Table = "client"
	IPsec    Table = "ipsec-exceptions"
)

// Transports is a set of transport protocols.
type Transports uint8

// Members of Transports.
const (
	TCP Transports = 1 << iota
	UDP
)

// Has reports whether all of t are in the set.
func (s Transports) Has(t Transports) bool { return s&t == t }

// List returns the members, TCP first, in lower case.
func (s Transports) List() []string { return names(uint8(s), "tcp", "udp") }

// String joins the members with a comma.
func (s Transports) String() string { return strings.Join(s.List(), ",") }

// TLSModes is a set of ways to protect a connection. A row with two modes accepts both on one port.
type TLSModes uint8

// Members of TLSModes.
const (
	PlainText TLSModes = 1 << iota // the literal "none" of the tables
	TLS                            // the server presents a certificate
	MutualTLS                      // both ends present one
)

// Has reports whether all of m are in the set.
func (s TLSModes) Has(m TLSModes) bool { return s&m == m }

// List returns the members in the spelling of the tables.
func (s TLSModes) List() []string { return names(uint8(s), "none", "tls", "mtls") }

// String joins the members with a comma.
func (s TLSModes) String() string { return strings.Join(s.List(), ",") }

// Directions is the set of ways in which connections are opened, seen from the role of the row.
type Directions uint8

// Members of Directions.
const (
	Inbound Directions = 1 << iota
	Outbound
)

// Has reports whether all of d are in the set.
func (s Directions) Has(d Directions) bool { return s&d == d }

// List returns the members, inbound first.
func (s Directions) List() []string { return names(uint8(s), "inbound", "outbound") }

// String joins the members with a comma.
func (s Directions) String() string { return strings.Join(s.List(), ",") }

func names(set uint8, all ...string) []string {
	var out []string
	for i, n := range all {
		if set&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

func bits(text string, all ...string) (uint8, error) {
	var set uint8
next:
	for part := range strings.SplitSeq(text, ";") {
		for i, n := range all {
			if part == n {
				set |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%q is none of %s", part, strings.Join(all, ", "))
	}
	return set, nil
}
