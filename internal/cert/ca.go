package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// How long certificates are valid.
const (
	CALife   = 10 * 365 * 24 * time.Hour
	NodeLife = 365 * 24 * time.Hour
	// backdate makes a new certificate valid for peers whose clock is a little behind.
	backdate = time.Hour
)

// Names of files below the data directory.
const (
	caDir      = "ca"
	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"
)

// CA is the internal certification authority: it issues the certificates by which servers of the deployment
// know each other. It is safe for concurrent use.
type CA struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Request says what a certificate is for.
type Request struct {
	Subject   string       // common name; by convention the first of Names
	Names     []string     // DNS names, in the order of the plan
	Addresses []netip.Addr // for phones that are pointed at an address
}

// NewCA makes a CA with a fresh P-256 key. It can issue leaf certificates only.
func NewCA(name string, now time.Time) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(CALife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{Cert: c, key: key}, nil
}

// LoadCA reads the CA of a data directory. The error wraps fs.ErrNotExist on a node that has no CA key:
// such a node can check certificates, and cannot issue any.
func LoadCA(dataDir string) (*CA, error) {
	c, err := readCertificates(filepath.Join(dataDir, caDir, caCertFile))
	if err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dataDir, caDir, caKeyFile))
	if err != nil {
		return nil, err
	}
	if !samePublicKey(c[0], key) {
		return nil, fmt.Errorf("%s does not belong to %s", caKeyFile, caCertFile)
	}
	return &CA{Cert: c[0], key: key}, nil
}

// samePublicKey reports whether a certificate was made for a key.
func samePublicKey(c *x509.Certificate, key crypto.Signer) bool {
	pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(key.Public())
}

// Save writes the CA below a data directory, the key readable by its owner only. It replaces nothing.
func (ca *CA) Save(dataDir string) error {
	dir := filepath.Join(dataDir, caDir)
	if _, err := os.Stat(filepath.Join(dir, caCertFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Join(dir, caCertFile), fs.ErrExist)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, caKeyFile), ca.key); err != nil {
		return err
	}
	return writeCertificates(filepath.Join(dir, caCertFile), ca.Cert)
}

// Roots reads the certificates that peers of the deployment are checked against: the internal CA of the
// data directory, and on a member also those of former CAs kept in the same file.
func Roots(dataDir string) (*x509.CertPool, []*x509.Certificate, error) {
	certs, err := readCertificates(filepath.Join(dataDir, caDir, caCertFile))
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, certs, nil
}

// Issue makes a certificate for both ends of a connection, since a server also connects to others.
func (ca *CA) Issue(r Request, public crypto.PublicKey, now time.Time, life time.Duration) (*x509.Certificate, error) {
	if r.Subject == "" && len(r.Names) == 0 {
		return nil, errors.New("a certificate needs a name")
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: commonName(r)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              r.Names,
		IPAddresses:           stdAddresses(r.Addresses),
	}
	if tmpl.NotAfter.After(ca.Cert.NotAfter) {
		tmpl.NotAfter = ca.Cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", tmpl.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// NewCSR makes a PEM certificate request (PKCS 10) for another authority to sign.
func NewCSR(key crypto.Signer, r Request) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: commonName(r)},
		DNSNames:    r.Names,
		IPAddresses: stdAddresses(r.Addresses),
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return encodePEM("CERTIFICATE REQUEST", der), nil
}

// commonName is the subject, unless it is longer than a common name may be (64 characters); names are then
// carried by the alternative names alone.
func commonName(r Request) string {
	name := r.Subject
	if name == "" && len(r.Names) > 0 {
		name = r.Names[0]
	}
	if len(name) > 64 {
		return ""
	}
	return name
}

func stdAddresses(addrs []netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range addrs {
		out = append(out, net.IP(a.Unmap().AsSlice()))
	}
	return out
}

// NewKey makes a private key for a certificate: ECDSA on P-256.
func NewKey() (crypto.Signer, error) { return newKey() }

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// serial is a random positive number of 127 bits.
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n.Add(n, big.NewInt(1))
}
