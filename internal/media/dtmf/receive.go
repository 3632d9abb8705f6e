package dtmf

import "time"

// patience is how long an event goes on without a packet of it, before it is taken to be over: all three of its last
// ones may have been lost.
const patience = 200 * time.Millisecond

// Heard is what a packet, or its absence, told: an event ended, one began, or one ended and then another began.
type Heard struct {
	Ended    bool
	Released Event
	Duration time.Duration // of the event that ended
	Began    bool
	Pressed  Event
}

// Receiver turns event packets into presses of a key: each once, however often its packets are repeated, and also
// when any of them are lost. The zero value is not ready: use NewReceiver. Not safe for concurrent use.
type Receiver struct {
	clock    int
	active   bool
	event    Event
	began    uint32 // timestamp of the segment
	before   uint32 // units in earlier segments
	duration uint32
	heard    time.Duration
	any      bool   // an event was heard
	last     uint32 // and this was its timestamp: what is older is a late repetition
}

// NewReceiver returns a receiver for a clock in units a second.
func NewReceiver(clock int) *Receiver { return &Receiver{clock: max(clock, 1)} }

// Receive takes a packet of the telephone-event payload type that arrived at now. Events that Digit does not know
// are passed over.
func (r *Receiver) Receive(now time.Duration, timestamp uint32, marker bool, payload []byte) Heard {
	p, ok := ParsePayload(payload)
	if !ok || p.Event.Digit() == 0 {
		return Heard{}
	}
	var h Heard
	switch age := int32(timestamp - r.last); {
	case r.any && age < 0, r.any && age == 0 && !r.active:
		// Older than the last event, or the last one's end repeated. A sender that has begun anew says so by the
		// marker and is far away.
		if !marker || age > -int32(r.clock)*10 {
			return Heard{}
		}
		h = r.end()
	case r.active && age == 0:
		if p.Event != r.event {
			return Heard{} // one event has one timestamp
		}
		r.hold(now, p)
		if p.End {
			h = r.end()
		}
		return h
	case r.active && !marker && p.Event == r.event && uint32(age) == r.duration && r.duration > 0xF000:
		// The next segment of a long event (2.5.1.3).
		r.before += r.duration
		r.began, r.last, r.duration = timestamp, timestamp, 0
		r.hold(now, p)
		if p.End {
			h = r.end()
		}
		return h
	case r.active:
		h = r.end() // its end was lost
	}
	r.active, r.any, r.event = true, true, p.Event
	r.began, r.last, r.before, r.duration = timestamp, timestamp, 0, 0
	r.hold(now, p)
	h.Began, h.Pressed = true, p.Event
	if p.End { // everything but the end was lost: the next Tick, or the end repeated, tells of it
		r.heard = now - patience - 1
	}
	return h
}

func (r *Receiver) hold(now time.Duration, p Payload) {
	r.heard = now
	r.duration = max(r.duration, uint32(p.Duration))
}

func (r *Receiver) end() Heard {
	if !r.active {
		return Heard{}
	}
	r.active = false
	units := time.Duration(r.before) + time.Duration(r.duration)
	return Heard{Ended: true, Released: r.event, Duration: units * time.Second / time.Duration(r.clock)}
}

// Tick ends an event of which nothing was heard for a while. It is to be called every frame or so.
func (r *Receiver) Tick(now time.Duration) Heard {
	if r.active && now-r.heard > patience {
		return r.end()
	}
	return Heard{}
}
