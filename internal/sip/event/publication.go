package event

import "time"

// Publish is one PUBLISH request (RFC 3903 section 6).
type Publish struct {
	IfMatch string        // SIP-If-Match; empty for an initial publication
	HasBody bool          // it brings a document
	Expires time.Duration // NoExpires when the field was missing
	NewETag string        // made by the caller: the tag a success will have, never used before
}

// PublishAction is what a PUBLISH or the passing of time does to the stored document.
type PublishAction uint8

// The actions of table 2 in RFC 3903 section 4.1.
const (
	NoAction PublishAction = iota
	Initial                // store the document under the new tag
	Refresh                // keep the document, under the new tag
	Modify                 // replace the document, under the new tag
	Remove                 // drop the document
)

// String returns the action's name.
func (a PublishAction) String() string {
	return [...]string{"none", "initial", "refresh", "modify", "remove"}[a]
}

// PublishEffects is what to do, in the order of the fields.
type PublishEffects struct {
	Action     PublishAction
	OldETag    string        // tag the document was kept under, for all but Initial
	Code       int           // answer
	ETag       string        // SIP-ETag of a 200; empty after Remove
	Expires    time.Duration // Expires of a 200
	MinExpires time.Duration // Min-Expires of a 423
}

// Publications is the event state of one resource and package: the tags of its publications and when each
// expires. The documents themselves are kept by the caller under the tags. The zero value with Limits is ready.
type Publications struct {
	Limits Limits
	MaxAll int // most publications at a time, 0 for no bound; more are answered 503

	all []publication
}

type publication struct {
	etag  string
	until time.Time
}

// Len returns how many publications there are.
func (p *Publications) Len() int { return len(p.all) }

// Publish takes a request. The caller has checked the event package (489) and the document (415, 400) before.
func (p *Publications) Publish(now time.Time, in Publish) PublishEffects {
	d, ok := p.Limits.grant(in.Expires)
	if !ok {
		return PublishEffects{Code: 423, MinExpires: p.Limits.Min}
	}
	if in.IfMatch == "" {
		return p.initial(now, in, d)
	}
	i := p.find(in.IfMatch)
	if i < 0 || !now.Before(p.all[i].until) {
		return PublishEffects{Code: 412} // step 4
	}
	old := p.all[i].etag
	if d == 0 {
		p.remove(i)
		return PublishEffects{Action: Remove, OldETag: old, Code: 200}
	}
	p.all[i] = publication{in.NewETag, now.Add(d)}
	action := Refresh
	if in.HasBody {
		action = Modify
	}
	return PublishEffects{Action: action, OldETag: old, Code: 200, ETag: in.NewETag, Expires: d}
}

func (p *Publications) initial(now time.Time, in Publish, d time.Duration) PublishEffects {
	switch {
	case !in.HasBody:
		return PublishEffects{Code: 400} // nothing to publish and nothing to refresh
	case d == 0:
		return PublishEffects{Code: 200, ETag: in.NewETag} // gone as soon as it is there
	case p.MaxAll > 0 && len(p.all) >= p.MaxAll:
		return PublishEffects{Code: 503}
	}
	p.all = append(p.all, publication{in.NewETag, now.Add(d)})
	return PublishEffects{Action: Initial, Code: 200, ETag: in.NewETag, Expires: d}
}

// Expire drops what has run out and returns the tags of it, oldest first. Call it at the time Next gives.
func (p *Publications) Expire(now time.Time) []string {
	var gone []string
	for i := 0; i < len(p.all); {
		if now.Before(p.all[i].until) {
			i++
			continue
		}
		gone = append(gone, p.all[i].etag)
		p.remove(i)
	}
	return gone
}

// Next returns when the next publication expires, the zero time when there is none.
func (p *Publications) Next() time.Time {
	var next time.Time
	for _, e := range p.all {
		if next.IsZero() || e.until.Before(next) {
			next = e.until
		}
	}
	return next
}

// Restore puts a publication back that was kept over a restart.
func (p *Publications) Restore(etag string, until time.Time) {
	p.all = append(p.all, publication{etag, until})
}

func (p *Publications) find(etag string) int {
	for i := range p.all {
		if p.all[i].etag == etag {
			return i
		}
	}
	return -1
}

func (p *Publications) remove(i int) { p.all = append(p.all[:i], p.all[i+1:]...) }

// Drop forgets a publication whose publisher is known to be gone.
func (p *Publications) Drop(etag string) {
	if i := p.find(etag); i >= 0 {
		p.remove(i)
	}
}
