package cert

import (
	"crypto/tls"
)

// ClientAuth says what a listener asks of those who connect.
type ClientAuth uint8

// The kinds of listener. On a port that clients and servers share, Ask is right: a peer without a
// certificate is a client and authenticates as one; a certificate that does not lead to the internal CA
// fails the handshake, so that a stranger with a certificate is never taken for a client by accident.
const (
	NoClientCert ClientAuth = iota
	AskClientCert
	RequireClientCert
)

// Server is the configuration of a listener. It may be kept: certificates, roots and all else are looked up
// for each handshake.
func (k *Keeper) Server(auth ClientAuth) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return k.state.Load().serve[auth], nil
		},
		// Never used, since GetConfigForClient answers first; crypto/tls refuses to listen without one.
		GetCertificate: k.certificate,
	}
}

func (k *Keeper) serverConfig(st *state, auth ClientAuth) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: k.certificate,
		Time:           k.now,
	}
	switch auth {
	case AskClientCert:
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, st.roots
	case RequireClientCert:
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, st.roots
	}
	return c
}

// certificate picks the certificate for a handshake: one of another authority that carries the wanted name,
// otherwise the node's.
func (k *Keeper) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	st := k.state.Load()
	if hello.ServerName != "" {
		for _, c := range st.others {
			if c.Leaf.VerifyHostname(hello.ServerName) == nil {
				return c, nil
			}
		}
	}
	return st.node, nil
}

// Client is the configuration for connecting to a server of the deployment: its certificate must lead to the
// internal CA and carry the name, and ours is shown. Make one per connection; the roots are those of now.
func (k *Keeper) Client(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: serverName,
		RootCAs:    k.Roots(),
		Time:       k.now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return k.state.Load().node, nil
		},
	}
}
