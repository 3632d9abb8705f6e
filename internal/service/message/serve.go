package message

import (
	"context"
	"errors"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/directory"
	"parley/internal/lane"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/store"
	"parley/internal/uc"
)

// patience is how long endpoints may take before a message counts as not
// delivered. It is shorter than what the sender's own transaction takes.
const patience = 20 * time.Second

// sending is a message on its way to the endpoints of its recipient.
type sending struct {
	service *Service
	tx      *stack.ServerTxn
	to      *directory.User
}

// ServeSIP takes a MESSAGE.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	m := tx.Request()
	to, secure, err := s.recipient(m)
	if err == nil {
		err = s.allowed(tx.Identity(), to)
	}
	if err != nil {
		s.counts.refused.Inc()
		tx.Fail(err)
		return
	}
	w := &sending{s, tx, to}
	branches := s.host.Proxy.Reachable(tx.Identity(), s.host.Bindings.Of(to.AOR), secure)
	if len(branches) == 0 {
		w.store(480)
		return
	}
	for i := range branches {
		branches[i].Group = 0 // everybody gets his copy at once
	}
	opt := proxy.Options{Timeout: patience, OnFinal: w.failed, OnBranchFailure: w.lost}
	s.host.Proxy.Vouch(&opt, tx.Identity(), m)
	s.host.Proxy.Forward(tx, branches, opt)
	s.counts.sent.Inc()
}

// recipient finds the user of the request URI.
func (s *Service) recipient(m *sip.Message) (user *directory.User, secure bool, err error) {
	var u sip.URI
	if e := sip.ParseURI(m.RequestURI(), &u); e != nil {
		return nil, false, &sip.Error{Code: 400, Diagnostic: "unreadable request URI", Err: e}
	}
	var ok bool
	if u.Kind == sip.TelURI {
		user, ok = s.host.Directory.ByNumber(string(u.User))
	} else {
		var buf [uc.MaxAOR]byte
		aor, e := u.AppendAOR(buf[:0])
		if e != nil {
			return nil, false, &sip.Error{Code: 404}
		}
		if user, ok = s.host.Directory.LookupBytes(aor); !ok {
			user, ok = s.host.Directory.ByNumber(string(u.User))
		}
	}
	if !ok || !user.Enabled {
		return nil, false, &sip.Error{Code: 404}
	}
	return user, u.Secure, nil
}

// allowed asks both sides' policies.
func (s *Service) allowed(from uc.Identity, to *directory.User) error {
	if !to.Policy.Messaging {
		return &sip.Error{Code: 403, Diagnostic: "recipient may not receive messages"}
	}
	if from.AOR != "" {
		if user, ok := s.host.Directory.Lookup(from.AOR); ok && !user.Policy.Messaging {
			return &sip.Error{Code: 403, Diagnostic: "sender may not send messages"}
		}
	}
	return nil
}

// failed is asked when no endpoint took the message. Where none could be
// reached, it is stored.
func (w *sending) failed(code int, best *sip.Message) bool {
	said := code
	if best != nil {
		said = best.StatusCode() // a 503 of an endpoint is passed on as 500 (RFC 3261 16.7)
	}
	switch said {
	case 408, 430, 480, 503, 504:
		return w.store(code)
	}
	return best == nil && w.store(code)
}

// lost ends the binding of an endpoint whose connection is gone.
func (w *sending) lost(b *proxy.Branch, code int) {
	if bound, ok := b.Tag.(*binding.Binding); ok && code == 430 {
		w.service.host.Bindings.Remove(bound.AOR, bound.Gen)
	}
}

// store keeps the message for later and answers 202, or with code when it is
// not one to keep. It always takes the transaction over.
func (w *sending) store(code int) bool {
	s, m := w.service, w.tx.Retain()
	set := s.settings.Load()
	switch {
	case !set.Store || !w.to.Policy.OfflineMessages || !storable(m):
		s.counts.refused.Inc()
		w.tx.Respond(code, "")
		return true
	case len(m.Body()) > set.MaxBody || len(m.Head()) > maxHead:
		s.counts.refused.Inc()
		w.tx.Respond(413, "")
		return true
	}
	now := s.host.Now()
	rec := &stored{
		ID: s.box.nextID(now), Recipient: w.to.ID, Sender: sender(w.tx.Identity()), Origin: origin(m),
		Head: headOf(m, now), Body: m.Body(), Stored: now, Expires: now.AddDate(0, 0, set.KeepDays),
	}
	if d, ok := m.Expires(); ok {
		if t := now.Add(time.Duration(d) * time.Second); t.Before(rec.Expires) {
			rec.Expires = t
		}
	}
	err := s.storing.Do(rec.ID, func(ctx context.Context) { w.kept(rec, code, s.box.Keep(ctx, rec, set.Quota, set.PerSender)) })
	if err != nil {
		w.kept(rec, code, err)
	}
	return true
}

// maxHead bounds the header fields that are kept with a message.
const maxHead = 16 << 10

func sender(id uc.Identity) string {
	if id.AOR != "" {
		return string(id.AOR)
	}
	return id.String()
}

// kept answers when the outcome of storing is known.
func (w *sending) kept(rec *stored, code int, err error) {
	s := w.service
	switch {
	case err == nil:
		s.counts.stored.Inc()
		w.tx.Respond(202, "")
		s.announce(rec.Recipient)
		return
	case errors.Is(err, errFull):
		w.tx.Fail(&sip.Error{Code: 480, Diagnostic: errFull.Error()})
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, lane.ErrFull), errors.Is(err, lane.ErrStopped),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		s.host.Log.Warn("message not stored", "user", w.to.AOR, "err", err)
		w.tx.Respond(503, "", sip.Header{Name: "Retry-After", Value: "10"})
	default:
		w.tx.Fail(err)
	}
	s.counts.refused.Inc()
}
