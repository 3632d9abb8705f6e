// Package mwi lights the lamp on phones: the event package message-summary (RFC
// 3842).
//
// Users subscribe to their own mailbox. What is in it is set by voice mail,
// through the contract of the same name, or by a mailbox system outside that is
// a trusted server and sends a NOTIFY without a subscription, as such systems
// do.
package mwi

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"parley/internal/bus"
	contract "parley/internal/contract/mwi"
	"parley/internal/directory"
	"parley/internal/lane"
	"parley/internal/notify"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/store"
	"parley/internal/topology"
	"parley/internal/uc"
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

// eventPackage is the one served here.
const eventPackage = "message-summary"

// Spec declares the service.
var Spec = service.Spec{
	Name:    "mwi",
	Doc:     "Message waiting indication.",
	Roles:   []topology.Role{topology.RoleFrontEnd, topology.RoleBranch},
	Needs:   service.NeedSIP | service.NeedStore | service.NeedBus | service.NeedDirectory,
	Schema:  schema(),
	Handles: []string{"SUBSCRIBE " + eventPackage, "NOTIFY " + eventPackage},
	Build:   func(h service.Host) (service.Service, error) { return New(h), nil },
}

// Service is the running service.
type Service struct {
	host     service.Host
	notifier *notify.Notifier
	writing  *lane.Set[uc.AOR]

	mu    sync.Mutex
	boxes map[string]contract.Counts // by user id

	cancel  context.CancelFunc
	running sync.WaitGroup
	undo    []func()
}

// New builds the service. It starts nothing.
func New(h service.Host) *Service {
	s := &Service{host: h, boxes: map[string]contract.Counts{}}
	s.notifier = notify.New(notify.Config{Package: eventPackage, Stack: h.SIP, Log: h.Log, Now: h.Now, Document: s.document,
		Limits: event.Limits{Min: time.Minute, Default: time.Hour, Max: 24 * time.Hour, Interval: time.Second}})
	s.writing = lane.New[uc.AOR](lane.Config{PerKey: 16, OnPanic: func(key any, err *lane.PanicError) {
		h.Log.Error("mwi: panic", "user", key, "err", err, "stack", string(err.Stack))
	}})
	return s
}

// Start reads the mailboxes and serves the contract.
func (s *Service) Start(ctx context.Context) error {
	err := store.Each(ctx, s.host.Store, func(row store.Scanner) error {
		var id, text string
		if err := row.Scan(&id, &text); err != nil {
			return err
		}
		var c contract.Counts
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return fmt.Errorf("mailbox of user %s: %w", id, err)
		}
		s.boxes[id] = c
		return nil
	}, `SELECT user_id, counts FROM mwi_mailbox`)
	if err != nil {
		return err
	}
	stop, err := contract.Serve(s.host.Bus, s.Set)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, stop, s.host.Directory.Watch(s.userChanged))
	if err := s.joinPool(); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.running.Go(func() { s.notifier.Run(run) })
	return nil
}

// joinPool hears of mailboxes that were set on other members.
func (s *Service) joinPool() error {
	if s.host.Bus.Mode() == bus.Alone {
		return nil
	}
	stop, err := s.host.Bus.Subscribe(s.host.Bus.Subject("mwi", "changed").Below(), func(m bus.Message) {
		if len(m.Key) == 1 {
			aor := uc.AOR(m.Key[0])
			s.writing.Do(aor, func(ctx context.Context) { s.reread(ctx, aor) })
		}
	})
	if err != nil {
		return fmt.Errorf("hear of mailboxes set elsewhere: %w", err)
	}
	s.undo = append(s.undo, stop)
	return nil
}

func (s *Service) reread(ctx context.Context, aor uc.AOR) {
	user, ok := s.host.Directory.Lookup(aor)
	if !ok {
		return
	}
	text, err := store.One(ctx, s.host.Store, store.Value[string], `SELECT counts FROM mwi_mailbox WHERE user_id = $1`, user.ID)
	var c contract.Counts
	if err == nil {
		err = json.Unmarshal([]byte(text), &c)
	}
	if err != nil {
		s.host.Log.Warn("mailbox set elsewhere not read", "user", aor, "err", err)
		return
	}
	s.mu.Lock()
	s.boxes[user.ID] = c
	s.mu.Unlock()
	s.notifier.Changed(string(user.AOR))
}

// Drain has nothing to finish.
func (s *Service) Drain(context.Context) error { return nil }

// Stop ends subscriptions and the contract.
func (s *Service) Stop(ctx context.Context) error {
	for _, fn := range s.undo {
		fn()
	}
	s.undo = nil
	err := s.writing.Stop(ctx)
	s.notifier.Stop()
	if s.cancel != nil {
		s.cancel()
	}
	s.running.Wait()
	return err
}

// Set replaces the state of a mailbox, in the store first.
func (s *Service) Set(ctx context.Context, aor uc.AOR, c contract.Counts) error {
	user, ok := s.host.Directory.Lookup(aor)
	if !ok {
		return contract.ErrNoUser
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = s.host.Store.Exec(ctx, `INSERT INTO mwi_mailbox (user_id, counts, changed) VALUES ($1, $2, $3)
		ON CONFLICT (user_id) DO UPDATE SET counts = excluded.counts, changed = excluded.changed`,
		user.ID, string(text), store.Micros(s.host.Now()))
	if err != nil {
		return fmt.Errorf("keep message waiting of %s: %w", aor, err)
	}
	s.mu.Lock()
	s.boxes[user.ID] = c
	s.mu.Unlock()
	s.notifier.Changed(string(user.AOR))
	if s.host.Bus.Mode() != bus.Alone {
		if err := s.host.Bus.Publish(s.host.Bus.Subject("mwi", "changed", string(user.AOR)), nil); err != nil {
			s.host.Log.Warn("members not told of a mailbox", "user", user.AOR, "err", err)
		}
	}
	return nil
}

func (s *Service) userChanged(e directory.Event) {
	gone := e.Kind == directory.Removed
	if !gone && !(e.Kind == directory.Changed && !e.User.Enabled) {
		return
	}
	s.notifier.End(string(e.User.AOR), event.NoResource)
	if !gone {
		return
	}
	id := e.User.ID
	s.mu.Lock()
	_, known := s.boxes[id]
	delete(s.boxes, id)
	s.mu.Unlock()
	if !known {
		return
	}
	s.writing.Do(e.User.AOR, func(ctx context.Context) {
		if _, err := s.host.Store.Exec(ctx, `DELETE FROM mwi_mailbox WHERE user_id = $1`, id); err != nil {
			s.host.Log.Warn("mailbox of a removed user not dropped", "user", e.User.AOR, "err", err)
		}
	})
}

func (s *Service) document(sub *notify.Subscription, _ event.Notice, _ []string) (string, []byte) {
	aor := uc.AOR(sub.Resources[0])
	var c contract.Counts
	if user, ok := s.host.Directory.Lookup(aor); ok {
		s.mu.Lock()
		c = s.boxes[user.ID]
		s.mu.Unlock()
	}
	return mediaType, summary(aor, c)
}

// ServeSIP takes SUBSCRIBE, and NOTIFY of other servers.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	if tx.Method() == sip.NOTIFY {
		if err := s.deposit(tx); err != nil {
			tx.Fail(err)
		}
		return
	}
	m := tx.Request()
	if notify.Known(m) {
		s.notifier.Refresh(tx)
		return
	}
	user, err := s.user(m)
	if err == nil && tx.Identity().Class == uc.Client && tx.Identity().AOR != user.AOR {
		err = &sip.Error{Code: 403, Diagnostic: "somebody else's mailbox"}
	}
	if err != nil {
		tx.Fail(err)
		return
	}
	s.notifier.Subscribe(tx, notify.Request{Resources: []string{string(user.AOR)}, Accept: []string{mediaType}, PerWatcher: 32})
}

func (s *Service) user(m *sip.Message) (*directory.User, error) {
	var u sip.URI
	var buf [uc.MaxAOR]byte
	if err := sip.ParseURI(m.RequestURI(), &u); err != nil {
		return nil, &sip.Error{Code: 400, Err: err}
	}
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return nil, &sip.Error{Code: 404}
	}
	user, ok := s.host.Directory.LookupBytes(aor)
	if !ok || !user.Enabled {
		return nil, &sip.Error{Code: 404}
	}
	return user, nil
}

// deposit takes the state of a mailbox from a mailbox system.
func (s *Service) deposit(tx *stack.ServerTxn) error {
	m := tx.Request()
	if id := tx.Identity(); !id.Class.Server() && id.Class != uc.Trunk {
		return &sip.Error{Code: 403, Diagnostic: "not a mailbox system of this deployment"}
	}
	if m.ToTag() != nil {
		return &sip.Error{Code: 481, Diagnostic: "no subscription of ours"}
	}
	t, ok := m.ContentType()
	if !ok || !t.Is(mediaType) {
		return &sip.Error{Code: 415, Headers: []sip.Header{{Name: "Accept", Value: mediaType}}}
	}
	user, err := s.user(m)
	if err != nil {
		return err
	}
	counts, err := parse(m.Body())
	if err != nil {
		var e *sip.Error
		if !errors.As(err, &e) {
			err = &sip.Error{Code: 400, Err: err}
		}
		return err
	}
	tx.Retain()
	err = s.writing.Do(user.AOR, func(ctx context.Context) {
		if err := s.Set(ctx, user.AOR, counts); err != nil {
			if errors.Is(err, store.ErrUnavailable) {
				err = &sip.Error{Code: 503, Err: err, Headers: []sip.Header{{Name: "Retry-After", Value: "10"}}}
			}
			tx.Fail(err)
			return
		}
		tx.Respond(200, "")
	})
	if err != nil {
		return &sip.Error{Code: 503, Err: err, Headers: []sip.Header{{Name: "Retry-After", Value: "10"}}}
	}
	return nil
}
