package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"parley/internal/keyring"
)

// PoolName is the FQDN of the pools made here; its servers are fe1, fe2 and so on.
const PoolName = "pool.example.test"

// Pool is several servers that are one for their users: one topology, one CA, one store, one bus.
type Pool struct{ Members []*Server }

// StartPool makes a pool of n members in folders of o.Dir and returns when each is ready. o.DSN is the store, which
// they share; o.Addr must not be set.
func StartPool(ctx context.Context, o Options, n int) (*Pool, error) {
	p := new(Pool)
	var addrs []netip.Addr
	for range n {
		addrs = append(addrs, OwnAddr())
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, "deployment.toml")
	if err := os.WriteFile(file, []byte(poolTopology(addrs)), 0o600); err != nil {
		return nil, err
	}
	for i := range n {
		m, err := initMember(ctx, o, i, addrs, file)
		if err != nil {
			return nil, err
		}
		p.Members = append(p.Members, m)
	}
	// None is ready before most are there.
	errs := make([]error, n)
	var starting sync.WaitGroup
	for i, m := range p.Members {
		starting.Go(func() { errs[i] = m.Serve(ctx) })
	}
	starting.Wait()
	err := errors.Join(errs...)
	if err == nil {
		err = p.Members[0].AddUsers(ctx, o.Users)
	}
	if err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// initMember makes the data directory of one member. The first has the CA and the keys of secrets in the store.
func initMember(ctx context.Context, o Options, i int, addrs []netip.Addr, topology string) (*Server, error) {
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	dir := func(i int) string { return filepath.Join(o.Dir, fmt.Sprintf("fe%d", i+1)) }
	m := &Server{Dir: dir(i), Domain: "example.test", Addr: addrs[i], Binary: binary, env: o.Env}
	args := []string{"init", "--topology", topology, "--node", memberName(i), "--address", m.Addr.String()}
	if i > 0 {
		args = append(args, "--ca", dir(0))
	}
	if _, err := m.CLI(ctx, "", args...); err != nil {
		return nil, err
	}
	keys := filepath.Join(m.Dir, keyring.FileName)
	if i == 0 {
		_, err = keyring.Create(keys)
	} else {
		var b []byte
		if b, err = os.ReadFile(filepath.Join(dir(0), keyring.FileName)); err == nil {
			err = os.WriteFile(keys, b, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	const busPort = 4222
	var routes []string
	for j, a := range addrs {
		if j != i {
			routes = append(routes, netip.AddrPortFrom(a, busPort).String())
		}
	}
	change := map[string]any{
		"admin": map[string]any{"listen": "127.0.0.1:0"},
		"store": map[string]any{"dsn": o.DSN},
		"bus":   map[string]any{"mode": "member", "listen": netip.AddrPortFrom(m.Addr, busPort).String(), "routes": routes},
	}
	if o.Verbose {
		change["log"] = map[string]any{"level": "debug"}
	}
	for _, c := range []map[string]any{change, o.Config} {
		if err := m.Configure(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func memberName(i int) string { return fmt.Sprintf("fe%d.example.test", i+1) }

func poolTopology(addrs []netip.Addr) string {
	var b strings.Builder
	b.WriteString(`version = 1
name = "example.test"
domains = ["example.test"]

[[site]]
name = "main"
kind = "central"

[[pool]]
fqdn = "` + PoolName + `"
kind = "enterprise"
site = "main"
balancing = "dns"
internal-web = "web-int.example.test"
central-management = true
`)
	for i, a := range addrs {
		fmt.Fprintf(&b, "\n[[pool.server]]\nfqdn = %q\naddresses = [%q]\n", memberName(i), a)
	}
	return b.String()
}

// Kill ends all members at once.
func (p *Pool) Kill() {
	for _, m := range p.Members {
		m.Kill()
	}
}

// Stop stops the members that run, one after the other.
func (p *Pool) Stop() error {
	var errs []error
	for _, m := range p.Members {
		errs = append(errs, m.Stop())
	}
	return errors.Join(errs...)
}
