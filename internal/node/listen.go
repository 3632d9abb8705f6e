package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/flow"
	"parley/internal/obs"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/adminapi"
)

// defaultOffset shifts ports below 1024 that may not be bound and for which
// the node file names no offset: 443 becomes 10443.
const defaultOffset = 10000

// listeners are the open ones, and the shift of ports below 1024.
type listeners struct {
	mu     sync.Mutex
	open   []openListener
	offset int // 0 until a port below 1024 needs one, or as the node file says
}

type openListener struct {
	service string
	port    service.Port
	flow    *flow.Listener // nil for web sites
	addr    netip.AddrPort
}

// listen opens a port that service svc declared. It is what Host.Open calls.
func (n *Node) listen(ctx context.Context, svc string, p service.Port) (netip.AddrPort, error) {
	cfg := n.file.Load().Listen
	if p.Optional && !cfg.Enabled(p.Row) || !p.OpensOn(n.roles()) {
		return netip.AddrPort{}, nil
	}
	open, err := n.listenEach(svc, p, func(addr netip.AddrPort) (l openListener, err error) {
		if p.Transport == service.HTTP || p.Transport == service.HTTPS {
			l.addr, err = n.bindHTTP(p, addr)
		} else if l.flow, err = n.bind(ctx, p, addr); err == nil {
			l.addr = l.flow.Addr()
		}
		return l, err
	})
	if err != nil {
		return netip.AddrPort{}, err
	}
	return open[0], nil
}

// listenEach calls bind for every address of a port, and notes what is open. Addresses are those before any shift.
func (n *Node) listenEach(svc string, p service.Port, bind func(netip.AddrPort) (openListener, error)) ([]netip.AddrPort, error) {
	for _, l := range n.listeners.all() {
		if l.port.Row == p.Row {
			return nil, fmt.Errorf("already open for service %s", l.service)
		}
	}
	addrs, err := n.addresses(p, n.file.Load().Listen)
	if err != nil {
		return nil, err
	}
	var open []netip.AddrPort
	for _, addr := range addrs {
		l, err := bind(addr)
		if err != nil {
			return nil, err
		}
		l.service, l.port = svc, p
		n.listeners.mu.Lock()
		n.listeners.open = append(n.listeners.open, l)
		n.listeners.mu.Unlock()
		open = append(open, l.addr)
	}
	n.updateSelf()
	return open, nil
}

func (ls *listeners) all() []openListener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return append([]openListener(nil), ls.open...)
}

// addresses says where a port is bound, before any shift.
func (n *Node) addresses(p service.Port, cfg config.Listen) ([]netip.AddrPort, error) {
	if a, ok := n.opt.Listen[p.Row]; ok {
		return []netip.AddrPort{a}, nil
	}
	number, err := p.Num()
	if err != nil {
		return nil, err
	}
	if m, ok := n.topo.Current().Node(n.file.Load().Node.FQDN); ok && p.Inner && len(m.Addresses) > 0 {
		var out []netip.AddrPort
		for _, a := range m.Addresses {
			out = append(out, netip.AddrPortFrom(a, number))
		}
		return out, nil
	}
	if len(cfg.Addresses) == 0 {
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), number)}, nil
	}
	var out []netip.AddrPort
	for _, a := range cfg.Addresses {
		out = append(out, netip.AddrPortFrom(a, number))
	}
	return out, nil
}

// bind opens a listener, shifted when that is asked for or when the port is
// one that only a privileged process may have.
func (n *Node) bind(ctx context.Context, p service.Port, addr netip.AddrPort) (*flow.Listener, error) {
	spec := flow.ListenSpec{Row: p.Row, Limits: &n.lims.Load().client}
	switch p.Transport {
	case service.UDP:
		spec.Transport = flow.UDP
	case service.TCP:
		spec.Transport = flow.TCP
	case service.TLS:
		spec.Transport = flow.TLS
	case service.WS:
		spec.Transport = flow.WS
	case service.WSS:
		spec.Transport = flow.WSS
	default:
		return nil, fmt.Errorf("transport %q is not SIP", p.Transport)
	}
	if spec.Transport.Secure() {
		spec.TLS = n.certs.Server(clientAuth(p.ClientCert))
	}
	return bindShifted(n, addr, func(a netip.AddrPort) (*flow.Listener, error) {
		spec.Addr = a
		l, err := n.layer.Listen(ctx, spec)
		if errors.Is(err, syscall.EAFNOSUPPORT) && a.Addr() == netip.IPv6Unspecified() {
			spec.Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()) // a machine without IPv6
			l, err = n.layer.Listen(ctx, spec)
		}
		return l, err
	})
}

func clientAuth(c service.ClientCert) cert.ClientAuth {
	switch c {
	case service.AskClientCert:
		return cert.AskClientCert
	case service.RequireClientCert:
		return cert.RequireClientCert
	}
	return cert.NoClientCert
}

// bindShifted calls open with addr, or with a shifted port when addr's is
// below 1024 and either an offset is configured or the system does not allow
// the port. The first refusal decides for every later port, so that all are
// shifted by one number.
func bindShifted[L any](n *Node, addr netip.AddrPort, open func(netip.AddrPort) (L, error)) (L, error) {
	if addr.Port() == 0 || addr.Port() >= 1024 {
		return open(addr)
	}
	if offset := n.offset(); offset != 0 {
		return open(shift(addr, offset))
	}
	l, err := open(addr)
	if !errors.Is(err, os.ErrPermission) {
		return l, err
	}
	n.listeners.mu.Lock()
	n.listeners.offset = defaultOffset
	n.listeners.mu.Unlock()
	n.log.Warn("ports below 1024 are not allowed here: shifting them; set listen.offset to choose the shift, or grant the process CAP_NET_BIND_SERVICE",
		"offset", defaultOffset, obs.KeyAddr, addr.String())
	return open(shift(addr, defaultOffset))
}

func shift(addr netip.AddrPort, offset int) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr(), porttable.Offset(addr.Port(), offset))
}

// offset is the shift in force.
func (n *Node) offset() int {
	n.listeners.mu.Lock()
	defer n.listeners.mu.Unlock()
	if n.listeners.offset == 0 {
		n.listeners.offset = n.file.Load().Listen.Offset
	}
	return n.listeners.offset
}

// listenerStatus shows the open listeners.
func (n *Node) listenerStatus() []adminapi.Listener {
	out := []adminapi.Listener{}
	for _, l := range n.listeners.all() {
		out = append(out, adminapi.Listener{Row: l.port.Row, Service: l.service, Transport: string(l.port.Transport),
			Address: l.addr.String(), Extension: l.port.Extension})
	}
	return out
}
