// Package servicetest holds what every service promises, as one test to call.
package servicetest

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service"
	"parley/internal/topology"
)

// Run checks the promises of a service on a real node that runs nothing else:
// its declaration is sound; it starts, and listens on the ports it declared
// and no others; it drains by the deadline; after Stop nothing of it is left;
// and it starts again on the same data.
func Run(t *testing.T, spec service.Spec) {
	t.Helper()
	if err := spec.Check(); err != nil {
		t.Fatal(err)
	}
	dir := nodetest.Dir(t)
	for _, round := range []string{"first start", "second start"} {
		t.Run(round, func(t *testing.T) { once(t, dir, spec) })
	}
}

func once(t *testing.T, dir string, spec service.Spec) {
	leaks := goleak.IgnoreCurrent()
	n := nodetest.Start(t, dir, node.Options{Specs: []service.Spec{spec}})
	st := n.Status()
	if len(st.Services) != 1 || st.Services[0].State != "running" {
		t.Fatalf("services: %+v", st.Services)
	}
	open := map[string]string{}
	for _, l := range st.Listeners {
		if _, ok := spec.Port(l.Row); !ok {
			t.Errorf("listens on %s, which it does not declare", l.Row)
		}
		open[l.Row] = l.Address
	}
	pool := topology.Single(nodetest.Domain, nodetest.FQDN).Pools[0]
	roles := append(pool.Kind.Roles(), pool.Collocated...)
	for _, p := range spec.Ports {
		addr, ok := open[p.Row]
		switch {
		case !ok && !p.Optional && p.OpensOn(roles):
			t.Errorf("does not listen on %s", p.Row)
		case ok && p.Transport.Network() == "tcp":
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Errorf("%s: %v", p.Row, err)
				continue
			}
			c.Close()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := n.Quiesce(ctx); err != nil {
		t.Errorf("drain with nothing to do: %v", err)
	}
	if err := n.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	goleak.VerifyNone(t, leaks)
}
