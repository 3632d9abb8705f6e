package node

import (
	"context"
	"net/netip"
	"strings"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/topology"
)

// reachable are the transports by which this node sends to others, best first.
var reachable = []flow.Transport{flow.TLS, flow.TCP, flow.UDP}

// resolver finds where a request goes: servers of the topology by the addresses
// written there, everybody else by DNS (RFC 3263). A deployment works without
// any DNS that way.
type resolver struct {
	topology topology.Source
	dns      flow.Resolver
}

// Resolve implements flow.Resolver.
func (r *resolver) Resolve(ctx context.Context, uri sip.URI) ([]flow.Target, error) {
	name := strings.ToLower(string(uri.Host))
	var addresses []netip.Addr
	if m, ok := r.topology().Machine(topology.FQDN(name)); ok {
		addresses = m.Addresses
	} else if _, ok := r.topology().Pool(topology.FQDN(name)); ok {
		for _, m := range r.topology().Members(topology.FQDN(name)) {
			addresses = append(addresses, m.Addresses...) // each has a certificate for the pool as well
		}
	}
	if len(addresses) == 0 {
		return r.dns.Resolve(ctx, uri)
	}
	transport := flow.TLS
	if text, ok := uri.Param("transport"); ok {
		if t, known := flow.ParseTransport(string(text)); known && !uri.Secure {
			transport = t
		}
	}
	port := uri.Port
	if port == 0 {
		port = transport.DefaultPort()
	}
	var out []flow.Target
	for _, a := range addresses {
		out = append(out, flow.Target{Transport: transport, Addr: netip.AddrPortFrom(a, port), ServerName: name})
	}
	return out, nil
}
