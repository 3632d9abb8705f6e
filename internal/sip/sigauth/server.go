package sigauth

import (
	"crypto/x509"
	"errors"
	"time"

	"parley/internal/uc"
)

// DefaultRealm is the realm clients know.
const DefaultRealm = "SIP Communications Service"

// version is the version of the protocol that is offered. Clients that speak an older one say so.
const version = 4

// Account is a user as NTLM needs him.
type Account struct {
	AOR    uc.AOR
	NTHash []byte // MD4 of the password in UTF-16LE; it is not kept
}

// Acceptor checks Kerberos tokens. It is safe for concurrent use.
type Acceptor interface {
	// Accept takes the token of a client: an AP-REQ in GSS framing (RFC 4121 section 4.1). ErrClockSkew says
	// that the client's clock is wrong, any other error that the token is not taken.
	Accept(token []byte, now time.Time) (Accepted, error)
}

// Accepted is what a Kerberos token says.
type Accepted struct {
	User, Realm string
	Keys        Keys
	Expires     time.Time // of the ticket
}

// Config says who the server is and what it offers. A nil scheme is not offered.
type Config struct {
	Host  string // FQDN, the targetname
	Realm string // empty takes DefaultRealm

	// FindNTLM finds the account of a user by the names of an NTLM message. domain is empty when the client
	// was given "alice@example.test" or "alice"; it is "EXAMPLE" for EXAMPLE\alice.
	FindNTLM func(user, domain string) (Account, bool)

	Kerberos Acceptor
	// FindKerberos finds the user of a Kerberos principal; it must be set with Kerberos.
	FindKerberos func(user, realm string) (uc.AOR, bool)

	TLSDSK *InnerTLS

	Lifetime time.Duration // of an association; zero takes 8 hours
}

// InnerTLS is what the scheme TLS-DSK needs.
type InnerTLS struct {
	// STSURI is where a client without certificate gets one. Clients that are offered the scheme without it
	// give up altogether.
	STSURI string
	// Certificate returns the server's own one. It is called in every handshake, the first time perhaps for longer.
	Certificate func() (*Certificate, error)
	// Owner finds the user whose certificate the first of chain is and until when it may be used. The client
	// has proved that he holds its key, and nothing else was checked.
	Owner func(chain []*x509.Certificate, now time.Time) (uc.AOR, time.Time, error)
}

// Limits of what clients can make the server hold and do.
const (
	maxToken         = 48 << 10 // bytes of a decoded token
	maxHello         = 4 << 10  // of the first TLS flight, which is kept
	maxEPID          = 16       // characters of an epid ([MS-SIPAE] 2.2.1)
	handshakeTime    = time.Minute
	ntlmSkew         = 15 * time.Minute
	defaultLifetime  = 8 * time.Hour
	defaultHandshake = 4
)

// Server is what all connections have in common. It is immutable.
type Server struct {
	cfg   Config
	names Names
}

// NewServer returns a server. It fails when a scheme lacks what it needs.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Realm == "" {
		cfg.Realm = DefaultRealm
	}
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = defaultLifetime
	}
	switch d := cfg.TLSDSK; {
	case cfg.Host == "":
		return nil, errors.New("sigauth: no host name")
	case cfg.Kerberos != nil && cfg.FindKerberos == nil:
		return nil, errors.New("sigauth: Kerberos without users")
	case d != nil && (d.STSURI == "" || d.Certificate == nil || d.Owner == nil):
		return nil, errors.New("sigauth: TLS-DSK without address of the certificate service, certificate or users")
	}
	return &Server{cfg: cfg, names: NamesOf(cfg.Host)}, nil
}

// Host returns the name of the server.
func (s *Server) Host() string { return s.cfg.Host }

// Offers reports whether clients may use a scheme.
func (s *Server) Offers(scheme Scheme) bool {
	switch scheme {
	case NTLM:
		return s.cfg.FindNTLM != nil
	case Kerberos:
		return s.cfg.Kerberos != nil
	case TLSDSK:
		return s.cfg.TLSDSK != nil
	}
	return false
}

// Challenges returns the values of WWW-Authenticate fields that ask a client to begin, one for each scheme
// offered.
func (s *Server) Challenges() []string {
	var all []string
	for _, scheme := range [...]Scheme{NTLM, Kerberos, TLSDSK} {
		if !s.Offers(scheme) {
			continue
		}
		p := s.parameters(scheme)
		if scheme == TLSDSK {
			p.STSURI = []byte(s.cfg.TLSDSK.STSURI)
		}
		all = append(all, string(p.AppendChallenge(nil)))
	}
	return all
}

func (s *Server) parameters(scheme Scheme) Parameters {
	return Parameters{Scheme: scheme, Version: version, Realm: []byte(s.cfg.Realm), TargetName: []byte(s.target(scheme))}
}

func (s *Server) target(scheme Scheme) string {
	if scheme == Kerberos {
		return "sip/" + s.cfg.Host
	}
	return s.cfg.Host
}
