package node

import (
	"fmt"
	"os"
	"path/filepath"

	"parley/internal/directory"
	"parley/internal/gate"
	"parley/internal/sip/sigauth"
	"parley/internal/sip/sigauth/krb"
	"parley/internal/uc"
)

// principal finds the user of a Kerberos principal: the one whom another
// directory knows by that name or, where none speaks for the realm, the one
// with that address.
func (n *Node) principal(user, realm string) (uc.AOR, bool) {
	if u, here := n.dir.ByLogin(user + "@" + realm); here {
		if u == nil {
			return "", false
		}
		return u.AOR, true
	}
	return gate.Principal(user, realm, n.dir.Domains(), func(aor uc.AOR) (*directory.User, bool) {
		u, ok := n.dir.Lookup(aor)
		return u, ok && u.Origin.Source == ""
	})
}

// setSigning tells the gate by which schemes Lync-protocol clients may sign in.
func (n *Node) setSigning(a *Auth) error {
	cfg := sigauth.Config{Host: n.fqdn()}
	if a.NTLM {
		cfg.FindNTLM = n.ntlmAccount
	}
	if a.Keytab != "" {
		path := a.Keytab
		if !filepath.IsAbs(path) {
			path = filepath.Join(n.opt.DataDir, path)
		}
		keys, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("auth.keytab: %w", err)
		}
		acceptor, err := krb.New(n.fqdn(), keys)
		if err != nil {
			return fmt.Errorf("auth.keytab: %s: %w", path, err)
		}
		cfg.Kerberos = acceptor
		cfg.FindKerberos = func(user, realm string) (uc.AOR, bool) {
			return n.principal(user, realm)
		}
	}
	if a.Certs {
		cfg.TLSDSK = n.innerTLS()
	}
	if cfg.FindNTLM == nil && cfg.Kerberos == nil && cfg.TLSDSK == nil {
		n.gate.SetSigning(nil)
		return nil
	}
	srv, err := sigauth.NewServer(cfg)
	if err != nil {
		return err
	}
	n.gate.SetSigning(srv)
	return nil
}
