package cert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEOptions say where certificates of a public authority come from, and for which names.
type ACMEOptions struct {
	Directory string         // URL of the authority's directory
	Roots     *x509.CertPool // who vouches for the directory; nil means those the machine trusts
	Contact   string         // address for warnings of the authority, or empty
	KeyID     string         // external account binding, as an authority gives it to its customers, or empty
	Key       []byte         // its key
	Names     func() []string
	Cache     autocert.Cache // shared by the nodes of a pool, so that each can answer for the others
	Log       *slog.Logger
}

// ACME gets certificates of a public authority and renews them (RFC 8555), proving names on the ports of the web site:
// by HTTP-01 on 80 and by TLS-ALPN-01 (RFC 8737) on 443. It is safe for concurrent use. A handshake never waits for the
// authority: until a certificate is there, and when there is none to be had, the site goes on with what it has.
type ACME struct {
	opt     ACMEOptions
	manager *autocert.Manager
	http    *http.Transport
	end     chan struct{} // closed when Run ends, and with it all requests

	asking sync.WaitGroup

	mu   sync.RWMutex
	have map[string]bool // names whose certificates the manager has
}

const (
	obtainTime  = 2 * time.Minute // that one certificate is waited for
	retryFirst  = 2 * time.Minute // until missing ones are asked for again, twice as long after each failure
	retryLast   = time.Hour       // authorities count failures, and refuse who has too many
	requestTime = 30 * time.Second
	maxAnswer   = 1 << 20
)

// NewACME makes a client of an authority. It asks for nothing; see Run.
func NewACME(o ACMEOptions) *ACME {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}
	a := &ACME{opt: o, http: t, have: map[string]bool{}, end: make(chan struct{})}
	a.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: o.Cache, Email: o.Contact,
		HostPolicy: func(_ context.Context, name string) error {
			if a.wants(name) {
				return nil
			}
			return errNotOurs
		},
		Client: &acme.Client{DirectoryURL: o.Directory, HTTPClient: &http.Client{Transport: a}},
	}
	if o.KeyID != "" {
		a.manager.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: o.KeyID, Key: o.Key}
	}
	a.manager.HTTPHandler(nil) // which makes it try HTTP-01 as well
	return a
}

type acmeError string

func (e acmeError) Error() string { return string(e) }

const errNotOurs = acmeError("cert: not a name that certificates are wanted for")

// RoundTrip implements http.RoundTripper for the client of the authority: requests end with Run, and answers are short.
func (a *ACME) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-a.end:
			cancel()
		case <-over:
		}
	}()
	resp, err := a.http.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// wants reports whether a host is one that certificates are for. Over HTTP it may come with a port.
func (a *ACME) wants(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return slices.Contains(a.opt.Names(), strings.ToLower(host))
}

// hello asks the manager for a certificate with a key on P-256, which every client of TLS 1.2 that people use takes.
func hello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
}

// Certificate is the certificate for a handshake; nil when there is none, and the site has to show its own.
func (a *ACME) Certificate(h *tls.ClientHelloInfo) *tls.Certificate {
	if Proves(h) {
		c, err := a.manager.GetCertificate(h)
		if err != nil {
			a.opt.Log.Debug("no answer for the authority", "name", h.ServerName, "err", err)
			return nil
		}
		return c
	}
	name := strings.ToLower(h.ServerName)
	a.mu.RLock()
	ok := a.have[name]
	a.mu.RUnlock()
	if !ok || !a.wants(name) {
		return nil
	}
	c, err := a.manager.GetCertificate(hello(name))
	if err != nil || c.Leaf != nil && time.Now().After(c.Leaf.NotAfter) {
		return nil
	}
	return c
}

// Proves reports whether a handshake is one by which an authority looks whether a name is ours (RFC 8737).
func Proves(h *tls.ClientHelloInfo) bool {
	return len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == acme.ALPNProto
}

// ACMEProtocol is what the web site has to offer in ALPN.
const ACMEProtocol = acme.ALPNProto

// Challenge answers HTTP-01 below /.well-known/acme-challenge/ and leaves the rest to next.
func (a *ACME) Challenge(next http.Handler) http.Handler { return a.manager.HTTPHandler(next) }

// Run gets the certificates that are missing, until ctx ends. The ports by which names are proved are open then. Those that are there are renewed by themselves, a month
// before they end, or after two thirds of a short life.
func (a *ACME) Run(ctx context.Context) {
	defer a.http.CloseIdleConnections()
	defer a.asking.Wait()
	defer close(a.end)
	wait := retryFirst
	for {
		all := true
		for _, name := range a.opt.Names() {
			all = a.obtain(ctx, name) && all
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		if wait = min(2*wait, retryLast); all {
			wait = retryFirst
		}
	}
}

// obtain makes sure that the certificate for a name is there, and reports whether it is.
func (a *ACME) obtain(ctx context.Context, name string) bool {
	a.mu.RLock()
	ok := a.have[name]
	a.mu.RUnlock()
	if ok {
		return true
	}
	// The manager takes no context. What it waits for ends with the requests that it makes.
	done := make(chan error, 1)
	a.asking.Go(func() {
		_, err := a.manager.GetCertificate(hello(name))
		done <- err
	})
	limit := time.NewTimer(obtainTime)
	defer limit.Stop()
	var err error
	select {
	case err = <-done:
	case <-limit.C:
		err = context.DeadlineExceeded
	case <-ctx.Done():
		return false
	}
	if err != nil {
		a.opt.Log.Warn("no certificate from the authority; the site shows its own", "name", name, "directory", a.opt.Directory, "err", err)
		return false
	}
	a.opt.Log.Info("certificate from the authority", "name", name)
	a.mu.Lock()
	a.have[name] = true
	a.mu.Unlock()
	return true
}
