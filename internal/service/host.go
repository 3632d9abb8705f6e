package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/bus"
	"parley/internal/config"
	"parley/internal/contract/binding"
	"parley/internal/contract/member"
	"parley/internal/directory"
	"parley/internal/proxy"
	"parley/internal/stack"
	"parley/internal/store"
	"parley/internal/topology"
)

// Host is what a node gives one service: handles scoped to it. A handle that
// the Spec did not ask for is nil.
type Host struct {
	Node      Node                      // who this node is
	Log       *slog.Logger              // carries svc=<name>
	Now       func() time.Time          // the clock; time.Now outside tests
	Metrics   prometheus.Registerer     // register collectors named parley_<service>_...
	Topology  func() *topology.Snapshot // the current snapshot; immutable
	Limits    func() config.Limits      // of the node file, as they are now: size, registrations
	Settings  any                       // what Spec.Settings made, decoded from the node file
	SIP       *stack.Stack              // NeedSIP
	Proxy     *proxy.Proxy              // NeedSIP
	Store     *store.DB                 // NeedStore; Spec.Schema is already applied
	Bus       *bus.Bus                  // NeedBus
	Members   *member.Table             // NeedBus; who else is in the pool
	Directory *directory.Directory      // NeedDirectory
	Bindings  *binding.Table            // NeedSIP; the registrar writes it, everybody reads it
	GRUU      *binding.Coder            // NeedSIP
	Web       *Web                      // NeedWeb
	Admin     *Administration           // NeedAdmin
	Raw       *Raw                      // NeedRaw
	Events    func() string             // NeedSIP; event packages that subscriptions are taken for, as Allow-Events lists them

	// Open opens a declared listener. Services call Listen, which checks the
	// declaration first; the node fills this in.
	Open func(ctx context.Context, p Port) (netip.AddrPort, error)
	// Spec is the declaration the service was built from.
	Spec *Spec
}

// Node says who a node is.
type Node struct {
	FQDN string // name in the topology and in its certificate
	Pool string // FQDN of its pool
	Dir  string // data directory, where relative names of files in settings begin
}

// Listen opens the listener declared for row, at the address the node file
// gives it, and returns the address that was bound. SIP listeners feed the
// stack from then on and are closed by the node when it stops. A row that the
// Spec does not declare is an error, and so is a second listener on one row.
// An optional port that the node file leaves off returns the zero AddrPort.
func (h *Host) Listen(ctx context.Context, row string) (netip.AddrPort, error) {
	p, ok := h.Spec.Port(row)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("service %s: listen on %s: not among the ports it declares", h.Spec.Name, row)
	}
	addr, err := h.Open(ctx, p)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("service %s: listen on %s: %w", h.Spec.Name, row, err)
	}
	return addr, nil
}

// ListenAll opens every declared listener, in the order of the Spec.
func (h *Host) ListenAll(ctx context.Context) error {
	for _, p := range h.Spec.Ports {
		if _, err := h.Listen(ctx, p.Row); err != nil {
			return err
		}
	}
	return nil
}
