package presence

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"

	"parley/internal/notify"
	"parley/internal/person"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/stack"
	"parley/internal/uc"
	"parley/internal/xmldoc/pidf"
	"parley/internal/xmldoc/resourcelists"
	"parley/internal/xmldoc/rlmi"
	"parley/internal/xmldoc/roaming"
)

// list is a subscription to several people.
type list struct {
	uri     string // of the SUBSCRIBE
	by      uc.AOR // who has it, "" when that is not counted
	members []member
}

type member struct {
	uri  string // as the subscriber wrote it
	name string
	aor  uc.AOR // "" when it is nobody of ours
}

// subscribe takes a SUBSCRIBE.
func (s *Service) subscribe(tx *stack.ServerTxn) {
	m := tx.Request()
	if e, ok := event.Parse(m.Header(sip.HEvent)); ok && string(e.Package) == roaming.EventPackage {
		if err := s.subscribeSelf(tx); err != nil {
			tx.Fail(err)
		}
		return
	}
	if notify.Known(m) {
		if s.watching.Holds(m) {
			s.changeBatch(tx)
		} else {
			s.notifier.Refresh(tx)
		}
		return
	}
	if wantsCategories(m) {
		if err := s.subscribeCategories(tx); err != nil {
			tx.Fail(err)
		}
		return
	}
	r, err := s.wants(m)
	if err != nil {
		tx.Fail(err)
		return
	}
	l, _ := r.Data.(*list)
	if id := tx.Identity(); id.AOR != "" {
		if watcher, ok := s.host.Directory.Lookup(id.AOR); ok {
			r.PerWatcher = watcher.Policy.MaxSubscriptions
			if l != nil {
				if !s.quota.take(id.AOR, len(l.members), endpoints*r.PerWatcher) {
					tx.Fail(tooMany)
					return
				}
				l.by = id.AOR
			}
		}
	}
	if !s.notifier.Subscribe(tx, r) && l != nil {
		s.quota.give(l.by, len(l.members))
	}
}

// listEnded takes a list off the count of who has it.
func (s *Service) listEnded(sub *notify.Subscription) {
	if l, ok := sub.Data.(*list); ok {
		s.quota.give(l.by, len(l.members))
	}
}

// wants finds out what a SUBSCRIBE is for.
func (s *Service) wants(m *sip.Message) (notify.Request, error) {
	if err := supported(m); err != nil {
		return notify.Request{}, err
	}
	if t, ok := m.ContentType(); ok && len(m.Body()) > 0 {
		if !t.Is(resourcelists.MediaType) {
			return notify.Request{}, &sip.Error{Code: 415, Headers: []sip.Header{{Name: "Accept", Value: resourcelists.MediaType}}}
		}
		return s.wantsList(m)
	}
	user, err := s.user(m.RequestURI())
	if err != nil {
		return notify.Request{}, err
	}
	return notify.Request{Resources: []string{string(user.AOR)}, Accept: []string{pidf.MediaType}}, nil
}

// supported refuses extensions that a subscription would need and that we do
// not have.
func supported(m *sip.Message) error {
	var unknown []string
	for tag := range m.All(sip.HRequire) {
		switch strings.ToLower(string(tag)) {
		case "eventlist", "recipient-list-subscribe", "gruu", "outbound", "path":
		default:
			unknown = append(unknown, string(tag))
		}
	}
	if unknown == nil {
		return nil
	}
	return &sip.Error{Code: 420, Headers: []sip.Header{{Name: "Unsupported", Value: strings.Join(unknown, ", ")}}}
}

// wantsList reads the list in a SUBSCRIBE (RFC 5367 section 4).
func (s *Service) wantsList(m *sip.Message) (notify.Request, error) {
	if !m.HasToken(sip.HSupported, "eventlist") && !m.HasToken(sip.HRequire, "eventlist") {
		return notify.Request{}, &sip.Error{Code: 421, Headers: []sip.Header{{Name: "Require", Value: "eventlist"}}}
	}
	entries, err := resourcelists.Parse(m.Body(), s.settings.ListMembers)
	if err != nil {
		return notify.Request{}, &sip.Error{Code: 400, Reason: "Bad Resource List", Err: err}
	}
	l := &list{uri: string(m.RequestURI())}
	r := notify.Request{List: true, Data: l, Require: []string{"eventlist"}, Accept: []string{"multipart/related"}}
	for _, e := range entries {
		mem := member{uri: e.URI, name: e.Name}
		if user, err := s.user([]byte(e.URI)); err == nil {
			mem.aor = user.AOR
			if mem.name == "" {
				mem.name = user.Name
			}
			if !slices.Contains(r.Resources, string(user.AOR)) {
				r.Resources = append(r.Resources, string(user.AOR))
			}
		}
		l.members = append(l.members, mem)
	}
	return r, nil
}

// document is what a subscriber is told.
func (s *Service) document(sub *notify.Subscription, n event.Notice, changed []string) (string, []byte) {
	if l, ok := sub.Data.(*list); ok {
		return s.listDocument(l, s.watcher(sub.Watcher), sub.Version(), n == event.Whole, changed)
	}
	return pidf.MediaType, s.of(uc.AOR(sub.Resources[0]), s.watcher(sub.Watcher))
}

// of returns the document of a user for a watcher. When no endpoint publishes
// categories it is made once and sent to everybody.
func (s *Service) of(aor uc.AOR, w person.Watcher) []byte {
	if text := s.aggregated(aor, w); text != nil {
		return text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.users[aor]
	if p == nil {
		return s.bySignIn(aor)
	}
	if p.text == nil {
		docs := make([]*pidf.Doc, len(p.docs))
		for i := range p.docs {
			docs[i] = p.docs[i].doc
		}
		p.text = pidf.Compose(aor.URI(), docs).Append(nil)
	}
	return p.text
}

// aggregated is the document of a user who publishes categories, or who has blocked
// the watcher; nil when neither is so. Who is offline to others, or wants to
// be, is so with all his devices.
func (s *Service) aggregated(aor uc.AOR, w person.Watcher) []byte {
	r := s.person(aor)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	level := r.Level(w)
	if level != person.Blocked && !r.HasEndpoints() {
		r.mu.Unlock()
		return nil
	}
	docs := []*pidf.Doc{aggregateDoc(aor.URI(), r.State(level), r.Note(level))}
	r.mu.Unlock()
	if docs[0].Online() {
		s.mu.Lock()
		if p := s.users[aor]; p != nil {
			for i := range p.docs {
				docs = append(docs, p.docs[i].doc)
			}
		}
		s.mu.Unlock()
	}
	return pidf.Compose(aor.URI(), docs).Append(nil)
}

// bySignIn is the document of somebody who publishes nothing.
func (s *Service) bySignIn(aor uc.AOR) []byte {
	t := pidf.Tuple{ID: "registration", Basic: pidf.Closed}
	if len(s.host.Bindings.Of(aor)) > 0 {
		t.Basic, t.Contact = pidf.Open, aor.URI()
	}
	d := pidf.Doc{Entity: aor.URI(), Tuples: []pidf.Tuple{t}}
	return d.Append(nil)
}

// listDocument is the document of a list (RFC 4662 section 5): what the list
// is, and one part for each member whose state is told.
func (s *Service) listDocument(l *list, w person.Watcher, version uint32, full bool, changed []string) (string, []byte) {
	meta := rlmi.List{URI: l.uri, Version: version, FullState: full}
	boundary := string(sip.AppendToken([]byte("parley-"), rand.Reader, 16))
	var parts bytes.Buffer
	for i, m := range l.members {
		if !full && (m.aor == "" || !slices.Contains(changed, string(m.aor))) {
			continue
		}
		r := rlmi.Resource{URI: m.uri}
		if m.name != "" {
			r.Names = []rlmi.Name{{Text: m.name}}
		}
		in := rlmi.Instance{ID: "i" + strconv.Itoa(i), State: "active"}
		if user, ok := s.host.Directory.Lookup(m.aor); m.aor == "" || !ok || !user.Enabled {
			in.State, in.Reason = "terminated", "noresource"
		} else {
			in.CID = in.ID + "@" + boundary
			part(&parts, boundary, in.CID, pidf.MediaType, s.of(m.aor, w))
		}
		r.Instances = []rlmi.Instance{in}
		meta.Resources = append(meta.Resources, r)
	}
	root := "list@" + boundary
	var body bytes.Buffer
	part(&body, boundary, root, rlmi.MediaType, meta.Append(nil))
	body.Write(parts.Bytes())
	body.WriteString("--" + boundary + "--\r\n")
	return `multipart/related;type="` + rlmi.MediaType + `";start="<` + root + `>";boundary="` + boundary + `"`, body.Bytes()
}

func part(b *bytes.Buffer, boundary, cid, ctype string, body []byte) {
	b.WriteString("--" + boundary + "\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <" + cid + ">\r\nContent-Type: " + ctype + "\r\n\r\n")
	b.Write(body)
	b.WriteString("\r\n")
}
