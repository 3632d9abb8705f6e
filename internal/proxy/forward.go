package proxy

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/stack"
)

// edit is what the branches of a request have in common.
type edit struct {
	strip   int // own Route values to take off
	suffix  [loopLen]byte
	breadth int // Max-Breadth to write; 0 leaves it alone
}

// Forward sends the request of tx to branches and answers it with what comes back. It returns at once. An ACK is
// sent to the first branch and has no answer. Without branches the answer is 480.
func (p *Proxy) Forward(tx *stack.ServerTxn, branches []Branch, opt Options) {
	strip, _ := p.ownRoutes(tx.Request())
	p.forward(tx, branches, opt, strip)
}

func (p *Proxy) forward(tx *stack.ServerTxn, branches []Branch, opt Options, strip int) {
	m := tx.Request()
	e := edit{strip: strip}
	p.loopSuffix(e.suffix[:], m)
	if err := p.check(m, &e); err != nil {
		p.stats.refused.Add(1)
		tx.Fail(err)
		return
	}
	if len(branches) == 0 {
		tx.Respond(480, "")
		return
	}
	if m.Method() == sip.ACK || m.Method() == sip.BENOTIFY {
		p.ack(tx, &branches[0], opt, e)
		return
	}
	p.stats.forwarded.Add(1)
	c := &call{proxy: p, tx: tx, req: tx.Retain(), opt: opt, edit: e}
	c.machine.invite = m.Method() == sip.INVITE
	c.branches, c.machine.slots = c.oneBranch[:], c.oneSlot[:]
	if len(branches) > 1 {
		branches = c.disposition(branches)
	}
	if n := len(branches); n > 1 {
		c.branches, c.machine.slots = make([]branch, n), make([]slot, n)
		if err := c.breadth(branches); err != nil {
			p.stats.refused.Add(1)
			tx.Fail(err)
			return
		}
	}
	for i := range branches {
		b := &c.branches[i]
		b.Branch, b.call, b.index = branches[i], c, i
		c.machine.slots[i].group = branches[i].Group
		c.resolve(b)
	}
	if p.cfg.Media != nil && concerned(m.Method()) {
		c.media = p.cfg.Media.Request(tx)
	}
	if c.machine.invite {
		tx.OnCancel(func() { c.handle(event{kind: evCancel}) })
	}
	c.handle(event{kind: evStart})
}

// resolve completes a branch's destination: the first Route that is left, else the request URI.
func (c *call) resolve(b *branch) {
	b.Dest.Within = c.tx.Flow()
	if b.Dest.Flow == nil && b.Dest.Targets == nil && b.Dest.URI == nil {
		b.Dest.URI = nextHop(c.req, &b.Branch, c.edit.strip)
	}
}

// nextHop returns the URI a request is sent to by its Routes and request URI (RFC 3261 16.6 step 6).
func nextHop(m *sip.Message, b *Branch, strip int) []byte {
	var n sip.NameAddr
	if len(b.Routes) > 0 {
		if sip.ParseNameAddr(b.Routes[0], &n) == nil {
			return n.URI
		}
	}
	for v := m.Values(sip.HRoute); ; strip-- {
		r, ok := v.Next()
		if !ok {
			break
		}
		if strip <= 0 && sip.ParseNameAddr(r, &n) == nil {
			return n.URI
		}
	}
	if b.URI != nil {
		return b.URI
	}
	return m.RequestURI()
}

// AppendRequest implements stack.Writer: it writes the request of one branch.
func (b *branch) AppendRequest(dst []byte, hop stack.Hop) []byte {
	c := b.call
	return c.proxy.write(dst, c.req, c.tx.Flow(), &b.Branch, &c.opt, &c.edit, b.body, hop)
}

// write writes a request as it goes to one hop.
func (p *Proxy) write(dst []byte, m *sip.Message, from *flow.Flow, b *Branch, opt *Options, e *edit, body *sip.Body, hop stack.Hop) []byte {
	via := append(hop.Via, '.')
	via = append(via, e.suffix[:]...)
	fe := sip.ForwardEdit{RequestURI: b.URI, Via: via, RemoveRoutes: e.strip, Routes: b.Routes, Append: opt.Headers, Drop: opt.Drop, Body: body}
	if signed(m) {
		drop := opt.Drop
		fe.Drop = func(f sip.Field) bool { return isSignature(f) || drop != nil && drop(f) }
	}
	var two [2][]byte
	if opt.RecordRoute {
		// Both sides get their own, always: each names the flow or address its peer shall send to (RFC 5658).
		two[0], two[1] = p.recordRoute(hop.Flow, m.CallID()), p.recordRoute(from, m.CallID())
		fe.RecordRoute = two[:]
	}
	var path [1][]byte
	if opt.Path {
		path[0] = p.PathOf(from)
		fe.Path = path[:]
	}
	if e.breadth > 0 {
		drop := fe.Drop
		fe.Drop = func(f sip.Field) bool { return f.ID == sip.HMaxBreadth || drop != nil && drop(f) }
		fe.Append = append(fe.Append[:len(fe.Append):len(fe.Append)], sip.Header{Name: "Max-Breadth", Value: strconv.Itoa(e.breadth)})
	}
	return sip.AppendForward(dst, m, &fe)
}

// ack forwards an ACK or a BENOTIFY, which have no transaction.
func (p *Proxy) ack(tx *stack.ServerTxn, b *Branch, opt Options, e edit) {
	a := &ackWriter{proxy: p, req: tx.Request(), from: tx.Flow(), branch: *b, opt: opt, edit: e}
	if p.cfg.Media != nil && concerned(tx.Method()) {
		a.body = p.acknowledged(tx, b)
	}
	d := b.Dest
	if d.Flow == nil {
		a.req = tx.Retain() // it may have to wait for a connection
		if d.Targets == nil && d.URI == nil {
			d.URI = nextHop(a.req, b, e.strip)
		}
	}
	d.Within = tx.Flow()
	p.stack.SendStateless(a, tx.Method(), d)
}

type ackWriter struct {
	proxy  *Proxy
	req    *sip.Message
	from   *flow.Flow
	branch Branch
	opt    Options
	edit   edit
	body   *sip.Body
}

func (a *ackWriter) AppendRequest(dst []byte, hop stack.Hop) []byte {
	a.opt.RecordRoute = false
	return a.proxy.write(dst, a.req, a.from, &a.branch, &a.opt, &a.edit, a.body, hop)
}

// failed is called when a branch ends without a response.
func (c *call) failed(b *branch, err error) {
	code := 503
	switch {
	case errors.Is(err, stack.ErrTimeout):
		code = 408
	case errors.Is(err, stack.ErrCancelled):
		code = 487
	case b.Dest.Flow != nil:
		code = 430
	}
	c.handle(event{kind: evFailed, branch: b.index, code: code})
}

// check does what RFC 3261 16.3 asks for before a request is forwarded.
func (p *Proxy) check(m *sip.Message, e *edit) error {
	if m.MaxForwards() == 0 {
		return &sip.Error{Code: 483}
	}
	if m.Has(sip.HProxyRequire) {
		h := make([]sip.Header, 0, 1)
		for v := range m.All(sip.HProxyRequire) {
			h = append(h, sip.Header{Name: "Unsupported", Value: string(v)})
		}
		return &sip.Error{Code: 420, Headers: h}
	}
	vias := m.Values(sip.HVia)
	vias.Next()
	for {
		b, ok := vias.Next()
		if !ok {
			return nil
		}
		var v sip.Via
		if sip.ParseVia(b, &v) == nil && string(stack.BranchSuffix(v.Branch)) == string(e.suffix[:]) {
			p.stats.loops.Add(1)
			return &sip.Error{Code: 482}
		}
	}
}

const loopLen = 13

// loopSuffix writes the part of our branches that is the same when a request comes back as it was (RFC 5393 4.2):
// a keyed hash over everything that decides where it goes. A request that returns with another request URI or
// other Routes is a spiral and may go on.
func (p *Proxy) loopSuffix(dst []byte, m *sip.Message) {
	var h maphash.Hash
	h.SetSeed(p.seed)
	part := func(b []byte) { h.Write(b); h.WriteByte(0) }
	part(m.RequestURI())
	for v := m.Values(sip.HRoute); ; {
		r, ok := v.Next()
		if !ok {
			break
		}
		part(r)
	}
	part(m.CallID())
	part(m.FromTag())
	part(m.ToTag())
	n, method := m.CSeq()
	var num [5]byte
	binary.BigEndian.PutUint32(num[:], n)
	num[4] = byte(method)
	part(num[:])
	stack.Base32(dst, h.Sum64())
}

// stats are the proxy's counters.
type stats struct {
	forwarded, finals, refused, loops, inDialog, gone, forged, panics atomic.Uint64
}

// Stats is a moment's view of the counters; all of them only grow.
type Stats struct {
	Forwarded uint64 // requests forwarded, ACK not counted
	Failed    uint64 // of those, how many were answered with a failure
	Refused   uint64 // requests refused before they were forwarded
	Loops     uint64 // of those, because they had been here before
	InDialog  uint64 // requests that followed a Route of ours
	Gone      uint64 // of those, whose flow was gone
	Forged    uint64 // requests with a Route that only looks like ours
	Panics    uint64 // panics caught in hooks
}

// Stats returns the counters.
func (p *Proxy) Stats() Stats {
	s := &p.stats
	return Stats{s.forwarded.Load(), s.finals.Load(), s.refused.Load(), s.loops.Load(), s.inDialog.Load(),
		s.gone.Load(), s.forged.Load(), s.panics.Load()}
}

func (p *Proxy) panicked(v any) {
	p.stats.panics.Add(1)
	p.cfg.Log.Error("panic in hook", "err", v, "stack", string(debug.Stack()))
}

func reason(cause int) string {
	return "SIP;cause=" + strconv.Itoa(cause) + `;text="` + sip.StatusText(cause) + `"`
}

// buffer is scratch space for responses.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 4096)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if cap(b.b) <= 64<<10 {
		buffers.Put(b)
	}
}
