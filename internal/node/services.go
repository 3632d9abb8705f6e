package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"parley/internal/config"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/topology"
)

// running is a service of this node and how it does.
type running struct {
	spec service.Spec
	svc  service.Service

	mu    sync.Mutex
	state string // as in adminapi.Service
	err   error
}

func (r *running) set(state string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.err = state, err
}

// status is the service's state now, asking it when it can tell.
func (r *running) status() (state string, err error) {
	r.mu.Lock()
	state, err = r.state, r.err
	r.mu.Unlock()
	if state == "running" {
		if rd, ok := r.svc.(service.Readier); ok {
			if err := rd.Ready(); err != nil {
				return "not ready", err
			}
		}
	}
	return state, err
}

// up reports whether the service runs; svc may be read then.
func (r *running) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == "running"
}

// roles are this node's, by the topology.
func (n *Node) roles() []topology.Role {
	m, ok := n.topo.Current().Node(n.file.Load().Node.FQDN)
	if !ok {
		return nil
	}
	return m.Roles
}

// startServices builds and starts the services of this node's roles, in the
// order of the list. One that fails ends the start when it is critical, and
// is shown as failed otherwise.
func (n *Node) startServices(ctx context.Context) error {
	if err := checkSpecs(n.specs); err != nil {
		return err
	}
	roles := n.roles()
	inside := slices.ContainsFunc(roles, topology.Role.Inside)
	var mine []*running
	for _, spec := range n.specs {
		if !spec.HostedBy(roles) {
			continue
		}
		if !inside && (spec.Needs.Has(service.NeedStore) || spec.Needs.Has(service.NeedBus)) {
			return fmt.Errorf("service %s needs store or bus, which a node with only the roles %v must not have", spec.Name, roles)
		}
		mine = append(mine, &running{spec: spec, state: "waiting"})
	}
	n.services.Store(&mine)
	handlers := handlers{}
	for _, r := range mine {
		r.set("starting", nil)
		err := n.startService(ctx, r)
		if err == nil {
			r.set("running", nil)
			handlers.add(r)
			n.addPaths(r)
			continue
		}
		r.set("failed", err)
		if r.spec.Critical {
			return fmt.Errorf("service %s: %w", r.spec.Name, err)
		}
		n.log.Error("service does not start; the node runs without it", obs.KeySvc, r.spec.Name, obs.Err(err))
	}
	n.handlers.Store(&handlers)
	n.health.Add("services", func() error {
		for _, r := range mine {
			if state, err := r.status(); r.spec.Critical && state == "not ready" {
				return fmt.Errorf("%s: %w", r.spec.Name, err)
			}
		}
		return nil
	})
	return nil
}

// handlers finds the service for a request: by method, then by event package,
// where "" stands for every other one.
type handlers map[string]map[string]service.SIPHandler

func (h handlers) add(r *running) {
	for _, what := range r.spec.Handles {
		method, event, _ := strings.Cut(what, " ")
		if h[method] == nil {
			h[method] = map[string]service.SIPHandler{}
		}
		h[method][event] = r.svc.(service.SIPHandler) // startService has checked
	}
}

// handler returns the service that takes requests of a method and, for
// SUBSCRIBE, NOTIFY and PUBLISH, of an event package. It may be called from
// the readers of SIP messages. Before every service is up there is none.
func (n *Node) handler(method, event string) (service.SIPHandler, bool) {
	all := n.handlers.Load()
	if all == nil {
		return nil, false
	}
	byEvent := (*all)[method]
	h, ok := byEvent[event]
	if !ok {
		h, ok = byEvent[""]
	}
	return h, ok
}

// eventPackages are those a SUBSCRIBE is taken for, for Allow-Events.
func (n *Node) eventPackages() string {
	all := n.handlers.Load()
	if all == nil {
		return ""
	}
	var names []string
	for name := range (*all)["SUBSCRIBE"] {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// myServices are the services of this node, in start order.
func (n *Node) myServices() []*running {
	if p := n.services.Load(); p != nil {
		return *p
	}
	return nil
}

func (n *Node) startService(ctx context.Context, r *running) error {
	if r.spec.Schema != nil {
		if err := n.store.Migrate(ctx, r.spec.Name, r.spec.Schema); err != nil {
			return fmt.Errorf("its tables: %w", err)
		}
	}
	svc, err := r.spec.Build(n.host(&r.spec))
	if err != nil {
		return err
	}
	if _, ok := svc.(service.SIPHandler); len(r.spec.Handles) > 0 && !ok {
		return fmt.Errorf("the spec handles %s, the service does not (service.SIPHandler)", strings.Join(r.spec.Handles, ", "))
	}
	if _, ok := svc.(service.HTTPHandler); len(r.spec.Paths) > 0 && !ok {
		return fmt.Errorf("the spec serves %s, the service does not (service.HTTPHandler)", strings.Join(r.spec.Paths, ", "))
	}
	r.svc = svc
	if err := svc.Start(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return errors.Join(err, svc.Stop(stop))
	}
	n.release("service "+r.spec.Name, func(ctx context.Context) error {
		r.set("stopped", nil)
		return svc.Stop(ctx)
	})
	return nil
}

// checkSpecs finds what is wrong with the services taken together.
func checkSpecs(specs []service.Spec) error {
	names, takes := map[string]bool{}, map[string]string{}
	for i := range specs {
		s := &specs[i]
		if err := s.Check(); err != nil {
			return err
		}
		if names[s.Name] {
			return fmt.Errorf("two services are called %s", s.Name)
		}
		names[s.Name] = true
		for _, h := range s.Handles {
			if takes[h] != "" {
				return fmt.Errorf("services %s and %s both handle %s", takes[h], s.Name, h)
			}
			takes[h] = s.Name
		}
		for _, path := range s.Paths {
			if takes[path] != "" {
				return fmt.Errorf("services %s and %s both serve %s", takes[path], s.Name, path)
			}
			takes[path] = s.Name
		}
	}
	return nil
}

// host makes the handles of one service: what its Spec needs and no more.
func (n *Node) host(spec *service.Spec) service.Host {
	h := service.Host{
		Node:     service.Node{FQDN: n.fqdn(), Pool: n.pool(), Dir: n.opt.DataDir},
		Log:      n.log.With(obs.KeySvc, spec.Name),
		Now:      n.now,
		Metrics:  n.metrics,
		Topology: n.topo.Current,
		Limits:   func() config.Limits { return n.file.Load().Limits },
		Settings: n.file.Load().Section(spec.Name),
		Spec:     spec,
		Open: func(ctx context.Context, p service.Port) (netip.AddrPort, error) {
			return n.listen(ctx, spec.Name, p)
		},
	}
	if spec.Needs.Has(service.NeedSIP) {
		h.SIP, h.Proxy, h.Bindings, h.GRUU = n.stack, n.proxy, n.bindings, n.gruu
		h.Events = n.eventPackages
	}
	if spec.Needs.Has(service.NeedWeb) {
		h.Web = n.web
	}
	if spec.Needs.Has(service.NeedRaw) {
		h.Raw = n.raw(spec.Name)
	}
	if spec.Needs.Has(service.NeedAdmin) {
		h.Admin = &service.Administration{API: n.api.Web(), Audit: n.api.Record, Password: n.checkPassword}
	}
	if spec.Needs.Has(service.NeedStore) {
		h.Store = n.store
	}
	if spec.Needs.Has(service.NeedBus) {
		h.Bus, h.Members = n.bus, n.members
	}
	if spec.Needs.Has(service.NeedDirectory) {
		h.Directory = n.dir
	}
	return h
}

func (n *Node) serviceStatus() []adminapi.Service {
	out := []adminapi.Service{}
	for _, r := range n.myServices() {
		state, err := r.status()
		s := adminapi.Service{Name: r.spec.Name, State: state}
		if err != nil {
			s.Error = err.Error()
		}
		out = append(out, s)
	}
	return out
}
