package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/topology"
)

// Names of files below the data directory. Further pairs NAME.crt and NAME.key in the same directory are
// certificates of other authorities; each serves the names it carries.
const (
	certsDir     = "certs"
	nodeCertFile = "node.crt"
	nodeKeyFile  = "node.key"
)

// checkEvery is how often Run looks for files that changed and certificates that are due.
const checkEvery = time.Minute

// Options say what a Keeper looks after.
type Options struct {
	DataDir string
	// Want says which names the node's certificate should have now. When it lacks one, and the CA key is
	// here, it is issued again. Nil leaves the certificate as it is.
	Want func() Request
	Log  *slog.Logger
	Now  func() time.Time // nil means time.Now
}

// Keeper holds the certificates of a node and hands them to handshakes. It is safe for concurrent use; all
// lookups are memory only.
type Keeper struct {
	opt Options
	now func() time.Time

	mu    sync.Mutex // held while loading, so that Check does not race itself
	state atomic.Pointer[state]
}

// state is what is on disk, loaded.
type state struct {
	node    *tls.Certificate
	others  []*tls.Certificate
	roots   *x509.CertPool
	rootDER []*x509.Certificate
	stamp   string // of the files, to see whether they changed
	serve   [3]*tls.Config
}

// Open loads the certificates of a data directory. When the node has none yet and the CA key is here, one is
// issued.
func Open(opt Options) (*Keeper, error) {
	k := &Keeper{opt: opt, now: opt.Now}
	if k.now == nil {
		k.now = time.Now
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	return k, nil
}

// Check loads the files when they changed and issues the node's certificate when it is missing, due or lacks
// a name. On an error everything stays as it was.
func (k *Keeper) Check() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.renew(); err != nil {
		return err
	}
	dir := filepath.Join(k.opt.DataDir, certsDir)
	stamp, err := stampOf(filepath.Join(k.opt.DataDir, caDir, caCertFile), dir)
	if err != nil {
		return err
	}
	if old := k.state.Load(); old != nil && old.stamp == stamp {
		return nil
	}
	st := &state{stamp: stamp}
	if st.roots, st.rootDER, err = Roots(k.opt.DataDir); err != nil {
		return fmt.Errorf("internal CA: %w", err)
	}
	if st.node, err = loadPair(dir, nodeCertFile, nodeKeyFile); err != nil {
		return fmt.Errorf("node certificate: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.crt"))
	if err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Base(f)
		if name == nodeCertFile {
			continue
		}
		pair, err := loadPair(dir, name, strings.TrimSuffix(name, ".crt")+".key")
		if err != nil {
			return fmt.Errorf("certificate %s: %w", name, err)
		}
		st.others = append(st.others, pair)
	}
	for auth := range st.serve {
		st.serve[auth] = k.serverConfig(st, ClientAuth(auth))
	}
	k.state.Store(st)
	return nil
}

// Run checks once a minute until ctx ends. A failing check is logged and changes nothing.
func (k *Keeper) Run(ctx context.Context) {
	t := time.NewTicker(checkEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := k.Check(); err != nil && k.opt.Log != nil {
				k.opt.Log.Error("certificates not renewed", "err", err)
			}
		}
	}
}

// renew issues the node's certificate when that is due and possible here.
func (k *Keeper) renew() error {
	if k.opt.Want == nil {
		return nil
	}
	want := k.opt.Want()
	dir := filepath.Join(k.opt.DataDir, certsDir)
	certs, err := readCertificates(filepath.Join(dir, nodeCertFile))
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if _, err := loadPair(dir, nodeCertFile, nodeKeyFile); errors.Is(err, errMismatch) || errors.Is(err, fs.ErrNotExist) {
		missing = missing || k.issuedHere(certs[0]) // an issue that was cut short is done again
	}
	now := k.now()
	if !missing {
		due := certs[0].NotBefore.Add(certs[0].NotAfter.Sub(certs[0].NotBefore) * 2 / 3)
		if now.Before(due) && covers(certs[0], want) {
			return nil
		}
	}
	ca, err := LoadCA(k.opt.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !missing:
		return nil // issued elsewhere, and replaced from there
	case err != nil:
		return fmt.Errorf("internal CA: %w", err)
	}
	if !missing && !k.issuedHere(certs[0]) {
		return nil // from another authority, whose business it is
	}
	if err := IssueNode(k.opt.DataDir, ca, want, now); err != nil {
		return err
	}
	if k.opt.Log != nil {
		k.opt.Log.Info("node certificate issued", "node", want.Subject)
	}
	return nil
}

// issuedHere reports whether a certificate comes from the CA of this data directory.
func (k *Keeper) issuedHere(c *x509.Certificate) bool {
	ca, err := LoadCA(k.opt.DataDir)
	return err == nil && c.CheckSignatureFrom(ca.Cert) == nil
}

// errMismatch says that a key and a certificate do not belong together.
var errMismatch = errors.New("key and certificate do not belong together")

// covers reports whether a certificate has everything that is wanted.
func covers(c *x509.Certificate, want Request) bool {
	for _, n := range want.Names {
		if !slices.Contains(c.DNSNames, n) {
			return false
		}
	}
	for _, a := range want.Addresses {
		if !slices.ContainsFunc(c.IPAddresses, func(ip net.IP) bool {
			have, ok := netip.AddrFromSlice(ip)
			return ok && have.Unmap() == a.Unmap()
		}) {
			return false
		}
	}
	return true
}

// IssueNode makes a key and a certificate for a node and writes both below its data directory, replacing
// those that are there. The key is written first: a crash in between leaves a pair that does not match, which
// is noticed, and made again by whoever holds the CA.
func IssueNode(dataDir string, ca *CA, r Request, now time.Time) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	c, err := ca.Issue(r, key.Public(), now, NodeLife)
	if err != nil {
		return err
	}
	dir := filepath.Join(dataDir, certsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, nodeKeyFile), key); err != nil {
		return err
	}
	return writeCertificates(filepath.Join(dir, nodeCertFile), c)
}

func loadPair(dir, certName, keyName string) (*tls.Certificate, error) {
	certs, err := readCertificates(filepath.Join(dir, certName))
	if err != nil {
		return nil, err
	}
	keyPath := filepath.Join(dir, keyName)
	if info, err := os.Stat(keyPath); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is readable by others: make it mode 0600", keyPath)
	}
	key, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	pair := &tls.Certificate{PrivateKey: key, Leaf: certs[0]}
	for _, c := range certs {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	if !samePublicKey(certs[0], key) {
		return nil, fmt.Errorf("%s, %s: %w", keyName, certName, errMismatch)
	}
	return pair, nil
}

// stampOf describes files by name, size and time.
func stampOf(caFile, dir string) (string, error) {
	var b strings.Builder
	info, err := os.Stat(caFile)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(&b, info.Size(), info.ModTime().UnixNano())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // replaced while we look; the next check sees it
		}
		fmt.Fprintln(&b, e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return b.String(), nil
}

// Roots are the certificates by which servers of the deployment are recognised.
func (k *Keeper) Roots() *x509.CertPool { return k.state.Load().roots }

// CACertificates are the same as a list, for clients that fetch the chain.
func (k *Keeper) CACertificates() []*x509.Certificate { return slices.Clone(k.state.Load().rootDER) }

// Leaf is the node's certificate in use.
func (k *Keeper) Leaf() *x509.Certificate { return k.state.Load().node.Leaf }

// Others are the certificates of other authorities that the node serves beside its own.
func (k *Keeper) Others() []*x509.Certificate {
	var out []*x509.Certificate
	for _, o := range k.state.Load().others {
		out = append(out, o.Leaf)
	}
	return out
}

// RenewsItself reports whether the node's certificate comes from the CA in its data directory, so that Check replaces
// it in time.
func (k *Keeper) RenewsItself() bool { return k.issuedHere(k.Leaf()) }

// Identify decides which trusted server presented a chain; see the function of that name.
func (k *Keeper) Identify(chain []*x509.Certificate, topo *topology.Snapshot) (topology.Peer, error) {
	return Identify(chain, k.Roots(), topo, k.now())
}

// IdentifyServer decides whether a server that was dialled is the one that was wanted.
func (k *Keeper) IdentifyServer(want string, chain []*x509.Certificate, topo *topology.Snapshot) (topology.Peer, error) {
	return IdentifyServer(want, chain, k.Roots(), topo, k.now())
}
