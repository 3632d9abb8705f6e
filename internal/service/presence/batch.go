package presence

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"

	"parley/internal/notify"
	"parley/internal/person"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/uc"
	"parley/internal/xmldoc/batchsub"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/pidf"
	"parley/internal/xmldoc/related"
	"parley/internal/xmldoc/rlmi"
)

// batch is a subscription to categories of people. Later SUBSCRIBEs of its dialog
// add people to it.
type batch struct {
	uri    string // of the subscriber
	me     person.Watcher
	names  []string
	single bool // one person, one document, no list
	utmost int  // people in it

	mu      sync.Mutex
	members []*watched
	only    map[uc.AOR]bool // whom the answer to the current SUBSCRIBE is about; nil for all
}

type watched struct {
	uri  string // as the subscriber wrote it
	aor  uc.AOR // "" when he is nobody of ours
	told person.Told
}

// usual are the categories of a subscription that names none.
var usual = []string{"calendarData", "contactCard", "note", "services", "state"}

// wantsCategories reports whether a SUBSCRIBE is for categories: by its list, or
// by what it accepts when it has none.
func wantsCategories(m *sip.Message) bool {
	if t, ok := m.ContentType(); ok && len(m.Body()) > 0 {
		return t.Is(batchsub.MediaType)
	}
	takes := false
	for v := range m.All(sip.HAccept) {
		var t sip.MediaType
		if sip.ParseMediaType(v, &t) != nil {
			continue
		}
		if t.Is(pidf.MediaType) && !takes {
			return false // he prefers the other language
		}
		takes = takes || t.Is(categories.MediaType)
	}
	return takes
}

// subscribeCategories takes a SUBSCRIBE that begins a batch.
func (s *Service) subscribeCategories(tx *stack.ServerTxn) error {
	m := tx.Request()
	id := tx.Identity()
	b := &batch{uri: uriOf(m, id), me: s.watcher(id), utmost: 1000}
	if user, ok := s.host.Directory.Lookup(id.AOR); ok {
		b.utmost = user.Policy.MaxSubscriptions
	}
	r := notify.Request{List: true, Data: b, Accept: []string{"multipart/related", categories.MediaType}}
	if len(m.Body()) == 0 {
		user, err := s.user(m.RequestURI())
		if err != nil {
			return err
		}
		b.single, b.names = true, usual
		b.members = []*watched{{uri: user.AOR.URI(), aor: user.AOR}}
	} else {
		q, err := batchsub.Parse(m.Body())
		if err != nil {
			return &sip.Error{Code: 400, Reason: "Bad Batch Subscription", Err: err}
		}
		if b.names = q.Categories; len(b.names) == 0 {
			b.names = usual
		}
		if q.Action != batchsub.Unsubscribe {
			s.add(b, q.Resources)
		}
		r.Require = []string{"eventlist"}
	}
	r.Resources = b.resources()
	s.watching.Subscribe(tx, r)
	return nil
}

// uriOf is how a subscriber is called in documents for him.
func uriOf(m *sip.Message, id uc.Identity) string {
	if id.AOR != "" {
		return id.AOR.URI()
	}
	return string(m.RequestURI())
}

// changeBatch takes a SUBSCRIBE within the dialog of a batch: it renews it, and one
// with a list adds those people, or takes them out.
func (s *Service) changeBatch(tx *stack.ServerTxn) {
	m := tx.Request()
	if d, ok := m.Expires(); ok && d == 0 {
		s.watching.Refresh(tx)
		return
	}
	var q *batchsub.Batch
	if t, ok := m.ContentType(); ok && len(m.Body()) > 0 && t.Is(batchsub.MediaType) {
		var err error
		if q, err = batchsub.Parse(m.Body()); err != nil {
			tx.Fail(&sip.Error{Code: 400, Reason: "Bad Batch Subscription", Err: err})
			return
		}
	}
	s.watching.Change(tx, func(sub *notify.Subscription) []string {
		b := sub.Data.(*batch)
		b.mu.Lock()
		b.only = nil
		b.mu.Unlock()
		if q == nil {
			return sub.Resources
		}
		if q.Action == batchsub.Unsubscribe {
			s.remove(b, q.Resources)
		} else {
			s.add(b, q.Resources)
		}
		return b.resources()
	})
}

// add puts people into a batch. The answer will be about them.
func (s *Service) add(b *batch, rs []batchsub.Resource) {
	b.mu.Lock()
	defer b.mu.Unlock()
	again := len(b.members) > 0
	only := map[uc.AOR]bool{}
	for _, r := range rs {
		w := &watched{uri: r.URI}
		if user, err := s.user([]byte(r.URI)); err == nil && len(b.members) < b.utmost {
			w.aor = user.AOR
			if r.Added && b.me.AOR != "" {
				s.subscriberOf(user.AOR, b.me.AOR)
			}
		}
		if i := slices.IndexFunc(b.members, func(o *watched) bool { return o.uri == w.uri || w.aor != "" && o.aor == w.aor }); i >= 0 {
			b.members[i].aor = w.aor
			b.members[i].told = person.Told{}
		} else if len(b.members) < 2*b.utmost {
			b.members = append(b.members, w)
		}
		only[w.aor] = true
	}
	if again {
		b.only = only
	}
}

func (s *Service) remove(b *batch, rs []batchsub.Resource) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range rs {
		user, err := s.user([]byte(r.URI))
		b.members = slices.DeleteFunc(b.members, func(o *watched) bool { return o.uri == r.URI || err == nil && o.aor == user.AOR })
	}
	b.only = map[uc.AOR]bool{}
}

func (b *batch) resources() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, w := range b.members {
		if w.aor != "" {
			out = append(out, string(w.aor))
		}
	}
	return out
}

// subscriberOf notes that somebody has put one of our users on his contact list.
func (s *Service) subscriberOf(of, by uc.AOR) {
	watcher, _ := s.host.Directory.Lookup(by)
	if watcher == nil {
		return
	}
	s.changing.Do(of, func(ctx context.Context) {
		r := s.person(of)
		user, ok := s.host.Directory.Lookup(of)
		if r == nil || !ok {
			return
		}
		r.mu.Lock()
		news := r.Subscribed(by, watcher.Name, user.Policy.MaxSubscribers)
		r.mu.Unlock()
		if !news {
			return
		}
		if err := s.book.Subscriber(ctx, user.ID, by, watcher.Name, false); err != nil {
			s.host.Log.Warn("subscriber not stored", "user", of, "err", err)
		}
		s.self.Changed(string(of))
	})
}

// categoryDocument is what the subscriber of a batch is told: at first about
// everybody, one part each behind the list; later what has changed.
func (s *Service) categoryDocument(sub *notify.Subscription, n event.Notice, changed []string) (string, []byte) {
	b := sub.Data.(*batch)
	b.mu.Lock()
	defer b.mu.Unlock()
	whole := n == event.Whole
	only := b.only
	if whole {
		b.only = nil
	}
	meta := rlmi.List{URI: b.uri, Version: sub.Version() + 1, FullState: whole && only == nil}
	type doc struct {
		cid  string
		body []byte
	}
	var docs []doc
	for _, w := range b.members {
		if whole && only != nil && !only[w.aor] || !whole && !slices.Contains(changed, string(w.aor)) {
			continue
		}
		res := rlmi.Resource{URI: w.uri}
		r := s.person(w.aor)
		if r == nil {
			if whole {
				res.Instances = []rlmi.Instance{{ID: "0", State: "terminated", Reason: "noresource"}}
				meta.Resources = append(meta.Resources, res)
			}
			continue
		}
		if whole {
			w.told = person.Told{}
		}
		head := categories.Begin(nil, w.uri)
		r.mu.Lock()
		text, told := r.View(head, b.names, r.Level(b.me), w.told)
		r.mu.Unlock()
		w.told = told
		if len(text) == len(head) && !whole {
			continue
		}
		cid := strings.TrimPrefix(w.uri, "sip:")
		res.Instances = []rlmi.Instance{{ID: "0", State: "active", CID: cid}}
		meta.Resources = append(meta.Resources, res)
		docs = append(docs, doc{cid, categories.End(text)})
	}
	switch {
	case !whole && len(docs) == 0:
		return "", nil
	case len(docs) == 1 && (!whole || b.single):
		return categories.MediaType, docs[0].body
	}
	w := related.Writer{Boundary: string(sip.AppendToken([]byte("parley-"), rand.Reader, 16))}
	w.Part("list@"+w.Boundary, rlmi.MediaType, meta.Append(nil))
	for _, d := range docs {
		w.Part(d.cid, categories.MediaType, d.body)
	}
	return w.End()
}
