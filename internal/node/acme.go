package node

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/acme/autocert"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/topology"
)

// ACME is the section of the node file about certificates of a public authority.
type ACME struct {
	Directory string        `toml:"directory" doc:"URL of the directory of an authority that speaks ACME (RFC 8555). With it the web sites show certificates of that authority, got and renewed by themselves, and you agree to its terms. Empty: none." reload:"restart" example:"https://acme-v02.api.letsencrypt.org/directory"`
	CA        string        `toml:"ca" doc:"PEM file of who vouches for the directory, for an authority of your own. Empty: whom the machine trusts." reload:"restart" example:"acme-ca.pem"`
	Contact   string        `toml:"contact" doc:"Mail address to which the authority sends its warnings." reload:"restart" example:"postmaster@example.test"`
	Names     []string      `toml:"names" doc:"Names to get certificates for. Each has to lead to port 80 or 443 of this pool, for whoever looks from outside. Empty: the external web name of the pool and the hosts of the simple URLs." reload:"restart" example:"[\"web.example.test\"]"`
	KeyID     string        `toml:"key-id" doc:"Key identifier of an external account binding, where the authority asks for one." reload:"restart"`
	Key       config.Secret `toml:"key" doc:"Its key, in base64url. Never logged." reload:"restart"`
}

// acmeSection has no service: the certificates are for all web sites.
var acmeSection = config.Section{Name: "acme", New: func() any { return &ACME{} }, Doc: "Certificates of a public authority for the web sites. The servers among each other keep those of the internal CA."}

// Validate implements config.Validator.
func (a *ACME) Validate() error {
	if u, err := url.Parse(a.Directory); a.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return &config.FieldError{Key: "directory", Text: "\"" + a.Directory + "\" is not the URL of a directory", Fix: `"https://acme-v02.api.letsencrypt.org/directory"`}
	}
	if _, err := mail.ParseAddress(a.Contact); a.Contact != "" && err != nil {
		return &config.FieldError{Key: "contact", Text: "\"" + a.Contact + "\" is not a mail address"}
	}
	for _, name := range a.Names {
		if _, err := topology.ParseFQDN(name); err != nil {
			return &config.FieldError{Key: "names", Text: err.Error()}
		}
	}
	if _, err := a.key(); err != nil || (a.KeyID == "") != (a.Key.Reveal() == "") {
		return &config.FieldError{Key: "key", Text: "key-id and key go together, and the key is base64url"}
	}
	return nil
}

func (a *ACME) key() ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(a.Key.Reveal(), "="))
}

// newACME makes the client of the authority that the node file names, nil if it names none.
func (n *Node) newACME() (*cert.ACME, error) {
	s, _ := n.file.Load().Section(acmeSection.Name).(*ACME)
	if s == nil || s.Directory == "" {
		return nil, nil
	}
	o := cert.ACMEOptions{Directory: s.Directory, Contact: s.Contact, KeyID: s.KeyID, Log: n.log, Cache: acmeCache{n.store, n.keys},
		Names: func() []string {
			if len(s.Names) > 0 {
				return s.Names
			}
			return n.publicNames()
		}}
	o.Key, _ = s.key() // valid, or the file would not have been taken
	if s.CA != "" {
		path := s.CA
		if !filepath.IsAbs(path) {
			path = filepath.Join(n.opt.DataDir, path)
		}
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("acme.ca: %w", err)
		}
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("acme.ca: no certificate in %s", path)
		}
	}
	return cert.NewACME(o), nil
}

// publicNames are those by which people outside know the web sites of the pool.
func (n *Node) publicNames() []string {
	topo := n.topo.Current()
	p, ok := topo.Pool(topology.FQDN(n.pool()))
	if !ok {
		return nil
	}
	var out []string
	if p.ExternalWeb != "" {
		out = append(out, string(p.ExternalWeb))
	}
	urls := n.simpleURLs()
	for _, u := range urls.Meet {
		out = append(out, string(u.Host))
	}
	if !urls.DialIn.IsZero() {
		out = append(out, string(urls.DialIn.Host))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// acmeCache keeps what an ACME client has to remember in the store, sealed: the nodes of a pool share one account,
// and each answers for what another has asked.
type acmeCache struct {
	db   *store.DB
	keys *keyring.Keyring
}

// Get implements autocert.Cache.
func (c acmeCache) Get(ctx context.Context, key string) ([]byte, error) {
	sealed, err := store.One(ctx, c.db, store.Value[[]byte], `SELECT sealed FROM node_secret WHERE name = $1`, acmePlace(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, autocert.ErrCacheMiss
	}
	if err != nil {
		return nil, err
	}
	return c.keys.Open("node_secret/"+acmePlace(key), sealed)
}

// Put implements autocert.Cache.
func (c acmeCache) Put(ctx context.Context, key string, data []byte) error {
	_, err := c.db.Exec(ctx, `INSERT INTO node_secret (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed`,
		acmePlace(key), c.keys.Seal("node_secret/"+acmePlace(key), data))
	return err
}

// Delete implements autocert.Cache.
func (c acmeCache) Delete(ctx context.Context, key string) error {
	_, err := c.db.Exec(ctx, `DELETE FROM node_secret WHERE name = $1`, acmePlace(key))
	return err
}

func acmePlace(key string) string { return "acme/" + key }
