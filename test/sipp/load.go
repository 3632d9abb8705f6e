package sipp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"parley/test/phone"
)

// Load runs one kind of work against one server over one transport: it signs phones in, starts what must
// answer, sends, and reports.
type Load struct {
	Transport string // "udp", "tcp", "tls"
	Server    netip.AddrPort
	TLS       *tls.Config // for "tls"
	// Tunnel is a Stunnel in whose hands TLS lies instead. What is behind it is reached by the connection it
	// came on alone, as a phone behind a firewall is.
	Tunnel  netip.AddrPort
	Domain  string
	Users   []phone.Account // who registers, in kind "register"
	Callers []phone.Account // who sends; all signed in on one connection, and taken in turn
	Callees []phone.Account // who is called; all signed in on one other connection, and taken in turn
	Dir     string
	// NoRetransmit makes a lost datagram a failed call, for the search of the highest rate.
	NoRetransmit bool
	// Patience is how long a Work may take; zero means ten times the plan and a minute.
	Patience time.Duration
	// Lossy says that datagrams are lost on purpose, so that an ACK may never arrive.
	Lossy bool
}

// Run does n units of kind at rate a second: Open, Work and Close.
func (l *Load) Run(ctx context.Context, kind string, n, rate int) (*Result, error) {
	s, err := l.Open(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Work(ctx, n, rate)
}

// Session is a load whose phones are signed in and whose answering side is up.
type Session struct {
	l      *Load
	client Run
	close  []func() // undone in reverse order
}

// Open prepares one kind of work: "register", "message" or "call".
func (l *Load) Open(ctx context.Context, kind string) (*Session, error) {
	s := &Session{l: l}
	var err error
	switch kind {
	case "register":
		err = s.register(ctx)
	case "message", "call":
		err = s.pair(ctx, kind)
	default:
		err = fmt.Errorf("no such load: %q", kind)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Work does n units at rate a second. It may be called again and again.
func (s *Session) Work(ctx context.Context, n, rate int) (*Result, error) {
	r := s.client
	r.Calls, r.Rate, r.Limit, r.Timeout = n, rate, max(2000, 2*rate), s.l.Patience
	if r.Timeout == 0 {
		r.Timeout = time.Minute + 10*time.Duration(n)*time.Second/time.Duration(rate)
	}
	return Do(ctx, r)
}

// Close stops what answers and drops the connections.
func (s *Session) Close() {
	for _, f := range slices.Backward(s.close) {
		f()
	}
	s.close = nil
}

// run has what all scenarios of the load share.
func (l *Load) run(scenario string) Run {
	return Run{
		Scenario: scenario, Domain: l.Domain, Dir: l.Dir, TCP: l.Transport != "udp", ContactTransport: l.Transport,
		NoRetransmit: l.NoRetransmit, Local: loopback,
	}
}

func (s *Session) register(ctx context.Context) (err error) {
	l := s.l
	s.client = l.run("register")
	s.client.Remote = l.Server
	for _, u := range l.Users {
		s.client.Rows = append(s.client.Rows, []string{u.User, authentication(u)})
	}
	switch l.Transport {
	case "udp":
		s.client.Local, err = FreePort()
	case "tls":
		if l.Tunnel.IsValid() {
			s.client.Remote = l.Tunnel
		} else {
			err = s.callThrough(ctx, nil)
		}
	}
	return err
}

// pair signs callers and callees in and starts the scenario of the callees.
func (s *Session) pair(ctx context.Context, kind string) error {
	l := s.l
	s.client = l.run(kind + "_uac")
	s.client.Remote = l.Server
	for i := range max(len(l.Callers), len(l.Callees)) {
		from, to := l.Callers[i%len(l.Callers)], l.Callees[i%len(l.Callees)]
		s.client.Rows = append(s.client.Rows, []string{from.User, authentication(from), to.User})
	}
	answering := l.run(kind + "_uas")
	if l.Lossy && kind == "call" {
		answering = l.run("call_uas_lossy")
	}
	if l.Transport == "udp" {
		var err error
		if answering.Local, err = SignIn(ctx, loopback, l.Server.String(), l.Callees); err != nil {
			return err
		}
		if s.client.Local, err = SignIn(ctx, loopback, l.Server.String(), l.Callers); err != nil {
			return err
		}
		s.client.Contact, answering.Contact = s.client.Local, answering.Local
		p, err := Start(ctx, answering)
		if err != nil {
			return err
		}
		s.close = append(s.close, p.Stop)
		return bound(ctx, answering.Local)
	}
	if err := s.callThrough(ctx, l.Callers); err != nil {
		return err
	}
	t, err := l.trunk(ctx, l.Callees)
	if err != nil {
		return err
	}
	answering.Contact = t.Contact
	if answering.Local, err = FreePort(); err != nil {
		t.Close()
		return err
	}
	p, err := Start(ctx, answering)
	if err != nil {
		t.Close()
		return err
	}
	// SIPp waits for its calls to end, which needs the trunk: stop it first.
	s.close = append(s.close, t.Close, p.Stop)
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return t.Reach(wait, answering.Local)
}

func (l *Load) trunk(ctx context.Context, accounts []phone.Account) (*Trunk, error) {
	if l.Tunnel.IsValid() {
		return OpenTrunk(ctx, "tcp", l.Tunnel.String(), nil, accounts)
	}
	return OpenTrunk(ctx, l.Transport, l.Server.String(), l.TLS, accounts)
}

// callThrough puts a trunk before the client scenario.
func (s *Session) callThrough(ctx context.Context, accounts []phone.Account) error {
	t, err := s.l.trunk(ctx, accounts)
	if err != nil {
		return err
	}
	s.close = append(s.close, t.Close)
	if err := t.Serve(); err != nil {
		return err
	}
	s.client.Remote, s.client.Contact = t.Addr, t.Contact
	return nil
}

// Accounts makes n accounts, prefix0 and up, with one password.
func Accounts(prefix string, n int, domain, password string) []phone.Account {
	as := make([]phone.Account, n)
	for i := range as {
		as[i] = phone.Account{User: fmt.Sprintf("%s%d", prefix, i), Password: password, Domain: domain}
	}
	return as
}

// authentication is the keyword by which a scenario's row tells SIPp who answers a challenge.
func authentication(a phone.Account) string {
	return fmt.Sprintf("[authentication username=%s password=%s]", a.User, a.Password)
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")
