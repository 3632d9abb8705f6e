// Package notify is the server side of subscriptions (RFC 6665) for services
// that have an event package: it keeps the subscriptions and their dialogs,
// answers SUBSCRIBE and sends NOTIFY. What the documents say is up to the
// service.
//
// Subscriptions live in memory. After a restart a refresh is answered with 481
// and the client subscribes anew. One that came over a client's connection ends
// with it, without a NOTIFY that could not arrive.
//
// The state machine of one subscription is event.Subscription; here it is
// driven: under the lock of the notifier it takes a step, and what follows from
// it is done after the lock was released.
//
// Subscribers that offer the extensions of [MS-SIP] 3.3 to 3.6 get them, whatever
// the package: the first document in the answer to the SUBSCRIBE
// (ms-piggyback-first-notify), BENOTIFY in place of NOTIFY, which nobody answers
// (ms-benotify), and notifications that renew the subscription
// (com.microsoft.autoextend).
package notify

import (
	"context"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"parley/internal/alarm"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/dialog"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/uc"
)

// Config is what a Notifier is made of.
type Config struct {
	Package string // event package: "presence"
	Stack   *stack.Stack
	Log     *slog.Logger
	Limits  event.Limits
	Max     int              // subscriptions in all; more are answered 503; 0: 200,000
	Now     func() time.Time // nil is time.Now

	// Document returns what a subscriber is told: a media type and a body, or
	// nothing. changed are the resources that changed since he was told last,
	// nil when he gets everything. It is called without locks held, never
	// twice at the same time for one subscription. When it returns nothing for
	// mere changes, nothing is sent.
	Document func(s *Subscription, n event.Notice, changed []string) (ctype string, body []byte)
	// Ended is called when a subscription is over. It may be nil.
	Ended func(s *Subscription)
}

// Subscription is one subscriber's subscription. The fields do not change, but for
// Resources in Change.
type Subscription struct {
	Resources []string    // what it watches, as the service names it
	Watcher   uc.Identity // who watches
	Accept    []string    // media types the subscriber takes, nil when he did not say
	List      bool        // he gets several documents in one (RFC 4662)
	Data      any         // the service's own

	id      dialogID
	machine event.Subscription
	dialog  *dialog.Dialog
	flow    *flow.Flow
	route   stack.Destination
	changed map[string]bool
	told    uint64 // hash of the last document
	ms      extensions
	event   string // value of the Event field
	require []sip.Header
	unhook  func() bool
	gone    bool
}

// Version returns how many documents were sent before, which is what lists are
// numbered with. It may be called in Document.
func (s *Subscription) Version() uint32 { return s.dialog.LocalSeq }

// dialogID names a subscription: dialog and event id.
type dialogID struct {
	dialog dialog.ID
	event  string
}

// Notifier is safe for concurrent use.
type Notifier struct {
	cfg   Config
	seed  maphash.Seed
	now   func() time.Time
	clock *alarm.Clock[*Subscription]

	mu        sync.Mutex
	all       map[dialogID]*Subscription
	resources map[string]map[*Subscription]struct{}
	watchers  map[uc.AOR]int
	stopped   bool
}

// New returns a notifier. It starts nothing.
func New(cfg Config) *Notifier {
	if cfg.Max <= 0 {
		cfg.Max = 200_000
	}
	n := &Notifier{cfg: cfg, seed: maphash.MakeSeed(), now: cfg.Now, all: map[dialogID]*Subscription{},
		resources: map[string]map[*Subscription]struct{}{}, watchers: map[uc.AOR]int{}}
	if n.now == nil {
		n.now = time.Now
	}
	n.clock = alarm.New(n.now, n.tick)
	return n
}

// Run runs the timers until ctx ends.
func (n *Notifier) Run(ctx context.Context) { n.clock.Run(ctx) }

// Ring runs the timers that are due, for tests with a clock of their own.
func (n *Notifier) Ring() { n.clock.Ring() }

// Stop lets go of all subscriptions without telling the subscribers: they come
// again when they refresh. New ones are refused.
func (n *Notifier) Stop() {
	n.mu.Lock()
	n.stopped = true
	all := slices.Collect(maps.Values(n.all))
	n.mu.Unlock()
	for _, s := range all {
		n.forget(s)
	}
}

// Len returns how many subscriptions there are.
func (n *Notifier) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}

// Of returns how many subscriptions a watcher has.
func (n *Notifier) Of(watcher uc.AOR) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.watchers[watcher]
}

// Watched reports whether anybody watches a resource.
func (n *Notifier) Watched(resource string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.resources[resource]) > 0
}

// Each calls fn for every subscription to a resource. fn runs under the lock of the
// notifier, so it calls nothing of it.
func (n *Notifier) Each(resource string, fn func(*Subscription)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.resources[resource] {
		fn(s)
	}
}

// Changed tells everybody who watches a resource that there is something new.
func (n *Notifier) Changed(resource string) {
	now := n.now()
	var out []step
	n.mu.Lock()
	for s := range n.resources[resource] {
		if s.changed == nil && s.List {
			s.changed = map[string]bool{}
		}
		if s.List {
			s.changed[resource] = true
		}
		out = append(out, n.take(s, now, event.Input{Kind: event.Change}))
	}
	n.mu.Unlock()
	n.carryOut(out)
}

// End ends all subscriptions to a resource, telling the subscribers why.
func (n *Notifier) End(resource string, why event.Reason) {
	now := n.now()
	var out []step
	n.mu.Lock()
	for s := range n.resources[resource] {
		if !s.List {
			out = append(out, n.take(s, now, event.Input{Kind: event.End, Reason: why}))
		}
	}
	n.mu.Unlock()
	n.carryOut(out)
}

// step is what one step of a subscription's machine leads to.
type step struct {
	s *Subscription
	e event.Effects
}

func (n *Notifier) step(s *Subscription, in event.Input) {
	n.mu.Lock()
	if s.gone { // an answer or a timer that came too late
		n.mu.Unlock()
		return
	}
	st := n.take(s, n.now(), in)
	n.mu.Unlock()
	n.carryOut([]step{st})
}

// take has a subscription's machine take a step and sets its time of waking. The lock is held: set later, the time
// could take the place of one that a later step has set. The clock's lock comes after ours.
func (n *Notifier) take(s *Subscription, now time.Time, in event.Input) step {
	e := s.machine.Step(now, in)
	n.clock.Set(s, e.WakeAt)
	return step{s, e}
}

func (n *Notifier) tick(s *Subscription) { n.step(s, event.Input{Kind: event.Tick}) }

func (n *Notifier) carryOut(steps []step) {
	for _, st := range steps {
		if st.e.Notify != event.NoNotify {
			n.send(st.s, st.e)
		}
		if st.e.Done {
			n.forget(st.s)
		}
	}
}

// send sends a NOTIFY with the current document.
func (n *Notifier) send(s *Subscription, e event.Effects) {
	n.mu.Lock()
	var changed []string
	if e.Notify == event.Changes && s.List {
		changed = slices.Sorted(maps.Keys(s.changed))
	}
	s.changed = nil
	n.mu.Unlock()
	ctype, body := "", []byte(nil)
	if e.Notify != event.Blank {
		ctype, body = n.cfg.Document(s, e.Notify, changed)
	}
	if n.nothingNew(s, e, ctype, body) {
		n.step(s, event.Input{Kind: event.Answered, Code: 200})
		return
	}
	var b sip.Builder
	b.Reset(make([]byte, 0, 1024+len(body)))
	method := "NOTIFY"
	if s.ms.has(benotify) {
		method = "BENOTIFY"
	}
	n.mu.Lock()
	s.dialog.Request(&b, method)
	dst, f := s.route, s.flow
	dst.Within = f // behind the answer to the SUBSCRIBE, if that is what led here
	n.mu.Unlock()
	b.Header("Contact", n.contact(f)).Header("Event", s.event).Header("Subscription-State", e.State).Headers(s.require...)
	if s.ms.has(benotify) {
		code := 200
		if err := n.cfg.Stack.SendStateless(raw(b.Body(ctype, body)), sip.BENOTIFY, dst); err != nil {
			code = 408
		}
		n.step(s, event.Input{Kind: event.Answered, Code: code})
		return
	}
	n.cfg.Stack.Request(b.Body(ctype, body), dst, func(_ *stack.ClientTxn, m *sip.Message, err error) {
		in := event.Input{Kind: event.Answered, Code: 408}
		if err == nil {
			if in.Code = m.StatusCode(); in.Code < 200 {
				return
			}
			if d, ok := m.Seconds(sip.HRetryAfter); ok {
				in.RetryAfter = time.Duration(d) * time.Second
			}
		}
		n.step(s, in)
	})
}

// nothingNew reports whether a change came to no other document than the subscriber has. Several events often come of
// one act, such as a sign-in with its binding and its state.
func (n *Notifier) nothingNew(s *Subscription, e event.Effects, ctype string, body []byte) bool {
	if e.Notify == event.Blank {
		return false
	}
	sum := maphash.Bytes(n.seed, body)
	n.mu.Lock()
	defer n.mu.Unlock()
	same := s.told == sum
	s.told = sum
	return e.Notify == event.Changes && !e.Done && (ctype == "" || same)
}

// contact is where the subscriber sends what belongs to the dialog.
func (n *Notifier) contact(f *flow.Flow) string {
	c := "<sip:" + n.cfg.Stack.HostPort(f)
	switch f.Transport() {
	case flow.TCP:
		c += ";transport=tcp"
	case flow.TLS:
		c += ";transport=tls"
	case flow.WS, flow.WSS:
		c += ";transport=ws"
	}
	return c + ">"
}

// forget takes a subscription out.
func (n *Notifier) forget(s *Subscription) {
	n.mu.Lock()
	if s.gone {
		n.mu.Unlock()
		return
	}
	s.gone = true
	delete(n.all, s.id)
	n.delist(s)
	if w := s.Watcher.AOR; w != "" {
		if n.watchers[w]--; n.watchers[w] <= 0 {
			delete(n.watchers, w)
		}
	}
	f, unhook := s.flow, s.unhook
	n.mu.Unlock()
	n.clock.Set(s, time.Time{})
	unhook()
	f.Release()
	if n.cfg.Ended != nil {
		n.cfg.Ended(s)
	}
}
