package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"parley/internal/cert"
	"parley/internal/contract/usercert"
	"parley/internal/gate"
	"parley/internal/httpd"
	"parley/internal/obs"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/certprov"
	"parley/internal/service/web"
	"parley/internal/sip/sigauth"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/webticket"
)

// buildWeb makes what all web services share. Nothing listens yet.
func (n *Node) buildWeb(ctx context.Context) error {
	key, err := secret(ctx, n.store, n.keys, "web tickets")
	if err != nil {
		return fmt.Errorf("key of web tickets: %w", err)
	}
	kept, err := kept(ctx, n.store, n.keys, "authority of users", func() ([]byte, error) {
		ca, err := cert.NewCA("Parley users of "+n.pool(), n.now())
		if err != nil {
			return nil, err
		}
		return ca.PEM()
	})
	if err != nil {
		return fmt.Errorf("authority of users' certificates: %w", err)
	}
	ca, err := cert.ParseCA(kept)
	if err != nil {
		return fmt.Errorf("authority of users' certificates: %w", err)
	}
	login := &httpd.Login{
		Host: n.fqdn(), Password: n.checkPassword, Now: n.now,
		NTLM: func() func(user, domain string) (sigauth.Account, bool) {
			if !auth(n.file.Load()).NTLM {
				return nil
			}
			return n.ntlmAccount
		},
		Enabled: func(aor uc.AOR) bool { u, ok := n.dir.Lookup(aor); return ok && u.Enabled },
	}
	// The key takes a moment to make: the first client that signs in with a certificate waits for it, not the start.
	n.inner = sync.OnceValues(func() (*sigauth.Certificate, error) {
		der, key, err := cert.NewRSA(n.fqdn(), n.now())
		if err != nil {
			return nil, err
		}
		return &sigauth.Certificate{Chain: [][]byte{der}, Key: key, Authorities: [][]byte{ca.Cert.RawSubject}}, nil
	})
	n.front = httpd.New(n.log)
	n.front.Simple = n.simple
	n.front.Port = func(external bool) uint16 {
		if external {
			return n.portOf(porttable.SrvFeWeb4443)
		}
		return n.portOf(porttable.SrvFeWebcompat443)
	}
	n.front.Transport = func() time.Duration { return n.webSettings().Transport() }
	if n.front.ACME, err = n.newACME(); err != nil {
		return err
	}
	n.release("connections of web sites and relay", n.doors.wait)
	n.release("web sites", n.front.Close)
	n.web = &service.Web{
		Login: login.User, Tickets: webticket.New(key, "https://"+n.pool()), UserCA: ca, Certificates: usercert.New(),
		SIPPort: n.sipPort, URL: n.urlOf,
	}
	return nil
}

// checkPassword checks a password here, or where the user is kept.
func (n *Node) checkPassword(aor uc.AOR, password string) bool {
	u, ok := n.dir.Lookup(aor)
	if !ok || u.Origin.Source == "" {
		return n.dir.CheckPassword(aor, password)
	}
	if !u.Enabled || u.AOR != aor {
		return false
	}
	for _, r := range n.myServices() {
		if !r.up() {
			continue
		}
		checker, ok := r.svc.(service.PasswordChecker)
		if !ok {
			continue
		}
		right, err := checker.CheckPassword(n.run, u, password)
		if err != nil {
			n.log.Warn("password not checked", "user", u.AOR, obs.Err(err))
		}
		return right && err == nil
	}
	return false
}

func (n *Node) ntlmAccount(user, domain string) (sigauth.Account, bool) {
	return gate.Owner(user, domain, n.dir.Domains(), n.dir.NTHash)
}

// sipPort is where this node takes SIP over TLS.
func (n *Node) sipPort() uint16 {
	if port := n.portOf(porttable.SrvFeFrontend5061); port != 0 {
		return port
	}
	return 5061
}

func (n *Node) portOf(row string) uint16 {
	for _, l := range n.listeners.all() {
		if l.port.Row == row {
			return l.addr.Port()
		}
	}
	return 0
}

// innerTLS is what signing in with certificates needs, nil when nobody issues any here.
func (n *Node) innerTLS() *sigauth.InnerTLS {
	base := n.webURL()
	if base == "" || !n.runs(certprov.Spec.Name) {
		return nil
	}
	return &sigauth.InnerTLS{STSURI: base + certprov.URL, Certificate: n.inner,
		Owner: func(chain []*x509.Certificate, now time.Time) (uc.AOR, time.Time, error) {
			return n.web.Certificates.Owner(chain, now)
		}}
}

func (n *Node) runs(name string) bool {
	for _, r := range n.myServices() {
		if state, _ := r.status(); r.spec.Name == name && state == "running" {
			return true
		}
	}
	return false
}

func (n *Node) webSettings() *web.Settings {
	if s, ok := n.file.Load().Section(web.Spec.Name).(*web.Settings); ok {
		return s
	}
	return &web.DefaultSettings
}

// webURL is how clients inside reach the web site, empty when it is not open.
func (n *Node) webURL() string {
	if s := n.webSettings(); s.InternalURL != "" {
		return s.InternalURL
	}
	port := n.portOf(porttable.SrvFeWebcompat443)
	if port == 0 {
		return ""
	}
	name := n.fqdn()
	if p, ok := n.topo.Current().Pool(topology.FQDN(n.pool())); ok {
		name = string(p.InternalWebName())
	}
	if port == 443 {
		return "https://" + name
	}
	return "https://" + net.JoinHostPort(name, strconv.Itoa(int(port)))
}

// bindHTTP opens a listener of a web site.
func (n *Node) bindHTTP(p service.Port, addr netip.AddrPort) (netip.AddrPort, error) {
	l, err := n.listenTCP(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	secure := p.Transport == service.HTTPS
	if secure {
		l = n.openDoor(l, p)
	}
	n.front.Serve(l, httpd.Site{External: p.External, TLS: secure, Servers: p.ClientCert == service.RequireClientCert})
	return at, nil
}

// webTLS is the configuration of a web site, looked up for each handshake: certificates change while it is open.
func (n *Node) webTLS(p service.Port) *tls.Config {
	conf := n.certs.Server(clientAuth(p.ClientCert))
	current, acme := conf.GetConfigForClient, n.front.ACME
	conf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := current(hello)
		if err != nil {
			return nil, err
		}
		c = c.Clone()
		c.NextProtos = []string{"h2", "http/1.1"}
		if p.ClientCert == service.RequireClientCert { // of servers, and only those that the topology names
			c.VerifyConnection = func(cs tls.ConnectionState) error {
				_, err := n.certs.Identify(cs.PeerCertificates, n.topo.Current())
				return err
			}
			return c, nil
		}
		if acme == nil {
			return c, nil
		}
		if cert.Proves(hello) {
			c.NextProtos = []string{cert.ACMEProtocol}
		}
		own := c.GetCertificate
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := acme.Certificate(hello); c != nil {
				return c, nil
			}
			return own(hello)
		}
		return c, nil
	}
	return conf
}

// listenTCP opens a plain listener, shifted like all others.
func (n *Node) listenTCP(addr netip.AddrPort) (net.Listener, error) {
	return bindShifted(n, addr, func(a netip.AddrPort) (net.Listener, error) {
		l, err := net.Listen("tcp", a.String())
		if errors.Is(err, syscall.EAFNOSUPPORT) && a.Addr() == netip.IPv6Unspecified() {
			l, err = net.Listen("tcp", netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()).String())
		}
		return l, err
	})
}

// addPaths leads the paths of a service to it.
func (n *Node) addPaths(r *running) {
	for _, path := range r.spec.Paths {
		n.front.Handle(path, r.svc.(http.Handler)) // startService has checked
	}
}
