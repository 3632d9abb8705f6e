package person

import (
	"time"

	"parley/internal/xmldoc"
	"parley/internal/xmldoc/categories"
)

// The canonical availabilities.
const (
	Available     = 3500
	AvailableIdle = 5000
	Busy          = 6500
	BusyIdle      = 7500
	DoNotDisturb  = 9500
	RightBack     = 12500
	Away          = 15500
	Offline       = 18500
)

// Instance is one state that goes into the aggregation.
type Instance struct {
	State     *categories.State
	Published time.Time // by the server's clock: clients' clocks disagree
}

// Result is what a person's states come to.
type Result struct {
	Availability int
	Activity     *categories.Activity // nil when there is nothing to say
	LastActive   time.Time            // since when he is idle or away, zero when he is neither
	Place        []*xmldoc.Element    // where he is and with what device
}

// Aggregate makes one state of many, in this order: without a machine somebody is
// offline; what he chose by hand of being away, soon back or invisible holds;
// the busiest of what he chose, his calendar, his calls and his conferences
// holds; a machine that was not touched makes that idle, or away.
func Aggregate(in []Instance, now time.Time) Result {
	var machine, user, calendar *Instance
	var calls []*Instance
	for i := range in {
		s := &in[i]
		switch s.State.Type {
		case categories.MachineState:
			if machine == nil || s.State.Availability < machine.State.Availability ||
				s.State.Availability == machine.State.Availability && s.Published.After(machine.Published) {
				machine = s
			}
		case categories.UserState:
			user = newer(user, s)
		case categories.CalendarState:
			if current(s.State, now) && (calendar == nil || busyness(s.State.Availability) > busyness(calendar.State.Availability) ||
				busyness(s.State.Availability) == busyness(calendar.State.Availability) && s.Published.After(calendar.Published)) {
				calendar = s
			}
		case categories.PhoneState, categories.ConferenceState:
			calls = append(calls, s)
		}
	}
	if machine == nil || machine.State.Availability >= 18000 {
		return Result{Availability: Offline}
	}
	r := Result{Place: machine.State.Place}
	if user != nil && user.State.Manual && user.State.Availability >= 12000 {
		r.Availability = user.State.Availability
		r.Activity = shown(user.State.Activity, r.Availability)
		if r.Availability < 18000 {
			r.LastActive = machine.Published
		} else {
			r.Place = nil
		}
		return r
	}
	base, act := Available, (*categories.Activity)(nil)
	var chosen *Instance
	if user != nil && user.State.Availability < 6000 {
		act = user.State.Activity
	}
	consider := func(s *Instance, wins bool) {
		b := busyness(s.State.Availability)
		if b == 0 {
			return
		}
		if have := busyness(base); b > have || b == have && wins {
			base, act, chosen = s.State.Availability, s.State.Activity, s
		}
	}
	if user != nil {
		consider(user, false)
	}
	free := user != nil && user.State.Manual && busyness(user.State.Availability) == 0
	if calendar != nil && !(free && user.Published.After(calendar.Published)) {
		consider(calendar, false)
	}
	for _, s := range calls {
		// A call beats an appointment, and the later call the earlier one.
		call := chosen != nil && (chosen.State.Type == categories.PhoneState || chosen.State.Type == categories.ConferenceState)
		consider(s, chosen != nil && chosen != user && (!call || s.Published.After(chosen.Published)))
	}
	switch m := machine.State.Availability; {
	case m >= 12000:
		if busyness(base) < 2 {
			base = Away
		}
	case m >= 4500 && m < 6000:
		switch busyness(base) {
		case 0:
			base = AvailableIdle
		case 1:
			base = BusyIdle
		}
	case busyness(m) > busyness(base):
		base, act = m, machine.State.Activity // a device of its own mind, such as a phone
	}
	r.Availability = base
	r.Activity = shown(act, base)
	if base == AvailableIdle || base == BusyIdle || base == Away {
		r.LastActive = machine.Published
	}
	return r
}

func newer(a, b *Instance) *Instance {
	if a == nil || b.Published.After(a.Published) {
		return b
	}
	return a
}

// busyness orders what people are busy with: 0 not, 1 busy, 2 not to be disturbed.
func busyness(availability int) int {
	switch {
	case availability < 6000 || availability >= 12000:
		return 0
	case availability < 9000:
		return 1
	}
	return 2
}

// current reports whether now is in the time of an appointment.
func current(s *categories.State, now time.Time) bool {
	if t, err := time.Parse(time.RFC3339, s.StartTime); err == nil && now.Before(t) {
		return false
	}
	if t, err := time.Parse(time.RFC3339, s.End); err == nil && !now.Before(t) {
		return false
	}
	return true
}

// shown returns an activity if it belongs to the availability.
func shown(a *categories.Activity, availability int) *categories.Activity {
	if a == nil || a.Token == "" && len(a.Custom) == 0 || availability < a.Min || a.Max > 0 && availability > a.Max {
		return nil
	}
	return &categories.Activity{Token: a.Token, Custom: a.Custom}
}

// next returns when an appointment begins or ends after now, zero for none.
func next(in []Instance, now time.Time) (at time.Time) {
	for _, s := range in {
		for _, text := range [...]string{s.State.StartTime, s.State.End} {
			if t, err := time.Parse(time.RFC3339, text); s.State.Type == categories.CalendarState && err == nil && t.After(now) && (at.IsZero() || t.Before(at)) {
				at = t
			}
		}
	}
	return at
}
