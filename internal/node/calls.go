package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"parley/internal/service/adminapi"
	"parley/internal/sip"
)

// calls follows the calls that this node forwards, by what it answers: a call
// begins with the first response to an INVITE, is over when that is a failure
// or when a BYE is answered, and is given up when its session timer (RFC 4028) runs out or when
// nothing was heard of it for a very long time.
//
// It is fed from the readers of SIP messages, so it never waits.
type calls struct {
	mu   sync.Mutex
	byID map[string]*call
}

type call struct {
	id, from, to string
	fromTag      string
	state        string // as in adminapi.Call
	started      time.Time
	answered     time.Time
	until        time.Time // when it is given up
}

// A call is given up after this time without any request inside it, when its
// ends have agreed on no session timer. Nobody talks for so long without one
// hold, refresh or re-INVITE, and if so, only this list forgets them.
const quietCall = 12 * time.Hour

// maxCalls bounds the list; what is beyond it is served and not listed.
const maxCalls = 200_000

func newCalls() *calls { return &calls{byID: map[string]*call{}} }

// responded learns of a response this node sent, by its raw text.
func (c *calls) responded(now time.Time, method sip.Method, code int, raw []byte) {
	switch method {
	case sip.INVITE, sip.BYE, sip.UPDATE, sip.INFO:
	default:
		return
	}
	if code == 100 {
		return
	}
	m := messages.Get().(*sip.Message)
	defer messages.Put(m)
	if m.Parse(raw, &sip.ServerLimits) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.byID[string(m.CallID())]
	switch {
	case method == sip.INVITE:
		c.invite(now, have, code, m)
	case have == nil:
	case method == sip.BYE && code >= 200:
		// Whatever the answer, one end has left; after a challenge it comes again.
		if code != 401 && code != 407 {
			delete(c.byID, have.id)
		}
	case code/100 == 2:
		have.until = now.Add(sessionTime(m))
	}
}

func (c *calls) invite(now time.Time, have *call, code int, m *sip.Message) {
	if have == nil {
		if code >= 300 || len(c.byID) >= maxCalls {
			return
		}
		have = &call{state: "calling", started: now, until: now.Add(quietCall)}
		have.keep(m.CallID(), address(m.Header(sip.HFrom)), address(m.Header(sip.HTo)), m.FromTag())
		c.byID[have.id] = have
	}
	switch {
	case code < 200:
		if code == 180 && have.state == "calling" {
			have.state = "ringing"
		}
	case code < 300:
		if have.state != "talking" { // otherwise it is a hold or a refresh
			have.state, have.answered = "talking", now
		}
		have.until = now.Add(sessionTime(m))
	case have.state != "talking" && string(m.FromTag()) == have.fromTag:
		delete(c.byID, have.id)
	}
}

// sessionTime is how long a call may go on without a refresh, by the
// Session-Expires of a 2xx (RFC 4028), with some grace.
func sessionTime(m *sip.Message) time.Duration {
	sec, ok := m.Seconds(sip.HSessionExpires)
	if !ok || sec == 0 || sec > uint32(quietCall/time.Second) {
		return quietCall
	}
	return time.Duration(sec)*time.Second + 32*time.Second
}

// keep copies what is remembered of a message, in one piece.
func (c *call) keep(id, from, to, tag []byte) {
	all := string(slices.Concat(id, from, to, tag))
	c.id, all = all[:len(id)], all[len(id):]
	c.from, all = all[:len(from)], all[len(from):]
	c.to, c.fromTag = all[:len(to)], all[len(to):]
}

// address is the URI of a From or To value, for people.
func address(v []byte) []byte {
	var na sip.NameAddr
	if sip.ParseNameAddr(v, &na) != nil {
		return v
	}
	return na.URI
}

// messages are for reading responses: one is needed for a moment each time.
var messages = sync.Pool{New: func() any { return new(sip.Message) }}

// sweep forgets the calls that are given up.
func (c *calls) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, one := range c.byID {
		if now.After(one.until) {
			delete(c.byID, id)
		}
	}
}

func (c *calls) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}

// list returns the calls, oldest first.
func (c *calls) list() []adminapi.Call {
	c.mu.Lock()
	out := make([]adminapi.Call, 0, len(c.byID))
	for _, one := range c.byID {
		a := adminapi.Call{CallID: one.id, From: one.from, To: one.to, State: one.state, Started: one.started.UTC()}
		if !one.answered.IsZero() {
			at := one.answered.UTC()
			a.Answered = &at
		}
		out = append(out, a)
	}
	c.mu.Unlock()
	slices.SortFunc(out, func(a, b adminapi.Call) int { return a.Started.Compare(b.Started) })
	return out
}

// wait returns when no call is left or ctx ends.
func (c *calls) wait(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for c.len() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d calls are still going on: %w", c.len(), context.Cause(ctx))
		}
	}
	return nil
}
