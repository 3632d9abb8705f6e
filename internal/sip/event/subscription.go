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

// Limits bounds a package's subscriptions.
type Limits struct {
	Min      time.Duration // shorter ones are answered 423
	Max      time.Duration // longer ones are shortened
	Default  time.Duration // without an Expires
	Interval time.Duration // least time between two NOTIFYs for changes, 0 for none
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

// Effects is what to do, in the order of the fields.
type Effects struct {
	Code       int           // answer the SUBSCRIBE with this; 0: no answer is due
	Expires    time.Duration // Expires of a 200
	MinExpires time.Duration // Min-Expires of a 423
	Notify     bool          // send a NOTIFY with the current document
	Full       bool          // the NOTIFY carries the whole state, not only what changed
	State      string        // its Subscription-State
	WakeAt     time.Time     // call Step with Tick then; zero: no timer is wanted
	Done       bool          // the subscription is over, once the NOTIFY is sent
}

// Subscription is one subscription at the notifier. Only one NOTIFY is under way at a time, so that documents
// cannot overtake each other on UDP; what changes meanwhile goes into the next.
type Subscription struct {
	Limits Limits

	state    State
	until    time.Time
	inFlight bool      // a NOTIFY awaits its answer
	dirty    bool      // another is due after it
	full     bool      // and has to carry everything
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
			return s.notify(now, true)
		}
	case Change:
		// A pending subscriber must not learn anything (section 4.2.1.1).
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
		if s.dirty && !s.inFlight && !now.Before(s.earliest) {
			return s.notify(now, s.full)
		}
	}
	return Effects{WakeAt: s.wake()}
}

func (s *Subscription) subscribe(now time.Time, in Input) Effects {
	d := in.Expires
	if d == NoExpires {
		d = s.Limits.Default
	}
	if d > 0 && d < s.Limits.Min {
		e := Effects{Code: 423, MinExpires: s.Limits.Min, WakeAt: s.wake(), Done: s.state == New}
		if s.state == New {
			s.state = Terminated
			e.WakeAt = time.Time{}
		}
		return e
	}
	d = min(d, s.Limits.Max)
	if s.state == New {
		s.state = Pending
		if in.Authorized {
			s.state = Active
		}
	}
	s.until = now.Add(d)
	if d == 0 {
		// A fetch or the end; either way one last NOTIFY, with the state if he may see it (section 4.4.3).
		e := s.end(Timeout, 0)
		e.Code = 200
		return e
	}
	e := s.notify(now, true) // section 4.2.1.2: every SUBSCRIBE is followed by a NOTIFY
	e.Code, e.Expires = 200, d
	return e
}

func (s *Subscription) changed(now time.Time) Effects {
	s.dirty = true
	if s.inFlight || now.Before(s.earliest) {
		return Effects{WakeAt: s.wake()}
	}
	return s.notify(now, s.full)
}

// notify sends the document now, or after the NOTIFY that is under way.
func (s *Subscription) notify(now time.Time, full bool) Effects {
	if s.inFlight {
		s.dirty, s.full = true, s.full || full
		return Effects{WakeAt: s.wake()}
	}
	s.inFlight, s.dirty, s.full = true, false, false
	s.earliest = now.Add(s.Limits.Interval)
	return Effects{Notify: true, Full: full, State: StateValue(s.state, s.until.Sub(now), "", 0), WakeAt: s.wake()}
}

func (s *Subscription) end(why Reason, retryAfter time.Duration) Effects {
	if s.state == New {
		s.state = Terminated
		return Effects{Done: true}
	}
	full := s.state == Active
	s.state = Terminated
	return Effects{Notify: true, Full: full, State: StateValue(Terminated, 0, why, retryAfter), Done: true}
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
		s.dirty, s.full = true, true
		s.earliest = now.Add(wait)
	}
	if s.dirty && !now.Before(s.earliest) {
		return s.notify(now, s.full)
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
	case s.dirty && !s.inFlight && s.earliest.Before(s.until):
		return s.earliest
	}
	return s.until
}
