// Package person is what the server knows of one person's presence. There is one
// model, of publications in containers ([MS-PRES]), and it speaks two
// languages: clients that know categories publish and watch them as they are,
// and what devices of standard clients say is a device's state in the same
// model.
//
// A publication is named by category, instance and container and has a version.
// Containers 2 and 3 hold the states of a person's endpoints, of which the
// aggregation makes one for his watchers; each watcher belongs to one container,
// his access level, and sees what is in it.
//
// A Person has no lock and no clock: who owns it has both.
package person

import (
	"maps"
	"slices"
	"time"

	"parley/internal/uc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

// The containers the server knows by number.
const (
	Default  = 0
	Self     = 1
	Inputs   = 2 // states of the owner's endpoints
	Inputs3  = 3 // the same for the workgroup, which sees more of "do not disturb"
	External = 100
	Company  = 200
	Team     = 300
	Personal = 400
	Blocked  = 32000
)

// Limits of one person.
const (
	maxPublications = 512
	maxBytes        = 512 << 10
	maxMembers      = 1000
	timedDefault    = 24 * time.Hour
	timedMax        = 7 * 24 * time.Hour
)

// Publication is one publication of an endpoint.
type Publication struct {
	categories.Category
	State    *categories.State // of a state
	Endpoint string            // who published it, as the owner of the Person names endpoints
	Expires  time.Time         // of a timed one
}

// Profile is what the directory says about a person.
type Profile struct {
	Name   string
	Email  string
	Phones []string // "tel:+15550100"; the first is the work number where Card has none
	Card   Card
}

// Card is the rest of a person's business card. Every field may be empty.
type Card struct {
	Title, Department, Company, Office       string
	Work, Mobile, Home, Other                string // numbers: "tel:+15550100", or a text
	Street, City, State, PostalCode, Country string
	Photo, PhotoHash                         string // where the photo is fetched, and what changes with it
}

// Person is one person.
type Person struct {
	AOR uc.AOR

	rev         uint64 // grows with every change
	names       map[string]*category
	count, size int
	containers  map[uint32]*container
	membersRev  uint64
	subscribers map[uc.AOR]*subscriber
	profile     Profile
	devices     []Instance
	signedIn    bool
	aggregate   [2]aggregated // of container 2 and of container 3
	recompute   time.Time     // when an appointment begins or ends
}

type category struct {
	pubs map[uint64]*Publication // by container and instance
	rev  uint64                  // of any change, for the owner
	seen map[uint32]uint64       // by container: rev of the last change in it, for watchers
	view map[uint32][]byte       // by level: what watchers get
}

type container struct {
	version uint32
	members []roaming.Member
	rev     uint64
}

type subscriber struct {
	name         string
	acknowledged bool
	rev          uint64
}

type aggregated struct {
	Result
	body    []byte
	version uint32
	at      time.Time
}

// New returns a person of whom nothing is known but who he is: offline, and
// visible to colleagues and partners.
func New(aor uc.AOR, p Profile, now time.Time) *Person {
	me := &Person{AOR: aor, profile: p, names: map[string]*category{}, subscribers: map[uc.AOR]*subscriber{},
		containers: map[uint32]*container{
			External: {members: []roaming.Member{{Type: roaming.Federated}}},
			Company:  {members: []roaming.Member{{Type: roaming.SameEnterprise}}},
		}}
	me.rev = 1
	me.membersRev = 1
	me.names[categories.StateName] = newCategory()
	me.names["contactCard"] = newCategory()
	me.names["contactCard"].touch(1, allLevels...)
	me.names["userProperties"] = newCategory()
	me.names["userProperties"].touch(1)
	me.update(now)
	return me
}

func newCategory() *category {
	return &category{pubs: map[uint64]*Publication{}, seen: map[uint32]uint64{}, view: map[uint32][]byte{}}
}

var allLevels = []uint32{Default, External, Company, Team, Personal, Blocked}

func (c *category) touch(rev uint64, containers ...uint32) {
	c.rev = rev
	for _, k := range containers {
		c.seen[k] = rev
		delete(c.view, k)
	}
}

func id(k categories.Key) uint64 { return uint64(k.Container)<<32 | uint64(k.Instance) }

// Rev is the number of the last change.
func (p *Person) Rev() uint64 { return p.rev }

// SetProfile takes what the directory says now.
func (p *Person) SetProfile(f Profile) (changed bool) {
	if p.profile.Name == f.Name && p.profile.Email == f.Email && p.profile.Card == f.Card && slices.Equal(p.profile.Phones, f.Phones) {
		return false
	}
	p.profile = f
	p.rev++
	p.names["contactCard"].touch(p.rev, allLevels...)
	p.names["userProperties"].touch(p.rev)
	return true
}

func (p *Person) category(name string) *category {
	c := p.names[name]
	if c == nil {
		c = newCategory()
		p.names[name] = c
	}
	return c
}

// Available reports whether somebody is neither offline nor invisible.
func (p *Person) Available() bool { return p.aggregate[0].Availability < 18000 }

// State returns what the states come to for a level.
func (p *Person) State(level uint32) Result { return p.of(level).Result }

var hidden = aggregated{Result: Result{Availability: Offline}}

func (p *Person) of(level uint32) *aggregated {
	switch level {
	case Inputs, External, Company, Personal:
		return &p.aggregate[0]
	case Inputs3, Team:
		return &p.aggregate[1]
	}
	return &hidden
}

// SetDevices takes what standard devices publish, as states.
func (p *Person) SetDevices(d []Instance, now time.Time) (changed bool) {
	p.devices = d
	return p.update(now)
}

// SetSignedIn says whether a device is signed in. It matters while no device says
// more about itself.
func (p *Person) SetSignedIn(in bool, now time.Time) (changed bool) {
	p.signedIn = in
	return p.update(now)
}

// inputs are the states of a container.
func (p *Person) inputs(c uint32) []Instance {
	var in []Instance
	machine := false
	for _, pub := range p.names[categories.StateName].pubs {
		if pub.Container == c && pub.State != nil {
			in = append(in, Instance{pub.State, pub.PublishTime})
			machine = machine || pub.State.Type == categories.MachineState
		}
	}
	for _, d := range p.devices {
		in = append(in, d)
		machine = machine || d.State.Type == categories.MachineState
	}
	if !machine && p.signedIn {
		in = append(in, Instance{State: &categories.State{Type: categories.MachineState, Availability: Available}})
	}
	return in
}

// update aggregates anew and reports whether watchers see something else.
func (p *Person) update(now time.Time) (changed bool) {
	p.recompute = time.Time{}
	for i, c := range [...]uint32{Inputs, Inputs3} {
		in := p.inputs(c)
		r := Aggregate(in, now)
		if t := next(in, now); !t.IsZero() && (p.recompute.IsZero() || t.Before(p.recompute)) {
			p.recompute = t
		}
		body := stateBody(r)
		a := &p.aggregate[i]
		if string(body) == string(a.body) {
			continue
		}
		p.rev++
		*a = aggregated{Result: r, body: body, version: a.version + 1, at: now}
		levels := []uint32{Inputs, External, Company, Personal}
		if c == Inputs3 {
			levels = []uint32{Inputs3, Team}
		}
		p.names[categories.StateName].touch(p.rev, levels...)
		changed = true
	}
	return changed
}

func stateBody(r Result) []byte {
	s := categories.State{Type: categories.AggregateState, Availability: r.Availability, Activity: r.Activity, Place: r.Place}
	last := ""
	if !r.LastActive.IsZero() {
		last = categories.Time(r.LastActive)
	}
	return s.Append(nil, last)
}

// Next returns when Expire has something to do, zero for never.
func (p *Person) Next() time.Time {
	at := p.recompute
	for _, c := range p.names {
		for _, pub := range c.pubs {
			if !pub.Expires.IsZero() && (at.IsZero() || pub.Expires.Before(at)) {
				at = pub.Expires
			}
		}
	}
	return at
}

// Changed says who has something new to see.
type Changed struct{ Owner, Watchers bool }

// Expire drops publications whose time has come.
func (p *Person) Expire(now time.Time) Changed {
	return p.dropWhere(now, func(pub *Publication) bool { return !pub.Expires.IsZero() && !now.Before(pub.Expires) })
}

// EndpointsGone drops what was bound to endpoints that are not alive any more, and
// when none is, what was bound to the user's being signed in.
func (p *Person) EndpointsGone(alive func(endpoint string) bool, signedIn bool, now time.Time) Changed {
	return p.dropWhere(now, func(pub *Publication) bool {
		switch pub.ExpireType {
		case categories.Endpoint:
			return !alive(pub.Endpoint)
		case categories.User:
			return !signedIn
		}
		return false
	})
}

func (p *Person) dropWhere(now time.Time, gone func(*Publication) bool) (ch Changed) {
	for _, c := range p.names {
		for _, pub := range c.pubs {
			if gone(pub) {
				p.drop(c, pub)
				ch.Owner = true
				ch.Watchers = ch.Watchers || level(pub.Container)
			}
		}
	}
	if p.update(now) {
		ch = Changed{true, true}
	}
	return ch
}

// level reports whether watchers look into a container.
func level(c uint32) bool { return slices.Contains(allLevels, c) }

func (p *Person) drop(c *category, pub *Publication) {
	delete(c.pubs, id(pub.Key))
	p.count--
	p.size -= len(pub.Body)
	p.rev++
	c.touch(p.rev, pub.Container)
}

func (p *Person) put(pub *Publication) {
	c := p.category(pub.Name)
	if old := c.pubs[id(pub.Key)]; old != nil {
		p.count--
		p.size -= len(old.Body)
	}
	c.pubs[id(pub.Key)] = pub
	p.count++
	p.size += len(pub.Body)
	p.rev++
	c.touch(p.rev, pub.Container)
}

// Load puts a publication in that was stored.
func (p *Person) Load(pub Publication, now time.Time) {
	p.put(&pub)
	p.update(now)
}

// Publications calls yield for every publication of endpoints.
func (p *Person) Publications(yield func(*Publication) bool) {
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		c := p.names[name]
		for _, k := range slices.Sorted(maps.Keys(c.pubs)) {
			if !yield(c.pubs[k]) {
				return
			}
		}
	}
}
