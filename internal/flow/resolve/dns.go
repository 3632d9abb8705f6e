package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Answers are remembered at most this long, refusals and empty answers at most negativeTTL.
const (
	maxTTL      = time.Hour
	minTTL      = time.Second
	negativeTTL = time.Minute
)

// udpSize is the EDNS0 buffer size that avoids fragments (DNS flag day 2020).
const udpSize = 1232

type question struct {
	name string
	typ  uint16
}

// entry is an answer, or an answer under way while done is open.
type entry struct {
	done    chan struct{}
	rrs     []dns.RR
	err     error // ErrNotFound is remembered, other errors are not
	expires time.Time
}

type cache struct {
	mu      sync.Mutex
	entries map[question]*entry
}

// ask returns the records of a name and type from memory or from DNS. Questions asked at the same time share one
// answer. No record is ErrNotFound.
func (r *Resolver) ask(ctx context.Context, name string, typ uint16) ([]dns.RR, error) {
	q := question{name, typ}
	for {
		r.cache.mu.Lock()
		e := r.cache.entries[q]
		if e == nil || e.finished() && !r.config.Now().Before(e.expires) {
			e = &entry{done: make(chan struct{})}
			r.cache.makeRoom(r.config.Entries, r.config.Now())
			r.cache.entries[q] = e
			r.cache.mu.Unlock()
			r.answer(ctx, q, e)
			return e.rrs, e.err
		}
		r.cache.mu.Unlock()
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		// Whoever asked may have given up; that is no reason for us to.
		if e.err == nil || errors.Is(e.err, ErrNotFound) || !isContext(e.err) {
			return e.rrs, e.err
		}
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (e *entry) finished() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// answer fills in an entry.
func (r *Resolver) answer(ctx context.Context, q question, e *entry) {
	rrs, ttl, err := r.query(ctx, q)
	e.rrs, e.err = rrs, err
	e.expires = r.config.Now().Add(ttl)
	r.cache.mu.Lock()
	if err != nil && !errors.Is(err, ErrNotFound) && r.cache.entries[q] == e {
		delete(r.cache.entries, q)
	}
	r.cache.mu.Unlock()
	close(e.done)
}

// makeRoom forgets what has expired, or anything at all, when the cache is full.
func (c *cache) makeRoom(limit int, now time.Time) {
	if len(c.entries) < limit {
		return
	}
	for q, e := range c.entries {
		if e.finished() && !now.Before(e.expires) {
			delete(c.entries, q)
		}
	}
	for q, e := range c.entries {
		if len(c.entries) < limit {
			return
		}
		if e.finished() {
			delete(c.entries, q)
		}
	}
}

// query asks one server after the other until one has an answer.
func (r *Resolver) query(ctx context.Context, q question) (rrs []dns.RR, ttl time.Duration, err error) {
	servers := r.config.Servers
	if len(servers) == 0 {
		c, err := dns.ClientConfigFromFile(r.config.ResolvConf)
		if err != nil {
			return nil, 0, fmt.Errorf("find name servers: %w", err)
		}
		for _, s := range c.Servers {
			servers = append(servers, net.JoinHostPort(s, c.Port))
		}
	}
	if _, ok := dns.IsDomainName(q.name); !ok {
		return nil, negativeTTL, ErrNotFound
	}
	err = errors.New("no name servers")
	for range 2 {
		for _, s := range servers {
			var m *dns.Msg
			if m, err = r.exchange(ctx, s, q); err == nil {
				return reply(m, q)
			}
			if ctx.Err() != nil {
				return nil, 0, context.Cause(ctx)
			}
		}
	}
	return nil, 0, fmt.Errorf("ask for %s %s: %w", q.name, dns.TypeToString[q.typ], err)
}

// exchange asks one server, over TCP where the answer does not fit a datagram.
func (r *Resolver) exchange(ctx context.Context, server string, q question) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.typ)
	m.SetEdns0(udpSize, false)
	in, err := r.exchangeOver(ctx, "udp", server, m)
	if err == nil && in.Truncated {
		in, err = r.exchangeOver(ctx, "tcp", server, m)
	}
	if err != nil {
		return nil, err
	}
	if in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("%s answers %s", server, dns.RcodeToString[in.Rcode])
	}
	return in, nil
}

func (r *Resolver) exchangeOver(ctx context.Context, network, server string, m *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Net: network, Timeout: r.config.Timeout, UDPSize: udpSize}
	conn, err := c.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // the client itself looks at deadlines only
	in, _, err := c.ExchangeWithConnContext(ctx, m, conn)
	return in, err
}

// reply takes the records out of an answer and finds how long they hold.
func reply(m *dns.Msg, q question) (rrs []dns.RR, ttl time.Duration, err error) {
	ttl = maxTTL
	for _, rr := range m.Answer {
		switch rr.Header().Rrtype {
		case q.typ:
			rrs = append(rrs, rr)
		case dns.TypeCNAME: // the name server has followed it
		default:
			continue
		}
		ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
	}
	if len(rrs) > 0 {
		return rrs, max(ttl, minTTL), nil
	}
	ttl = negativeTTL
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok { // RFC 2308 section 5
			ttl = min(ttl, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
		}
	}
	return nil, max(ttl, minTTL), ErrNotFound
}
