// Package chat carries sessions of instant messages: INVITE with a media line
// "message ... sip" ([MS-SIP]; not MSRP, which is between endpoints).
//
// Between endpoints that have such sessions the INVITE is forwarded like a call.
// When the person called has only endpoints that take pager messages (RFC 3428), the
// session ends here: each message in it becomes a pager message to those endpoints,
// and what they answer is its answer. The other way needs nothing, since endpoints
// with sessions take pager messages outside of them.
package chat

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/alarm"
	"parley/internal/contract/binding"
	"parley/internal/directory"
	"parley/internal/proxy"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
)

// Spec declares the service.
var Spec = service.Spec{
	Name:    "chat",
	Doc:     "Sessions of instant messages, also with endpoints that only take single messages.",
	Roles:   []topology.Role{topology.RoleFrontEnd, topology.RoleBranch},
	Needs:   service.NeedSIP | service.NeedDirectory | service.NeedBus,
	Handles: []string{"INVITE message", "* " + contactUser},
	Build:   func(h service.Host) (service.Service, error) { return New(h), nil },
}

const (
	contactUser = "chat"           // user part of our Contact
	idle        = 30 * time.Minute // a session without a message for so long is ended
	maxSessions = 50_000
	maxOfUser   = 250
)

// Service is the running service.
type Service struct {
	host  service.Host
	clock *alarm.Clock[*session]
	count *prometheus.CounterVec

	mu       sync.Mutex
	sessions map[id]*session
	ofUser   map[uc.AOR]int
	stopped  bool

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New builds the service. It starts nothing.
func New(h service.Host) *Service {
	s := &Service{host: h, sessions: map[id]*session{}, ofUser: map[uc.AOR]int{}}
	s.clock = alarm.New(h.Now, func(x *session) { s.end(x, true) })
	s.count = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_chat_sessions_total", Help: "Sessions of instant messages by how they are carried."}, []string{"way"})
	if h.Metrics != nil {
		h.Metrics.MustRegister(s.count, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_chat_gateway_sessions", Help: "Sessions that end here and go on as pager messages."},
			func() float64 { s.mu.Lock(); defer s.mu.Unlock(); return float64(len(s.sessions)) }))
	}
	return s
}

// Start runs the timers.
func (s *Service) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.running.Go(func() { s.clock.Run(run) })
	return nil
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop ends the sessions that end here.
func (s *Service) Stop(context.Context) error {
	s.mu.Lock()
	s.stopped = true
	var all []*session
	for _, x := range s.sessions {
		all = append(all, x)
	}
	s.mu.Unlock()
	for _, x := range all {
		s.end(x, true)
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return nil
}

// ServeSIP takes INVITEs, and what follows in sessions that end here.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	var err error
	if tx.Request().ToTag() != nil {
		err = s.within(tx)
	} else {
		err = s.invite(tx)
	}
	if err != nil {
		tx.Fail(err)
	}
}

// hasSessions reports whether an endpoint has sessions of instant messages: those
// that list BENOTIFY among the methods they take ([MS-SIPREGE]) do.
func hasSessions(b *binding.Binding) bool { return strings.Contains(b.Params, "BENOTIFY") }

// alive are the bindings that can be reached, by kind, with those of other members of the pool if remote is set. Who
// has only pagers on other members has the session end there.
func (s *Service) alive(aor uc.AOR, remote bool) (sessions, pagers []*binding.Binding) {
	var away []*binding.Binding
	defer func() {
		if len(sessions) == 0 && len(pagers) == 0 {
			sessions = away
		}
	}()
	for _, b := range s.host.Bindings.Of(aor) {
		switch {
		case b.Node != "":
			switch {
			case !remote || !s.host.Members.Alive(b.Node):
			case hasSessions(b):
				sessions = append(sessions, b)
			default:
				away = append(away, b)
			}
		case b.Flow == nil || b.Flow.Closed():
		case hasSessions(b):
			sessions = append(sessions, b)
		default:
			pagers = append(pagers, b)
		}
	}
	return sessions, pagers
}

func (s *Service) invite(tx *stack.ServerTxn) error {
	m := tx.Request()
	if tx.Method() != sip.INVITE {
		return &sip.Error{Code: 481}
	}
	var u sip.URI
	if err := sip.ParseURI(m.RequestURI(), &u); err != nil {
		return &sip.Error{Code: 400, Err: err}
	}
	to, err := s.user(&u)
	if err != nil {
		return err
	}
	if !to.Policy.Messaging {
		return &sip.Error{Code: 403, Diagnostic: "recipient may not receive messages"}
	}
	id := tx.Identity()
	if from, ok := s.host.Directory.Lookup(id.AOR); ok && !from.Policy.Messaging {
		return &sip.Error{Code: 403, Diagnostic: "sender may not send messages"}
	}
	sessions, pagers := s.alive(to.AOR, id.Class != uc.Member) // a member has asked the others itself
	if name, ok := binding.EndpointOf(&u); ok {
		sessions, pagers = only(sessions, name), nil
	}
	switch {
	case len(sessions) > 0:
		if m.MaxForwards() == 0 {
			return &sip.Error{Code: 483}
		}
		s.count.WithLabelValues("forwarded").Inc()
		opt := proxy.Options{RecordRoute: true, OnBranchFailure: s.lost}
		s.host.Proxy.Vouch(&opt, id, m)
		s.host.Proxy.Forward(tx, s.host.Proxy.Reachable(id, sessions, u.Secure), opt)
		return nil
	case len(pagers) > 0:
		if err := s.open(tx, to); err != nil {
			return err
		}
		s.count.WithLabelValues("gateway").Inc()
		return nil
	}
	return &sip.Error{Code: 480}
}

// user finds who is called.
func (s *Service) user(u *sip.URI) (*directory.User, error) {
	var buf [uc.MaxAOR]byte
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return nil, &sip.Error{Code: 404}
	}
	user, ok := s.host.Directory.LookupBytes(aor)
	if !ok {
		user, ok = s.host.Directory.ByNumber(string(u.User))
	}
	if !ok || !user.Enabled {
		return nil, &sip.Error{Code: 404}
	}
	return user, nil
}

// only is the endpoint of that name.
func only(set []*binding.Binding, name string) []*binding.Binding {
	for _, b := range set {
		if id, ok := binding.EndpointID(b.Instance); ok && id == name {
			return []*binding.Binding{b}
		}
	}
	return nil
}

// lost ends the binding of an endpoint whose connection is gone.
func (s *Service) lost(b *proxy.Branch, code int) {
	if bound, ok := b.Tag.(*binding.Binding); ok && code == 430 {
		s.host.Bindings.Remove(bound.AOR, bound.Gen)
	}
}
