package notify

import (
	"strconv"
	"strings"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/dialog"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/uc"
)

// Request is a SUBSCRIBE that the service has looked at.
type Request struct {
	Resources  []string // what it is for; the service has authorised it
	List       bool
	Data       any
	Accept     []string // media types that the service has; the subscriber must take one
	Require    []string // extensions that the NOTIFYs use: "eventlist"
	Unapproved bool     // subscription pends until the service says more
	PerWatcher int      // most subscriptions of one watcher; 0 for no bound
}

// Known reports whether a SUBSCRIBE belongs to a dialog: Refresh takes it.
func Known(m *sip.Message) bool { return m.ToTag() != nil }

// Holds reports whether a SUBSCRIBE belongs to a subscription that is here.
func (n *Notifier) Holds(m *sip.Message) bool {
	e, ok := event.Parse(m.Header(sip.HEvent))
	if !ok {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[dialogID{dialog.IDOf(m), string(e.ID)}] != nil
}

// Refresh answers a SUBSCRIBE within a dialog: it renews the subscription, or
// ends it with Expires: 0. One that is not known is answered with 481, which
// makes the client begin anew (RFC 6665 section 4.1.2.2).
func (n *Notifier) Refresh(tx *stack.ServerTxn) { n.Change(tx, nil) }

// Change is Refresh for a SUBSCRIBE that also changes what is watched. change
// returns the resources from now on; it runs under the lock of the notifier, so
// it calls nothing of it.
func (n *Notifier) Change(tx *stack.ServerTxn, change func(s *Subscription) []string) {
	m := tx.Request()
	e, ok := event.Parse(m.Header(sip.HEvent))
	if !ok || string(e.Package) != n.cfg.Package {
		tx.Respond(489, "", sip.Header{Name: "Allow-Events", Value: n.cfg.Package})
		return
	}
	id := dialogID{dialog.IDOf(m), string(e.ID)}
	n.mu.Lock()
	s := n.all[id]
	if s == nil {
		n.mu.Unlock()
		tx.Respond(481, "")
		return
	}
	if who := tx.Identity(); who.AOR != s.Watcher.AOR {
		n.mu.Unlock()
		tx.Fail(&sip.Error{Code: 403, Diagnostic: "somebody else's subscription"})
		return
	}
	if err := s.dialog.Receive(m); err != nil {
		n.mu.Unlock()
		tx.Fail(err)
		return
	}
	if change != nil {
		n.watch(s, change(s))
	}
	old, unhook := s.flow, s.unhook
	moved := tx.Flow() != old
	if moved {
		s.flow = tx.Flow()
		s.route = destination(tx)
	}
	effects := n.take(s, n.now(), event.Input{Kind: event.Subscribe, Expires: expires(m), Authorized: true}).e
	n.mu.Unlock()
	if moved {
		unhook()
		old.Release()
		n.hold(s, tx.Flow())
	}
	n.answer(tx, s, effects)
}

// Subscribe answers a SUBSCRIBE that begins a subscription. It reports false when it was refused; then nothing of it
// is left, and Config.Ended is not called.
func (n *Notifier) Subscribe(tx *stack.ServerTxn, r Request) (begun bool) {
	begun, err := n.subscribe(tx, r)
	if err != nil {
		tx.Fail(err)
	}
	return begun
}

func (n *Notifier) subscribe(tx *stack.ServerTxn, r Request) (begun bool, err error) {
	m := tx.Request()
	e, ok := event.Parse(m.Header(sip.HEvent))
	if !ok || string(e.Package) != n.cfg.Package {
		return false, &sip.Error{Code: 489, Headers: []sip.Header{{Name: "Allow-Events", Value: n.cfg.Package}}}
	}
	accept, err := negotiate(m, r.Accept)
	if err != nil {
		return false, err
	}
	d, derr := dialog.NewUAS(m, tx.ToTag())
	if derr != nil {
		return false, derr
	}
	s := &Subscription{
		Resources: r.Resources, Watcher: tx.Identity(), Accept: accept, List: r.List, Data: r.Data,
		id: dialogID{d.ID, string(e.ID)}, machine: event.Subscription{Limits: n.cfg.Limits}, dialog: d,
		flow: tx.Flow(), route: destination(tx), event: n.cfg.Package, ms: offered(m),
	}
	s.machine.Autoextend = s.ms.has(autoextend)
	if e.ID != nil {
		s.event += ";id=" + string(e.ID)
	}
	for _, tag := range r.Require {
		s.require = append(s.require, sip.Header{Name: "Require", Value: tag})
	}
	n.mu.Lock()
	switch {
	case n.stopped || len(n.all) >= n.cfg.Max:
		n.mu.Unlock()
		return false, &sip.Error{Code: 503, Headers: []sip.Header{{Name: "Retry-After", Value: "30"}}}
	case r.PerWatcher > 0 && n.watchers[s.Watcher.AOR] >= r.PerWatcher:
		n.mu.Unlock()
		return false, &sip.Error{Code: 403, Reason: "Too Many Subscriptions"}
	case n.all[s.id] != nil:
		n.mu.Unlock()
		return false, &sip.Error{Code: 482, Diagnostic: "the same request came twice"}
	}
	effects := n.take(s, n.now(), event.Input{Kind: event.Subscribe, Expires: expires(m), Authorized: !r.Unapproved}).e
	if effects.Code/100 == 2 {
		n.add(s)
	}
	n.mu.Unlock()
	if effects.Code/100 == 2 {
		n.hold(s, s.flow)
	}
	n.answer(tx, s, effects)
	return effects.Code/100 == 2, nil
}

// add puts a subscription in. The lock is held.
func (n *Notifier) add(s *Subscription) {
	n.all[s.id] = s
	n.enlist(s)
	if w := s.Watcher.AOR; w != "" {
		n.watchers[w]++
	}
	s.unhook = func() bool { return false }
}

// watch changes what a subscription is for. The lock is held.
func (n *Notifier) watch(s *Subscription, to []string) {
	n.delist(s)
	s.Resources = to
	n.enlist(s)
}

// delist takes a subscription from the lists of its resources. What they are stays known, for the last document. The
// lock is held.
func (n *Notifier) delist(s *Subscription) {
	for _, r := range s.Resources {
		if set := n.resources[r]; len(set) <= 1 {
			delete(n.resources, r)
		} else {
			delete(set, s)
		}
	}
}

// enlist puts a subscription on the lists of its resources. The lock is held.
func (n *Notifier) enlist(s *Subscription) {
	for _, r := range s.Resources {
		if n.resources[r] == nil {
			n.resources[r] = map[*Subscription]struct{}{}
		}
		n.resources[r][s] = struct{}{}
	}
}

// hold keeps the flow of a subscription open and hears of its end.
func (n *Notifier) hold(s *Subscription, f *flow.Flow) {
	f.Hold()
	unhook := f.OnClose(func(error) { n.flowGone(s, f) })
	n.mu.Lock()
	s.unhook = unhook
	n.mu.Unlock()
}

// flowGone ends a subscription that can be reached over its flow only. That of
// another server goes on over the next connection to it.
func (n *Notifier) flowGone(s *Subscription, f *flow.Flow) {
	n.mu.Lock()
	ours := s.flow == f && s.route.URI == nil
	n.mu.Unlock()
	if ours {
		n.forget(s)
	}
}

func (n *Notifier) answer(tx *stack.ServerTxn, s *Subscription, e event.Effects) {
	switch e.Code {
	case 200:
		if s.ms != 0 {
			n.answerExtended(tx, s, e)
			return
		}
		h := []sip.Header{{Name: "Expires", Value: seconds(e.Expires)}, {Name: "Contact", Value: n.contact(tx.Flow())}}
		tx.Respond(200, "", append(h, s.require...)...)
	case 423:
		tx.Respond(423, "", sip.Header{Name: "Min-Expires", Value: seconds(e.MinExpires)})
	default:
		tx.Respond(e.Code, "")
	}
	if e.Code/100 != 2 && e.Done {
		return // it never began
	}
	n.carryOut([]step{{s, e}})
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func expires(m *sip.Message) time.Duration {
	if d, ok := m.Expires(); ok {
		return time.Duration(d) * time.Second
	}
	return event.NoExpires
}

// destination is where NOTIFYs go: back over the flow of a client, or to
// another server by its name when the connection is gone.
func destination(tx *stack.ServerTxn) stack.Destination {
	d := stack.Destination{Flow: tx.Flow()}
	if id := tx.Identity(); id.Class.Server() || id.Class == uc.Trunk {
		d.URI = nextHop(tx.Request())
	}
	return d
}

// nextHop is the first Record-Route of the request, else its Contact.
func nextHop(m *sip.Message) []byte {
	for _, id := range []sip.HeaderID{sip.HRecordRoute, sip.HContact} {
		v := m.Values(id)
		if value, ok := v.Next(); ok {
			var n sip.NameAddr
			if sip.ParseNameAddr(value, &n) == nil && n.URI != nil {
				return append([]byte(nil), n.URI...)
			}
		}
	}
	return nil
}

// negotiate checks that the subscriber takes one of the media types there are
// (RFC 6665 section 3.1.3), and returns what he takes.
func negotiate(m *sip.Message, have []string) ([]string, error) {
	if !m.Has(sip.HAccept) || len(have) == 0 {
		return nil, nil
	}
	var takes []string
	ok := false
	for v := range m.All(sip.HAccept) {
		var t sip.MediaType
		if sip.ParseMediaType(v, &t) != nil {
			continue
		}
		name := strings.ToLower(string(t.Type) + "/" + string(t.Subtype))
		takes = append(takes, name)
		for _, h := range have {
			ok = ok || h == name || name == "*/*" || string(t.Subtype) == "*" && strings.HasPrefix(h, name[:len(name)-1])
		}
	}
	if !ok {
		return nil, &sip.Error{Code: 406, Headers: []sip.Header{{Name: "Accept", Value: strings.Join(have, ", ")}}}
	}
	return takes, nil
}
