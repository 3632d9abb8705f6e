package registrar

import (
	"slices"
	"strconv"
	"time"
	"unique"

	"parley/internal/contract/binding"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/uc"
)

// Rules are what an administrator decides about registrations.
type Rules struct {
	Default   time.Duration // expiry when the client names none
	Min       time.Duration // shorter ones are answered 423
	Max       time.Duration // longer ones are shortened
	Endpoints int           // endpoints of a user; the oldest makes room for another
}

// DefaultRules are the product's numbers.
var DefaultRules = Rules{Default: 600 * time.Second, Min: 300 * time.Second, Max: 900 * time.Second, Endpoints: 8}

// Request is one REGISTER, read and authorised. Its slices may be those of the
// message; Step copies what it keeps.
type Request struct {
	AOR        uc.AOR
	CallID     []byte
	CSeq       uint32
	Expires    uint32 // of the Expires field
	HasExpires bool
	Outbound   bool // RFC 5626 is in use: reg-id counts
	Contacts   []Contact
	Path       []byte // values joined by commas
	UserAgent  []byte
	EPID       []byte // of a Lync-protocol client
	Notices    bool   // it asks to be told when the registration is ended
	Flow       *flow.Flow
}

// Contact is one value of the Contact field.
type Contact struct {
	Star       bool
	URI        []byte
	Params     []byte // without expires, q and what the registrar itself adds
	Instance   []byte
	RegID      uint32
	Q          uint16
	Expires    uint32
	HasExpires bool
}

// Result is what a REGISTER leads to.
type Result struct {
	Set     []*binding.Binding // the user's bindings from now on
	Evicted []*binding.Binding // ended to make room
	Err     *sip.Error         // refusal; Set is then what it was
}

// Step decides a REGISTER on a user's bindings (RFC 3261 section 10.3, RFC
// 5626 section 6). It changes nothing: all of it happens or none. gen numbers
// new bindings.
func Step(now binding.Time, set []*binding.Binding, r *Request, rules Rules, gen func() uint64) Result {
	live := alive(now, set)
	m := machine{now: now, r: r, rules: rules, gen: gen, set: live}
	if err := m.run(); err != nil {
		return Result{Set: live, Err: err}
	}
	return Result{Set: m.set, Evicted: m.evicted}
}

// alive returns set itself when nothing in it has expired.
func alive(now binding.Time, set []*binding.Binding) []*binding.Binding {
	for _, b := range set {
		if b.Expires <= now {
			return slices.DeleteFunc(slices.Clone(set), func(b *binding.Binding) bool { return b.Expires <= now })
		}
	}
	return set
}

type machine struct {
	now     binding.Time
	r       *Request
	rules   Rules
	gen     func() uint64
	set     []*binding.Binding
	own     bool // set is a copy that may be written to
	evicted []*binding.Binding
}

func (m *machine) run() *sip.Error {
	outbound := 0
	for i := range m.r.Contacts {
		c := &m.r.Contacts[i]
		if c.Star {
			return m.removeAll()
		}
		if m.regID(c) > 0 {
			outbound++
		}
	}
	if outbound > 1 {
		return sip.Errorf(400, "more than one reg-id in a REGISTER") // RFC 5626 section 6
	}
	for i := range m.r.Contacts {
		if err := m.contact(&m.r.Contacts[i]); err != nil {
			return err
		}
	}
	return m.makeRoom()
}

// removeAll is the Contact "*", alone and with Expires: 0 (10.3 step 6).
func (m *machine) removeAll() *sip.Error {
	if len(m.r.Contacts) != 1 || !m.r.HasExpires || m.r.Expires != 0 {
		return sip.Errorf(400, `Contact "*" goes alone and with Expires: 0`)
	}
	for _, b := range m.set {
		if err := m.inOrder(b); err != nil {
			return err
		}
	}
	m.set = nil
	return nil
}

// inOrder refuses a REGISTER that is older than what made b (10.3 step 7).
func (m *machine) inOrder(b *binding.Binding) *sip.Error {
	if b.CSeq >= m.r.CSeq && b.CallID == string(m.r.CallID) {
		return &sip.Error{Code: 500, Reason: "CSeq Out of Order", Diagnostic: "REGISTER overtaken by a later one"}
	}
	return nil
}

func (m *machine) contact(c *Contact) *sip.Error {
	d, err := m.duration(c)
	if err != nil {
		return err
	}
	at := m.find(c)
	if at >= 0 {
		if err := m.inOrder(m.set[at]); err != nil {
			return err
		}
	}
	if d == 0 {
		if at >= 0 {
			m.write()
			m.set = slices.Delete(m.set, at, at+1)
		}
		return nil
	}
	m.write()
	if at >= 0 {
		m.set[at] = m.refreshed(m.set[at], c, d)
	} else {
		m.set = append(m.set, m.fresh(c, d))
	}
	return nil
}

func (m *machine) write() {
	if !m.own {
		m.set, m.own = append(make([]*binding.Binding, 0, len(m.set)+1), m.set...), true
	}
}

// duration is how long the contact shall last; 0 removes it (10.3 step 7).
func (m *machine) duration(c *Contact) (time.Duration, *sip.Error) {
	d := m.rules.Default
	switch {
	case c.HasExpires:
		d = time.Duration(c.Expires) * time.Second
	case m.r.HasExpires:
		d = time.Duration(m.r.Expires) * time.Second
	}
	if d > 0 && d < m.rules.Min {
		min := strconv.FormatInt(int64((m.rules.Min+time.Second-1)/time.Second), 10)
		return 0, &sip.Error{Code: 423, Headers: []sip.Header{{Name: "Min-Expires", Value: min}}}
	}
	return min(d, m.rules.Max), nil
}

func (m *machine) regID(c *Contact) uint32 {
	if m.r.Outbound && len(c.Instance) > 0 {
		return c.RegID
	}
	return 0
}

// find returns the binding that c refreshes, or -1. With outbound that is the
// one of the same instance and reg-id, whatever its URI. An instance without
// outbound has one contact: a phone that was restarted comes with another
// port, and what it left behind must not ring into the void. Otherwise URIs
// are compared.
func (m *machine) find(c *Contact) int {
	if len(c.Instance) > 0 {
		id := m.regID(c)
		for i, b := range m.set {
			if b.RegID == id && b.Instance == string(c.Instance) {
				return i
			}
		}
		return -1
	}
	var uri sip.URI
	parsed := false
	for i, b := range m.set {
		if b.Instance != "" {
			continue
		}
		if b.Contact == string(c.URI) {
			return i
		}
		if !parsed {
			if sip.ParseURI(c.URI, &uri) != nil {
				return -1
			}
			parsed = true
		}
		var have sip.URI
		if sip.ParseURI([]byte(b.Contact), &have) == nil && have.Equal(&uri) {
			return i
		}
	}
	return -1
}

// refreshed is b renewed by c. The number stays when it is the same contact on
// the same flow; otherwise the endpoint is reached anew, and those who wait for
// it must hear of it.
func (m *machine) refreshed(b *binding.Binding, c *Contact, d time.Duration) *binding.Binding {
	n := new(binding.Binding)
	*n = *b
	n.CSeq, n.Q, n.RegID, n.Notices = m.r.CSeq, c.Q, m.regID(c), m.r.Notices
	n.Refreshed, n.Expires = m.now, m.now.Add(d)
	if b.Contact == string(c.URI) && b.Flow == m.r.Flow && b.Path == string(m.r.Path) && b.Params == string(c.Params) &&
		b.Instance == string(c.Instance) && b.EPID == string(m.r.EPID) {
		if b.CallID != string(m.r.CallID) {
			n.CallID = string(m.r.CallID)
		}
		return n
	}
	m.text(n, c)
	n.Flow, n.Gen = m.r.Flow, m.gen()
	return n
}

func (m *machine) fresh(c *Contact, d time.Duration) *binding.Binding {
	n := &binding.Binding{
		AOR: m.r.AOR, Flow: m.r.Flow, Gen: m.gen(), RegID: m.regID(c), CSeq: m.r.CSeq, Q: c.Q, Notices: m.r.Notices,
		Created: m.now, Refreshed: m.now, Expires: m.now.Add(d),
	}
	m.text(n, c)
	return n
}

// text copies the texts of c in one piece.
func (m *machine) text(n *binding.Binding, c *Contact) {
	parts := [...][]byte{c.URI, c.Params, c.Instance, m.r.CallID, m.r.Path, m.r.EPID}
	total := 0
	for _, p := range parts {
		total += len(p)
	}
	buf := make([]byte, 0, total)
	for _, p := range parts {
		buf = append(buf, p...)
	}
	all := string(buf)
	next := func(i int) (s string) {
		s, all = all[:len(parts[i])], all[len(parts[i]):]
		return s
	}
	n.Contact, n.Params, n.Instance, n.CallID, n.Path, n.EPID = next(0), next(1), next(2), next(3), next(4), next(5)
	if n.UserAgent != string(m.r.UserAgent) {
		n.UserAgent = unique.Make(string(m.r.UserAgent)).Value()
	}
}

// makeRoom ends the endpoints that were refreshed longest ago until there are
// no more than allowed. What this REGISTER brought stays.
func (m *machine) makeRoom() *sip.Error {
	max := m.rules.Endpoints
	for max > 0 && binding.Endpoints(m.set) > max {
		oldest := -1
		for i, b := range m.set {
			if b.Refreshed == m.now && b.CallID == string(m.r.CallID) && b.CSeq == m.r.CSeq {
				continue
			}
			if oldest < 0 || b.Refreshed < m.set[oldest].Refreshed {
				oldest = i
			}
		}
		if oldest < 0 {
			return &sip.Error{Code: 403, Reason: "Too Many Contacts", Diagnostic: "more contacts than a user may have endpoints"}
		}
		victim := m.set[oldest]
		m.write()
		m.set = slices.DeleteFunc(m.set, func(b *binding.Binding) bool {
			if b == victim || b.SameEndpoint(victim) {
				m.evicted = append(m.evicted, b)
				return true
			}
			return false
		})
	}
	// An endpoint has a handful of flows at most (RFC 5626 section 4.2).
	if max > 0 && len(m.set) > 4*max {
		return &sip.Error{Code: 403, Reason: "Too Many Flows"}
	}
	return nil
}
