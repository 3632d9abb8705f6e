package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"parley/internal/bus"
	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/contract/member"
	"parley/internal/directory"
	"parley/internal/keyring"
	"parley/internal/service/adminapi"
	"parley/internal/store"
)

// dsn is the address of the store with a relative file put into the data
// directory.
func dsn(dataDir string, s config.Store) string {
	text := s.DSN.Reveal()
	path, ok := strings.CutPrefix(text, "sqlite:")
	if !ok || filepath.IsAbs(path) {
		return text
	}
	return "sqlite:" + filepath.Join(dataDir, path)
}

func (n *Node) openStore(ctx context.Context) error {
	keys, err := keyring.OpenOrCreate(filepath.Join(n.opt.DataDir, keyring.FileName))
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, dsn(n.opt.DataDir, n.file.Load().Store))
	if err != nil {
		return err
	}
	n.keys, n.store = keys, db
	n.release("store", func(context.Context) error { return db.Close() })
	if err := db.Migrate(ctx, "node", nodeSchema()); err != nil {
		return err
	}
	if err := db.Migrate(ctx, "admin", adminapi.Schema()); err != nil {
		return err
	}
	n.audit = adminapi.NewAudit(db)
	return nil
}

func (n *Node) openCertificates(ctx context.Context) error {
	keeper, err := cert.Open(cert.Options{DataDir: n.opt.DataDir, Want: n.wantedNames, Log: n.log, Now: n.now})
	if err != nil {
		return err
	}
	n.certs = keeper
	run, end := context.WithCancel(n.run)
	done := make(chan struct{})
	go func() { defer close(done); keeper.Run(run) }()
	n.release("certificates", func(context.Context) error { end(); <-done; return nil })
	return nil
}

// wantedNames are the names of the node's certificate by the topology of now.
func (n *Node) wantedNames() cert.Request {
	var addrs []netip.Addr
	for _, a := range n.file.Load().Listen.Addresses {
		if !a.IsUnspecified() {
			addrs = append(addrs, a)
		}
	}
	snap := n.topo.Current()
	m, ok := snap.Node(n.file.Load().Node.FQDN)
	if !ok {
		return cert.Request{} // loadTopology has refused that
	}
	return cert.ForNode(snap, m, addrs...)
}

func (n *Node) openBus(ctx context.Context) error {
	c := n.file.Load().Bus
	cfg := bus.Config{Pool: n.pool(), Node: n.fqdn(), Log: n.log}
	if c.Mode != config.BusExternal {
		cfg.Dir = filepath.Join(n.opt.DataDir, "bus")
	}
	switch c.Mode {
	case config.BusMember:
		cfg.Cluster = &bus.Cluster{Listen: c.Listen.AddrPort, TLS: n.routeTLS()}
		for _, r := range c.Routes {
			cfg.Cluster.Peers = append(cfg.Cluster.Peers, r.String())
		}
	case config.BusExternal:
		cfg.URL = c.URL.Reveal()
	}
	b, err := bus.Open(ctx, cfg)
	if err != nil {
		return err
	}
	n.bus = b
	n.release("bus", func(context.Context) error { return b.Close() })
	n.members, err = member.New(b, n.fqdn(), n.log)
	return err
}

// routeTLS is mutual TLS between members, by the internal CA only.
func (n *Node) routeTLS() *tls.Config {
	c := n.certs.Server(cert.RequireClientCert)
	client := n.certs.Client("")
	c.RootCAs, c.GetClientCertificate = client.RootCAs, client.GetClientCertificate
	// What GetConfigForClient says anew for each handshake; the bus asks for it beforehand.
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, client.RootCAs
	return c
}

func (n *Node) openDirectory(ctx context.Context) error {
	dir, err := directory.Open(ctx, n.store, n.bus, n.keys, n.log)
	if err != nil {
		return err
	}
	n.dir = dir
	n.release("directory", func(context.Context) error { dir.Close(); return nil })
	return n.addDomains(ctx)
}

// addDomains makes the SIP domains of the topology known to the directory.
func (n *Node) addDomains(ctx context.Context) error {
	for _, d := range n.topo.Current().Domains() {
		if err := n.dir.AddDomain(ctx, string(d)); err != nil {
			return fmt.Errorf("domain %s: %w", d, err)
		}
	}
	return nil
}

// secret returns a random value that all nodes of the deployment share, made
// on first use and sealed in the store.
func secret(ctx context.Context, db *store.DB, keys *keyring.Keyring, name string) ([]byte, error) {
	return kept(ctx, db, keys, name, func() ([]byte, error) {
		fresh := make([]byte, 32)
		rand.Read(fresh)
		return fresh, nil
	})
}

// kept is secret for a value of another kind.
func kept(ctx context.Context, db *store.DB, keys *keyring.Keyring, name string, fresh func() ([]byte, error)) ([]byte, error) {
	place := "node_secret/" + name
	for {
		sealed, err := store.One(ctx, db, store.Value[[]byte], `SELECT sealed FROM node_secret WHERE name = $1`, name)
		if err == nil {
			return keys.Open(place, sealed)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		value, err := fresh()
		if err != nil {
			return nil, err
		}
		_, err = db.Exec(ctx, `INSERT INTO node_secret (name, sealed) VALUES ($1, $2)`, name, keys.Seal(place, value))
		if err == nil {
			return value, nil
		}
		if !errors.Is(err, store.ErrConflict) { // another node was quicker: read its value
			return nil, err
		}
	}
}

func (n *Node) fqdn() string { return string(n.file.Load().Node.FQDN) }

// pool is the FQDN of the pool this node is a member of.
func (n *Node) pool() string {
	if m, ok := n.topo.Current().Node(n.file.Load().Node.FQDN); ok && m.Pool != nil {
		return string(m.Pool.FQDN)
	}
	return n.fqdn()
}
