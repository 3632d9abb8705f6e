package cert

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// PEM returns the authority with its key, to be kept sealed.
func (ca *CA) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, err
	}
	return append(encodePEM("CERTIFICATE", ca.Cert.Raw), encodePEM("PRIVATE KEY", der)...), nil
}

// ParseCA reads what PEM returned.
func ParseCA(b []byte) (*CA, error) {
	crt, rest := pem.Decode(b)
	if crt == nil || crt.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate of an authority")
	}
	key, _ := pem.Decode(rest)
	if key == nil || key.Type != "PRIVATE KEY" {
		return nil, errors.New("no key of an authority")
	}
	c, err := x509.ParseCertificate(crt.Bytes)
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok || !samePublicKey(c, signer) {
		return nil, errors.New("the key does not belong to the certificate")
	}
	return &CA{Cert: c, key: signer}, nil
}

// IssueUser makes a certificate for one device of a user, by which it signs in. uris say whose it is; name is for
// people.
func (ca *CA) IssueUser(name string, uris []*url.URL, public crypto.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	if len(name) > 64 {
		name = ""
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  uris,
	}
	if tmpl.NotAfter.After(ca.Cert.NotAfter) {
		tmpl.NotAfter = ca.Cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// NewRSA makes a certificate with an RSA key that vouches for itself. The inner handshake of TLS-DSK needs one: its
// clients know no other kind of key, and do not check it, since it runs inside the TLS of the connection.
func NewRSA(name string, now time.Time) (der []byte, key crypto.Decrypter, err error) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(CALife),
		KeyUsage: x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	return der, k, err
}
