package presence

import (
	"crypto/rand"
	"slices"
	"strconv"
	"time"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/uc"
	"parley/internal/xmldoc/pidf"
)

// presentity is what is known of one user.
type presentity struct {
	tags event.Publications
	docs []published // newest first
	text []byte      // the composed document, nil when it must be made anew
}

// published is one device's document.
type published struct {
	etag string
	doc  *pidf.Doc
	flow *flow.Flow
	at   time.Time
}

// ServeSIP takes PUBLISH and SUBSCRIBE.
func (s *Service) ServeSIP(tx *stack.ServerTxn) {
	switch tx.Method() {
	case sip.PUBLISH:
		if err := s.publish(tx); err != nil {
			s.counts.refused.Inc()
			tx.Fail(err)
		}
	case sip.SUBSCRIBE:
		s.subscribe(tx)
	case sip.SERVICE:
		if err := s.service(tx); err != nil {
			tx.Fail(err)
		}
	default:
		tx.Respond(405, "", sip.Header{Name: "Allow", Value: "PUBLISH, SUBSCRIBE, SERVICE"})
	}
}

// user finds whom a request is for.
func (s *Service) user(uri []byte) (*directory.User, error) {
	var u sip.URI
	var buf [uc.MaxAOR]byte
	if err := sip.ParseURI(uri, &u); err != nil {
		return nil, &sip.Error{Code: 400, Err: err}
	}
	if u.Kind == sip.TelURI {
		if user, ok := s.host.Directory.ByNumber(string(u.User)); ok && user.Enabled {
			return user, nil
		}
		return nil, &sip.Error{Code: 404}
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

// publish follows RFC 3903 section 6.
func (s *Service) publish(tx *stack.ServerTxn) error {
	m := tx.Request()
	user, err := s.user(m.RequestURI())
	if err != nil {
		return err
	}
	if id := tx.Identity(); id.Class == uc.Client && id.AOR != user.AOR {
		return &sip.Error{Code: 403, Diagnostic: "a user publishes for himself only"}
	}
	in := event.Publish{IfMatch: string(m.Header(sip.HSIPIfMatch)), HasBody: len(m.Body()) > 0, Expires: event.NoExpires,
		NewETag: string(sip.AppendToken(nil, rand.Reader, 12))}
	if d, ok := m.Expires(); ok {
		in.Expires = time.Duration(d) * time.Second
	}
	var doc *pidf.Doc
	if in.HasBody {
		if doc, err = s.read(m); err != nil {
			return err
		}
	}
	if r := s.person(user.AOR); doc != nil && r != nil {
		if err := s.pace(r); err != nil {
			return err
		}
	}
	e, changed := s.accept(user.AOR, in, doc, tx.Flow())
	switch e.Code {
	case 200:
	case 423:
		return &sip.Error{Code: 423, Headers: []sip.Header{{Name: "Min-Expires", Value: whole(e.MinExpires)}}}
	case 503:
		return &sip.Error{Code: 503, Diagnostic: "more publications than a user may have", Headers: []sip.Header{{Name: "Retry-After", Value: "60"}}}
	default:
		return &sip.Error{Code: e.Code}
	}
	switch e.Action {
	case event.Initial, event.Modify:
		s.counts.published.Inc()
	case event.Refresh:
		s.counts.refreshed.Inc()
	case event.Remove:
		s.counts.removed.Inc()
	}
	h := []sip.Header{{Name: "Expires", Value: whole(e.Expires)}}
	if e.ETag != "" {
		h = append(h, sip.Header{Name: "SIP-ETag", Value: e.ETag})
	}
	tx.Respond(200, "", h...)
	if changed {
		s.devicesChanged(user.AOR)
		s.notifier.Changed(string(user.AOR))
	}
	return nil
}

func whole(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// read takes the document of a PUBLISH.
func (s *Service) read(m *sip.Message) (*pidf.Doc, error) {
	t, ok := m.ContentType()
	if !ok || !t.Is(pidf.MediaType) || m.Has(sip.HContentEncoding) {
		return nil, &sip.Error{Code: 415, Headers: []sip.Header{{Name: "Accept", Value: pidf.MediaType}}}
	}
	if len(m.Body()) > s.settings.MaxBody {
		return nil, &sip.Error{Code: 413}
	}
	doc, err := pidf.Parse(m.Body())
	if err != nil {
		return nil, &sip.Error{Code: 400, Reason: "Bad Presence Document", Err: err}
	}
	return doc, nil
}

// accept lets the machine decide and keeps what it says. changed reports
// whether watchers have something new to see.
func (s *Service) accept(aor uc.AOR, in event.Publish, doc *pidf.Doc, f *flow.Flow) (e event.PublishEffects, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.users[aor]
	if p == nil {
		p = &presentity{tags: event.Publications{Limits: s.limits, MaxAll: s.settings.Publications}}
	}
	e = p.tags.Publish(s.host.Now(), in)
	switch e.Action {
	case event.Initial:
		p.docs = slices.Insert(p.docs, 0, published{e.ETag, doc, f, s.host.Now()})
		s.users[aor] = p
	case event.Refresh:
		i := p.find(e.OldETag)
		p.docs[i].etag, p.docs[i].flow = e.ETag, f
	case event.Modify:
		p.drop(e.OldETag)
		p.docs = slices.Insert(p.docs, 0, published{e.ETag, doc, f, s.host.Now()})
	case event.Remove:
		p.drop(e.OldETag)
	default:
		return e, false
	}
	s.tidy(aor, p)
	if e.Action == event.Refresh {
		return e, false
	}
	p.text = nil
	return e, true
}

func (p *presentity) find(etag string) int {
	return slices.IndexFunc(p.docs, func(d published) bool { return d.etag == etag })
}

func (p *presentity) drop(etag string) {
	if i := p.find(etag); i >= 0 {
		p.docs = slices.Delete(p.docs, i, i+1)
	}
	p.text = nil
}

// tidy forgets a user without publications and sets the clock for the others.
// The lock is held.
func (s *Service) tidy(aor uc.AOR, p *presentity) {
	if len(p.docs) == 0 {
		delete(s.users, aor)
	}
	s.clock.Set(aor, p.tags.Next())
}

// expire drops a user's publications that have run out.
func (s *Service) expire(aor uc.AOR) {
	s.mu.Lock()
	p := s.users[aor]
	if p == nil {
		s.mu.Unlock()
		return
	}
	gone := p.tags.Expire(s.host.Now())
	for _, etag := range gone {
		p.drop(etag)
	}
	s.tidy(aor, p)
	s.mu.Unlock()
	if len(gone) > 0 {
		s.devicesChanged(aor)
		s.notifier.Changed(string(aor))
	}
}

// signedOut drops what was published over connections that are gone, when the
// user has no endpoint any more: nobody is left to take it back.
func (s *Service) signedOut(aor uc.AOR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.users[aor]
	if p == nil {
		return
	}
	for _, d := range slices.Clone(p.docs) {
		if d.flow != nil && d.flow.Closed() {
			p.drop(d.etag)
			p.tags.Drop(d.etag)
		}
	}
	s.tidy(aor, p)
}
