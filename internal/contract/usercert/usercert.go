// Package usercert knows which certificates of users are good: the provisioning service puts them in, and signing in
// with TLS-DSK asks for them, in the reader of a connection.
package usercert

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"parley/internal/uc"
)

// Device is one device of a user. It has one certificate at a time.
type Device struct {
	AOR uc.AOR
	ID  string // "urn:uuid:..."
}

// Registry is safe for concurrent use. Asking is memory only.
type Registry struct {
	mu          sync.RWMutex
	authorities *x509.CertPool
	current     map[Device]string // serial number in hex
}

// New returns a registry that takes no certificate.
func New() *Registry { return &Registry{current: map[Device]string{}} }

// SetAuthorities says who issues certificates of users.
func (r *Registry) SetAuthorities(certs ...*x509.Certificate) {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	r.mu.Lock()
	r.authorities = pool
	r.mu.Unlock()
}

// Put makes a certificate the current one of a device; an empty serial leaves it without.
func (r *Registry) Put(d Device, serial string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if serial == "" {
		delete(r.current, d)
		return
	}
	r.current[d] = serial
}

// Why a certificate is not taken.
var (
	ErrForeign = errors.New("the certificate is not one of a user here")
	ErrRevoked = errors.New("the certificate was replaced or withdrawn")
)

// Owner returns whose certificate the first of chain is and until when it may be used. It serves
// sigauth.InnerTLS.Owner.
func (r *Registry) Owner(chain []*x509.Certificate, now time.Time) (uc.AOR, time.Time, error) {
	c := chain[0]
	r.mu.RLock()
	authorities := r.authorities
	r.mu.RUnlock()
	if authorities == nil {
		return "", time.Time{}, ErrForeign
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: authorities, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return "", time.Time{}, errors.Join(ErrForeign, err)
	}
	d, ok := deviceOf(c)
	if !ok {
		return "", time.Time{}, ErrForeign
	}
	r.mu.RLock()
	serial := r.current[d]
	r.mu.RUnlock()
	if serial != c.SerialNumber.Text(16) {
		return "", time.Time{}, ErrRevoked
	}
	return d.AOR, c.NotAfter, nil
}

// Forget leaves every device of a user without certificate.
func (r *Registry) Forget(aor uc.AOR) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d := range r.current {
		if d.AOR == aor {
			delete(r.current, d)
		}
	}
}

// Names are the URIs that a certificate of the device carries.
func (d Device) Names() ([]*url.URL, error) {
	sip, err := url.Parse("sip:" + string(d.AOR))
	if err != nil {
		return nil, err
	}
	id, err := url.Parse(d.ID)
	if err != nil {
		return nil, err
	}
	return []*url.URL{sip, id}, nil
}

func deviceOf(c *x509.Certificate) (d Device, ok bool) {
	for _, u := range c.URIs {
		switch u.Scheme {
		case "sip":
			aor, err := uc.ParseAOR(strings.TrimPrefix(u.String(), "sip:"))
			if err != nil {
				return d, false
			}
			d.AOR = aor
		case "urn":
			d.ID = u.String()
		}
	}
	return d, d.AOR != "" && d.ID != ""
}
