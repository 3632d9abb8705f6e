package flow

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Domains returns the SIP domains that a certificate speaks for, in lower case (RFC 5922 section 7.1): those of its
// SIP URIs without a user part; without any such URI its DNS names; without those either, the common name.
func Domains(c *x509.Certificate) []string {
	var uris, names []string
	sipURI := false
	for _, u := range c.URIs {
		if !strings.EqualFold(u.Scheme, "sip") {
			continue
		}
		sipURI = true
		// "sip:example.test" is opaque to net/url. A user part names a person, not a domain.
		if host := u.Opaque; host != "" && !strings.ContainsAny(host, "@:;?/") {
			uris = append(uris, strings.ToLower(host))
		}
	}
	if sipURI {
		return uris
	}
	for _, n := range c.DNSNames {
		names = append(names, strings.ToLower(strings.TrimSuffix(n, ".")))
	}
	if len(names) == 0 && len(c.IPAddresses) == 0 && c.Subject.CommonName != "" {
		names = append(names, strings.ToLower(c.Subject.CommonName))
	}
	return names
}

// VerifyDomain checks that a certificate speaks for a SIP domain or host. A wildcard never matches (RFC 5922
// section 7.2). An IP address matches an address in the certificate.
func VerifyDomain(c *x509.Certificate, name string) error {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if slices.Contains(Domains(c), name) {
		return nil
	}
	for _, ip := range c.IPAddresses {
		if ip.String() == name {
			return nil
		}
	}
	return fmt.Errorf("certificate of %q is not for %q but for %q", c.Subject.CommonName, name, Domains(c))
}

var errNoCertificate = errors.New("peer showed no certificate")

// clientConfig completes the configuration for dialling: the chain is verified as ever, the name by the rules for
// SIP. InsecureSkipVerify in c leaves all checks to c's own callbacks.
func clientConfig(c *tls.Config, name string) *tls.Config {
	c = c.Clone()
	c.ServerName = name
	c.DynamicRecordSizingDisabled = true // a message is wanted whole, not its first kilobyte early
	if c.InsecureSkipVerify {
		return c
	}
	c.InsecureSkipVerify = true // replaced by the check below
	also := c.VerifyConnection
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errNoCertificate
		}
		opts := x509.VerifyOptions{Roots: c.RootCAs, Intermediates: x509.NewCertPool()}
		if c.Time != nil {
			opts.CurrentTime = c.Time()
		}
		for _, i := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(i)
		}
		if _, err := s.PeerCertificates[0].Verify(opts); err != nil {
			return err
		}
		if err := VerifyDomain(s.PeerCertificates[0], name); err != nil {
			return err
		}
		if also != nil {
			return also(s)
		}
		return nil
	}
	return c
}
