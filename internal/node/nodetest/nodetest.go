// Package nodetest makes data directories and runs whole nodes for tests, on
// loopback addresses and ports that the system gives.
package nodetest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/service/all"
	"parley/internal/topology"
)

// Domain is the SIP domain of the nodes made here.
const Domain = "example.test"

// FQDN is their name.
const FQDN = "server.example.test"

// Password is that of every user AddUsers adds.
const Password = "correct horse battery"

// Dir makes the data directory of a single node that listens on 127.0.0.1.
func Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	loop := netip.MustParseAddr("127.0.0.1")
	topo := topology.Single(Domain, FQDN, loop)
	store, err := topology.CreateStore(dir, topology.Format(topo))
	must(t, err)
	ca, err := cert.NewCA("Parley internal CA of "+Domain, time.Now())
	must(t, err)
	must(t, ca.Save(dir))
	m, _ := store.Current().Node(FQDN)
	must(t, cert.IssueNode(dir, ca, cert.ForNode(store.Current(), m, loop), time.Now()))
	cfg := config.Default()
	cfg.Node.FQDN = FQDN
	cfg.Listen.Addresses = []netip.Addr{loop}
	must(t, os.WriteFile(filepath.Join(dir, config.FileName), config.Format(cfg), 0o600))
	return dir
}

// FreePorts are overrides that put every listener of the given services, and
// health, on a port of 127.0.0.1 that the system gives. Nil stands for all
// services.
func FreePorts(specs []service.Spec) map[string]netip.AddrPort {
	if specs == nil {
		specs = all.Specs()
	}
	free := netip.MustParseAddrPort("127.0.0.1:0")
	out := map[string]netip.AddrPort{"admin": free}
	for _, s := range specs {
		for _, p := range s.Ports {
			out[p.Row] = free
		}
	}
	return out
}

// Node is a running node and what it logs.
type Node struct {
	*node.Node
	Dir string
	Log *Log
	t   testing.TB
}

// Start runs a node on dir until the test ends. Fields of opt that are not set
// are those of a test: free ports, logs to the test.
func Start(t testing.TB, dir string, opt node.Options) *Node {
	t.Helper()
	n, err := TryStart(t, dir, opt)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return n
}

// TryStart is Start for a node that may refuse.
func TryStart(t testing.TB, dir string, opt node.Options) (*Node, error) {
	t.Helper()
	log := &Log{}
	opt.DataDir = dir
	if opt.Listen == nil {
		opt.Listen = FreePorts(opt.Specs)
	}
	if opt.Stderr == nil {
		opt.Stderr = log
	}
	n := node.New(opt)
	if err := n.Start(t.Context()); err != nil {
		return nil, err
	}
	out := &Node{n, dir, log, t}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the node:\n%s", log)
		}
	})
	return out, nil
}

// Addr is where the listener of a row was bound.
func (n *Node) Addr(row string) netip.AddrPort {
	n.t.Helper()
	for _, l := range n.Status().Listeners {
		if l.Row == row {
			return netip.MustParseAddrPort(l.Address)
		}
	}
	n.t.Fatalf("no listener of row %s", row)
	return netip.AddrPort{}
}

// TLSAddr is where SIP over TLS is served.
func (n *Node) TLSAddr() netip.AddrPort { return n.Addr(porttable.SrvFeFrontend5061) }

// Client is a client of the node's admin API.
func (n *Node) Client() *adminapi.Client {
	c := adminapi.NewClient(n.Dir)
	n.t.Cleanup(c.Close)
	return c
}

// AddUsers adds users such as "alice" to Domain.
func (n *Node) AddUsers(names ...string) {
	n.t.Helper()
	c, password := n.Client(), Password
	for _, name := range names {
		_, err := c.Do(n.t.Context(), http.MethodPut, "/users/"+name+"@"+Domain, "*", adminapi.UserChange{Password: &password}, nil)
		must(n.t, err)
	}
}

// Log collects what a node writes.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*Log)(nil)

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
