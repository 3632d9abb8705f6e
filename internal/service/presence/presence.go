// Package presence tells users about each other: PUBLISH (RFC 3903), SUBSCRIBE
// and NOTIFY for the event package presence (RFC 3856), documents in PIDF (RFC
// 3863), and subscriptions to several people at once (RFC 4662 with the list in
// the request, RFC 5367).
//
// What somebody's devices published is composed into one document. Who has
// published nothing is shown by whether he is signed in. All of it is kept in
// memory, since clients repeat it by themselves: after a restart a refresh of a
// publication is answered with 412 and one of a subscription with 481, and both
// begin anew. Every user of the deployment may watch every other.
package presence

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/alarm"
	"parley/internal/contract/binding"
	"parley/internal/directory"
	"parley/internal/notify"
	"parley/internal/service"
	"parley/internal/sip/event"
	"parley/internal/topology"
	"parley/internal/uc"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:     "presence",
	Doc:      "Presence of standard clients: publications, subscriptions and lists.",
	Roles:    []topology.Role{topology.RoleFrontEnd, topology.RoleBranch},
	Needs:    service.NeedSIP | service.NeedDirectory,
	Handles:  []string{"PUBLISH presence", "SUBSCRIBE presence"},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	ExpiresMin     int `toml:"expires-min" doc:"Seconds of the shortest subscription or publication that is granted." reload:"restart"`
	ExpiresDefault int `toml:"expires-default" doc:"Seconds granted when a client asks for none." reload:"restart"`
	ExpiresMax     int `toml:"expires-max" doc:"Seconds of the longest that is granted." reload:"restart"`
	Interval       int `toml:"interval" doc:"Milliseconds between two notifications of one subscriber. RFC 3856 advises five seconds; what changes meanwhile is told together." reload:"restart"`
	Publications   int `toml:"publications" doc:"Publications of one user at one time." reload:"restart"`
	MaxBody        int `toml:"max-body" doc:"Bytes of the largest document a device may publish." reload:"restart"`
	ListMembers    int `toml:"list-members" doc:"People in one list subscription." reload:"restart"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{ExpiresMin: 60, ExpiresDefault: 3600, ExpiresMax: 43200, Interval: 5000, Publications: 16,
	MaxBody: 32 << 10, ListMembers: 250}

func (s *Settings) check() error {
	switch {
	case s.ExpiresMin < 1 || s.ExpiresMin > s.ExpiresDefault || s.ExpiresDefault > s.ExpiresMax || s.ExpiresMax > 7*86400:
		return fmt.Errorf("presence: expires-min %d, expires-default %d, expires-max %d: want them in ascending order, up to a week",
			s.ExpiresMin, s.ExpiresDefault, s.ExpiresMax)
	case s.Interval < 0 || s.Interval > 60_000:
		return fmt.Errorf("presence: interval = %d: want 0 to 60000 milliseconds", s.Interval)
	case s.Publications < 1 || s.Publications > 64:
		return fmt.Errorf("presence: publications = %d: want 1 to 64", s.Publications)
	case s.MaxBody < 256 || s.MaxBody > 128<<10:
		return fmt.Errorf("presence: max-body = %d: want 256 to 131072", s.MaxBody)
	case s.ListMembers < 1 || s.ListMembers > 1000:
		return fmt.Errorf("presence: list-members = %d: want 1 to 1000", s.ListMembers)
	}
	return nil
}

// Service is the running service.
type Service struct {
	host     service.Host
	settings Settings
	limits   event.Limits
	notifier *notify.Notifier
	clock    *alarm.Clock[uc.AOR] // when publications expire
	counts   counters
	started  atomic.Bool

	mu    sync.Mutex
	users map[uc.AOR]*presentity

	cancel  context.CancelFunc
	running sync.WaitGroup
	undo    []func()
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	set, _ := h.Settings.(*Settings)
	if set == nil {
		set = &DefaultSettings
	}
	if err := set.check(); err != nil {
		return nil, err
	}
	s := &Service{host: h, settings: *set, users: map[uc.AOR]*presentity{}}
	s.limits = event.Limits{Min: time.Duration(set.ExpiresMin) * time.Second, Max: time.Duration(set.ExpiresMax) * time.Second,
		Default: time.Duration(set.ExpiresDefault) * time.Second}
	subscriptions := s.limits
	subscriptions.Interval = time.Duration(set.Interval) * time.Millisecond
	s.notifier = notify.New(notify.Config{Package: "presence", Stack: h.SIP, Log: h.Log, Limits: subscriptions, Now: h.Now,
		Document: s.document})
	s.clock = alarm.New(h.Now, s.expire)
	s.counts.register(h.Metrics, s)
	h.Bindings.Watch(s.bindingsChanged)
	return s, nil
}

// Start runs the timers.
func (s *Service) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.undo = append(s.undo, s.host.Directory.Watch(s.userChanged))
	s.running.Go(func() { s.notifier.Run(run) })
	s.running.Go(func() { s.clock.Run(run) })
	s.started.Store(true)
	return nil
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop lets go of subscriptions and publications.
func (s *Service) Stop(context.Context) error {
	s.started.Store(false)
	for _, fn := range s.undo {
		fn()
	}
	s.undo = nil
	s.notifier.Stop()
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return nil
}

// userChanged drops what is known of users who are gone, and tells their
// watchers.
func (s *Service) userChanged(e directory.Event) {
	if e.Kind != directory.Removed && !(e.Kind == directory.Changed && !e.User.Enabled) {
		return
	}
	aor := e.User.AOR
	s.mu.Lock()
	delete(s.users, aor)
	s.mu.Unlock()
	s.clock.Set(aor, time.Time{})
	s.notifier.End(string(aor), event.NoResource)
	s.notifier.Changed(string(aor))
}

// bindingsChanged tells watchers when somebody who publishes nothing signs in
// or out.
func (s *Service) bindingsChanged(e binding.Event) {
	if !s.started.Load() || (e.Before > 0) == (e.Now > 0) {
		return
	}
	if e.Now == 0 {
		s.signedOut(e.AOR)
	}
	s.notifier.Changed(string(e.AOR))
}

// counters say what happens.
type counters struct {
	published, refreshed, removed, refused prometheus.Counter
}

func (c *counters) register(reg prometheus.Registerer, s *Service) {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_presence_publish_total",
		Help: "PUBLISH requests by what they did.",
	}, []string{"result"})
	c.published, c.refreshed = total.WithLabelValues("published"), total.WithLabelValues("refreshed")
	c.removed, c.refused = total.WithLabelValues("removed"), total.WithLabelValues("refused")
	if reg == nil {
		return
	}
	reg.MustRegister(total,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_presence_subscriptions", Help: "Presence subscriptions at this moment."},
			func() float64 { return float64(s.notifier.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_presence_publishers", Help: "Users with a publication at this moment."},
			func() float64 { s.mu.Lock(); defer s.mu.Unlock(); return float64(len(s.users)) }))
}
