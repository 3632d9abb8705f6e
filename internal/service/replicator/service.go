package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/bus"
	"parley/internal/service"
	"parley/internal/topology"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:     "replicator",
	Doc:      "Users from Active Directory or Samba, by LDAP. Without a domain there are none.",
	Roles:    []topology.Role{topology.RoleFrontEnd},
	Needs:    service.NeedBus | service.NeedDirectory,
	Settings: func() any { return DefaultSettings() },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Service is the running service. Only the member that holds the lease replicates.
type Service struct {
	host     service.Host
	settings atomic.Pointer[Settings]
	changed  chan struct{} // the settings did
	guard    guard
	last     atomic.Pointer[Report] // of this member's rounds; nil when another does them
	counts   counters
	cancel   context.CancelFunc
	running  sync.WaitGroup

	connect func(ctx context.Context, set *Settings, dir string) (remote, func(), error) // dial, but in tests
}

var (
	_ service.Readier         = (*Service)(nil)
	_ service.Reloader        = (*Service)(nil)
	_ service.PasswordChecker = (*Service)(nil)
	_ service.Asked           = (*Service)(nil)
)

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	s := &Service{host: h, changed: make(chan struct{}, 1), connect: connect}
	s.counts.register(h.Metrics, func() float64 { return float64(enabled(h.Directory)) })
	return s, s.Reload(context.Background(), h.Settings)
}

func connect(ctx context.Context, set *Settings, dir string) (remote, func(), error) {
	c, err := dial(ctx, set, dir)
	if err != nil {
		return nil, nil, err
	}
	return c, c.close, nil
}

// Reload takes new settings; everybody is read again with them.
func (s *Service) Reload(_ context.Context, settings any) error {
	n, _ := settings.(*Settings)
	if n == nil {
		n = DefaultSettings()
	}
	if err := n.Validate(); err != nil {
		return err
	}
	s.settings.Store(n)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

// Start begins to compete for the lease.
func (s *Service) Start(start context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(start))
	s.cancel = cancel
	s.running.Go(func() { s.run(ctx) })
	return nil
}

// Drain has nothing to finish: a round that breaks off does no harm.
func (s *Service) Drain(context.Context) error { return nil }

// Stop ends the round that is going on.
func (s *Service) Stop(context.Context) error {
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return nil
}

// Ready says what is wrong with the last round.
func (s *Service) Ready() error {
	r := s.last.Load()
	switch {
	case r == nil || !s.settings.Load().on():
		return nil
	case r.Error != "":
		return errors.New(r.Error)
	case r.Withheld > 0:
		return withheld(r)
	}
	return nil
}

func withheld(r *Report) error {
	return fmt.Errorf("%d of %d users are gone from the directory, which is more than max-removals; they stay enabled until that is right again, or parley replicate now --allow-removals", r.Withheld, r.Users)
}

const leaseTTL = 15 * time.Second

func (s *Service) run(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		if s.settings.Load().on() {
			err = s.host.Bus.Lead(ctx, "replicator", leaseTTL, s.lead)
			s.last.Store(nil)
		}
		wait := make(<-chan time.Time)
		if errors.Is(err, bus.ErrClosed) {
			return // the node goes
		}
		if err != nil && ctx.Err() == nil {
			s.host.Log.Warn("users are not replicated by this node", "err", err)
			timer := time.NewTimer(leaseTTL)
			defer timer.Stop()
			wait = timer.C
		} else if err == nil && s.settings.Load().on() {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-wait:
		}
	}
}

// order is what is asked of the member that has the lease.
type order struct {
	Run   bool `json:"run"`
	Allow bool `json:"allow"` // let any number of users vanish
}

func (s *Service) subject() bus.Subject { return s.host.Bus.Subject("replicator", "round") }

// lead replicates until ctx ends or the settings turn it off.
func (s *Service) lead(ctx context.Context, _ uint64) error {
	type ask struct {
		order
		answer chan *Report
	}
	asks := make(chan ask)
	stop, err := s.host.Bus.Serve(s.subject(), func(asking context.Context, m bus.Message) ([]byte, error) {
		var o order
		if err := json.Unmarshal(m.Data, &o); err != nil {
			return nil, err
		}
		if !o.Run {
			return json.Marshal(s.last.Load())
		}
		a := ask{o, make(chan *Report, 1)}
		select {
		case asks <- a:
		case <-asking.Done():
			return nil, asking.Err()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case r := <-a.answer:
			return json.Marshal(r)
		case <-asking.Done():
			return nil, asking.Err()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	var since *position // nil: everybody next
	var full time.Time
	for asked := (ask{}); ; {
		set := s.settings.Load()
		if !set.on() {
			return nil
		}
		if asked.Run || s.host.Now().Sub(full) >= set.Full.Std() {
			since = nil
		}
		r, at := s.once(ctx, set, since, asked.Allow)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if since = at; at != nil && r.Kind == "full" {
			full = r.Began
		}
		if asked.answer != nil {
			asked.answer <- r
		}
		asked = ask{}
		timer := time.NewTimer(set.Interval.Std())
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.changed:
			since = nil
		case asked = <-asks:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// once does one round and returns where the next one begins: nil for everybody.
func (s *Service) once(ctx context.Context, set *Settings, since *position, allow bool) (*Report, *position) {
	r := &Report{Began: s.host.Now(), Node: s.host.Node.FQDN, Kind: "full"}
	var at *position
	err := func() error {
		from, done, err := s.connect(ctx, set, s.host.Node.Dir)
		if err != nil {
			return err
		}
		defer done()
		here := from.position()
		if since != nil && here.ID != since.ID {
			s.host.Log.Info("another domain controller: everybody is read again", "server", here.Server)
			since = nil
		}
		if err := round(ctx, from, s.host.Directory, s.mapping(set), since, allow, r); err != nil {
			return fmt.Errorf("%s: %w", here.Server, err)
		}
		if r.Withheld == 0 {
			at = &here
		}
		return nil
	}()
	if ctx.Err() != nil {
		return r, nil
	}
	r.Took, r.Users = s.host.Now().Sub(r.Began), enabled(s.host.Directory)
	if err != nil {
		r.Error = strings.ReplaceAll(err.Error(), "\n", "; ") // a line for each controller
	}
	s.last.Store(r)
	s.tell(r)
	s.counts.count(r)
	if err != nil && since != nil {
		return r, since // what changed is asked for again
	}
	return r, at
}

func (s *Service) mapping(set *Settings) *mapping {
	m := &mapping{Settings: set, sipDomain: set.SIPDomain, local: s.host.Directory.IsLocal}
	if domains := s.host.Topology().Domains(); m.sipDomain == "" && len(domains) > 0 {
		m.sipDomain = string(domains[0])
	}
	return m
}

// tell writes down a round that is worth it.
func (s *Service) tell(r *Report) {
	log := s.host.Log.With("server", r.Server, "kind", r.Kind, "read", r.Read, "added", r.Added, "changed", r.Changed, "disabled", r.Disabled)
	switch {
	case r.Error != "":
		log.Error("users not replicated; all stay as they are", "err", r.Error)
	case r.Withheld > 0:
		log.Error("REPLICATION WITHHELD: too many users are gone from the directory at once", "gone", r.Withheld, "users", r.Users,
			"do", "look at base, filter and the account's rights; parley replicate now --allow-removals disables them")
	case r.Kind == "full" || r.Added+r.Changed+r.Disabled > 0:
		log.Info("users replicated", "dur", r.Took.Round(time.Millisecond), "users", r.Users, "notes", r.NoteCount)
	}
}

// counters say how replication goes.
type counters struct {
	rounds, users *prometheus.CounterVec
	withheld      prometheus.Gauge
	success       prometheus.Gauge
}

func (c *counters) register(reg prometheus.Registerer, enabled func() float64) {
	c.rounds = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_replicator_rounds_total", Help: "Rounds of replication, by how they ended: ok, failed, withheld."}, []string{"result"})
	c.users = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_replicator_users_total", Help: "Users replicated, by what became of them: added, changed, disabled."}, []string{"what"})
	c.withheld = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "parley_replicator_withheld", Help: "Users gone from the directory who stay enabled because they are too many at once."})
	c.success = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "parley_replicator_last_success_timestamp_seconds", Help: "When the last round of this node ended well."})
	if reg == nil {
		return
	}
	reg.MustRegister(c.rounds, c.users, c.withheld, c.success, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "parley_replicator_users", Help: "Enabled users who are kept in the directory."}, enabled))
}

func (c *counters) count(r *Report) {
	result := "ok"
	switch {
	case r.Error != "":
		result = "failed"
	case r.Withheld > 0:
		result = "withheld"
	default:
		c.success.Set(float64(r.Began.Unix()))
	}
	c.rounds.WithLabelValues(result).Inc()
	c.users.WithLabelValues("added").Add(float64(r.Added))
	c.users.WithLabelValues("changed").Add(float64(r.Changed))
	c.users.WithLabelValues("disabled").Add(float64(r.Disabled))
	if r.Error == "" {
		c.withheld.Set(float64(r.Withheld))
	}
}
