package proxy

import (
	"sync"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/stack"
)

// call is the response context of one forwarded request (RFC 3261 16.7).
//
// Its events are handled one after the other: whoever brings one while another is being handled leaves it in the
// queue and goes. So nothing is locked while sending or calling hooks, and a 180 cannot overtake a 200.
type call struct {
	proxy *Proxy
	tx    *stack.ServerTxn
	req   *sip.Message // private copy
	opt   Options
	media Exchange // nil for what nobody has a say in

	mu    sync.Mutex
	busy  bool // somebody is handling events
	queue []event

	// Owned by whoever is handling events.
	machine  machine
	branches []branch
	edit     edit
	best     *sip.Message // private copy of the best response, nil when it is our own
	credits  []sip.Header // challenges of all branches
	alarm    *stack.Alarm // for Options.Timeout

	oneBranch [1]branch
	oneSlot   [1]slot
}

// event is something that happened to a call. m is a response, from the flow to send within (flow.Flow.SendWithin).
type event struct {
	kind   eventKind
	branch int
	code   int
	m      *sip.Message
	from   *flow.Flow
	body   *sip.Body // in place of m's
}

// branch is one place the request goes to; it is the stack's user for it.
type branch struct {
	Branch
	body  *sip.Body // of this attempt, in place of the request's; not changed while its transaction is there
	call  *call
	index int
	tx    *stack.ClientTxn
	alarm *stack.Alarm // Timer C
	pause *stack.Alarm // before another attempt
}

// handle handles an event, now or in the goroutine that is handling another.
func (c *call) handle(ev event) {
	c.mu.Lock()
	if c.busy {
		if ev.m != nil {
			ev.m = ev.m.Retain()
		}
		c.queue = append(c.queue, ev)
		c.mu.Unlock()
		return
	}
	c.busy = true
	c.mu.Unlock()
	for {
		c.one(&ev)
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.queue, c.busy = nil, false
			c.mu.Unlock()
			return
		}
		ev = c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
	}
}

// one handles one event. A panic of a hook costs the request, not the lock.
func (c *call) one(ev *event) {
	defer func() {
		if v := recover(); v != nil {
			c.proxy.panicked(v)
			c.tx.Respond(500, "")
		}
	}()
	switch {
	case ev.m != nil && c.opt.OnResponse != nil:
		c.opt.OnResponse(&c.branches[ev.branch].Branch, ev.m)
	case ev.kind == evFailed && c.opt.OnBranchFailure != nil && ev.code != 487:
		c.opt.OnBranchFailure(&c.branches[ev.branch].Branch, ev.code)
	}
	if c.media != nil && c.described(ev) {
		return
	}
	var space [8]action
	acts := c.machine.step(ev.kind, ev.branch, ev.code, space[:0])
	for i, a := range acts {
		c.act(a, ev, i+1 < len(acts) && acts[i+1].kind == actBest)
	}
}

// act carries out one action. answerNext says that the best response is passed on right after.
func (c *call) act(a action, ev *event, answerNext bool) {
	switch a.kind {
	case actTimer:
		c.startTimer()
	case actStart:
		c.start(&c.branches[a.branch])
	case actForward:
		c.forward(ev.m, ev.body, nil, ev.from)
	case actRefresh:
		c.branches[a.branch].refresh()
	case actCancel:
		if b := &c.branches[a.branch]; b.pause != nil {
			c.resume(b, false)
		} else if b.tx != nil {
			b.tx.Cancel(c.cancelHeaders(a.code)...)
		}
	case actKeep:
		c.best = nil
		if ev.m != nil && ev.branch == a.branch {
			c.best = ev.m
			if !answerNext {
				c.best = ev.m.Retain()
			}
		}
	case actCredit:
		c.credit(ev.m)
	case actBest:
		c.answer(a.code, ev.from)
	case actDone:
		c.release()
	}
}

// startTimer starts the time a group has.
func (c *call) startTimer() {
	if c.opt.Timeout <= 0 {
		return
	}
	if c.alarm != nil {
		c.alarm.Stop()
	}
	group := c.machine.group // one that comes too late must not end the next group
	c.alarm = &stack.Alarm{Func: func() { c.handle(event{kind: evTimeout, code: group}) }}
	c.proxy.stack.SetAlarm(c.alarm, c.opt.Timeout)
}

// refresh starts Timer C anew (RFC 3261 16.7 step 2).
func (b *branch) refresh() {
	if b.alarm == nil {
		b.alarm = &stack.Alarm{Func: func() { b.call.handle(event{kind: evTimerC, branch: b.index}) }}
	}
	b.call.proxy.stack.SetAlarm(b.alarm, b.call.proxy.cfg.TimerC)
}

// release ends timers and lets the stack pass on further 2xx by itself, so that nothing keeps the call alive.
func (c *call) release() {
	if c.alarm != nil {
		c.alarm.Stop()
	}
	for i := range c.branches {
		b := &c.branches[i]
		if b.alarm != nil {
			b.alarm.Stop()
		}
		if b.tx != nil && c.machine.slots[i].code/100 == 2 && c.opt.OnResponse == nil && (c.media == nil || !c.media.Rewrites(i)) {
			b.tx.PassOn(c.tx, &unsigned)
		}
	}
}

// credit remembers the challenges of a 401 or 407 (16.7 step 7).
func (c *call) credit(m *sip.Message) {
	if m == nil || len(c.branches) == 1 {
		return
	}
	for _, id := range [...]sip.HeaderID{sip.HWWWAuthenticate, sip.HProxyAuthenticate} {
		for v := range m.All(id) {
			c.credits = append(c.credits, sip.Header{Name: id.String(), Value: string(v)})
		}
	}
}

// forward passes a response on, with another body if one is given.
func (c *call) forward(m *sip.Message, body *sip.Body, e *sip.ResponseEdit, from *flow.Flow) {
	if e == nil && m.Has(sip.HAuthorization) {
		e = &unsigned
	}
	if body != nil {
		with := sip.ResponseEdit{}
		if e != nil {
			with = *e
		}
		with.Body = body
		e = &with
	}
	buf := getBuffer()
	buf.b = sip.AppendResponseForward(buf.b[:0], m, e)
	c.tx.SendResponse(m.StatusCode(), buf.b, from)
	putBuffer(buf)
}

// answer gives the caller the best final response.
func (c *call) answer(code int, from *flow.Flow) {
	c.proxy.stats.finals.Add(1)
	best := c.best
	switch {
	case code == 430 && best == nil:
		code = 480 // for the caller the phone is not there (RFC 5626 5.3 has 430 end with the registrar)
	case code == 503:
		code, best = 500, nil // it says something of the next server, not of us (16.7 step 6)
	}
	if c.opt.OnFinal != nil && c.opt.OnFinal(code, c.best) {
		return
	}
	if best == nil {
		if code == 408 && c.req.Method() != sip.INVITE {
			// RFC 4320 4.2: it would come too late. The caller has had no answer for as long as we had none.
			if c.opt.Timeout == 0 {
				c.tx.Abandon()
				return
			}
			code = 480
		}
		c.tx.Respond(code, "", c.credits...)
		return
	}
	e := unsigned
	if (code == 401 || code == 407) && len(c.credits) > 0 {
		e.Append = c.credits
		e.Drop = func(f sip.Field) bool { return isChallenge(f) || isSignature(f) }
	}
	c.forward(best, nil, &e, from)
}

// unsigned takes off what a Lync-protocol client signs its responses with.
var unsigned = sip.ResponseEdit{Drop: isSignature}

func isChallenge(f sip.Field) bool {
	return f.ID == sip.HWWWAuthenticate || f.ID == sip.HProxyAuthenticate
}

// cancelHeaders returns the Reason of a CANCEL (RFC 3326): why we cancel, or what the caller said.
func (c *call) cancelHeaders(cause int) []sip.Header {
	switch {
	case cause == 200:
		return completedElsewhere
	case cause != 0:
		return []sip.Header{{Name: "Reason", Value: reason(cause)}}
	}
	if r := c.tx.CancelReason(); len(r) > 0 {
		return []sip.Header{{Name: "Reason", Value: string(r)}}
	}
	return nil
}

var completedElsewhere = []sip.Header{{Name: "Reason", Value: `SIP;cause=200;text="Call completed elsewhere"`}}

// Response implements stack.Outgoing.
func (b *branch) Response(_ *stack.ClientTxn, f *flow.Flow, m *sip.Message) {
	vias := m.Values(sip.HVia)
	vias.Next()
	if _, more := vias.Next(); !more {
		// Somebody lost the Via of the caller (16.7 step 3). Only that it is an end can be used.
		if m.StatusCode() >= 200 {
			b.call.handle(event{kind: evFailed, branch: b.index, code: 502})
		}
		return
	}
	if len(b.call.branches) > 1 {
		// Responses of several readers: only by way of the caller's own flow do they stay in order, lest a 180
		// that waits for the end of one reader's work is overtaken by another's 200.
		f = nil
	}
	b.call.handle(event{kind: evResponse, branch: b.index, code: m.StatusCode(), m: m, from: f})
}

// Failed implements stack.Outgoing.
func (b *branch) Failed(_ *stack.ClientTxn, err error) { b.call.failed(b, err) }
