package stack

import (
	"errors"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/txn"
	"parley/internal/uc"
)

// Errors of answering.
var (
	// ErrAnswered means that a final response was sent before.
	ErrAnswered = errors.New("stack: already answered")
	// ErrNoAnswer means that the request is one that has no answer: ACK or BENOTIFY.
	ErrNoAnswer = errors.New("stack: the request has no answer")
)

// ServerTxn is one request being served. It stays usable after the handler has returned. Methods that answer may be
// called from any goroutine; Request only as it says.
type ServerTxn struct {
	stack  *Stack
	flow   *flow.Flow
	core   *serverCore // nil for what has no answer, and until the request is admitted
	req    *sip.Message
	key    key
	method sip.Method
	own    bool // req is a private copy

	identity    uc.Identity
	hasIdentity bool

	// Guarded by the lock of the shard.
	wasCancelled bool
	onCancel     func()
	cancelReason []byte
}

// serverCore is the part of a server transaction that stays in the table while it absorbs repetitions.
type serverCore struct {
	node    node
	stack   *Stack
	key     key
	machine txn.Machine
	method  sip.Method
	flow    *flow.Flow
	last    []byte     // the response to repeat
	txn     *ServerTxn // nil once a final response was sent
}

func (s *Stack) shardOf(k key) *shard { return &s.shards[k[0]%shardCount] }

// Request returns the request. Until the handler returns it is the reader's own and must not be kept; after
// Retain, or once the handler has returned without having answered, it is a private copy.
func (t *ServerTxn) Request() *sip.Message { return t.req }

// Retain makes the request a private copy that stays valid, and returns it. A handler calls it before it gives
// the transaction to another goroutine.
func (t *ServerTxn) Retain() *sip.Message {
	if t.own {
		return t.req
	}
	req := t.req.Retain()
	if t.core == nil {
		t.req, t.own = req, true
		return req
	}
	sh := t.stack.shardOf(t.key)
	sh.mu.Lock() // the clock may look at it to write a 100
	t.req, t.own = req, true
	sh.mu.Unlock()
	return req
}

// Method returns the request's method.
func (t *ServerTxn) Method() sip.Method { return t.method }

// Flow returns the flow the request came on.
func (t *ServerTxn) Flow() *flow.Flow { return t.flow }

// Stack returns the stack the transaction belongs to.
func (t *ServerTxn) Stack() *Stack { return t.stack }

// Identity returns who sent the request: what SetIdentity said, else the identity of the flow.
func (t *ServerTxn) Identity() uc.Identity {
	if t.hasIdentity {
		return t.identity
	}
	return t.flow.Identity()
}

// SetIdentity records who sent this one request, for flows that carry requests of several users. It is meant for
// Config.Admit and must not be called once the transaction was given to another goroutine.
func (t *ServerTxn) SetIdentity(id uc.Identity) { t.identity, t.hasIdentity = id, true }

// ToTag returns the tag that Respond puts on To. It is the same for every copy of the request.
func (t *ServerTxn) ToTag() string {
	tag := t.stack.toTag(t.key)
	return string(tag[:])
}

// Done reports whether a final response was sent, or nothing can be sent any more.
func (t *ServerTxn) Done() bool {
	if t.core == nil {
		return true
	}
	sh := t.stack.shardOf(t.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return t.core.txn == nil
}

// OnCancel has fn called once when the caller cancels the request, or when the flow it came on ends before it is
// answered. If that has happened already, fn is called at once. The CANCEL itself is answered here; fn sees to it
// that the request gets its final answer. There is one fn; a later one takes the place of an earlier.
func (t *ServerTxn) OnCancel(fn func()) {
	if t.core == nil {
		return
	}
	sh := t.stack.shardOf(t.key)
	sh.mu.Lock()
	if t.core.txn == nil {
		sh.mu.Unlock()
		return
	}
	now := t.wasCancelled
	t.onCancel = fn
	sh.mu.Unlock()
	if now {
		fn()
	}
}

// CancelReason returns the value of the Reason field of the CANCEL (RFC 3326), nil when there was none.
func (t *ServerTxn) CancelReason() []byte {
	sh := t.stack.shardOf(t.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return t.cancelReason
}

// cancelled marks the transaction as cancelled and tells its user.
func (t *ServerTxn) cancelled(reason []byte) {
	sh := t.stack.shardOf(t.key)
	sh.mu.Lock()
	var fn func()
	if !t.wasCancelled && t.core.txn != nil {
		t.wasCancelled = true
		t.cancelReason = reason
		fn = t.onCancel
	}
	sh.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// Respond sends a response without body. An empty reason takes the usual one. Record-Route is copied into
// responses that make a dialog.
func (t *ServerTxn) Respond(code int, reason string, headers ...sip.Header) error {
	return t.RespondBody(code, reason, "", nil, headers...)
}

// RespondBody is Respond with a body of type ctype.
func (t *ServerTxn) RespondBody(code int, reason, ctype string, body []byte, headers ...sip.Header) error {
	if t.core == nil {
		return ErrNoAnswer
	}
	r := sip.Response{Code: code, Reason: reason, Headers: headers, ContentType: ctype, Body: body}
	if code > 100 {
		r.ToTag = t.ToTag()
		r.RecordRoute = code < 300 && makesDialog(t.method)
	}
	buf := getBuffer()
	buf.b = r.Append(buf.b[:0], t.req)
	err := t.SendResponse(code, buf.b, nil)
	putBuffer(buf)
	return err
}

// makesDialog reports whether responses to m establish a dialog or refresh its target.
func makesDialog(m sip.Method) bool {
	return m == sip.INVITE || m == sip.SUBSCRIBE || m == sip.REFER || m == sip.NOTIFY
}

// Fail answers with err: a *sip.Error as it says, anything else with 500, and with its detail in the log.
func (t *ServerTxn) Fail(err error) error {
	var e *sip.Error
	if !errors.As(err, &e) || e.Code < 300 || e.Code > 699 {
		t.stack.cfg.Log.Error("request failed", "method", t.method, "flow", t.flow.ID(), "peer", t.flow.Remote(), "err", err)
		e = &sip.Error{Code: 500}
	}
	return t.Respond(e.Code, e.Reason, e.Headers...)
}

// SendResponse sends a complete response, whose topmost Via is the sender's, with status code code. raw may be
// used again when it returns. in is the flow whose message led to it, if that is another than the request's own:
// bytes then wait for the end of what its reader has at hand. Nil is always right.
func (t *ServerTxn) SendResponse(code int, raw []byte, in *flow.Flow) error {
	if t.core == nil {
		return ErrNoAnswer
	}
	return t.core.send(code, raw, in)
}

// send is SendResponse.
func (c *serverCore) send(code int, raw []byte, in *flow.Flow) error {
	s := c.stack
	var last []byte
	if c.repeats(code) {
		last = append(make([]byte, 0, len(raw)), raw...)
	}
	now := s.now()
	sh := s.shardOf(c.key)
	sh.mu.Lock()
	e := c.machine.Step(now, txn.Input{Event: txn.Respond, Code: code}, &s.timers)
	if e.Send != txn.SendResponse {
		sh.mu.Unlock()
		return ErrAnswered
	}
	c.last = last
	if code >= 200 {
		c.answered(sh)
	}
	c.settle(sh, e)
	sh.mu.Unlock()

	countCode(&s.stats.responsesOut, code)
	if s.cfg.Responded != nil {
		s.cfg.Responded(c.method, code, raw)
	}
	if in == nil {
		in = c.flow
	}
	if err := c.flow.SendWithin(in, raw); err != nil {
		return s.unsent(c, code, raw, err)
	}
	return nil
}

// Abandon ends the transaction without an answer, where none would be of use any more (RFC 4320 4.2).
func (t *ServerTxn) Abandon() {
	if c := t.core; c != nil {
		sh := t.stack.shardOf(c.key)
		sh.mu.Lock()
		c.node.unlink()
		if sh.server[c.key] == c {
			c.forget(sh)
		}
		sh.mu.Unlock()
	}
}

// repeats reports whether the response has to be kept: on an unreliable transport, unless repetitions of the
// request are absorbed without an answer, as after a 2xx to INVITE.
func (c *serverCore) repeats(code int) bool {
	return !c.flow.Transport().Reliable() && (c.method != sip.INVITE || code/100 != 2)
}

// answered is called when the final response is known. The user's part of the transaction is let go.
func (c *serverCore) answered(sh *shard) {
	if c.txn != nil {
		c.txn.onCancel = nil
		c.txn = nil
		sh.open--
	}
}

// settle does what a step says about timers and the end of the transaction.
func (c *serverCore) settle(sh *shard, e txn.Effects) {
	if e.Done {
		c.answered(sh)
		c.node.unlink()
		delete(sh.server, c.key)
		return
	}
	if e.WakeAt == 0 && c.txn != nil && c.machine.Kind() == txn.NonInviteServer {
		return // the time its handler has goes on
	}
	st := c.machine.State()
	sh.arm(&c.node, e.WakeAt, st == txn.Accepted || st == txn.Completed && c.machine.Kind() == txn.NonInviteServer)
}

func (c *serverCore) forget(sh *shard) {
	c.answered(sh)
	delete(sh.server, c.key)
}

// wake runs the transaction's timer.
func (c *serverCore) wake(now time.Duration) {
	s := c.stack
	sh := s.shardOf(c.key)
	sh.mu.Lock()
	if sh.server[c.key] != c {
		sh.mu.Unlock()
		return
	}
	e := c.machine.Step(now, txn.Input{Event: txn.Tick}, &s.timers)
	last, t := c.last, c.txn
	if c.machine.Kind() == txn.NonInviteServer && t != nil {
		c.forget(sh)
		sh.mu.Unlock()
		s.stats.unanswered.Add(1)
		s.cfg.Log.Warn("request never answered", "method", c.method, "flow", c.flow.ID(), "peer", c.flow.Remote())
		return
	}
	var trying []byte
	if e.Send == txn.SendTrying && t != nil && t.own {
		trying = sip.AppendResponse(nil, t.req, 100, "", "")
		if !c.flow.Transport().Reliable() {
			c.last = trying
		}
	}
	c.settle(sh, e)
	sh.mu.Unlock()
	switch {
	case trying != nil:
		countCode(&s.stats.responsesOut, 100)
		c.flow.Send(trying)
	case e.Send == txn.SendAgain:
		s.stats.retransmits.Add(1)
		s.again(c, last)
	}
	if e.Deliver == txn.DeliverTimeout {
		s.stats.noAck.Add(1)
	}
}

// again repeats a response.
func (s *Stack) again(c *serverCore, last []byte) {
	if last == nil {
		return
	}
	if err := c.flow.Send(last); err != nil {
		s.ended(c)
	}
}

// ended tells the machine that its peer cannot be reached.
func (s *Stack) ended(c *serverCore) {
	s.stats.transport.Add(1)
	sh := s.shardOf(c.key)
	sh.mu.Lock()
	if sh.server[c.key] == c {
		c.settle(sh, c.machine.Step(s.now(), txn.Input{Event: txn.TransportError}, &s.timers))
	}
	sh.mu.Unlock()
}
