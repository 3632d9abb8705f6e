package proxy

import (
	"errors"
	"time"

	"parley/internal/sip"
	"parley/internal/stack"
)

// Media has its say in the session descriptions of what is forwarded, so that ends which share no way to talk can be
// brought together by something between them. The proxy stays a proxy: dialogs are those of the ends.
type Media interface {
	// Request is asked about every INVITE, ACK, PRACK, UPDATE and BYE that is about to be forwarded, within dialogs
	// and outside. Nil leaves it and its responses alone. It runs in readers and must not wait. The request of an ACK
	// is valid until the Attempt that follows has returned, others until their Exchange is over.
	Request(tx *stack.ServerTxn) Exchange
}

// Exchange is one request with its responses. Its methods are called one after the other, in readers and in the
// timers' goroutine, and must not wait. i is the number of the branch.
type Exchange interface {
	// Attempt is called before the request is sent on a branch, and again after Again said so. What it returns takes
	// the place of the body; nil leaves it. With an error the branch ends as if it had answered with the code of the
	// *sip.Error, 500 for others; of an ACK it changes nothing.
	Attempt(i int, b *Branch) (*sip.Body, error)
	// Again is asked about a failure that a branch answered with, while it may be tried once more at the same place,
	// in a transaction of its own. If it says no, or is not asked, Response follows.
	Again(i int, b *Branch, m *sip.Message) bool
	// Response is called for every response of a branch but 100, those too that are not passed on, and repetitions of
	// a 2xx to INVITE, which must get the same body again.
	Response(i int, b *Branch, m *sip.Message) *sip.Body
	// Failed is called for a branch that ends without a final response, with what that counts as.
	Failed(i int, b *Branch, code int)
	// Rewrites reports whether further 2xx of a branch have to be shown to Response. The stack passes them on by
	// itself otherwise, and the request's memory is freed.
	Rewrites(i int) bool
}

// concerned reports whether a method can carry a session description, or ends what one began.
func concerned(m sip.Method) bool {
	switch m {
	case sip.INVITE, sip.ACK, sip.PRACK, sip.UPDATE, sip.BYE:
		return true
	}
	return false
}

// start sends the request of a branch.
func (c *call) start(b *branch) {
	if c.media != nil {
		body, err := c.media.Attempt(b.index, &b.Branch)
		if err != nil {
			c.handle(event{kind: evFailed, branch: b.index, code: codeOf(err)})
			return
		}
		b.body = body
	}
	b.tx = c.proxy.stack.Send(b, c.req.Method(), b.Dest)
}

// startAgain sends the request of a branch once more. For its UAS it is the same request by another way, and merged as
// long as the first transaction is there (RFC 3261 8.2.2.2): over UDP until Timer I, otherwise until the ACK, which has
// to go first.
func (c *call) startAgain(b *branch) {
	f := b.tx.Flow()
	if f == nil || f.Transport().Reliable() {
		b.Dest.Within = f
		c.start(b)
		return
	}
	b.pause = &stack.Alarm{Func: func() { c.handle(event{kind: evPaused, branch: b.index}) }}
	c.proxy.stack.SetAlarm(b.pause, timerI)
}

// timerI is how long a UAS of an INVITE over UDP remembers it after the ACK to its refusal (RFC 3261 17.2.1), and what
// the ACK may need.
const timerI = 5*time.Second + 200*time.Millisecond

// resume ends the pause of a branch: with another attempt, or without when the caller has given up.
func (c *call) resume(b *branch, attempt bool) {
	if b.pause == nil {
		return
	}
	b.pause.Stop()
	b.pause = nil
	if attempt {
		c.start(b)
		return
	}
	c.handle(event{kind: evFailed, branch: b.index, code: 487})
}

func codeOf(err error) int {
	var e *sip.Error
	if errors.As(err, &e) && e.Code >= 300 && e.Code < 700 {
		return e.Code
	}
	return 500
}

// described shows an event to who has a say in the call's descriptions. True means that it has led to another attempt
// and is dealt with.
func (c *call) described(ev *event) bool {
	switch {
	case ev.kind == evPaused:
		c.resume(&c.branches[ev.branch], true)
		return true
	case ev.kind == evFailed:
		b := &c.branches[ev.branch]
		c.media.Failed(b.index, &b.Branch, ev.code)
	case ev.m != nil && ev.code > 100:
		b := &c.branches[ev.branch]
		if ev.code >= 300 && c.machine.mayRepeat(b.index) && c.media.Again(b.index, &b.Branch, ev.m) {
			c.machine.again(b.index)
			c.startAgain(b)
			return true
		}
		ev.body = c.media.Response(b.index, &b.Branch, ev.m)
	}
	return false
}

// acknowledged returns what takes the place of the body of an ACK.
func (p *Proxy) acknowledged(tx *stack.ServerTxn, b *Branch) *sip.Body {
	x := p.cfg.Media.Request(tx)
	if x == nil {
		return nil
	}
	body, err := x.Attempt(0, b)
	if err != nil {
		return nil
	}
	return body
}
