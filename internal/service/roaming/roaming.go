// Package roaming keeps contact lists on the server, so that all of a user's
// clients have the same one: the event package vnd-microsoft-roaming-contacts, and
// the SOAP methods in SERVICE requests that change a list ([MS-SIP] 3.7).
//
// Every change is one transaction, made in the user's lane, and raises the number
// of the list by one. All endpoints hear of it, the one that made it too. Lists are
// read when an endpoint subscribes and stay in memory as long as one is subscribed;
// members of a pool tell each other of changes.
package roaming

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/bus"
	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/lane"
	"parley/internal/notify"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/store"
	"parley/internal/topology"
	"parley/internal/uc"
	"parley/internal/xmldoc/contacts"
	"parley/internal/xmldoc/soap"
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
	Name:    "roaming",
	Doc:     "Contact lists kept on the server.",
	Roles:   []topology.Role{topology.RoleFrontEnd},
	Needs:   service.NeedSIP | service.NeedStore | service.NeedBus | service.NeedDirectory,
	Schema:  schema(),
	Handles: []string{"SUBSCRIBE " + contacts.EventPackage, "SERVICE application/soap+xml"},
	Build:   func(h service.Host) (service.Service, error) { return New(h), nil },
}

// Service is the running service.
type Service struct {
	host     service.Host
	lists    lists
	notifier *notify.Notifier
	lanes    *lane.Set[uc.AOR]
	subject  bus.Subject
	counts   *prometheus.CounterVec

	mu    sync.Mutex
	books map[uc.AOR]*book // of users with a subscribed endpoint

	cancel  context.CancelFunc
	running sync.WaitGroup
	undo    []func()
}

// subscribed is what a subscription carries: the number of the list that was told.
type subscribed struct {
	mu   sync.Mutex
	told int64
}

// New builds the service. It starts nothing.
func New(h service.Host) *Service {
	s := &Service{host: h, lists: lists{h.Store}, books: map[uc.AOR]*book{}}
	s.notifier = notify.New(notify.Config{Package: contacts.EventPackage, Stack: h.SIP, Log: h.Log, Now: h.Now, Document: s.document, Ended: s.ended,
		Limits: event.Limits{Min: 20 * time.Minute, Default: 8 * time.Hour, Max: 12 * time.Hour}})
	s.lanes = lane.New[uc.AOR](lane.Config{PerKey: 512, OnPanic: func(key any, err *lane.PanicError) {
		h.Log.Error("roaming: panic", "user", key, "err", err, "stack", string(err.Stack))
	}})
	s.counts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_roaming_changes_total", Help: "Changes of contact lists by what became of them."}, []string{"result"})
	if h.Metrics != nil {
		h.Metrics.MustRegister(s.counts)
	}
	return s
}

// Start begins to hear of changes.
func (s *Service) Start(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if b := s.host.Bus; b != nil && b.Mode() != bus.Alone {
		s.subject = b.Subject("roaming", "changed")
		stop, err := b.Subscribe(s.subject.Below(), func(m bus.Message) {
			if len(m.Key) == 1 {
				s.changedElsewhere(m.Key[0])
			}
		})
		if err != nil {
			return err
		}
		s.undo = append(s.undo, stop)
	}
	s.undo = append(s.undo, s.host.Directory.Watch(s.userChanged))
	s.running.Go(func() { s.notifier.Run(run) })
	return nil
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop finishes the changes that were begun.
func (s *Service) Stop(ctx context.Context) error {
	for _, fn := range s.undo {
		fn()
	}
	s.undo = nil
	err := s.lanes.Stop(ctx)
	s.notifier.Stop()
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return err
}

var busy = &sip.Error{Code: 503, Headers: []sip.Header{{Name: "Retry-After", Value: "5"}}}

// ServeSIP takes SUBSCRIBE and SERVICE.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	var err error
	switch tx.Method() {
	case sip.SUBSCRIBE:
		err = s.subscribe(tx)
	case sip.SERVICE:
		err = s.service(tx)
	default:
		err = &sip.Error{Code: 405, Headers: []sip.Header{{Name: "Allow", Value: "SUBSCRIBE, SERVICE"}}}
	}
	if err != nil {
		tx.Fail(err)
	}
}

// owner finds whose list a request is about. He must have sent it.
func (s *Service) owner(tx *stack.ServerTxn) (*directory.User, error) {
	var u sip.URI
	var buf [uc.MaxAOR]byte
	if err := sip.ParseURI(tx.Request().RequestURI(), &u); err != nil {
		return nil, &sip.Error{Code: 400, Err: err}
	}
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return nil, &sip.Error{Code: 404}
	}
	user, ok := s.host.Directory.LookupBytes(aor)
	switch {
	case !ok || !user.Enabled:
		return nil, &sip.Error{Code: 404}
	case tx.Identity().AOR != user.AOR:
		return nil, &sip.Error{Code: 403, Diagnostic: "somebody else's contact list"}
	}
	return user, nil
}

func (s *Service) subscribe(tx *stack.ServerTxn) error {
	if notify.Known(tx.Request()) {
		s.notifier.Refresh(tx)
		return nil
	}
	user, err := s.owner(tx)
	if err != nil {
		return err
	}
	tx.Retain()
	err = s.lanes.Do(user.AOR, func(ctx context.Context) {
		if _, err := s.open(ctx, user); err != nil {
			tx.Fail(failure(err))
			return
		}
		s.notifier.Subscribe(tx, notify.Request{Resources: []string{string(user.AOR)}, Data: &subscribed{}, Accept: []string{contacts.MediaType}, PerWatcher: 64})
		s.close(user.AOR)
	})
	if err != nil {
		return busy
	}
	return nil
}

// open returns a user's list, from memory if it is there. It runs in his lane.
func (s *Service) open(ctx context.Context, user *directory.User) (*book, error) {
	s.mu.Lock()
	b := s.books[user.AOR]
	s.mu.Unlock()
	if b != nil {
		return b, nil
	}
	l, err := s.lists.Load(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	b = &book{List: *l}
	s.mu.Lock()
	s.books[user.AOR] = b
	s.mu.Unlock()
	return b, nil
}

// close forgets a list nobody is subscribed to.
func (s *Service) close(aor uc.AOR) {
	if s.notifier.Watched(string(aor)) {
		return
	}
	s.mu.Lock()
	delete(s.books, aor)
	s.mu.Unlock()
}

func (s *Service) ended(sub *notify.Subscription) {
	aor := sub.Watcher.AOR
	s.lanes.Do(aor, func(context.Context) { s.close(aor) })
}

// document is what an endpoint does not know yet of the list.
func (s *Service) document(sub *notify.Subscription, n event.Notice, _ []string) (string, []byte) {
	d := sub.Data.(*subscribed)
	d.mu.Lock()
	defer d.mu.Unlock()
	s.mu.Lock()
	b := s.books[sub.Watcher.AOR]
	if b == nil {
		s.mu.Unlock()
		return "", nil
	}
	told := d.told
	if n == event.Whole {
		told = 0
	}
	d.told = b.DeltaNum
	if told == b.DeltaNum {
		s.mu.Unlock()
		return "", nil
	}
	text := b.news(told)
	s.mu.Unlock()
	return contacts.MediaType, text
}

// service takes a change of a list.
func (s *Service) service(tx *stack.ServerTxn) error {
	user, err := s.owner(tx)
	if err != nil {
		return err
	}
	r, err := soap.Parse(tx.Request().Body())
	if err != nil {
		return &sip.Error{Code: 400, Reason: "Bad SOAP Request", Err: err}
	}
	tx.Retain()
	by := endpoint(tx.Flow())
	err = s.lanes.Do(user.AOR, func(ctx context.Context) {
		group, news, err := s.change(ctx, user, r, by)
		if err != nil {
			s.counts.WithLabelValues("refused").Inc()
			tx.Fail(failure(err))
		} else {
			s.counts.WithLabelValues("done").Inc()
			answer(tx, r, group)
		}
		if news {
			s.notifier.Changed(string(user.AOR))
		}
		s.close(user.AOR)
	})
	if err != nil {
		return busy
	}
	return nil
}

func endpoint(f *flow.Flow) string { return strconv.FormatUint(f.ID(), 10) }

// change makes a change in the user's lane. news reports whether endpoints must be
// told something: of the change, or of the list as it is when the one who asked
// seems to have a wrong idea of it.
func (s *Service) change(ctx context.Context, user *directory.User, r *soap.Request, by string) (group int, news bool, err error) {
	for range 3 {
		b, err := s.open(ctx, user)
		if err != nil {
			return 0, false, err
		}
		c, group, err := b.plan(r, by, user.Policy.MaxContacts)
		if err != nil || c == nil {
			s.forgetTold(user.AOR)
			return group, true, err
		}
		err = s.lists.Save(ctx, user.ID, b.DeltaNum, c)
		if errors.Is(err, store.ErrStale) {
			s.mu.Lock()
			delete(s.books, user.AOR) // another member was faster: decide anew on its list
			s.mu.Unlock()
			continue
		}
		if err != nil {
			s.forgetTold(user.AOR)
			return 0, true, err
		}
		s.mu.Lock()
		b.apply(c, by)
		s.mu.Unlock()
		s.announce(user.ID)
		return group, true, nil
	}
	return 0, false, busy
}

// forgetTold has the endpoints get the whole list at the next notification.
func (s *Service) forgetTold(aor uc.AOR) {
	s.notifier.Each(string(aor), func(sub *notify.Subscription) {
		d := sub.Data.(*subscribed)
		d.mu.Lock()
		d.told = 0
		d.mu.Unlock()
	})
}

// failure is the answer when a change could not be made.
func failure(err error) error {
	switch {
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return busy
	}
	return err
}

// answer says that it is done. The number of a new group is what the client needs
// to put contacts in it.
func answer(tx *stack.ServerTxn, r *soap.Request, group int) {
	if r.Method != "addGroup" {
		tx.Respond(200, "")
		return
	}
	b := append(soap.Answer(nil), "<m:addGroup><m:groupID>"...)
	b = append(strconv.AppendInt(b, int64(group), 10), "</m:groupID></m:addGroup>"...)
	tx.RespondBody(200, "", soap.MediaType, soap.Finish(b))
}

// announce tells the other members of a change.
func (s *Service) announce(id string) {
	if s.subject == "" {
		return
	}
	if err := s.host.Bus.Publish(s.host.Bus.Subject("roaming", "changed", id), nil); err != nil {
		s.host.Log.Warn("members not told of a changed contact list", "err", err)
	}
}

// changedElsewhere reads a list again, if it is in memory and another member has
// changed it.
func (s *Service) changedElsewhere(id string) {
	user, ok := s.host.Directory.ByID(id)
	if !ok {
		return
	}
	s.lanes.Do(user.AOR, func(ctx context.Context) {
		s.mu.Lock()
		b := s.books[user.AOR]
		s.mu.Unlock()
		if b == nil {
			return
		}
		l, err := s.lists.Load(ctx, user.ID)
		if err != nil {
			s.host.Log.Warn("contact list not read again", "user", user.AOR, "err", err)
			return
		}
		if l.DeltaNum == b.DeltaNum {
			return
		}
		s.mu.Lock()
		s.books[user.AOR] = &book{List: *l}
		s.mu.Unlock()
		s.notifier.Changed(string(user.AOR))
	})
}

// userChanged drops the list of a user who is no more.
func (s *Service) userChanged(e directory.Event) {
	if e.Kind != directory.Removed {
		return
	}
	s.notifier.End(string(e.User.AOR), event.NoResource)
	s.lanes.Do(e.User.AOR, func(ctx context.Context) {
		s.mu.Lock()
		delete(s.books, e.User.AOR)
		s.mu.Unlock()
		if err := s.lists.Forget(ctx, e.User.ID); err != nil {
			s.host.Log.Error("contact list of a removed user not dropped", "user", e.User.AOR, "err", err)
		}
	})
}
