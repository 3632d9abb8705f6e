package event

import "time"

// State is a subscription's state (RFC 6665 section 4.1.3).
type State uint8

// The states. New is before the first SUBSCRIBE.
const (
	New State = iota
	Pending
	Active
	Terminated
)

// String returns the state as Subscription-State prints it.
func (s State) String() string { return [...]string{"new", "pending", "active", "terminated"}[s] }

// Limits bounds a package's subscriptions or publications.
type Limits struct {
	Min      time.Duration // shorter ones are answered 423; 0 allows all
	Max      time.Duration // longer ones are shortened; 0 for no bound
	Default  time.Duration // without an Expires; 0 stands for an hour
	Interval time.Duration // least time between two NOTIFYs for changes; 0 for none
}

// grant returns the duration to give to one who asks for asked, and false when that is too short.
func (l *Limits) grant(asked time.Duration) (time.Duration, bool) {
	d := asked
	if d == NoExpires {
		if d = l.Default; d == 0 {
			d = time.Hour
		}
	}
	if d > 0 && d < l.Min {
		return 0, false
	}
	if l.Max > 0 {
		d = min(d, l.Max)
	}
	return d, true
}

// InputKind is what happened to a subscription.
type InputKind uint8

// The inputs.
const (
	Subscribe InputKind = iota // a SUBSCRIBE came: the first, a refresh, or with Expires 0 the last
	Approve                    // the watched user allows it
	Change                     // there is something new to tell
	Answered                   // our NOTIFY was answered: Code
	End                        // we end it: Reason and RetryAfter
	Tick                       // the time of WakeAt has come
)

// Input is one input to Subscription.Step.
type Input struct {
	Kind       InputKind
	Expires    time.Duration // Subscribe: what was asked for; NoExpires when the field was missing
	Authorized bool          // Subscribe, the first one: active at once instead of pending
	Code       int           // Answered: status code; 408 when there was none in time
	RetryAfter time.Duration // Answered: the response's Retry-After; End: what to tell the subscriber
	Reason     Reason        // End
}

// NoExpires stands for a SUBSCRIBE without an Expires field.
const NoExpires time.Duration = -1

// Notice is whether a NOTIFY is to be sent and what its document may tell.
type Notice uint8

// The notices. A subscriber who is not approved must not learn anything (RFC 6665 section 4.2.1.1): his gets no
// document, or one that says nothing.
const (
	NoNotify Notice = iota
	Blank           // no state
	Changes         // what changed since the last; the whole state will do too
	Whole           // the whole state
)

// String returns the notice's name.
func (n Notice) String() string { return [...]string{"none", "blank", "changes", "whole"}[n] }

// Effects is what to do, in the order of the fields.
type Effects struct {
	Code       int           // answer the SUBSCRIBE with this; 0: no answer is due
	Expires    time.Duration // Expires of a 200
	MinExpires time.Duration // Min-Expires of a 423
	Notify     Notice        // send a NOTIFY with the current document
	State      string        // its Subscription-State
	WakeAt     time.Time     // call Step with Tick then; zero: no timer is wanted
	Done       bool          // the subscription is over, once the NOTIFY is sent
}

// Subscription is one subscription at the notifier. Only one NOTIFY is under way at a time, so that documents
// cannot overtake each other on UDP; what changes meanwhile goes into the next.
type Subscription struct {
	Limits Limits
	// Autoextend has every NOTIFY renew the subscription for as long as it was
	// granted ([MS-SIP] 3.6).
	Autoextend bool

	granted  time.Duration
	state    State
	until    time.Time
	inFlight bool      // a NOTIFY awaits its answer
	due      Notice    // another is due after it
	earliest time.Time // before this no NOTIFY for a mere change
}

// State returns the current state.
func (s *Subscription) State() State { return s.state }

// Until returns when the subscription expires.
func (s *Subscription) Until() time.Time { return s.until }

// Step takes one input.
func (s *Subscription) Step(now time.Time, in Input) Effects {
	if s.state == Terminated {
		if in.Kind == Subscribe {
			return Effects{Code: 481, Done: true} // RFC 6665 section 4.4.2
		}
		return Effects{Done: true}
	}
	switch in.Kind {
	case Subscribe:
		return s.subscribe(now, in)
	case Approve:
		if s.state == Pending {
			s.state = Active
			return s.notify(now, Whole)
		}
	case Change:
		if s.state == Active {
			return s.changed(now)
		}
	case Answered:
		return s.answered(now, in)
	case End:
		return s.end(in.Reason, in.RetryAfter)
	case Tick:
		if s.state != New && !now.Before(s.until) {
			return s.end(Timeout, 0)
		}
		if s.due != NoNotify && !s.inFlight && !now.Before(s.earliest) {
			return s.notify(now, s.due)
		}
	}
	return Effects{WakeAt: s.wake()}
}

func (s *Subscription) subscribe(now time.Time, in Input) Effects {
	d, ok := s.Limits.grant(in.Expires)
	if !ok {
		e := Effects{Code: 423, MinExpires: s.Limits.Min, WakeAt: s.wake(), Done: s.state == New}
		if s.state == New {
			s.state = Terminated
			e.WakeAt = time.Time{}
		}
		return e
	}
	if s.state == New {
		s.state = Pending
		if in.Authorized {
			s.state = Active
		}
	}
	s.until, s.granted = now.Add(d), d
	if d == 0 {
		// A fetch or the end; either way one last NOTIFY, with the state if he may see it (section 4.4.3).
		e := s.end(Timeout, 0)
		e.Code = 200
		return e
	}
	e := s.notify(now, Whole) // section 4.2.1.2: every SUBSCRIBE is followed by a NOTIFY
	e.Code, e.Expires = 200, d
	return e
}

func (s *Subscription) changed(now time.Time) Effects {
	s.due = max(s.due, Changes)
	if s.inFlight || now.Before(s.earliest) {
		return Effects{WakeAt: s.wake()}
	}
	return s.notify(now, s.due)
}

// notify sends the document now, or after the NOTIFY that is under way.
func (s *Subscription) notify(now time.Time, what Notice) Effects {
	if s.inFlight {
		s.due = max(s.due, what)
		return Effects{WakeAt: s.wake()}
	}
	s.inFlight, s.due = true, NoNotify
	if s.Autoextend {
		s.until = now.Add(s.granted)
	}
	s.earliest = now.Add(s.Limits.Interval)
	if s.state == Pending {
		what = Blank
	}
	return Effects{Notify: what, State: StateValue(s.state, s.until.Sub(now), "", 0), WakeAt: s.wake()}
}

func (s *Subscription) end(why Reason, retryAfter time.Duration) Effects {
	if s.state == New {
		s.state = Terminated
		return Effects{Done: true}
	}
	what := Blank
	if s.state == Active && why != Rejected {
		what = Whole
	}
	s.state = Terminated
	return Effects{Notify: what, State: StateValue(Terminated, 0, why, retryAfter), Done: true}
}

func (s *Subscription) answered(now time.Time, in Input) Effects {
	if !s.inFlight || in.Code < 200 {
		return Effects{WakeAt: s.wake()}
	}
	s.inFlight = false
	switch {
	case in.Code < 300:
	case ends(in.Code):
		s.state = Terminated
		return Effects{Done: true}
	default:
		// Anything else is a passing failure: the document is still owed, after Retry-After or a while.
		wait := in.RetryAfter
		if wait <= 0 {
			wait = retryWait
		}
		s.due = Whole
		s.earliest = now.Add(wait)
	}
	if s.due != NoNotify && !now.Before(s.earliest) {
		return s.notify(now, s.due)
	}
	return Effects{WakeAt: s.wake()}
}

// retryWait is the pause after a NOTIFY that failed without a Retry-After.
const retryWait = 32 * time.Second

// ends reports whether an answer to NOTIFY ends the subscription (RFC 6665 section 4.2.2 with RFC 5057 section
// 5.1); 408 stands for no answer at all.
func ends(code int) bool {
	switch code {
	case 404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604:
		return true
	}
	return false
}

// wake returns when Tick is next needed.
func (s *Subscription) wake() time.Time {
	switch {
	case s.state == New || s.state == Terminated:
		return time.Time{}
	case s.due != NoNotify && !s.inFlight && s.earliest.Before(s.until):
		return s.earliest
	}
	return s.until
}
