// Package registrar keeps track of where users are signed in: REGISTER of RFC
// 3261 section 10 with outbound flows (RFC 5626), GRUUs (RFC 5627) and Path
// (RFC 3327).
//
// Requests reach it authenticated, and it answers from memory in the reader of
// the connection. What a REGISTER does to a user's bindings is decided by
// Step, a function without clock, lock or socket. The bindings themselves are
// in a binding.Table, which routing, messages and presence read, and which
// publishes them to the other members of a pool.
//
// A binding ends with its expiry, with the flow it was made on, with the user
// (disabled or removed), or when the user has one endpoint too many and it is
// the one that was refreshed longest ago.
package registrar

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/config"
	"parley/internal/contract/binding"
	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:  "registrar",
	Doc:   "Where users are signed in, and the listeners they sign in on.",
	Roles: []topology.Role{topology.RoleFrontEnd, topology.RoleBranch},
	Needs: service.NeedSIP | service.NeedBus | service.NeedDirectory,
	Ports: []service.Port{
		{Row: porttable.SrvFeFrontend5061, Transport: service.TLS, ClientCert: service.AskClientCert},
		{Row: config.RowSIPTCP, Transport: service.TCP, Optional: true},
		{Row: config.RowSIPUDP, Transport: service.UDP, Optional: true, Number: 5060,
			Extension: "desk phones expect SIP over UDP"},
		{Row: "ext-sip-ws-8088", Transport: service.WS, Optional: true, Number: 8088,
			Extension: "SIP over WebSocket behind a reverse proxy that does TLS"},
		{Row: "ext-sip-wss-8089", Transport: service.WSS, Optional: true, Number: 8089,
			Extension: "SIP over secure WebSocket for browsers"},
	},
	Critical: true,
	Handles:  []string{"REGISTER"},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file. The bounds of expiry and
// the number of endpoints are among the node's limits.
type Settings struct {
	FlowTimer    int      `toml:"flow-timer" doc:"Seconds between keep-alives that clients with outbound support are asked for (Flow-Timer, RFC 5626). 0 asks for none." reload:"live"`
	ServiceRoute []string `toml:"service-route" doc:"URIs that clients are told to put into the Route of their requests (RFC 3608)." reload:"live" example:"sip:server.example.test;lr"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{FlowTimer: 120}

// Registrar is the running service.
type Registrar struct {
	host     service.Host
	table    *binding.Table
	gruu     *binding.Coder
	sync     *binding.Sync
	scratch  sync.Pool
	date     httpDate
	settings settingsValue
	counts   counters

	stopWatch func()
	cancel    context.CancelFunc
	running   sync.WaitGroup
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Registrar, error) {
	r := &Registrar{host: h, table: h.Bindings, gruu: h.GRUU}
	r.scratch.New = func() any { return new(scratch) }
	if err := r.Reload(context.Background(), h.Settings); err != nil {
		return nil, err
	}
	r.counts.register(h.Metrics)
	return r, nil
}

// Start opens the listeners clients sign in on, and begins to expire bindings
// and, in a pool, to share them.
func (r *Registrar) Start(start context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(start))
	r.cancel = cancel
	if s, err := binding.NewSync(r.table, r.host.Bus, r.host.Node.FQDN, r.host.Log); err != nil {
		cancel()
		return fmt.Errorf("share bindings with the pool: %w", err)
	} else if s != nil {
		r.sync = s
		r.running.Go(func() { s.Run(ctx) })
	}
	r.stopWatch = r.host.Directory.Watch(r.userChanged)
	r.running.Go(func() { r.sweep(ctx) })
	return r.host.ListenAll(start)
}

// Drain sends the clients that ask for notices to the other members, when there
// are some; a REGISTER is answered at once and needs no time.
func (r *Registrar) Drain(ctx context.Context) error {
	if len(r.host.Members.Others()) == 0 {
		return nil
	}
	return r.sendElsewhere(ctx)
}

// Stop ends the goroutines. The bindings stay in the table.
func (r *Registrar) Stop(context.Context) error {
	if r.stopWatch != nil {
		r.stopWatch()
	}
	if r.cancel != nil {
		r.cancel()
	}
	r.running.Wait()
	return nil
}

// Reload takes new settings.
func (r *Registrar) Reload(_ context.Context, settings any) error {
	s, _ := settings.(*Settings)
	if s == nil {
		s = &DefaultSettings
	}
	return r.settings.set(s)
}

func (r *Registrar) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.table.Sweep(binding.At(r.host.Now()))
		}
	}
}

// userChanged ends the bindings of users who may no longer be signed in.
func (r *Registrar) userChanged(e directory.Event) {
	if e.Kind == directory.Removed || e.Kind == directory.Changed && !e.User.Enabled {
		var ended []*binding.Binding
		r.table.Update(e.User.AOR, func(own []*binding.Binding) []*binding.Binding { ended = own; return nil })
		r.tell(ended, switchedOff, true)
	}
}

// ServeSIP answers a REGISTER.
func (r *Registrar) ServeSIP(tx *stack.ServerTxn) {
	if err := r.register(tx); err != nil {
		if e, ok := err.(*sip.Error); !ok || e.Code >= 400 {
			r.counts.refused.Inc()
		}
		tx.Fail(err)
	}
}

func (r *Registrar) register(tx *stack.ServerTxn) error {
	m := tx.Request()
	if err := checkRequire(m); err != nil {
		return err
	}
	user, err := r.user(m)
	if err != nil {
		return err
	}
	if id := tx.Identity(); id.Class == uc.Client && id.AOR != user.AOR {
		return diag.NotHisAddress.Error(r.host.Node.FQDN, "a user may only register himself")
	}
	sc := r.scratch.Get().(*scratch)
	defer r.scratch.Put(sc)
	req, refusal := sc.read(m, user.AOR, tx.Flow())
	if refusal == nil && lyncClient(m) {
		refusal = sc.readLync(m, r.host.Node.FQDN)
	}
	if refusal != nil {
		return refusal
	}
	if away := r.elsewhere(user, req); away != nil {
		r.counts.redirected.Inc()
		return away
	}
	rules := r.rules(user)
	now := binding.At(r.host.Now())
	var res Result
	r.table.Update(user.AOR, func(own []*binding.Binding) []*binding.Binding {
		res = Step(now, own, req, rules, r.table.NextGen)
		return res.Set
	})
	if res.Err != nil {
		return res.Err
	}
	r.counts.count(req, &res, now)
	r.tell(res.Evicted, crowdedOut, true)
	return r.answer(tx, m, req, res.Set, now)
}

// checkRequire refuses what the registrar does not know (RFC 3261 8.2.2.3).
func checkRequire(m *sip.Message) *sip.Error {
	if !m.Has(sip.HRequire) {
		return nil
	}
	unsupported := ""
	for v := m.Values(sip.HRequire); ; {
		tag, ok := v.Next()
		if !ok {
			break
		}
		switch {
		case is(tag, "path"), is(tag, "outbound"), is(tag, "gruu"):
		default:
			if unsupported != "" {
				unsupported += ", "
			}
			unsupported += string(tag)
		}
	}
	if unsupported == "" {
		return nil
	}
	return &sip.Error{Code: 420, Headers: []sip.Header{{Name: "Unsupported", Value: unsupported}}}
}

// user finds whom a REGISTER is for: its To (10.3 steps 4 and 5).
func (r *Registrar) user(m *sip.Message) (*directory.User, error) {
	to, err := m.To()
	if err != nil {
		return nil, sip.Errorf(400, "unreadable To")
	}
	var u sip.URI
	var buf [uc.MaxAOR]byte
	if err := to.ParseURI(&u); err != nil {
		return nil, &sip.Error{Code: 400, Diagnostic: "unreadable URI in To", Err: err}
	}
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return nil, &sip.Error{Code: 404, Diagnostic: "To is no user"}
	}
	user, ok := r.host.Directory.LookupBytes(aor)
	switch {
	case !ok:
		return nil, diag.NotInPool.Error(r.host.Node.FQDN, "")
	case !user.Enabled:
		return nil, diag.UserDisabled.Error(r.host.Node.FQDN, "user is disabled")
	}
	return user, nil
}

func (r *Registrar) rules(user *directory.User) Rules {
	l := r.host.Limits()
	rules := Rules{
		Default: time.Duration(l.ExpiresDefault), Min: time.Duration(l.ExpiresMin), Max: time.Duration(l.ExpiresMax),
		Endpoints: l.Endpoints,
	}
	if n := user.Policy.MaxEndpoints; n > 0 && n < rules.Endpoints {
		rules.Endpoints = n
	}
	return rules
}

// counters say how registering goes.
type counters struct {
	added, refreshed, removed, queried, refused, evicted, told, redirected prometheus.Counter
}

func (c *counters) register(reg prometheus.Registerer) {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_registrar_requests_total",
		Help: "REGISTER requests by what they did.",
	}, []string{"result"})
	c.added, c.refreshed = total.WithLabelValues("added"), total.WithLabelValues("refreshed")
	c.removed, c.queried = total.WithLabelValues("removed"), total.WithLabelValues("queried")
	c.refused, c.redirected = total.WithLabelValues("refused"), total.WithLabelValues("redirected")
	c.evicted = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "parley_registrar_evicted_total",
		Help: "Bindings ended because the user had one endpoint too many.",
	})
	c.told = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "parley_registrar_told_total",
		Help: "Endpoints told that the server has ended their registration.",
	})
	if reg == nil {
		return
	}
	reg.MustRegister(total, c.evicted, c.told)
}

func (c *counters) count(req *Request, res *Result, now binding.Time) {
	c.evicted.Add(float64(len(res.Evicted)))
	if len(req.Contacts) == 0 {
		c.queried.Inc()
		return
	}
	for _, b := range res.Set {
		if b.Refreshed != now || b.CSeq != req.CSeq {
			continue
		}
		if b.Created == now {
			c.added.Inc()
		} else {
			c.refreshed.Inc()
		}
		return
	}
	c.removed.Inc()
}
