// Package binding is what the parts of Parley know together about where users
// are signed in: the bindings of RFC 3261 section 10, each tied to the flow it
// was made on (RFC 5626).
//
// The registrar writes a Table; routing, messages and presence read it. It is
// the truth for the bindings of this node and a copy of what the other members
// of the pool publish on the bus (bucket reg_v1).
package binding

import (
	"time"

	"parley/internal/flow"
	"parley/internal/uc"
)

// Binding is one contact of a user. It does not change once it is in a Table:
// a refresh puts another in its place.
type Binding struct {
	AOR       uc.AOR
	Contact   string     // contact URI as registered, without brackets
	Params    string     // other parameters of the Contact, with their ";"
	Instance  string     // +sip.instance without quotes and brackets, or ""
	CallID    string     // of the last REGISTER
	Path      string     // Path values in order, joined by commas (RFC 3327), or ""
	UserAgent string     // as the endpoint calls itself
	EPID      string     // of a Lync-protocol client ([MS-SIPRE] 2.2.1), or ""
	Flow      *flow.Flow // where it registered; nil for a binding of another member
	Node      string     // member that holds it; "" for this node
	Gen       uint64     // number of this binding; a refresh keeps it
	Expires   Time
	Created   Time
	Refreshed Time
	CSeq      uint32 // of the last REGISTER
	RegID     uint32 // RFC 5626 reg-id, 0 when outbound is not used
	Q         uint16 // thousandths
	Notices   bool   // the endpoint wants to be told when the server ends the binding ([MS-SIPREGE] 3.1.2)
}

// Time is milliseconds since 1970, UTC: small, and exact enough for expiry.
type Time int64

// At converts t.
func At(t time.Time) Time { return Time(t.UnixMilli()) }

// Time converts back.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)) }

// Add returns t plus d.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Millisecond) }

// SameEndpoint reports whether a and b are flows to one endpoint, which then
// gets one copy of a request (RFC 5626 section 5.3).
func (b *Binding) SameEndpoint(a *Binding) bool {
	return b.Instance != "" && b.Instance == a.Instance
}

// Endpoints counts the endpoints behind a set of bindings.
func Endpoints(set []*Binding) int {
	n := 0
next:
	for i, b := range set {
		for _, a := range set[:i] {
			if a.SameEndpoint(b) {
				continue next
			}
		}
		n++
	}
	return n
}
