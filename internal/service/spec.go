package service

import (
	"fmt"
	"io/fs"
	"strings"

	"parley/internal/porttable"
	"parley/internal/topology"
)

// Spec declares a service. It is a value without behaviour apart from Build,
// so that planning, documentation and tests can read it without a server.
type Spec struct {
	Name     string          // config section, metric label, schema owner; lower case, one word
	Roles    []topology.Role // hosted on a node that has any of these; empty means every node
	Needs    Needs           // what Host carries; a handle not asked for is nil
	Ports    []Port          // every listener the service may open
	Critical bool            // the node refuses to start without it
	Schema   fs.FS           // numbered migrations "NNNN_name.sql" at the root, or nil
	Handles  []string        // SIP: a method, or a method and what it is about: see below
	Paths    []string        // HTTP patterns, as http.ServeMux takes them
	Doc      string          // one sentence: what the service does; also heads its section of the node file
	Settings func() any      // a pointer to the service's section of the node file, with its defaults; or nil
	Build    func(Host) (Service, error)
}

// Handles names requests by method, and where one method serves several services
// by what it is about:
//
//	REGISTER                                  every one, and so for other methods
//	SUBSCRIBE presence                        of an event package; NOTIFY and PUBLISH too
//	SERVICE application/soap+xml              to a user, with a body of this media type
//	SERVICE domain                            to a domain of ours
//	INVITE message                            for a session of instant messages
//	* chat                                    any within a dialog whose Contact here was sip:chat@..., and SERVICE there

// Needs is a set of things a service asks of its node.
type Needs uint8

const (
	NeedSIP       Needs = 1 << iota // Host.SIP and Host.Proxy
	NeedStore                       // Host.Store
	NeedBus                         // Host.Bus
	NeedDirectory                   // Host.Directory
	NeedWeb                         // Host.Web
	NeedRaw                         // Host.Raw
	NeedAdmin                       // Host.Admin
)

// Has reports whether every need in n2 is in n.
func (n Needs) Has(n2 Needs) bool { return n&n2 == n2 }

// Transport says what is spoken on a listener.
type Transport string

const (
	UDP Transport = "udp" // SIP over UDP
	TCP Transport = "tcp" // SIP over TCP
	TLS Transport = "tls" // SIP over TLS
	WS  Transport = "ws"  // SIP over WebSocket (RFC 7118)
	WSS Transport = "wss" // SIP over secure WebSocket

	HTTP  Transport = "http"  // a web site in clear
	HTTPS Transport = "https" // a web site
)

// ClientCert says what a TLS listener asks of its peers.
type ClientCert uint8

const (
	NoClientCert      ClientCert = iota
	AskClientCert                // verified when the peer sends one: clients and servers share the port
	RequireClientCert            // mutual TLS: no certificate, no connection
)

// Port is one listener a service may open. Its number comes from the port
// table, so that what is open, what is printed and what is tested agree.
type Port struct {
	Row        string // id in the port table: "srv-fe-frontend-5061"
	Transport  Transport
	ClientCert ClientCert
	External   bool // of web sites: for those who come from outside, by the reverse proxy
	Inner      bool // of an Edge: on the addresses of its inner side only

	// Optional listeners open only when the node file switches them on
	// (listen.enable in parley.toml); the others always.
	Optional bool
	// Roles, if not empty, are those of nodes on which the port opens at all, of a service that does more than that.
	Roles []topology.Role
	// Extension, if not empty, marks a listener beside the table and says why
	// it exists. Row is then "ext-" and a name, and Number its port.
	Extension string
	Number    uint16 // also in place of the table's, where the topology has another
}

// Num returns the number of the port: of the table row, or of the extension.
func (p Port) Num() (uint16, error) {
	if p.Extension != "" || p.Number != 0 {
		return p.Number, nil
	}
	row, ok := porttable.ByID(p.Row)
	if !ok {
		return 0, fmt.Errorf("port table has no row %q", p.Row)
	}
	return uint16(row.PortFirst), nil
}

// Check reports what is wrong with the declaration itself.
func (s *Spec) Check() error {
	if s.Name == "" || strings.ToLower(s.Name) != s.Name || strings.ContainsAny(s.Name, " ./") {
		return fmt.Errorf("service %q: name must be one lower-case word", s.Name)
	}
	if s.Build == nil {
		return fmt.Errorf("service %s: no Build", s.Name)
	}
	if len(s.Handles) > 0 && !s.Needs.Has(NeedSIP) {
		return fmt.Errorf("service %s: handles SIP requests without NeedSIP", s.Name)
	}
	if s.Schema != nil && !s.Needs.Has(NeedStore) {
		return fmt.Errorf("service %s: has a schema without NeedStore", s.Name)
	}
	if len(s.Paths) > 0 && !s.Needs.Has(NeedWeb) {
		return fmt.Errorf("service %s: serves paths without NeedWeb", s.Name)
	}
	seen := map[string]bool{}
	for _, p := range s.Ports {
		if seen[p.Row] {
			return fmt.Errorf("service %s: port %s declared twice", s.Name, p.Row)
		}
		seen[p.Row] = true
		if n, err := p.Num(); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		} else if n == 0 {
			return fmt.Errorf("service %s: port %s has no number", s.Name, p.Row)
		}
		if p.Extension != "" && !strings.HasPrefix(p.Row, "ext-") {
			return fmt.Errorf("service %s: extension port %q must be named ext-...", s.Name, p.Row)
		}
		if p.ClientCert != NoClientCert && p.Transport != TLS && p.Transport != WSS && p.Transport != HTTPS {
			return fmt.Errorf("service %s: port %s asks for a client certificate without TLS", s.Name, p.Row)
		}
	}
	for _, h := range s.Handles {
		method, event, two := strings.Cut(h, " ")
		if method == "" || strings.ToUpper(method) != method || two && (event == "" || method == "SERVICE" && strings.ToLower(event) != event) {
			return fmt.Errorf("service %s: handles %q: want METHOD or METHOD and what it is about", s.Name, h)
		}
	}
	return nil
}

// HostedBy reports whether a node with these roles runs the service.
func (s *Spec) HostedBy(roles []topology.Role) bool {
	if len(s.Roles) == 0 {
		return true
	}
	for _, want := range s.Roles {
		for _, have := range roles {
			if want == have {
				return true
			}
		}
	}
	return false
}

// Port finds the declaration of a row.
func (s *Spec) Port(row string) (Port, bool) {
	for _, p := range s.Ports {
		if p.Row == row {
			return p, true
		}
	}
	return Port{}, false
}
