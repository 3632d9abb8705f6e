// Package avedge is the media relay of the A/V Edge: TURN (RFC 8656) and the dialect of it that Lync clients speak
// ([MS-TURN]) on 3478/udp and 443/tcp, and the credentials for it, by SIP as clients of Lync ask for them ([MS-AVEDGEA]) and
// by HTTPS in the customary form. The relay itself is the machine of internal/media/turn; here are its sockets,
// which peers it may send to, and who gets credentials.
//
// The relay runs on Edges, and on Front Ends whose pool has the role media-relay. Its secret stays on the machine that made
// it: a Front End without a relay asks an Edge for credentials, by SIP over mutual TLS on 5062 of the Edge's inner side.
package avedge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"parley/internal/config"
	"parley/internal/media/turn"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/topology"
	"parley/internal/xmldoc/mras"
)

// relayRoles are those of nodes with a relay.
var relayRoles = []topology.Role{topology.RoleEdge, topology.RoleMediaRelay}

// The ports.
var (
	portUDP = service.Port{Row: porttable.CliTurn3478, Transport: service.TURNUDP, Roles: relayRoles}
	portTCP = service.Port{Row: porttable.CliTurn443, Transport: service.TURNTCP, Roles: relayRoles}
	portAsk = service.Port{Row: "ext-edge-mras-5062", Transport: service.TLS, ClientCert: service.RequireClientCert, Number: 5062, Inner: true,
		Extension: "Credentials for the media relay, on the inner side of an Edge (row edge-int-auth-5062 of the plan)",
		Roles:     []topology.Role{topology.RoleEdge}}
)

// Name is the user part of the URI that clients are told to ask for credentials.
const Name = "mras"

// Path is where credentials are handed out by HTTPS.
const Path = "/turn"

// Spec declares the service.
var Spec = service.Spec{
	Name:     "avedge",
	Doc:      "The media relay (TURN), and the credentials for it.",
	Roles:    []topology.Role{topology.RoleFrontEnd, topology.RoleEdge, topology.RoleMediaRelay},
	Needs:    service.NeedSIP | service.NeedWeb | service.NeedRaw,
	Ports:    []service.Port{portUDP, portTCP, portAsk},
	Handles:  []string{"SERVICE " + mras.MediaType, "* " + Name},
	Paths:    []string{Path},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	Secret      config.Secret `toml:"secret" doc:"What user names are signed with, at least 16 characters. Empty: made by the node, and shared by the members of a Front End pool. Edges behind one balancer, and other relays that shall take the same credentials, need the same. Never logged." reload:"restart"`
	Hours       int           `toml:"hours" doc:"How long credentials are good, 1 to 24." reload:"restart"`
	Allocations int           `toml:"allocations" doc:"How many relay addresses there may be." reload:"restart"`
	PerUser     int           `toml:"per-user" doc:"How many relay addresses a user may have. A call of a browser takes up to three for each medium and way." reload:"restart"`
	PortRate    int           `toml:"port-rate" doc:"What an address may relay each way, in kbit/s; 0 for no bound." reload:"restart"`
	UserRate    int           `toml:"user-rate" doc:"What all addresses of a user may relay each way, in kbit/s; 0 for no bound." reload:"restart"`
	Threads     int           `toml:"threads" doc:"How many share the clients between them; 0 for one for two cores." reload:"restart"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{Hours: 8, Allocations: 4000, PerUser: 40, PortRate: 3000, UserRate: 10000}

func (s *Settings) check() error {
	switch {
	case s.Secret.Reveal() != "" && len(s.Secret.Reveal()) < 16:
		return errors.New("avedge: secret is shorter than 16 characters")
	case s.Hours < 1 || s.Hours > 24:
		return fmt.Errorf("avedge: hours = %d: want 1 to 24", s.Hours)
	case s.Allocations < 1 || s.PerUser < 1 || s.PortRate < 0 || s.UserRate < 0 || s.Threads < 0 || s.Threads > 64:
		return errors.New("avedge: a bound is negative, or no allocation is allowed")
	}
	return nil
}

// Service is the running service.
type Service struct {
	host     service.Host
	settings *Settings
	secret   turn.Secret

	relay    atomic.Pointer[relay]
	policy   atomic.Pointer[policy]
	udp, tcp uint16 // where clients reach the relay
	answers  [len(reasons)]atomic.Uint64
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	s := &Service{host: h, settings: &DefaultSettings}
	if n, ok := h.Settings.(*Settings); ok && n != nil {
		s.settings = n
	}
	return s, s.settings.check()
}

// machine is this node in the topology.
func (s *Service) machine() (*topology.Snapshot, *topology.Machine, bool) {
	topo := s.host.Topology()
	m, ok := topo.Node(topology.FQDN(s.host.Node.FQDN))
	return topo, m, ok && m.Pool != nil
}

// Start opens the relay where there is one.
func (s *Service) Start(ctx context.Context) error {
	if err := s.host.Metrics.Register(collector{s}); err != nil {
		return err
	}
	_, m, ok := s.machine()
	if !ok || !m.Has(topology.RoleEdge) && !m.Has(topology.RoleMediaRelay) {
		return nil
	}
	s.secret = turn.Secret(s.settings.Secret.Reveal())
	if len(s.secret) == 0 {
		made, err := s.host.Raw.Secret(ctx, "media relay")
		if err != nil {
			return fmt.Errorf("secret of the relay: %w", err)
		}
		s.secret = made
	}
	if err := s.open(ctx, m); err != nil {
		return err
	}
	if m.Has(topology.RoleEdge) {
		if _, err := s.host.Listen(ctx, portAsk.Row); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) open(ctx context.Context, m *topology.Machine) error {
	e := m.Pool.EdgeSettings
	ports := e.RelayPorts()
	r, err := newRelay(relayConfig{log: s.host.Log, pool: newPool(ports.Start, int(ports.Count)), workers: s.settings.Threads, machine: turn.Config{
		Secret: s.secret, Realm: s.realm(), Allowed: s.allowed, PortRate: int64(s.settings.PortRate) * 125,
		Users: turn.NewUsers(s.settings.PerUser, s.settings.Allocations, int64(s.settings.UserRate)*125),
	}})
	if err != nil {
		return err
	}
	s.relay.Store(r)
	s.place(r, m)
	s.judge()
	at, err := s.host.Raw.Packets(ctx, portUDP, r.listen)
	if err != nil {
		return err
	}
	s.udp = at[0].Port()
	p := portTCP
	if m.Has(topology.RoleEdge) {
		p.Number = e.AVPort()
	}
	at, err = s.host.Raw.Streams(ctx, p, r.serve)
	if err != nil {
		return err
	}
	s.tcp = at[0].Port()
	return nil
}

// realm is that of the digests of this deployment.
func (s *Service) realm() string { return string(s.host.Topology().DefaultDomain()) }

// place finds the addresses that relay ports are bound to, and how others see them.
func (s *Service) place(r *relay, m *topology.Machine) {
	bind, shown := m.Addresses, []netip.Addr(nil)
	if m.Has(topology.RoleEdge) && m.Server != nil {
		x := m.Server.External.Fill()
		if len(x.AV) > 0 {
			bind, shown = x.AV, x.PublicAV
		}
	} else if listen := s.host.Raw.Addresses(); len(listen) > 0 {
		bind, shown = listen, m.Addresses
	}
	for i, a := range bind {
		a = a.Unmap()
		seen := a
		if i < len(shown) && shown[i].Is4() == a.Is4() {
			seen = shown[i].Unmap()
		}
		switch {
		case a.Is4() && !r.v4.bind.IsValid():
			r.v4.bind, r.v4.shown = own(a), seen
		case a.Is6() && !r.v6.bind.IsValid():
			r.v6.bind, r.v6.shown = own(a), seen
		}
	}
}

// Drain refuses nothing: an allocation that exists goes on until its client ends it, and calls are waited for elsewhere.
func (s *Service) Drain(context.Context) error { return nil }

// Stop ends the relay.
func (s *Service) Stop(ctx context.Context) error {
	s.host.Metrics.Unregister(collector{s})
	if r := s.relay.Load(); r != nil {
		return r.close(ctx)
	}
	return nil
}
