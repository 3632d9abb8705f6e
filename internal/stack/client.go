package stack

import (
	"errors"
	"math/rand/v2"
	"time"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/txn"
)

// Errors that a request ends with when there is no final response.
var (
	ErrTimeout   = errors.New("stack: no answer in time")
	ErrCancelled = errors.New("stack: cancelled before it was sent")
	ErrNoTarget  = errors.New("stack: no target to send to")
	ErrBusy      = errors.New("stack: too many look-ups under way")

	errUnavailable = errors.New("stack: target answered 503")
)

// Destination says where a request goes: over Flow if that is set, else to the Targets in their order, else to
// where URI resolves to.
type Destination struct {
	Flow    *flow.Flow
	Targets []flow.Target
	URI     []byte // sip or sips URI; not changed until the request has ended

	// Within is the flow whose message led to the request, if any: see flow.Flow.SendWithin.
	Within *flow.Flow
}

// Hop is what the writer of a request needs to know about one attempt to send it.
type Hop struct {
	Flow *flow.Flow
	// Via is the value of the Via to put on top. It ends with the branch, to which the writer may append "." and
	// token characters of its own; see BranchSuffix.
	Via []byte
}

// Writer appends a complete request to dst. No copy of what was sent is kept: to repeat the request, to cancel and
// to acknowledge it, it is written again with the same Hop, and must come out the same. So AppendRequest may be
// called until there is a final response, from any goroutine, and by two at a time.
type Writer interface {
	AppendRequest(dst []byte, hop Hop) []byte
}

// Outgoing is a request and its user. Response is called in the reader of f for every response that is not a
// repetition, several times for INVITE; m is valid until it returns. Failed is called at most once, instead of a
// final response, from a reader, from the timers' goroutine, or from within Send. They are never called with locks
// held.
type Outgoing interface {
	Writer
	Response(tx *ClientTxn, f *flow.Flow, m *sip.Message)
	Failed(tx *ClientTxn, err error)
}

// ClientTxn is one request being sent, with all its attempts at different targets.
type ClientTxn struct {
	stack  *Stack
	shard  *shard // which the lower bits of id choose; no attempt changes them
	method sip.Method

	// Guarded by the lock of the shard.
	dst        Destination // what is left to try
	id         uint64
	node       node
	machine    txn.Machine
	out        Outgoing // nil when nothing more is to be delivered
	flow       *flow.Flow
	sent       []byte // a CANCEL; or the ACK to a failure, as long as it may be needed again
	heard      bool   // a response to this attempt came
	wantCancel bool
	cancelSent bool
	over       bool
	cancelWith []sip.Header
}

// The number of a transaction: bit 0 tells a CANCEL from its INVITE, the next six choose the shard, the rest is
// random, so that nobody can answer who has not seen the request.
const (
	cancelBit = 1
	shardBits = (shardCount - 1) << 1
)

func (s *Stack) clientShard(id uint64) *shard { return &s.shards[id>>1%shardCount] }

// Send sends the request that out writes.
func (s *Stack) Send(out Outgoing, method sip.Method, dst Destination) *ClientTxn {
	id := rand.Uint64() &^ cancelBit
	c := &ClientTxn{stack: s, shard: s.clientShard(id), dst: dst, method: method, out: out, id: id}
	c.node.owner = c
	countMethod(&s.stats.requestsOut, method)
	if dst.Flow != nil {
		c.attempt(dst.Flow)
	} else {
		c.next(ErrNoTarget)
	}
	return c
}

// SendStateless sends a request that has no transaction, such as an ACK for a 2xx. An error tells of a failure on
// Destination.Flow; one on the way to other destinations is logged, since nobody could do anything about it.
func (s *Stack) SendStateless(w Writer, method sip.Method, dst Destination) error {
	countMethod(&s.stats.requestsOut, method)
	if dst.Flow != nil {
		return s.sendOnce(w, dst.Flow, dst.Within)
	}
	s.reach(&dst, func(f *flow.Flow, err error) {
		if err == nil {
			err = s.sendOnce(w, f, nil)
		}
		if err != nil {
			s.stats.transport.Add(1)
			s.cfg.Log.Info("request not sent", "method", method, "err", err)
		}
	})
	return nil
}

func (s *Stack) sendOnce(w Writer, f, in *flow.Flow) error {
	buf := getBuffer()
	defer putBuffer(buf)
	return f.SendWithin(in, s.write(buf, w, f, rand.Uint64()&^cancelBit))
}

// viaSpace is kept free for our Via at the head of the scratch space a request is written to.
const viaSpace = 256

// write writes a request for flow f into scratch space, where it is valid until that is given back.
func (s *Stack) write(buf *buffer, w Writer, f *flow.Flow, id uint64) []byte {
	var branch [branchLen]byte
	Base32(branch[:], id)
	b := buf.b[:cap(buf.b)]
	via := append(b[0:0:viaSpace], s.of(f).via...)
	via = append(via, branch[:]...)
	msg := w.AppendRequest(b[viaSpace:viaSpace], Hop{Flow: f, Via: via})
	if cap(msg) > cap(b)-viaSpace { // it did not fit: keep the larger space
		buf.b = msg[:0]
	}
	return msg
}

// Method returns the request's method.
func (c *ClientTxn) Method() sip.Method { return c.method }

// Flow returns the flow of the present attempt, nil before the first.
func (c *ClientTxn) Flow() *flow.Flow {
	sh := c.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return c.flow
}

// attempt sends the request on f.
func (c *ClientTxn) attempt(f *flow.Flow) {
	s := c.stack
	sh := c.shard
	sh.mu.Lock()
	id, out, within := rand.Uint64()&^(cancelBit|shardBits)|c.id&shardBits, c.out, c.dst.Within
	sh.mu.Unlock()
	if out == nil {
		return
	}
	buf := getBuffer()
	msg := s.write(buf, out, f, id)
	now := s.now()
	sh.mu.Lock()
	if c.over || c.wantCancel {
		sh.mu.Unlock()
		putBuffer(buf)
		c.fail(ErrCancelled)
		return
	}
	c.id, c.flow, c.sent, c.heard = id, f, nil, false
	c.machine = txn.Client(c.method == sip.INVITE, f.Transport().Reliable())
	e := c.machine.Step(now, txn.Input{Event: txn.Start}, &s.timers)
	sh.client[id] = c
	sh.arm(&c.node, e.WakeAt, false)
	sh.mu.Unlock()

	err := f.SendWithin(within, msg)
	putBuffer(buf)
	if err != nil {
		c.lost(err)
	}
}

// leave takes an attempt out of the table. The lock is held.
func (c *ClientTxn) leave(sh *shard) {
	c.node.unlink()
	if sh.client[c.id] == c {
		delete(sh.client, c.id)
	}
}

// fail ends the request without a final response.
func (c *ClientTxn) fail(err error) {
	sh := c.shard
	sh.mu.Lock()
	c.leave(sh)
	out := c.out
	if c.over {
		out = nil
	}
	c.over, c.out, c.sent = true, nil, nil
	sh.mu.Unlock()
	if out != nil {
		out.Failed(c, err)
	}
}

// lost is called when the flow of the present attempt failed.
func (c *ClientTxn) lost(err error) {
	s := c.stack
	sh := c.shard
	sh.mu.Lock()
	if sh.client[c.id] != c {
		sh.mu.Unlock()
		return
	}
	e := c.machine.Step(s.now(), txn.Input{Event: txn.TransportError}, &s.timers)
	c.settle(sh, e)
	heard := c.heard
	sh.mu.Unlock()
	if e.Deliver != txn.DeliverTransportError {
		return
	}
	s.stats.transport.Add(1)
	if heard {
		c.fail(err)
	} else {
		c.next(err)
	}
}

// settle does what a step says about timers and the end of the attempt. The lock is held.
func (c *ClientTxn) settle(sh *shard, e txn.Effects) {
	// Timer K only absorbs repetitions of a final response. One that belongs to nothing is dropped just as well, so
	// the transaction need not stay for it.
	st := c.machine.State()
	if e.Done || st == txn.Completed && c.method != sip.INVITE {
		c.leave(sh)
		return
	}
	sh.arm(&c.node, e.WakeAt, st == txn.Accepted)
}

// forget implements timed.
func (c *ClientTxn) forget(sh *shard) { c.leave(sh) }

// wake runs the transaction's timer.
func (c *ClientTxn) wake(now time.Duration) {
	s := c.stack
	sh := c.shard
	sh.mu.Lock()
	if sh.client[c.id] != c {
		sh.mu.Unlock()
		return
	}
	e := c.machine.Step(now, txn.Input{Event: txn.Tick}, &s.timers)
	c.settle(sh, e)
	f, sent, out, id, heard := c.flow, c.sent, c.out, c.id, c.heard
	sh.mu.Unlock()
	if e.Send == txn.SendRequest {
		s.stats.retransmits.Add(1)
		var err error
		if out == nil {
			err = f.Send(sent) // a CANCEL
		} else {
			buf := getBuffer()
			err = f.Send(s.write(buf, out, f, id))
			putBuffer(buf)
		}
		if err != nil {
			c.lost(err)
		}
		return
	}
	if e.Deliver == txn.DeliverTimeout {
		s.stats.timeouts.Add(1)
		if heard {
			c.fail(ErrTimeout)
		} else {
			c.next(ErrTimeout)
		}
	}
}

// Cancel cancels an INVITE that has no final response yet: at once if there was a provisional one, else with the
// first (RFC 3261 9.1), or by not sending it if it is still on its way to a connection. The request then ends as
// always, usually with a 487 from its other end. For other methods it only keeps them from being sent. headers,
// such as Reason, are added to the CANCEL.
func (c *ClientTxn) Cancel(headers ...sip.Header) {
	sh := c.shard
	sh.mu.Lock()
	if c.wantCancel || c.over {
		sh.mu.Unlock()
		return
	}
	c.wantCancel, c.cancelWith = true, headers
	send := c.cancelNow()
	sh.mu.Unlock()
	if send {
		c.sendCancel()
	}
}

// cancelNow reports whether the CANCEL has to go out now, and marks it as sent. The lock is held.
func (c *ClientTxn) cancelNow() bool {
	if !c.wantCancel || c.cancelSent || c.method != sip.INVITE || c.machine.State() != txn.Proceeding {
		return false
	}
	c.cancelSent = true
	c.machine.Step(c.stack.now(), txn.Input{Event: txn.Cancelled}, &c.stack.timers)
	c.shard.arm(&c.node, c.machine.WakeAt(), false)
	return true
}

// sendCancel sends the CANCEL in a transaction of its own, whose outcome nobody waits for.
func (c *ClientTxn) sendCancel() {
	s := c.stack
	sh := c.shard
	sh.mu.Lock()
	f, out, id, with := c.flow, c.out, c.id, c.cancelWith
	sh.mu.Unlock()
	if out == nil {
		return // the final response was faster
	}
	buf := getBuffer()
	defer putBuffer(buf)
	var invite sip.Message
	if invite.Parse(s.write(buf, out, f, id), &sip.ServerLimits) != nil {
		return
	}
	msg := sip.AppendCancel(nil, &invite, with...)
	x := &ClientTxn{stack: s, shard: sh, method: sip.CANCEL, id: id | cancelBit, flow: f, sent: msg}
	x.node.owner = x
	x.machine = txn.Client(false, f.Transport().Reliable())
	sh.mu.Lock()
	e := x.machine.Step(s.now(), txn.Input{Event: txn.Start}, &s.timers)
	sh.client[x.id] = x
	sh.arm(&x.node, e.WakeAt, false)
	sh.mu.Unlock()
	countMethod(&s.stats.requestsOut, sip.CANCEL)
	if err := f.Send(msg); err != nil {
		x.lost(err)
	}
}

// response takes a response from its reader.
func (s *Stack) response(f *flow.Flow, m *sip.Message) {
	code := m.StatusCode()
	countCode(&s.stats.responsesIn, code)
	v, err := m.TopVia()
	id, ours := parseBranch(v.Branch)
	if err != nil || !ours {
		s.stats.stray.Add(1)
		return
	}
	if m.Method() == sip.CANCEL {
		id |= cancelBit
	}
	now := s.now()
	sh := s.clientShard(id)
	sh.mu.Lock()
	c := sh.client[id]
	if c == nil || c.method != m.Method() {
		sh.mu.Unlock()
		s.stats.stray.Add(1)
		return
	}
	c.heard = true
	e := c.machine.Step(now, txn.Input{Event: txn.Response, Code: code}, &s.timers)
	sent, out, on := c.sent, c.out, c.flow
	failover := false
	if e.Deliver == txn.DeliverResponse && code >= 200 {
		failover = code == 503 && !c.wantCancel && c.more()
		c.final(failover)
	}
	c.settle(sh, e)
	cancel := c.cancelNow()
	sh.mu.Unlock()

	if e.Send == txn.SendAck {
		s.acknowledge(c, id, on, sent, out, m)
	}
	if cancel {
		c.sendCancel()
	}
	switch {
	case e.Deliver != txn.DeliverResponse || out == nil:
	case failover:
		c.next(errUnavailable)
	default:
		defer s.recovered("response", nil)
		out.Response(c, f, m)
	}
}

// final lets go what is not needed after a final response. After a 2xx to INVITE others may follow. The lock is
// held.
func (c *ClientTxn) final(failover bool) {
	if failover {
		return
	}
	c.over = true
	if c.machine.State() != txn.Accepted {
		c.out = nil
	}
}

// acknowledge sends the ACK for a final response to INVITE that is not 2xx: sent, if it was sent before, else a new
// one for the request that out writes.
func (s *Stack) acknowledge(c *ClientTxn, id uint64, f *flow.Flow, sent []byte, out Outgoing, m *sip.Message) {
	if sent == nil {
		if out == nil {
			return
		}
		buf := getBuffer()
		defer putBuffer(buf)
		var invite sip.Message
		if invite.Parse(s.write(buf, out, f, id), &sip.ServerLimits) != nil {
			return
		}
		sent = sip.AppendAck(nil, &invite, m)
		c.shard.mu.Lock()
		if c.id == id {
			c.sent = sent
		}
		c.shard.mu.Unlock()
	}
	countMethod(&s.stats.requestsOut, sip.ACK)
	f.Send(sent)
}

// PassOn makes the stack itself pass further 2xx of an accepted INVITE on to tx, without our Via and with the edit,
// which must not change any more, so that the request's user can be forgotten. It does nothing for requests that are
// over.
func (c *ClientTxn) PassOn(tx *ServerTxn, edit *sip.ResponseEdit) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.out != nil && c.over {
		c.out = passOn{tx.core, edit}
	}
}

// passOn is what is left of a proxied INVITE that was answered.
type passOn struct {
	*serverCore
	edit *sip.ResponseEdit
}

func (p passOn) AppendRequest(dst []byte, _ Hop) []byte { return dst } // nothing is written after a final response
func (p passOn) Failed(*ClientTxn, error)               {}
func (p passOn) Response(_ *ClientTxn, f *flow.Flow, m *sip.Message) {
	buf := getBuffer()
	buf.b = sip.AppendResponseForward(buf.b[:0], m, p.edit)
	p.send(m.StatusCode(), buf.b, f)
	putBuffer(buf)
}
