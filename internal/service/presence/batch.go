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
	ended   bool
	members []*watched
	only    map[uc.AOR]bool // whom the answer to the current SUBSCRIBE is about; nil for all
	refused []string        // who was asked for in it in vain
}

type watched struct {
	uri  string // as the subscriber wrote it
	aor  uc.AOR
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
	r := notify.Request{List: true, Data: b, Accept: []string{"multipart/related", categories.MediaType}, PerWatcher: b.utmost}
	if len(m.Body()) == 0 {
		user, err := s.user(m.RequestURI())
		if err != nil {
			return err
		}
		if !s.quota.take(b.me.AOR, 1, endpoints*b.utmost) {
			return tooMany
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
	if !s.watching.Subscribe(tx, r) {
		s.batchEnded(b)
	}
	return nil
}

// endpoints is how often somebody may watch as many people as his policy allows: as many devices as a user has.
const endpoints = 8

var tooMany = &sip.Error{Code: 403, Reason: "Too Many Subscriptions"}

// batchEnded takes a batch off the count of who has it.
func (s *Service) batchEnded(b *batch) {
	b.mu.Lock()
	n := len(b.members)
	if b.ended {
		n = 0
	}
	b.ended = true
	b.mu.Unlock()
	s.quota.give(b.me.AOR, n)
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
	if b.ended {
		return
	}
	again := len(b.members) > 0
	only := map[uc.AOR]bool{}
	at := make(map[uc.AOR]*watched, len(b.members))
	for _, w := range b.members {
		at[w.aor] = w
	}
	for _, r := range rs {
		user, err := s.user([]byte(r.URI))
		if err != nil {
			b.refused = append(b.refused, r.URI)
			continue
		}
		if w := at[user.AOR]; w != nil {
			w.told = person.Told{}
		} else if len(b.members) < b.utmost && s.quota.take(b.me.AOR, 1, endpoints*b.utmost) {
			w := &watched{uri: r.URI, aor: user.AOR}
			at[w.aor] = w
			b.members = append(b.members, w)
		} else {
			b.refused = append(b.refused, r.URI)
			continue
		}
		if r.Added && b.me.AOR != "" {
			s.subscriberOf(user.AOR, b.me.AOR)
		}
		only[user.AOR] = true
	}
	if again {
		b.only = only
	}
}

func (s *Service) remove(b *batch, rs []batchsub.Resource) {
	b.mu.Lock()
	defer b.mu.Unlock()
	had := len(b.members)
	for _, r := range rs {
		user, err := s.user([]byte(r.URI))
		b.members = slices.DeleteFunc(b.members, func(o *watched) bool { return o.uri == r.URI || err == nil && o.aor == user.AOR })
	}
	if !b.ended {
		s.quota.give(b.me.AOR, had-len(b.members))
	}
	b.only = map[uc.AOR]bool{}
}

func (b *batch) resources() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, w := range b.members {
		out = append(out, string(w.aor))
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
	only, refused := b.only, b.refused
	if whole {
		b.only, b.refused = nil, nil
	}
	meta := rlmi.List{URI: b.uri, Version: sub.Version() + 1, FullState: whole && only == nil}
	type doc struct {
		cid  string
		body []byte
	}
	var docs []doc
	gone := func(uri string) {
		meta.Resources = append(meta.Resources, rlmi.Resource{URI: uri, Instances: []rlmi.Instance{{ID: "0", State: "terminated", Reason: "noresource"}}})
	}
	for _, w := range b.members {
		if whole && only != nil && !only[w.aor] {
			continue
		}
		if _, is := slices.BinarySearch(changed, string(w.aor)); !whole && !is {
			continue
		}
		r := s.person(w.aor)
		if r == nil {
			if whole {
				gone(w.uri)
			}
			continue
		}
		if whole {
			w.told = person.Told{}
		}
		var body []byte
		if body, w.told = r.document(w.uri, b.names, b.me, w.told); body == nil {
			continue
		}
		docs = append(docs, doc{strings.TrimPrefix(w.uri, "sip:"), body})
		meta.Resources = append(meta.Resources, rlmi.Resource{URI: w.uri, Instances: []rlmi.Instance{{ID: "0", State: "active", CID: docs[len(docs)-1].cid}}})
	}
	if whole {
		for _, uri := range refused {
			gone(uri)
		}
	}
	switch {
	case !whole && len(docs) == 0:
		return "", nil
	case len(docs) == 1 && (!whole || b.single):
		return categories.MediaType, docs[0].body // as it is shared, it is only read
	}
	w := related.Writer{Boundary: string(sip.AppendToken([]byte("parley-"), rand.Reader, 16))}
	w.Part("list@"+w.Boundary, rlmi.MediaType, meta.Append(nil))
	for _, d := range docs {
		w.Part(d.cid, categories.MediaType, d.body)
	}
	return w.End()
}
