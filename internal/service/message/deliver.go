package message

import (
	"context"
	"time"

	"parley/internal/contract/binding"
	"parley/internal/sip"
	"parley/internal/stack"
)

const (
	// again is how long after a failed attempt the next one is made, if the
	// recipient does not sign in anew before.
	again = 30 * time.Second
	// fetched is how many messages are read at a time.
	fetched = 32
	// maxRefused is how often all endpoints may refuse a message for good
	// before it is dropped.
	maxRefused = 5
)

// signedIn hears of every change in the table of bindings.
func (s *Service) signedIn(e binding.Event) {
	if e.New == 0 {
		return
	}
	s.mu.Lock()
	none := len(s.waiting) == 0
	s.mu.Unlock()
	if none {
		return
	}
	if user, ok := s.host.Directory.Lookup(e.AOR); ok {
		s.deliver(user.ID)
	}
}

// announce tells this node, and the others, that a message waits for somebody.
func (s *Service) announce(id string) {
	s.arrived(id)
	if s.subject != "" {
		if err := s.host.Bus.Publish(s.host.Bus.Subject("message", "waiting", id), nil); err != nil {
			s.host.Log.Warn("members not told of a waiting message", "err", err)
		}
	}
}

// arrived notes that somebody has messages, and delivers if he is signed in.
func (s *Service) arrived(id string) {
	s.mu.Lock()
	if _, ok := s.waiting[id]; !ok {
		s.waiting[id] = false
	}
	s.mu.Unlock()
	s.deliver(id)
}

// deliver brings somebody his messages, if he has any and is signed in here.
func (s *Service) deliver(id string) {
	s.mu.Lock()
	_, ok := s.waiting[id]
	s.mu.Unlock()
	if !ok || len(s.endpoints(id)) == 0 {
		return
	}
	// Work that waits behind a running delivery looks once more when that is
	// over, so nothing that came meanwhile is forgotten; more than one such
	// piece is not needed, and the lane's bound drops it.
	s.delivering.Do(id, func(ctx context.Context) { s.bring(ctx, id) })
}

// endpoints are where a user is signed in on this node.
func (s *Service) endpoints(id string) []*binding.Binding {
	user, ok := s.host.Directory.ByID(id)
	if !ok || !user.Enabled {
		return nil
	}
	var own []*binding.Binding
next:
	for _, b := range s.host.Bindings.Of(user.AOR) {
		if b.Flow == nil || b.Flow.Closed() {
			continue
		}
		for i, a := range own {
			if a.SameEndpoint(b) {
				if b.Refreshed > a.Refreshed {
					own[i] = b
				}
				continue next
			}
		}
		own = append(own, b)
	}
	return own
}

// bring delivers what waits for a user, one message after the other. It runs
// in the lane of the user.
func (s *Service) bring(ctx context.Context, id string) {
	for ctx.Err() == nil {
		batch, err := s.box.Waiting(ctx, id, s.host.Now(), fetched)
		if err != nil {
			s.host.Log.Warn("waiting messages not read", "err", err)
			s.later(id)
			return
		}
		if len(batch) == 0 {
			s.nothingLeft(ctx, id)
			return
		}
		for i := range batch {
			if !s.one(ctx, &batch[i]) {
				s.later(id)
				return
			}
		}
	}
}

// nothingLeft forgets that somebody has messages, unless one was stored after
// the table was read.
func (s *Service) nothingLeft(ctx context.Context, id string) {
	s.mu.Lock()
	delete(s.waiting, id)
	delete(s.retry, id)
	s.mu.Unlock()
	if left, err := s.box.Waiting(ctx, id, s.host.Now(), 1); err != nil || len(left) > 0 {
		s.arrived(id)
	}
}

func (s *Service) later(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.waiting[id]; ok {
		s.retry[id] = s.host.Now().Add(again)
	}
}

// one delivers a message to every endpoint and reports whether to go on with
// the next.
func (s *Service) one(ctx context.Context, m *stored) bool {
	set := s.endpoints(m.Recipient)
	if len(set) == 0 {
		return false
	}
	best := 0
	answers := make(chan int, len(set))
	for _, b := range set {
		s.send(m, b, answers)
	}
	for range set {
		select {
		case code := <-answers:
			best = better(best, code)
		case <-ctx.Done():
			return false
		}
		if best/100 == 2 {
			break // the others may take their time
		}
	}
	switch {
	case best/100 == 2:
		// The row goes even when the server is just being stopped: the message
		// was delivered.
		if err := s.box.Delivered(context.WithoutCancel(ctx), m.ID); err != nil {
			s.host.Log.Error("delivered message still stored, it will be delivered again", "err", err)
			return false
		}
		s.counts.delivered.Inc()
		return true
	case !permanent(best):
		return false
	case m.Refused+1 < maxRefused:
		if err := s.box.Refused(ctx, m.ID); err != nil {
			s.host.Log.Warn("refusal not noted", "err", err)
		}
		return false
	}
	s.host.Log.Warn("message dropped: every endpoint refuses it", "code", best, "times", maxRefused)
	if err := s.box.Delivered(ctx, m.ID); err != nil {
		return false
	}
	s.counts.dropped.Inc()
	return true
}

// send sends a message to one endpoint; its outcome goes to answers.
func (s *Service) send(m *stored, b *binding.Binding, answers chan<- int) {
	dst := stack.Destination{Flow: b.Flow}
	s.host.SIP.Request(m.request(b.Contact, b.Path), dst, func(_ *stack.ClientTxn, r *sip.Message, err error) {
		switch {
		case err != nil:
			if b.Flow.Closed() {
				s.host.Bindings.Remove(b.AOR, b.Gen)
			}
			answers <- 408
		case r.StatusCode() >= 200:
			answers <- r.StatusCode()
		}
	})
}

// better chooses the answer that says most: any 2xx, then one that gives hope.
func better(a, b int) int {
	switch {
	case a == 0 || b/100 == 2:
		return b
	case a/100 == 2:
		return a
	case permanent(a) && !permanent(b):
		return b
	}
	return a
}

// permanent reports whether an endpoint will say the same of the same message
// tomorrow.
func permanent(code int) bool {
	switch code {
	case 408, 430, 480, 486, 487, 401, 407, 403, 404, 481, 482:
		return false
	}
	return code >= 400 && code < 500 || code == 501 || code >= 600
}
