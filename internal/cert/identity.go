package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/topology"
)

// ErrNoCertificate says that a peer presented no certificate: it may be a client, and is no server.
var ErrNoCertificate = errors.New("the peer presented no certificate")

// UntrustedError says that a certificate does not lead to the internal CA, is out of date, or is not meant
// for what it was used for.
type UntrustedError struct {
	Subject string // for the log
	Err     error  // of package x509
}

// Error names the subject and what is wrong with the chain.
func (e *UntrustedError) Error() string {
	return fmt.Sprintf("the certificate of %q is not one of this deployment: %v", e.Subject, e.Err)
}

// Unwrap gives the reason.
func (e *UntrustedError) Unwrap() error { return e.Err }

// UnknownServerError says that a certificate of the internal CA carries no name that the topology knows.
type UnknownServerError struct {
	Names []string
}

// Error lists the names.
func (e *UnknownServerError) Error() string {
	if len(e.Names) == 0 {
		return "the certificate carries no server name"
	}
	return "the topology has no server named " + strings.Join(e.Names, " or ")
}

// WrongServerError says that a server is known and is not the one that was wanted.
type WrongServerError struct {
	Want  string
	Names []string
}

// Error names both.
func (e *WrongServerError) Error() string {
	return fmt.Sprintf("wanted server %s, the certificate is for %s", e.Want, strings.Join(e.Names, " and "))
}

// Identify decides which trusted server a peer is: its chain must verify to the roots, and one of its names
// must be a server, trusted application or gateway of the topology. The peer is named by the most specific
// of its names, a server's before a pool's. The error is ErrNoCertificate, *UntrustedError or
// *UnknownServerError; whoever gets one must not treat the peer as a server, and after the latter two also
// not as a client.
func Identify(chain []*x509.Certificate, roots *x509.CertPool, topo *topology.Snapshot, now time.Time) (topology.Peer, error) {
	if len(chain) == 0 {
		return topology.Peer{}, ErrNoCertificate
	}
	if err := verify(chain, roots, now); err != nil {
		return topology.Peer{}, err
	}
	names := Names(chain[0])
	var best topology.Peer
	found := false
	for _, name := range names {
		p, ok := topo.Peer(name)
		if ok && (!found || best.Name == best.Pool && p.Name != p.Pool) {
			best, found = p, true
		}
	}
	if !found {
		return topology.Peer{}, &UnknownServerError{Names: names}
	}
	return best, nil
}

// IdentifyServer is Identify for a connection that this node opened to a server it wanted by name: the
// certificate must carry that name.
func IdentifyServer(want string, chain []*x509.Certificate, roots *x509.CertPool, topo *topology.Snapshot, now time.Time) (topology.Peer, error) {
	p, err := Identify(chain, roots, topo, now)
	if err != nil {
		return p, err
	}
	names := Names(chain[0])
	if !slices.Contains(names, strings.ToLower(strings.TrimSuffix(want, "."))) {
		return topology.Peer{}, &WrongServerError{Want: want, Names: names}
	}
	return p, nil
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return &UntrustedError{Subject: chain[0].Subject.CommonName, Err: err}
	}
	return nil
}

// Names are the SIP identities of a certificate (RFC 5922 section 7.1), in lower case: the hosts of sip URIs
// without a user part and the DNS names among the alternative names; the common name only when there are no
// alternative names at all. Wildcards are no identity (section 7.2).
func Names(c *x509.Certificate) []string {
	var out []string
	add := func(name string) {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if name != "" && !strings.Contains(name, "*") && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, u := range c.URIs {
		host := u.Opaque // sip:host has no authority part
		if host == "" {
			host = u.Host
		}
		if strings.EqualFold(u.Scheme, "sip") && !strings.Contains(host, "@") && u.User == nil {
			host, _, _ = strings.Cut(host, ":")
			host, _, _ = strings.Cut(host, ";")
			add(host)
		}
	}
	for _, name := range c.DNSNames {
		add(name)
	}
	if len(c.URIs) == 0 && len(c.DNSNames) == 0 && len(c.IPAddresses) == 0 && len(c.EmailAddresses) == 0 {
		add(c.Subject.CommonName)
	}
	return out
}
