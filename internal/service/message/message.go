// Package message delivers pager messages: MESSAGE of RFC 3428.
//
// A message goes to every endpoint of its recipient at once, and its sender
// hears what the first of them to accept it said. When nobody is signed in, or
// nobody can be reached, it is stored and the sender hears 202, after it is on
// disk and not before. It is delivered when the recipient signs in, in the
// order of acceptance, and forgotten as soon as one endpoint has taken it.
//
// Between an endpoint's 2xx and the moment the row is gone lies one small
// write. A crash in that window delivers the message once more, with the same
// Call-ID, CSeq and From tag, by which a receiver can tell; losing it instead
// would be worse.
package message

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/bus"
	"parley/internal/directory"
	"parley/internal/lane"
	"parley/internal/service"
	"parley/internal/topology"
)

//go:embed schema/*.sql
var schemas embed.FS

func schema() fs.FS {
	sub, err := fs.Sub(schemas, "schema")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// Spec declares the service.
var Spec = service.Spec{
	Name:     "message",
	Doc:      "Instant messages of standard clients, and their storage for users who are not signed in.",
	Roles:    []topology.Role{topology.RoleFrontEnd, topology.RoleBranch},
	Needs:    service.NeedSIP | service.NeedStore | service.NeedBus | service.NeedDirectory,
	Schema:   schema(),
	Handles:  []string{"MESSAGE"},
	Settings: func() any { s := DefaultSettings; return &s },
	Build:    func(h service.Host) (service.Service, error) { return New(h) },
}

// Settings is the service's section of the node file.
type Settings struct {
	Store     bool `toml:"store" doc:"Keep messages for users who are not signed in. Without it the sender hears 480." reload:"live"`
	Quota     int  `toml:"quota" doc:"Messages kept for one user. More are refused with 480." reload:"live"`
	PerSender int  `toml:"per-sender" doc:"Of these, messages of one sender." reload:"live"`
	KeepDays  int  `toml:"keep-days" doc:"Days after which a message that nobody fetched is dropped." reload:"live"`
	MaxBody   int  `toml:"max-body" doc:"Bytes of the largest text kept. A longer one is refused with 413." reload:"live"`
}

// DefaultSettings is what a node file that says nothing gets.
var DefaultSettings = Settings{Store: true, Quota: 1000, PerSender: 250, KeepDays: 30, MaxBody: 64 << 10}

func (s *Settings) check() error {
	for _, row := range []struct {
		name     string
		value    int
		min, max int
	}{
		{"quota", s.Quota, 1, 100_000}, {"per-sender", s.PerSender, 1, 100_000},
		{"keep-days", s.KeepDays, 1, 3650}, {"max-body", s.MaxBody, 1, 1 << 20},
	} {
		if row.value < row.min || row.value > row.max {
			return fmt.Errorf("message: %s = %d: want %d to %d", row.name, row.value, row.min, row.max)
		}
	}
	return nil
}

// Service is the running service.
type Service struct {
	host     service.Host
	box      box
	settings atomic.Pointer[Settings]
	counts   counters

	storing    *lane.Set[int64]  // one piece of work per message
	delivering *lane.Set[string] // by recipient
	subject    bus.Subject       // "a message is waiting for KEY"

	mu      sync.Mutex
	waiting map[string]bool      // recipients with messages; true: being delivered
	retry   map[string]time.Time // when to try those again that failed

	ctx     context.Context // ends with Stop, for the writes of lanes
	cancel  context.CancelFunc
	running sync.WaitGroup
	undo    []func()
}

// New builds the service. It starts nothing.
func New(h service.Host) (*Service, error) {
	s := &Service{host: h, box: box{db: h.Store}, waiting: map[string]bool{}, retry: map[string]time.Time{}}
	if err := s.Reload(context.Background(), h.Settings); err != nil {
		return nil, err
	}
	failed := func(key any, err *lane.PanicError) {
		h.Log.Error("message: panic", "key", key, "err", err, "stack", string(err.Stack))
	}
	s.storing = lane.New[int64](lane.Config{Total: 8192, OnPanic: failed})
	s.delivering = lane.New[string](lane.Config{PerKey: 4, OnPanic: failed})
	s.counts.register(h.Metrics)
	// Sign-ins may be heard of before Start has read who has messages; they
	// find nobody waiting, and Start looks at the table itself.
	h.Bindings.Watch(s.signedIn)
	return s, nil
}

// Start finds out for whom messages wait, and begins to deliver.
func (s *Service) Start(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	names, err := s.box.Recipients(ctx)
	if err != nil {
		return fmt.Errorf("find waiting messages: %w", err)
	}
	if err := s.joinPool(); err != nil {
		return err
	}
	s.undo = append(s.undo, s.host.Directory.Watch(s.userChanged))
	for _, id := range names {
		s.arrived(id)
	}
	s.running.Go(s.housekeeping)
	return nil
}

// joinPool listens for messages that other members stored.
func (s *Service) joinPool() error {
	if s.host.Bus == nil || s.host.Bus.Mode() == bus.Alone {
		return nil
	}
	s.subject = s.host.Bus.Subject("message", "waiting")
	stop, err := s.host.Bus.Subscribe(s.subject.Below(), func(m bus.Message) {
		if len(m.Key) == 1 {
			s.arrived(m.Key[0])
		}
	})
	if err != nil {
		return fmt.Errorf("hear of messages stored elsewhere: %w", err)
	}
	s.undo = append(s.undo, stop)
	return nil
}

// Drain has nothing to refuse: a message takes as long as its endpoints do.
func (s *Service) Drain(context.Context) error { return nil }

// Stop finishes what is being stored, so that it is answered, and ends
// deliveries; what is not delivered stays stored.
func (s *Service) Stop(ctx context.Context) error {
	for _, fn := range s.undo {
		fn()
	}
	s.undo = nil
	var err error
	if s.cancel != nil {
		err = s.storing.Stop(ctx)
		s.cancel()
	}
	if e := s.delivering.Stop(ctx); err == nil {
		err = e
	}
	s.running.Wait()
	return err
}

// Reload takes new settings.
func (s *Service) Reload(_ context.Context, settings any) error {
	n, _ := settings.(*Settings)
	if n == nil {
		n = &DefaultSettings
	}
	if err := n.check(); err != nil {
		return err
	}
	c := *n
	s.settings.Store(&c)
	return nil
}

// userChanged drops the messages of a user who is no more.
func (s *Service) userChanged(e directory.Event) {
	if e.Kind != directory.Removed {
		return
	}
	id := e.User.ID
	s.mu.Lock()
	delete(s.waiting, id)
	delete(s.retry, id)
	s.mu.Unlock()
	s.delivering.Do(id, func(ctx context.Context) {
		if err := s.box.Forget(ctx, id); err != nil {
			s.host.Log.Error("messages of a removed user not dropped", "user", e.User.AOR, "err", err)
		}
	})
}

// housekeeping tries again what failed, and drops what expired.
func (s *Service) housekeeping() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	nextExpiry := s.host.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		now := s.host.Now()
		for _, id := range s.due(now) {
			s.deliver(id)
		}
		if now.Before(nextExpiry) {
			continue
		}
		nextExpiry = now.Add(10 * time.Minute)
		n, err := s.box.Expire(s.ctx, now)
		if err != nil {
			s.host.Log.Warn("expired messages not dropped", "err", err)
		}
		s.counts.expired.Add(float64(n))
	}
}

func (s *Service) due(now time.Time) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.retry {
		if !now.Before(at) {
			delete(s.retry, id)
			ids = append(ids, id)
		}
	}
	return ids
}

// counters say what became of messages.
type counters struct {
	sent, stored, delivered, refused, dropped, expired prometheus.Counter
}

func (c *counters) register(reg prometheus.Registerer) {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_message_total",
		Help: "Pager messages by what became of them.",
	}, []string{"result"})
	c.sent, c.stored = total.WithLabelValues("sent"), total.WithLabelValues("stored")
	c.delivered, c.refused = total.WithLabelValues("delivered"), total.WithLabelValues("refused")
	c.dropped, c.expired = total.WithLabelValues("dropped"), total.WithLabelValues("expired")
	if reg != nil {
		reg.MustRegister(total)
	}
}
