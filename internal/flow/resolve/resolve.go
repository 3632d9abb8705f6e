// Package resolve finds where a SIP request goes (RFC 3263): from a URI to transports, addresses and ports, in the
// order in which to try them. It asks DNS itself, because NAPTR and TTLs are out of reach of the net package, and
// remembers answers as long as they say.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"parley/internal/flow"
	"parley/internal/sip"
)

// Errors that Resolve returns, wrapped with the name they are about.
var (
	// ErrNotFound says that DNS knows no way to reach the name: asking again will not help soon.
	ErrNotFound = errors.New("no such host")
	// ErrUnavailable says that the name declares not to offer the service (RFC 2782: a target of ".").
	ErrUnavailable = errors.New("service not offered")
	// ErrTransport says that the URI asks for a transport that does not exist, is not enabled or contradicts sips.
	ErrTransport = errors.New("transport not possible")
	// ErrScheme says that the URI is neither sip nor sips.
	ErrScheme = errors.New("not a SIP URI")
)

// Config is what a Resolver is made of. Zero values mean defaults.
type Config struct {
	Servers    []string         // name servers as "host:port"; none means those of ResolvConf
	ResolvConf string           // /etc/resolv.conf
	Hosts      string           // /etc/hosts; "-" for none
	Transports []flow.Transport // what we can send by, best first: TLS, TCP, UDP
	NoIPv6     bool             // ask for A only
	Timeout    time.Duration    // for one question to one server (2 s)
	Entries    int              // answers to remember (4,096)
	Rand       func(n int) int  // a number from 0 to n-1, for SRV weights
	Now        func() time.Time
}

// Resolver resolves SIP URIs. Its methods may be called from any goroutine.
type Resolver struct {
	config Config
	hosts  hosts
	cache  cache
}

var _ flow.Resolver = (*Resolver)(nil)

// New returns a resolver.
func New(c Config) *Resolver {
	c.ResolvConf = cmp.Or(c.ResolvConf, "/etc/resolv.conf")
	c.Hosts = cmp.Or(c.Hosts, "/etc/hosts")
	c.Timeout = cmp.Or(c.Timeout, 2*time.Second)
	c.Entries = cmp.Or(c.Entries, 4096)
	if c.Transports == nil {
		c.Transports = []flow.Transport{flow.TLS, flow.TCP, flow.UDP}
	}
	if c.Rand == nil {
		c.Rand = rand.IntN
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &Resolver{config: c, hosts: hosts{path: c.Hosts}}
	r.cache.entries = make(map[question]*entry)
	return r
}

// Resolve returns where a request for uri can be sent, in the order to try. The server name of each target is the
// host of the URI, which is what a certificate must show, whatever DNS said on the way (RFC 5922 section 4).
func (r *Resolver) Resolve(ctx context.Context, uri sip.URI) ([]flow.Target, error) {
	if uri.Kind != sip.SIPURI {
		return nil, ErrScheme
	}
	host := string(uri.Host)
	if m, ok := uri.Param("maddr"); ok && len(m) > 0 {
		host = string(m)
	}
	named := ""
	if p, ok := uri.Param("transport"); ok {
		named = string(p)
	}
	ts, err := r.lookup(ctx, strings.Trim(host, "[]"), uri.Port, named, uri.Secure)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	return ts, nil
}

// lookup is sections 4.1 and 4.2.
func (r *Resolver) lookup(ctx context.Context, host string, port uint16, named string, secure bool) ([]flow.Target, error) {
	t, err := r.transport(named, secure)
	if err != nil {
		return nil, err
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		t = r.orDefault(t, secure)
		return r.usable([]flow.Target{{Transport: t, Addr: netip.AddrPortFrom(addr.Unmap(), cmp.Or(port, t.DefaultPort())), ServerName: host}})
	}
	if port != 0 {
		t = r.orDefault(t, secure)
		return r.addresses(ctx, host, port, t, host)
	}
	if t != 0 {
		if prefix := srvPrefix(t); prefix != "" {
			ts, err := r.SRV(ctx, prefix+host, t, host)
			if len(ts) > 0 || err != nil {
				return ts, err
			}
		}
		return r.addresses(ctx, host, t.DefaultPort(), t, host)
	}
	ts, err := r.naptr(ctx, host, secure)
	if len(ts) > 0 || err != nil {
		return ts, err
	}
	t = r.orDefault(0, secure)
	return r.addresses(ctx, host, t.DefaultPort(), t, host)
}

// transport reads the transport parameter. It returns 0 when the URI leaves the choice to us.
func (r *Resolver) transport(named string, secure bool) (flow.Transport, error) {
	if named == "" {
		return 0, nil
	}
	t, ok := flow.ParseTransport(named)
	if !ok {
		return 0, fmt.Errorf("%w: %q", ErrTransport, named)
	}
	if secure {
		switch t {
		case flow.TCP:
			t = flow.TLS
		case flow.WS:
			t = flow.WSS
		case flow.UDP:
			return 0, fmt.Errorf("%w: sips over UDP", ErrTransport)
		}
	}
	if !slices.Contains(r.config.Transports, t) {
		return 0, fmt.Errorf("%w: %s", ErrTransport, t)
	}
	return t, nil
}

// orDefault returns t, or the transport to use where nothing else is known: TLS for sips, else UDP, or TCP where
// UDP is not enabled.
func (r *Resolver) orDefault(t flow.Transport, secure bool) flow.Transport {
	switch {
	case t != 0:
		return t
	case secure:
		return flow.TLS
	case slices.Contains(r.config.Transports, flow.UDP):
		return flow.UDP
	}
	return flow.TCP
}

// usable refuses targets of a transport that is not enabled.
func (r *Resolver) usable(ts []flow.Target) ([]flow.Target, error) {
	for _, t := range ts {
		if !slices.Contains(r.config.Transports, t.Transport) {
			return nil, fmt.Errorf("%w: %s", ErrTransport, t.Transport)
		}
	}
	return ts, nil
}

// naptr finds the transports a domain prefers, by its NAPTR records or, without any, by which SRV records it has.
// It returns nothing when the domain has neither.
func (r *Resolver) naptr(ctx context.Context, host string, secure bool) ([]flow.Target, error) {
	rrs, err := r.ask(ctx, host, dns.TypeNAPTR)
	if err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() != nil {
		return nil, err
	}
	var records []*dns.NAPTR // a server that cannot answer NAPTR is treated as one that has none
	for _, rr := range rrs {
		if n, ok := rr.(*dns.NAPTR); ok && strings.EqualFold(n.Flags, "s") && r.service(n.Service, secure) != 0 {
			records = append(records, n)
		}
	}
	slices.SortStableFunc(records, func(a, b *dns.NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	var all []flow.Target
	var failed error
	for _, n := range records {
		ts, err := r.SRV(ctx, strings.TrimSuffix(n.Replacement, "."), r.service(n.Service, secure), host)
		all = append(all, ts...)
		failed = cmp.Or(failed, err)
	}
	if len(records) > 0 {
		if len(all) == 0 {
			return nil, cmp.Or(failed, error(ErrNotFound))
		}
		return all, nil
	}
	for _, t := range r.config.Transports {
		prefix := srvPrefix(t)
		if prefix == "" || secure && !t.Secure() {
			continue
		}
		ts, err := r.SRV(ctx, prefix+host, t, host)
		all = append(all, ts...)
		failed = cmp.Or(failed, err)
	}
	if len(all) == 0 {
		return nil, failed
	}
	return all, nil
}

// service returns the enabled transport that a NAPTR service stands for, 0 for none (RFC 3263 section 4.1, RFC 7118
// section 9).
func (r *Resolver) service(s string, secure bool) flow.Transport {
	var t flow.Transport
	switch strings.ToUpper(s) {
	case "SIP+D2U":
		t = flow.UDP
	case "SIP+D2T":
		t = flow.TCP
	case "SIPS+D2T":
		t = flow.TLS
	case "SIP+D2W":
		t = flow.WS
	case "SIPS+D2W":
		t = flow.WSS
	}
	if secure && !t.Secure() || !slices.Contains(r.config.Transports, t) {
		return 0
	}
	return t
}

// srvPrefix returns what stands before the domain in the name of a transport's SRV records.
func srvPrefix(t flow.Transport) string {
	switch t {
	case flow.UDP:
		return "_sip._udp."
	case flow.TCP:
		return "_sip._tcp."
	case flow.TLS:
		return "_sips._tcp."
	}
	return ""
}

// addresses returns the addresses of a host, IPv4 first.
func (r *Resolver) addresses(ctx context.Context, host string, port uint16, t flow.Transport, serverName string) ([]flow.Target, error) {
	addrs, err := r.host(ctx, host)
	if err != nil {
		return nil, err
	}
	ts := make([]flow.Target, len(addrs))
	for i, a := range addrs {
		ts[i] = flow.Target{Transport: t, Addr: netip.AddrPortFrom(a, port), ServerName: serverName}
	}
	return r.usable(ts)
}

// host returns the addresses of a host: from the hosts file, else from DNS.
func (r *Resolver) host(ctx context.Context, name string) ([]netip.Addr, error) {
	if addrs := r.hosts.lookup(name); len(addrs) > 0 {
		return addrs, nil
	}
	var addrs []netip.Addr
	var failed error
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if typ == dns.TypeAAAA && r.config.NoIPv6 {
			continue
		}
		rrs, err := r.ask(ctx, name, typ)
		if err != nil && !errors.Is(err, ErrNotFound) {
			failed = err
		}
		for _, rr := range rrs {
			var ip []byte
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	if len(addrs) == 0 {
		return nil, cmp.Or(failed, error(ErrNotFound))
	}
	return addrs, nil
}
