package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Outcome is what came back.
type Outcome string

// The outcomes.
const (
	Open    Outcome = "open"    // answered
	Closed  Outcome = "closed"  // refused: the way is open, nobody listens
	Silent  Outcome = "silent"  // nothing came back, or a router said no
	Faulty  Outcome = "faulty"  // connected, and the service or its certificate is wrong
	Unknown Outcome = "unknown" // UDP that nobody has to answer, unanswered
)

// Result is a probe with its outcome.
type Result struct {
	Probe
	Outcome Outcome       `json:"outcome"`
	Took    time.Duration `json:"took"` // nanoseconds
	Detail  string        `json:"detail,omitempty"`
	Expires *time.Time    `json:"certificateExpires,omitempty"`
}

// Failed reports whether the network or a server is not as planned.
func (r Result) Failed() bool {
	switch r.Outcome {
	case Open, Unknown:
		return !r.Allowed && r.Outcome == Open
	case Closed:
		return !r.Allowed || !r.WayOnly && !r.NotYet
	case Silent:
		return r.Allowed
	}
	return true
}

// Reason says in a sentence what is wrong and where to look, and is empty when nothing is.
func (r Result) Reason() string {
	if !r.Failed() {
		return ""
	}
	where := make([]string, len(r.Rules))
	for i, c := range r.Rules {
		if where[i] = c.Firewall; c.Label != "" {
			where[i] = fmt.Sprintf("rule %s on %s", c.Label, c.Firewall)
		}
	}
	switch {
	case !r.Allowed:
		return "reachable, and no rule allows it: " + strings.Join(where, " or ") + " should stop it"
	case r.Outcome == Closed:
		return "the way is open and nothing listens"
	case r.Outcome == Faulty:
		return r.Detail
	case len(where) == 0:
		return "no answer, and no firewall of the plan is on the way: is the server up?"
	}
	return "no answer: is " + strings.Join(where, ", or ") + ", missing?"
}

// Remark is the Reason of a failure, or what is worth knowing about a success.
func (r Result) Remark() string {
	switch {
	case r.Failed():
		return r.Reason()
	case r.Outcome == Closed && r.NotYet:
		return "the way is open; this version has nothing there yet"
	case r.Outcome == Closed && r.Allowed:
		return "the way is open; nothing listens just now"
	case r.Outcome == Unknown:
		return "nobody has to answer"
	case r.Expires != nil:
		return "certificate until " + r.Expires.Format(time.DateOnly)
	}
	return ""
}

// Runner tries probes.
type Runner struct {
	Local    netip.Addr    // address to send from; the zero Addr lets the system choose
	Timeout  time.Duration // for one probe; default 3 s
	Parallel int           // probes at once; default 32
	// Strict expects an answer to every UDP packet, as a test has that answers everything.
	Strict bool
	Roots  *x509.CertPool // certificates must verify to these; nil only looks at name and expiry
	Now    func() time.Time
}

// Run tries all probes and returns their results in the same order. It calls done, when not nil, after each, never
// twice at once. It ends early, with the rest silent, when ctx does.
func (r *Runner) Run(ctx context.Context, probes []Probe, done func(Result)) []Result {
	results := make([]Result, len(probes))
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(max(r.Parallel, 1), len(probes)) {
		wg.Go(func() {
			for i := range next {
				res := r.One(ctx, probes[i])
				mu.Lock()
				results[i] = res
				if done != nil {
					done(res)
				}
				mu.Unlock()
			}
		})
	}
	for i := range probes {
		next <- i
	}
	close(next)
	wg.Wait()
	return results
}

func (r *Runner) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// One tries one probe.
func (r *Runner) One(ctx context.Context, p Probe) Result {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := r.now()
	res := Result{Probe: p}
	conn, err := r.dial(ctx, p)
	if err == nil {
		deadline, _ := ctx.Deadline()
		conn.SetDeadline(deadline)
		err = r.ask(ctx, conn, &res)
		conn.Close()
	}
	res.Took = r.now().Sub(start)
	var wrong *serviceError
	switch {
	case err == nil:
		res.Outcome = Open
	case errors.As(err, &wrong):
		res.Outcome, res.Detail = Faulty, wrong.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		res.Outcome = Closed
	case p.Transport == "udp" && p.Method == Connect && !r.Strict && isTimeout(err):
		res.Outcome = Unknown
	default:
		res.Outcome, res.Detail = Silent, cause(err)
	}
	return res
}

// cause is an error without the addresses, which the result has already.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	if isTimeout(err) {
		return "timeout"
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func (r *Runner) dial(ctx context.Context, p Probe) (net.Conn, error) {
	d := net.Dialer{}
	if r.Local.IsValid() {
		local := netip.AddrPortFrom(r.Local, 0)
		if p.Transport == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(local)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(local)
		}
	}
	return d.DialContext(ctx, p.Transport, netip.AddrPortFrom(p.Address, p.Port).String())
}

// serviceError says that something answered, and not as it should.
type serviceError struct{ text string }

func (e *serviceError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &serviceError{fmt.Sprintf(format, args...)} }

// ask speaks the protocol of the probe over a connection.
func (r *Runner) ask(ctx context.Context, conn net.Conn, res *Result) error {
	p := res.Probe
	if p.Transport == "udp" {
		return askUDP(conn, p)
	}
	switch p.Method {
	case TLS, SIPS, HTTPS:
		c, err := r.handshake(ctx, conn, res)
		if err != nil {
			return err
		}
		defer c.Close()
		conn = c
	}
	var err error
	switch p.Method {
	case SIP, SIPS:
		err = askSIP(conn, p, r.Local)
	case HTTP, HTTPS:
		err = askHTTP(conn, p)
	}
	var answered *serviceError
	if err != nil && !errors.As(err, &answered) {
		return wrong("%s: %s", p.Method, cause(err))
	}
	return err
}

// handshake checks that the certificate names the server and is in date. A server that wants a certificate of us and
// ends the connection after the handshake has shown its own.
func (r *Runner) handshake(ctx context.Context, conn net.Conn, res *Result) (*tls.Conn, error) {
	c := tls.Client(conn, &tls.Config{ServerName: res.Host, InsecureSkipVerify: true}) // verified below
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, wrong("TLS: %s", cause(err))
	}
	leaf := c.ConnectionState().PeerCertificates[0]
	res.Expires = &leaf.NotAfter
	if now := r.now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return nil, wrong("certificate of %s is out of date: valid %s to %s", leaf.Subject.CommonName, leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly))
	}
	if r.Roots != nil {
		rest := x509.NewCertPool()
		for _, i := range c.ConnectionState().PeerCertificates[1:] {
			rest.AddCert(i)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: r.Roots, Intermediates: rest, CurrentTime: r.now(), DNSName: res.Host}); err != nil {
			return nil, wrong("certificate: %s", err)
		}
	}
	return c, nil
}
