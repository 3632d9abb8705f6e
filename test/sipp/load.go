package sipp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"parley/test/phone"
)

// Load runs one kind of work against one server over one transport: it signs phones in, starts what must
// answer, sends, and reports. The zero Rate of a Run never occurs here: every load has a rate.
type Load struct {
	Transport string // "udp", "tcp", "tls"
	Server    netip.AddrPort
	TLS       *tls.Config // for "tls"
	Domain    string
	Users     []phone.Account // who registers, in kind "register"
	Callers   []phone.Account // who sends; all signed in on one connection, and taken in turn
	Callees   []phone.Account // who is called; all signed in on one other connection, and taken in turn
	Dir       string
	// NoRetransmit makes a lost datagram a failed call, for the search of the highest rate.
	NoRetransmit bool
	// Before and After are called around the work itself, without the sign-in before it.
	Before, After func()
}

// Run does n units of kind ("register", "message", "call") at rate a second.
func (l *Load) Run(ctx context.Context, kind string, n, rate int) (*Result, error) {
	if kind == "register" {
		return l.register(ctx, n, rate)
	}
	var uac, uas string
	switch kind {
	case "message", "call":
		uac, uas = kind+"_uac", kind+"_uas"
	default:
		return nil, fmt.Errorf("no such load: %q", kind)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	server := Run{Scenario: uas, Domain: l.Domain, Dir: l.Dir, TCP: l.Transport != "udp", ContactTransport: l.Transport}
	client := Run{
		Scenario: uac, Domain: l.Domain, Dir: l.Dir, TCP: l.Transport != "udp", ContactTransport: l.Transport,
		Calls: n, Rate: rate, Timeout: patience(n, rate), NoRetransmit: l.NoRetransmit, Limit: max(2000, 2*rate),
	}
	for i := range max(len(l.Callers), len(l.Callees)) {
		from, to := l.Callers[i%len(l.Callers)], l.Callees[i%len(l.Callees)]
		client.Rows = append(client.Rows, []string{from.User, authentication(from), to.User})
	}
	if l.Transport == "udp" {
		var err error
		if server.Local, err = SignIn(ctx, loopback, l.Server.String(), l.Callees); err != nil {
			return nil, err
		}
		if client.Local, err = SignIn(ctx, loopback, l.Server.String(), l.Callers); err != nil {
			return nil, err
		}
		client.Remote, client.Contact, server.Contact = l.Server, client.Local, server.Local
	} else {
		callee, err := OpenTrunk(ctx, l.Transport, l.Server.String(), l.TLS, l.Callees)
		if err != nil {
			return nil, err
		}
		defer callee.Close()
		caller, err := OpenTrunk(ctx, l.Transport, l.Server.String(), l.TLS, l.Callers)
		if err != nil {
			return nil, err
		}
		defer caller.Close()
		if err := caller.Serve(); err != nil {
			return nil, err
		}
		client.Remote, client.Contact, server.Contact = caller.Addr, caller.Contact, callee.Contact
		if server.Local, err = FreePort(); err != nil {
			return nil, err
		}
		client.Local = loopback
		defer func(t *Trunk) { t.Close() }(callee)
		answering, err := Start(ctx, server)
		if err != nil {
			return nil, err
		}
		defer answering.Stop()
		wait, cancelWait := context.WithTimeout(ctx, 20*time.Second)
		defer cancelWait()
		if err := callee.Reach(wait, server.Local); err != nil {
			return nil, err
		}
		return l.work(ctx, client)
	}
	answering, err := Start(ctx, server)
	if err != nil {
		return nil, err
	}
	defer answering.Stop()
	if err := bound(ctx, server.Local); err != nil {
		return nil, err
	}
	return l.work(ctx, client)
}

func (l *Load) register(ctx context.Context, n, rate int) (*Result, error) {
	r := Run{
		Scenario: "register", Domain: l.Domain, Dir: l.Dir, TCP: l.Transport != "udp", ContactTransport: l.Transport,
		Local: loopback, Remote: l.Server, Calls: n, Rate: rate, Timeout: patience(n, rate),
		NoRetransmit: l.NoRetransmit, Limit: max(2000, 2*rate),
	}
	if l.Transport == "udp" {
		var err error
		if r.Local, err = FreePort(); err != nil {
			return nil, err
		}
	}
	for _, u := range l.Users {
		r.Rows = append(r.Rows, []string{u.User, authentication(u)})
	}
	if l.Transport == "tls" {
		t, err := OpenTrunk(ctx, "tls", l.Server.String(), l.TLS, nil)
		if err != nil {
			return nil, err
		}
		defer t.Close()
		if err := t.Serve(); err != nil {
			return nil, err
		}
		r.Remote, r.Contact = t.Addr, t.Contact
	}
	return l.work(ctx, r)
}

func (l *Load) work(ctx context.Context, r Run) (*Result, error) {
	if l.Before != nil {
		l.Before()
	}
	res, err := Do(ctx, r)
	if l.After != nil {
		l.After()
	}
	return res, err
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

// patience is how long n units may take before SIPp gives up: ten times the plan and a minute.
func patience(n, rate int) time.Duration {
	return time.Minute + 10*time.Duration(n)*time.Second/time.Duration(rate)
}
