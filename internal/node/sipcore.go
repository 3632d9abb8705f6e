package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"

	"parley/internal/contract/binding"
	"parley/internal/flow"
	"parley/internal/flow/resolve"
	"parley/internal/gate"
	"parley/internal/obs"
	"parley/internal/proxy"
	"parley/internal/route"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
)

// The trace keeps this much. It is memory of the process, so it is small
// beside what connections need, and still holds the last thousands of messages.
const (
	traceBytes    = 4 << 20
	traceMessages = 8192
)

// buildSIP joins flow, stack, gate, proxy and route. Nothing listens yet.
func (n *Node) buildSIP(ctx context.Context) error {
	routeKey, err := secret(ctx, n.store, n.keys, "route tokens")
	if err != nil {
		return fmt.Errorf("key of route tokens: %w", err)
	}
	gruuKey, err := secret(ctx, n.store, n.keys, "gruu")
	if err != nil {
		return fmt.Errorf("key of temporary GRUUs: %w", err)
	}
	n.newMetrics()
	n.calls = newCalls()
	n.trace = obs.NewTrace(traceBytes, traceMessages)
	n.bindings = binding.NewTable()
	n.gruu = binding.NewCoder(gruuKey)

	n.stack = stack.New(stack.Config{
		Log:       n.log,
		Open:      n.opened,
		Admit:     func(tx *stack.ServerTxn) error { return n.gate.Admit(tx) },
		Screen:    func(f *flow.Flow, m *sip.Message) bool { return n.gate.Screen(f, m) },
		Route:     n.route,
		Responded: n.responded,
		HostPort:  n.hostPort,
		Now:       n.now,
	})
	limits := n.file.Load().Limits
	n.layer = flow.New(flow.Config{
		Handler:   n.stack,
		Resolver:  &resolver{topology: n.topo.Current, dns: resolve.New(resolve.Config{Transports: reachable})},
		Log:       n.log,
		ClientTLS: func(t flow.Target) (*tls.Config, error) { return n.certs.Client(t.ServerName), nil },
		Limits: flow.Limits{Message: n.lims.Load().client, Conns: limits.Connections,
			ConnsPerIP: limits.PerAddress},
	})
	n.layer.SetTrace(n.traceFlow)
	n.web.WebSocket = n.layer.WebSocketHandler()
	n.proxy = proxy.New(proxy.Config{Stack: n.stack, Log: n.log, Host: n.fqdn(), People: n.dir, Alive: n.members.Alive, Key: routeKey, IsLocal: n.isSelf, Media: n.buildMedia()})
	n.gate, err = gate.New(gate.Config{
		Users:    n.dir,
		Log:      n.log,
		Identify: n.identify,
		InDialog: func(tx *stack.ServerTxn) bool { _, token := n.proxy.OwnRoutes(tx.Request()); return token },
		IsSelf:   n.isSelf,
		Reachable: func(host []byte) bool {
			_, ok := n.staticRoute(string(host), true)
			return ok
		},
		Limits:   n.gateLimits(),
		Settings: auth(n.file.Load()).settings(),
		Now:      n.now,
	})
	if err != nil {
		return err
	}
	n.router = route.New(route.Config{
		Users:       n.dir,
		Bindings:    n.bindings,
		GRUU:        n.gruu,
		Proxy:       n.proxy,
		Handler:     n.handler,
		IsSelf:      n.isSelf,
		StaticRoute: n.staticRoute,
		Host:        n.fqdn(),
		OtherPool:   n.otherPool,
		Events:      n.eventPackages,
	})
	n.stack.Start(n.layer)
	n.release("SIP transactions", n.stack.Stop)
	n.release("SIP connections", n.layer.Close)
	n.health.Add("store", n.storeState.get)
	n.health.Add("bus", n.busState.get)
	n.registerMetrics()
	return nil
}

func (n *Node) gateLimits() gate.Limits {
	l := n.lims.Load()
	return gate.Limits{Client: l.client, Server: l.server}
}

// opened lets the gate look at a new flow. An application may be held to the
// limits of clients all the same.
func (n *Node) opened(f *flow.Flow) error {
	if err := n.gate.Opened(f); err != nil {
		return err
	}
	if p, ok := n.topo.Current().Peer(f.Identity().Name); ok && p.ThrottleAsClient {
		f.SetLimits(&n.lims.Load().client)
	}
	n.reuse(f)
	return nil
}

// reuse has a connection that another member of the pool made serve for what is
// sent to that member as well (RFC 5923): a member that drains takes no new
// connections, and its calls still go on.
func (n *Node) reuse(f *flow.Flow) {
	id := f.Identity()
	if id.Class != uc.Member || f.Dialled() || f.Transport() != flow.TLS {
		return
	}
	m, ok := n.topo.Current().Machine(topology.FQDN(id.Name))
	if !ok {
		return
	}
	for _, a := range m.Addresses {
		n.layer.Alias(f, flow.Target{Transport: flow.TLS, Addr: netip.AddrPortFrom(a, flow.TLS.DefaultPort()), ServerName: id.Name})
	}
}

// identify maps a certificate to the trust class its owner has by the
// topology. A peer that is to be challenged like a client is nobody yet.
func (n *Node) identify(chain []*x509.Certificate) (uc.Identity, error) {
	peer, err := n.certs.Identify(chain, n.topo.Current())
	if err != nil {
		return uc.Identity{}, err
	}
	id := uc.Identity{Name: string(peer.Name)}
	switch {
	case peer.Kind == topology.PeerGateway:
		id.Class = uc.Trunk
	case peer.Kind == topology.PeerApplication && peer.Challenge:
		return uc.Identity{}, nil
	case peer.Kind == topology.PeerApplication:
		id.Class = uc.TrustedServer
	case peer.Has(topology.RoleEdge):
		id.Class = uc.Edge
	case string(peer.Pool) == n.pool():
		id.Class = uc.Member
	default:
		id.Class = uc.TrustedServer
	}
	return id, nil
}

// hostPort is how the peer of a flow reaches this node. Servers know it by the
// name in its certificate (RFC 5922), everybody else by the address they used.
func (n *Node) hostPort(f *flow.Flow) string {
	if !f.Transport().Secure() || !f.Identity().Class.Server() {
		return ""
	}
	for _, l := range n.listeners.all() {
		if l.flow != nil && l.flow.Transport() == f.Transport() {
			return fmt.Sprintf("%s:%d", n.fqdn(), l.flow.Addr().Port())
		}
	}
	return ""
}

// otherPool reports whether a name is that of a pool of this deployment that this
// node is no member of.
func (n *Node) otherPool(name string) bool {
	if name == n.pool() {
		return false
	}
	_, ok := n.topo.Current().Pool(topology.FQDN(name))
	return ok
}

func (n *Node) staticRoute(host string, phone bool) (topology.StaticRoute, bool) {
	return n.topo.Current().StaticRoute(host, phone, topology.FQDN(n.pool()))
}

// route takes a request that was admitted. While the node is not up yet, or
// going down, what would begin something new is asked to come back later.
func (n *Node) route(tx *stack.ServerTxn) {
	if p := n.phase(); p != running_ && n.notNow(p, tx) {
		tx.Respond(503, "", sip.Header{Name: "Retry-After", Value: "5"})
		return
	}
	n.router.Serve(tx)
}

func (n *Node) notNow(p phase, tx *stack.ServerTxn) bool {
	if tx.Method() == sip.ACK || len(tx.Request().ToTag()) > 0 {
		return p == starting && tx.Method() != sip.ACK
	}
	switch tx.Method() {
	case sip.INVITE, sip.SUBSCRIBE:
		return true
	}
	return p != draining // a REGISTER is sent to another member then: see service registrar
}
