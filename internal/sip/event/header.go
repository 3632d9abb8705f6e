package event

import (
	"strconv"
	"strings"
	"time"

	"parley/internal/sip"
)

// Event is an Event field (RFC 6665 section 8.2.1). Two subscriptions in one dialog are the same when package and
// id are.
type Event struct {
	Package []byte // "presence", "presence.winfo", "message-summary"
	ID      []byte // nil when absent
	Params  sip.Params
}

// Parse reads the value of an Event field. ok is false when it has no package name; the answer is then 489
// (RFC 6665 section 4.1.2.1).
func Parse(v []byte) (e Event, ok bool) {
	i := 0
	for i < len(v) && v[i] != ';' && !isSpace(v[i]) {
		i++
	}
	e.Package = v[:i:i]
	e.Params = sip.Params(v[i:])
	e.ID, _ = e.Params.Get("id")
	for j := i; j < len(v) && v[j] != ';'; j++ {
		if !isSpace(v[j]) {
			return e, false
		}
	}
	return e, i > 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// Reason says why a subscription ended (RFC 6665 section 4.1.3).
type Reason string

// The reasons and what they tell the subscriber to do.
const (
	Deactivated Reason = "deactivated" // subscribe again at once
	Probation   Reason = "probation"   // subscribe again later
	Rejected    Reason = "rejected"    // do not
	Timeout     Reason = "timeout"     // may subscribe again at once
	GiveUp      Reason = "giveup"      // may try later
	NoResource  Reason = "noresource"  // do not
	Invariant   Reason = "invariant"   // nothing will change any more
)

// StateValue returns the value of a Subscription-State field. left is printed as expires while the subscription
// lives, rounded up, and retryAfter with probation and giveup when it is above 0.
func StateValue(s State, left time.Duration, why Reason, retryAfter time.Duration) string {
	var b strings.Builder
	b.WriteString(s.String())
	if s == Terminated {
		if why != "" {
			b.WriteString(";reason=" + string(why))
		}
		if retryAfter > 0 && (why == Probation || why == GiveUp) {
			b.WriteString(";retry-after=" + strconv.FormatInt(seconds(retryAfter), 10))
		}
	} else {
		b.WriteString(";expires=" + strconv.FormatInt(seconds(left), 10))
	}
	return b.String()
}

// ParseState reads the value of a Subscription-State field, as a subscriber does. An extension state gives
// ok false.
func ParseState(v []byte) (s State, params sip.Params, ok bool) {
	e, ok := Parse(v)
	if !ok {
		return 0, nil, false
	}
	for s := Pending; s <= Terminated; s++ {
		if strings.EqualFold(string(e.Package), s.String()) {
			return s, e.Params, true
		}
	}
	return 0, e.Params, false
}

func seconds(d time.Duration) int64 { return int64((max(d, 0) + time.Second - 1) / time.Second) }
