package cert

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"sync"
	"time"
)

// EphemeralLife is how long a certificate of Ephemeral is given out.
const EphemeralLife = 24 * time.Hour

// Ephemeral gives out a self-signed certificate for media (DTLS-SRTP, RFC 5763): who it belongs to is proved by its
// fingerprint in the signalling, so that no authority is needed, and nothing is kept on disk. A call keeps the one that
// it began with. The zero value is ready; it is safe for concurrent use.
type Ephemeral struct {
	mu      sync.Mutex
	current *tls.Certificate
	until   time.Time
}

// Get returns the certificate of the day.
func (e *Ephemeral) Get(now time.Time) (*tls.Certificate, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil && now.Before(e.until) {
		return e.current, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "media"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(30 * EphemeralLife), // calls may be long
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate for media: %w", err)
	}
	e.current = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	e.until = now.Add(EphemeralLife)
	return e.current, nil
}
