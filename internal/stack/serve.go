package stack

import (
	"errors"
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
	k := s.key(m)
	switch method {
	case sip.ACK:
		s.ack(f, m, k)
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
	if s.cfg.Admit != nil {
		if err := s.admit(t); err != nil {
			s.reject(t, err)
			return
		}
	}
	if s.open(t, now) {
		s.serve(t)
	}
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
		f.Send(buf.b)
		putBuffer(buf)
		return true
	}
	if last != nil {
		s.stats.retransmits.Add(1)
		if f.Send(last) != nil {
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
func (s *Stack) open(t *ServerTxn, now time.Duration) bool {
	invite := t.method == sip.INVITE
	c := &serverCore{stack: s, key: t.key, method: t.method, flow: t.flow, txn: t, machine: txn.Server(invite, t.flow.Transport().Reliable())}
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
	if t.method == sip.ACK {
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
	t := &ServerTxn{stack: s, flow: f, req: m, key: k, method: sip.ACK}
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
