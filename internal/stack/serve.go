package stack

import (
	"errors"
	"net/netip"
	"runtime/debug"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/txn"
)

// request takes a request from its reader: a repetition, a part of a transaction that is there, or a new one.
func (s *Stack) request(f *flow.Flow, m *sip.Message) {
	method := m.Method()
	countMethod(&s.stats.requestsIn, method)
	v, err := m.TopVia()
	if err != nil {
		s.stats.malformed.Add(1) // nobody could be answered
		return
	}
	k := s.key(m, &v)
	switch method {
	case sip.ACK:
		s.ack(f, m, k)
		return
	case sip.BENOTIFY: // [MS-SIP]: has no answer, so no transaction either
		s.pass(f, m, k)
		return
	case sip.CANCEL:
		s.cancelRequest(f, m, k)
		return
	}
	now := s.now()
	if s.repeated(f, m, k, now) {
		return
	}
	if method != sip.BYE && m.ToTag() == nil && s.overloaded(now) {
		s.stats.overload.Add(1)
		s.refuse(f, m, &sip.Error{Code: 503, Headers: []sip.Header{{Name: "Retry-After", Value: s.retryAfter}}}, k)
		return
	}
	t := &ServerTxn{stack: s, flow: f, req: m, key: k, method: method}
	if err := m.Validate(); err != nil { // the grammar of what everybody above is going to read
		s.stats.malformed.Add(1)
		s.reject(t, err)
		return
	}
	if s.cfg.Admit != nil {
		if err := s.admit(t); err != nil {
			s.reject(t, err)
			return
		}
	}
	if s.open(t, s.back(f, &v), now) {
		s.serve(t)
	}
}

// back returns the flow responses go to: the one the request came on, except that over UDP a sender without rport
// gets them at the port its Via names (RFC 3261 18.2.2), where old phones listen that send from another.
func (s *Stack) back(f *flow.Flow, v *sip.Via) *flow.Flow {
	if f.Transport() != flow.UDP || v.HasRPort {
		return f
	}
	port := v.Port
	if port == 0 {
		port = flow.UDP.DefaultPort()
	}
	if port == f.Remote().Port() {
		return f
	}
	back := f
	t := flow.Target{Transport: flow.UDP, Addr: netip.AddrPortFrom(f.Remote().Addr(), port), Listener: f.Listener()}
	s.layer.ConnectFunc(t, func(to *flow.Flow, err error) { // at once: a UDP flow needs no connection
		if err == nil {
			back = to
		}
	})
	return back
}

// repeated absorbs a repetition of a request whose transaction is there.
func (s *Stack) repeated(f *flow.Flow, m *sip.Message, k key, now time.Duration) bool {
	sh := s.shardOf(k)
	sh.mu.Lock()
	c := sh.server[k]
	if c == nil {
		sh.mu.Unlock()
		return false
	}
	e := c.machine.Step(now, txn.Input{Event: txn.Request}, &s.timers)
	last := c.last
	unreliable := !f.Transport().Reliable()
	sh.mu.Unlock()
	s.stats.repeated.Add(1)
	if e.Send != txn.SendAgain {
		return true
	}
	if last == nil && unreliable && m.Method() == sip.INVITE && !c.machineAnswered() {
		// The caller did not wait for the 100 that the clock would send.
		buf := getBuffer()
		buf.b = sip.AppendResponse(buf.b[:0], m, 100, "", "")
		countCode(&s.stats.responsesOut, 100)
		c.flow.Send(buf.b)
		putBuffer(buf)
		return true
	}
	if last != nil {
		s.stats.retransmits.Add(1)
		if c.flow.Send(last) != nil {
			s.ended(c)
		}
	}
	return true
}

// machineAnswered reports whether the final answer is known.
func (c *serverCore) machineAnswered() bool {
	sh := c.stack.shardOf(c.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return c.machine.Answered()
}

// open enters a new transaction in the table. It is false when another reader was faster with a copy.
func (s *Stack) open(t *ServerTxn, back *flow.Flow, now time.Duration) bool {
	invite := t.method == sip.INVITE
	c := &serverCore{stack: s, key: t.key, method: t.method, flow: back, txn: t, machine: txn.Server(invite, t.flow.Transport().Reliable())}
	c.node.owner = c
	sh := s.shardOf(t.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.server[t.key] != nil {
		return false
	}
	t.core = c
	sh.server[t.key] = c
	sh.open++
	e := c.machine.Step(now, txn.Input{Event: txn.Start}, &s.timers)
	if e.WakeAt == 0 {
		// The caller of a request other than INVITE gives up after 64*T1. If its handler has not answered it by
		// twice that time it never will, and must not cost memory for ever.
		e.WakeAt = now + 128*s.timers.T1
	}
	sh.arm(&c.node, e.WakeAt, false)
	return true
}

// admit asks the gate and survives its panic.
func (s *Stack) admit(t *ServerTxn) (err error) {
	defer s.recovered("admit", func() { err = &sip.Error{Code: 500} })
	return s.cfg.Admit(t)
}

// serve runs the handler and afterwards leaves the reader's message alone.
func (s *Stack) serve(t *ServerTxn) {
	defer s.recovered("route", func() {
		if t.core != nil {
			t.Respond(500, "")
		}
		t.settle()
	})
	s.cfg.Route(t)
	t.settle()
}

// settle is called when the handler has returned: from here on only a private copy may be used.
func (t *ServerTxn) settle() {
	if t.own {
		return
	}
	if t.core == nil || t.Done() {
		t.req = nil
		return
	}
	t.Retain()
}

// reject answers a request that was not admitted.
func (s *Stack) reject(t *ServerTxn, err error) {
	if errors.Is(err, ErrDrop) {
		s.stats.dropped.Add(1)
		return
	}
	if t.method == sip.ACK || t.method == sip.BENOTIFY {
		return
	}
	var e *sip.Error
	if !errors.As(err, &e) || e.Code < 300 || e.Code > 699 {
		s.cfg.Log.Error("request not admitted", "method", t.method, "flow", t.flow.ID(), "peer", t.flow.Remote(), "err", err)
		e = &sip.Error{Code: 500}
	}
	s.refuse(t.flow, t.req, e, t.key)
}

// refuse answers a request without keeping a transaction (RFC 3261 8.2.7).
func (s *Stack) refuse(f *flow.Flow, m *sip.Message, e *sip.Error, k key) {
	if m.Method() == sip.ACK {
		return
	}
	if v, err := m.TopVia(); err == nil {
		f = s.back(f, &v)
	}
	tag := s.toTag(k)
	buf := getBuffer()
	buf.b = sip.AppendError(buf.b[:0], m, e, string(tag[:]))
	countCode(&s.stats.responsesOut, e.Code)
	if s.cfg.Responded != nil {
		s.cfg.Responded(m.Method(), e.Code, buf.b)
	}
	f.Send(buf.b)
	putBuffer(buf)
}

// ack takes an ACK: it ends the wait of a transaction that answered with a failure, or belongs to a 2xx and goes
// to the handler.
func (s *Stack) ack(f *flow.Flow, m *sip.Message, k key) {
	sh := s.shardOf(k)
	sh.mu.Lock()
	if c := sh.server[k]; c != nil && c.machine.Kind() == txn.InviteServer {
		e := c.machine.Step(s.now(), txn.Input{Event: txn.Ack}, &s.timers)
		c.last = nil
		c.settle(sh, e)
		sh.mu.Unlock()
		if e.Deliver != txn.DeliverAck {
			return
		}
	} else {
		sh.mu.Unlock()
		tag := s.toTag(k)
		if string(m.ToTag()) == string(tag[:]) {
			s.stats.strayAcks.Add(1)
			return
		}
	}
	s.pass(f, m, k)
}

// pass gives a request to the handler that has no answer.
func (s *Stack) pass(f *flow.Flow, m *sip.Message, k key) {
	t := &ServerTxn{stack: s, flow: f, req: m, key: k, method: m.Method()}
	if s.cfg.Admit != nil {
		if err := s.admit(t); err != nil {
			s.reject(t, err)
			return
		}
	}
	s.serve(t)
}

// cancelRequest takes a CANCEL (RFC 3261 9.2). It is answered without a transaction of its own: a repetition gets
// the same answer and has no other effect.
func (s *Stack) cancelRequest(f *flow.Flow, m *sip.Message, k key) {
	sh := s.shardOf(k)
	sh.mu.Lock()
	c := sh.server[k]
	var t *ServerTxn
	if c != nil {
		t = c.txn
	}
	sh.mu.Unlock()
	if c == nil {
		s.refuse(f, m, &sip.Error{Code: 481}, k)
		return
	}
	s.refuse(f, m, &sip.Error{Code: 200}, k)
	if t != nil {
		defer s.recovered("cancel", nil)
		t.cancelled(append([]byte(nil), m.Header(sip.HReason)...))
	}
}

// recovered, deferred, catches a panic: it is counted, logged with its stack, and costs what then does.
func (s *Stack) recovered(where string, then func()) {
	v := recover()
	if v == nil {
		return
	}
	s.stats.panics.Add(1)
	s.cfg.Log.Error("panic in handler", "where", where, "err", v, "stack", string(debug.Stack()))
	if then != nil {
		then()
	}
}
