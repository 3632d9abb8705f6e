package presence

import (
	"context"
	"errors"
	"sync"

	"parley/internal/directory"
	"parley/internal/notify"
	"parley/internal/person"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/store"
	"parley/internal/uc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

// selfData is what a roaming-self subscription carries.
type selfData struct {
	want roaming.Wanted

	mu   sync.Mutex
	told uint64
}

// subscribeSelf takes a SUBSCRIBE of a user's endpoint to the user's own data.
func (s *Service) subscribeSelf(tx *stack.ServerTxn) error {
	m := tx.Request()
	if notify.Known(m) {
		s.self.Refresh(tx)
		return nil
	}
	user, err := s.owner(tx)
	if err != nil {
		return err
	}
	want, err := roaming.ParseWanted(m.Body())
	if err != nil {
		return &sip.Error{Code: 400, Reason: "Bad Roaming List", Err: err}
	}
	s.self.Subscribe(tx, notify.Request{Resources: []string{string(user.AOR)}, Data: &selfData{want: want}, Accept: []string{roaming.MediaType},
		PerWatcher: 64})
	return nil
}

// owner finds whom a request is for, who must have sent it.
func (s *Service) owner(tx *stack.ServerTxn) (*directory.User, error) {
	user, err := s.user(tx.Request().RequestURI())
	if err != nil {
		return nil, err
	}
	if id := tx.Identity(); id.AOR != user.AOR {
		return nil, &sip.Error{Code: 403, Diagnostic: "somebody else's data"}
	}
	return user, nil
}

// selfDocument is what an endpoint does not know yet of its user.
func (s *Service) selfDocument(sub *notify.Subscription, n event.Notice, _ []string) (string, []byte) {
	r := s.person(uc.AOR(sub.Resources[0]))
	if r == nil {
		return "", nil
	}
	d := sub.Data.(*selfData)
	d.mu.Lock()
	defer d.mu.Unlock()
	since := d.told
	if n == event.Whole {
		since = 0
	}
	r.mu.Lock()
	data, news := r.Own(d.want, since)
	d.told = r.Rev()
	r.mu.Unlock()
	if !news && since > 0 {
		return "", nil
	}
	return roaming.MediaType, data.Append(nil)
}

// service takes a SERVICE of a user's endpoint. It is read here and done in the
// user's lane, since it is stored before it is answered.
func (s *Service) service(tx *stack.ServerTxn) error {
	user, err := s.owner(tx)
	if err != nil {
		return err
	}
	m := tx.Request()
	t, _ := m.ContentType()
	var work func(ctx context.Context, r *record) error
	switch {
	case t.Is(categories.PublishType):
		work, err = s.publication(tx, user)
	case t.Is(roaming.SetMembersType):
		work, err = s.membership(tx, user)
	case t.Is(roaming.SetSubscribersType):
		work, err = s.acknowledgement(tx, user)
	default:
		return &sip.Error{Code: 415}
	}
	if err != nil {
		return &sip.Error{Code: 400, Reason: "Bad Document", Err: err}
	}
	if r := s.person(user.AOR); r != nil {
		if err := s.pace(r); err != nil {
			return err
		}
	}
	tx.Retain()
	err = s.changing.Do(user.AOR, func(ctx context.Context) {
		r := s.person(user.AOR)
		if r == nil {
			tx.Respond(404, "")
			return
		}
		if err := work(ctx, r); err != nil {
			tx.Fail(failure(err))
		}
	})
	if err != nil {
		return busy
	}
	return nil
}

var busy = &sip.Error{Code: 503, Headers: []sip.Header{{Name: "Retry-After", Value: "5"}}}

// failure is the answer when a change could not be made.
func failure(err error) error {
	var refusal person.Refusal
	switch {
	case errors.As(err, &refusal):
		return &sip.Error{Code: 403, Diagnostic: refusal.Error(), Err: err}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return busy
	}
	return err
}

func conflict(tx *stack.ServerTxn, c []categories.Conflict) error {
	tx.RespondBody(409, "", categories.FaultType, categories.AppendFault(nil, c))
	return nil
}

// publication changes what a user's endpoint publishes: all of a request or
// nothing. The answer lists everything in each category that it names, because a
// client forgets what it knew of those.
func (s *Service) publication(tx *stack.ServerTxn, user *directory.User) (func(context.Context, *record) error, error) {
	uri, pubs, err := categories.ParsePublish(tx.Request().Body())
	if err != nil {
		return nil, err
	}
	if who, e := s.user([]byte(uri)); uri != "" && (e != nil || who.AOR != user.AOR) {
		return nil, errors.New("publication for somebody else")
	}
	from := endpoint(tx.Flow())
	return func(ctx context.Context, r *record) error {
		now := s.host.Now()
		r.mu.Lock()
		plan, conflicts, err := r.Plan(pubs, from, now)
		var had map[categories.Key]bool
		if plan != nil {
			had = map[categories.Key]bool{}
			for i := range pubs {
				had[pubs[i].Key] = r.Stored(pubs[i].Key)
			}
		}
		r.mu.Unlock()
		if err != nil {
			return err
		}
		if conflicts != nil {
			return conflict(tx, conflicts)
		}
		if err := s.book.Publish(ctx, user.ID, plan, func(k categories.Key) bool { return had[k] }); err != nil {
			return err
		}
		answer := roaming.Data{URI: user.AOR.URI()}
		seen := map[string]bool{}
		r.mu.Lock()
		ch := r.Apply(plan, now)
		for i := range pubs {
			if name := pubs[i].Name; !seen[name] {
				seen[name] = true
				answer.Categories = append(answer.Categories, r.OwnCategory(name)...)
			}
		}
		r.mu.Unlock()
		tx.RespondBody(200, "", roaming.MediaType, answer.Append(nil))
		s.tell(r, ch)
		return nil
	}, nil
}

// membership changes who has which access level.
func (s *Service) membership(tx *stack.ServerTxn, user *directory.User) (func(context.Context, *record) error, error) {
	changes, err := roaming.ParseSetMembers(tx.Request().Body())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, r *record) error {
		r.mu.Lock()
		plan, conflicts, err := r.PlanMembers(changes)
		if conflicts != nil {
			r.TouchContainers() // clients do not read this 409; what is true they take from the next notification
		}
		r.mu.Unlock()
		switch {
		case err != nil:
			return err
		case conflicts != nil:
			conflict(tx, conflicts)
			s.self.Changed(string(r.AOR))
			return nil
		}
		if err := s.book.Members(ctx, user.ID, plan); err != nil {
			return err
		}
		r.mu.Lock()
		ch := r.ApplyMembers(plan)
		r.mu.Unlock()
		tx.Respond(200, "")
		s.tell(r, ch)
		return nil
	}, nil
}

// acknowledgement notes that a user has heard of his subscribers.
func (s *Service) acknowledgement(tx *stack.ServerTxn, user *directory.User) (func(context.Context, *record) error, error) {
	who, err := roaming.ParseSetSubscribers(tx.Request().Body())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, r *record) error {
		r.mu.Lock()
		done := r.Acknowledge(who)
		r.mu.Unlock()
		for _, aor := range done {
			if err := s.book.Subscriber(ctx, user.ID, aor, "", true); err != nil {
				return err
			}
		}
		tx.Respond(200, "")
		if done != nil {
			s.tell(r, person.Changed{Owner: true})
		}
		return nil
	}, nil
}
