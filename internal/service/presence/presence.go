// Package presence tells users about each other, in two languages of one model
// (package person).
//
// Standard clients have PUBLISH (RFC 3903), SUBSCRIBE and NOTIFY for the event
// package presence (RFC 3856), documents in PIDF (RFC 3863), and subscriptions to
// several people at once (RFC 4662 with the list in the request, RFC 5367). What
// somebody's devices published is composed into one document. Who has published
// nothing is shown by whether he is signed in.
//
// Clients of enhanced presence ([MS-PRES]) publish categories with SERVICE, watch
// those of many people in one subscription, and hear of their user's own data
// with the event package vnd-microsoft-roaming-self. Their states and those of the
// devices go into one aggregation, which the watchers of either kind see.
//
// What ends by itself is kept in memory, since clients repeat it: after a restart
// a refresh of a publication is answered with 412 and one of a subscription with
// 481, and both begin anew. Notes, access levels and subscribers are stored before
// they are answered. Every user of the deployment may watch every other, as far
// as he is not blocked.
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
	"parley/internal/lane"
	"parley/internal/notify"
	"parley/internal/person"
	"parley/internal/service"
	"parley/internal/sip/event"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:   "presence",
	Doc:    "Presence: publications, subscriptions and lists of standard clients and of those with enhanced presence.",
	Roles:  []topology.Role{topology.RoleFrontEnd, topology.RoleBranch},
	Needs:  service.NeedSIP | service.NeedStore | service.NeedDirectory | service.NeedWeb,
	Schema: schema(),
	Handles: []string{"PUBLISH presence", "SUBSCRIBE presence", "SUBSCRIBE " + roaming.EventPackage,
		"SERVICE " + categories.PublishType, "SERVICE " + roaming.SetMembersType, "SERVICE " + roaming.SetSubscribersType},
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
	PublishRate    int `toml:"publish-rate" doc:"Publications of one user in a minute, counting all devices; as many may come at once. More are answered with 503 and Retry-After." reload:"restart"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{ExpiresMin: 60, ExpiresDefault: 3600, ExpiresMax: 43200, Interval: 5000, Publications: 16,
	MaxBody: 32 << 10, ListMembers: 250, PublishRate: 120}

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
	case s.PublishRate < 10 || s.PublishRate > 60_000:
		return fmt.Errorf("presence: publish-rate = %d: want 10 to 60000 a minute", s.PublishRate)
	}
	return nil
}

// Service is the running service.
type Service struct {
	host     service.Host
	settings Settings
	limits   event.Limits
	notifier *notify.Notifier // watchers of documents
	watching *notify.Notifier // watchers of categories
	self     *notify.Notifier // endpoints that hear of their user's own data
	book     book
	changing *lane.Set[uc.AOR]    // changes of what a user publishes
	moments  *alarm.Clock[uc.AOR] // when something of a person expires
	clock    *alarm.Clock[uc.AOR] // when publications expire
	counts   counters
	quota    quota
	started  atomic.Bool

	mu    sync.Mutex
	users map[uc.AOR]*presentity

	peopleMu sync.Mutex
	people   map[uc.AOR]*record

	ctx     context.Context // ends with Stop
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
	s := &Service{host: h, settings: *set, users: map[uc.AOR]*presentity{}, people: map[uc.AOR]*record{}, book: book{h.Store}}
	s.limits = event.Limits{Min: time.Duration(set.ExpiresMin) * time.Second, Max: time.Duration(set.ExpiresMax) * time.Second,
		Default: time.Duration(set.ExpiresDefault) * time.Second}
	subscriptions := s.limits
	subscriptions.Interval = time.Duration(set.Interval) * time.Millisecond
	s.notifier = notify.New(notify.Config{Package: "presence", Stack: h.SIP, Log: h.Log, Limits: subscriptions, Now: h.Now,
		Document: s.document, Ended: s.listEnded})
	s.clock = alarm.New(h.Now, s.expire)
	s.moments = alarm.New(h.Now, s.momentCame)
	enhanced := event.Limits{Min: 20 * time.Minute, Default: 8 * time.Hour, Max: 12 * time.Hour}
	s.watching = notify.New(notify.Config{Package: "presence", Stack: h.SIP, Log: h.Log, Limits: enhanced, Now: h.Now, Document: s.categoryDocument,
		Ended: func(sub *notify.Subscription) { s.batchEnded(sub.Data.(*batch)) }})
	s.self = notify.New(notify.Config{Package: roaming.EventPackage, Stack: h.SIP, Log: h.Log, Limits: enhanced, Now: h.Now, Document: s.selfDocument})
	s.changing = lane.New[uc.AOR](lane.Config{PerKey: 64, OnPanic: func(key any, err *lane.PanicError) {
		h.Log.Error("presence: panic", "user", key, "err", err, "stack", string(err.Stack))
	}})
	s.counts.register(h.Metrics, s)
	h.Bindings.Watch(s.bindingsChanged)
	return s, nil
}

// Start runs the timers.
func (s *Service) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.ctx, s.cancel = run, cancel
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("read publications: %w", err)
	}
	s.undo = append(s.undo, s.host.Directory.Watch(s.userChanged))
	s.running.Go(func() { s.notifier.Run(run) })
	s.running.Go(func() { s.clock.Run(run) })
	s.running.Go(func() { s.moments.Run(run) })
	s.running.Go(func() { s.watching.Run(run) })
	s.running.Go(func() { s.self.Run(run) })
	s.started.Store(true)
	return nil
}

// load reads what was stored.
func (s *Service) load(ctx context.Context) error {
	touched := map[*record]bool{}
	err := s.book.Load(ctx, s.host.Now(), func(owner string) *person.Person {
		user, ok := s.host.Directory.ByID(owner)
		if !ok {
			return nil
		}
		r := s.person(user.AOR)
		if r == nil {
			return nil
		}
		touched[r] = true
		return r.Person
	})
	for r := range touched {
		s.moments.Set(r.AOR, r.Next())
	}
	return err
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop lets go of subscriptions and publications.
func (s *Service) Stop(ctx context.Context) error {
	s.started.Store(false)
	for _, fn := range s.undo {
		fn()
	}
	s.undo = nil
	s.notifier.Stop()
	s.watching.Stop()
	s.self.Stop()
	err := s.changing.Stop(ctx)
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return err
}

// userChanged drops what is known of users who are gone, and tells their
// watchers.
func (s *Service) userChanged(e directory.Event) {
	if e.Kind == directory.Changed && e.User.Enabled {
		if r := s.person(e.User.AOR); r != nil {
			r.mu.Lock()
			changed := r.SetProfile(s.profile(e.User))
			r.mu.Unlock()
			if changed {
				s.tell(r, person.Changed{Owner: true, Watchers: true})
			}
		}
	}
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
	s.devicesChanged(aor)
	s.self.End(string(aor), event.NoResource)
	if e.Kind != directory.Removed {
		return
	}
	s.peopleMu.Lock()
	delete(s.people, aor)
	s.peopleMu.Unlock()
	s.moments.Set(aor, time.Time{})
	s.changing.Do(aor, func(ctx context.Context) {
		if err := s.book.Forget(ctx, e.User.ID); err != nil {
			s.host.Log.Error("presence of a removed user not dropped", "user", aor, "err", err)
		}
	})
}

// bindingsChanged tells watchers when somebody who publishes nothing signs in
// or out.
func (s *Service) bindingsChanged(e binding.Event) {
	if !s.started.Load() {
		return
	}
	s.endpointsChanged(e.AOR)
	if (e.Before > 0) == (e.Now > 0) {
		return
	}
	if e.Now == 0 {
		s.signedOut(e.AOR)
		s.devicesChanged(e.AOR)
	}
	s.notifier.Changed(string(e.AOR))
}

// counters say what happens.
type counters struct {
	published, refreshed, removed, refused prometheus.Counter
	paced                                  prometheus.Counter
}

func (c *counters) register(reg prometheus.Registerer, s *Service) {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_presence_publish_total",
		Help: "PUBLISH requests by what they did.",
	}, []string{"result"})
	c.published, c.refreshed = total.WithLabelValues("published"), total.WithLabelValues("refreshed")
	c.removed, c.refused = total.WithLabelValues("removed"), total.WithLabelValues("refused")
	c.paced = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "parley_presence_too_fast_total",
		Help: "Publications that were refused because a user made too many of them.",
	})
	if reg == nil {
		return
	}
	reg.MustRegister(total, c.paced,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_presence_subscriptions", Help: "Presence subscriptions at this moment."},
			func() float64 { return float64(s.notifier.Len() + s.watching.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_presence_publishers", Help: "Users with a publication at this moment."},
			func() float64 { s.mu.Lock(); defer s.mu.Unlock(); return float64(len(s.users)) }))
}
