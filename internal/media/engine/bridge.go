package engine

import (
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// ErrClosed is returned by what is called after Close.
var ErrClosed = errors.New("media engine: closed")

// Bridge carries one medium between two legs, in both directions. Its methods are safe for concurrent use.
//
// Locks: mu before that of a path; the two paths are never locked together.
type Bridge struct {
	engine *Engine
	kind   Kind
	paths  [2]*path  // from the leg of that number to the other
	due    time.Time // of the next report; the reporter's

	mu     sync.Mutex
	legs   [2]Leg
	closed bool
}

// side is the handler of what a leg's transport receives.
type side struct {
	b *Bridge
	i int
}

// RTP implements transport.Handler.
func (s side) RTP(pkt []byte, now time.Time) { s.b.paths[s.i].receive(pkt, now) }

// RTCP implements transport.Handler.
func (s side) RTCP(pkt []byte, now time.Time) { s.b.control(s.i, pkt, now) }

// Update takes what was agreed upon anew: another direction, other codecs, another transport. The streams that are sent go
// on under their numbers. An error means that nothing has changed.
func (b *Bridge) Update(one, other Leg) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	legs := [2]Leg{one, other}
	for i := range legs {
		if err := legs[i].check(b.kind); err != nil {
			return err
		}
	}
	before := b.legs
	for i := range legs {
		if legs[i].CNAME == "" {
			legs[i].CNAME = before[i].CNAME
		}
		if legs[i].CNAME == "" {
			legs[i].CNAME = rand.Text()
		}
	}
	for i, p := range b.paths {
		p.mu.Lock()
		p.set(legs[i], legs[1-i])
		p.cname = legs[1-i].CNAME
		p.mu.Unlock()
	}
	for i, p := range b.paths {
		back := b.paths[1-i]
		p.mu.Lock()
		us := p.line.ssrc
		p.mu.Unlock()
		back.mu.Lock()
		back.us, back.ourName = us, legs[1-i].CNAME
		back.mu.Unlock()
	}
	b.legs = legs
	for i := range legs {
		if before[i].Transport != nil && before[i].Transport != legs[i].Transport {
			before[i].Transport.Handle(nil)
		}
		if legs[i].Transport != nil && before[i].Transport != legs[i].Transport {
			legs[i].Transport.Handle(side{b, i})
		}
	}
	return nil
}

// Close ends the bridge: nothing is sent after it, and no callback runs. The transports stay open and are whose they
// were.
func (b *Bridge) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for _, l := range b.legs {
		if l.Transport != nil {
			l.Transport.Handle(nil)
		}
	}
	for _, p := range b.paths {
		p.close()
	}
	b.engine.remove(b)
}

func (p *path) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bye()
	p.closed = true
}
