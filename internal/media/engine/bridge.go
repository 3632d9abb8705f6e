package engine

import (
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
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
	worker atomic.Pointer[worker]

	mu     sync.Mutex
	legs   [2]Leg
	added  bool // Engine.Bridge has decided about its worker
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
	for i, p := range b.paths { // what can fail, before anything is changed
		if _, err := p.between(&legs[i], &legs[1-i]); err != nil {
			return err
		}
	}
	for i, p := range b.paths {
		p.mu.Lock()
		p.set(legs[i], legs[1-i])
		p.cname = legs[1-i].CNAME
		err := p.arrange()
		p.mu.Unlock()
		if err != nil {
			return err
		}
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
	if b.added && b.works() {
		b.attach()
	}
	return nil
}

// works reports whether any path has work at the tick.
func (b *Bridge) works() bool {
	for _, p := range b.paths {
		p.mu.Lock()
		w := p.work
		p.mu.Unlock()
		if w != nil {
			return true
		}
	}
	return false
}

// attach puts the bridge on a worker, if it is on none. A call that is going on is not refused.
func (b *Bridge) attach() {
	if b.worker.Load() == nil {
		_ = b.engine.assign(b, false)
	}
}

func (b *Bridge) tick(now time.Time) {
	for _, p := range b.paths {
		p.tick(now)
	}
}

// Play lets leg i hear a source in place of the other leg: music while that one holds, ringback before it answers, an
// announcement. The channel is closed at its end, when the other leg is heard again; that may be early, by another Play, a
// source that is nil, or Close.
func (b *Bridge) Play(i int, s Source) (ended <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if b.kind != Audio || b.legs[i].Transport == nil {
		return nil, errNotPlayed
	}
	p := b.paths[1-i]
	p.mu.Lock()
	defer p.mu.Unlock()
	before, done := p.music, p.ended
	p.music, p.ended = s, make(chan struct{})
	if err := p.arrange(); err != nil {
		p.music, p.ended = before, done
		return nil, err
	}
	if before != nil {
		close(done)
	}
	if s == nil {
		close(p.ended)
	} else {
		b.attach()
	}
	return p.ended, nil
}

// Record gives what leg i says to a sink, beside the other leg, until it is called with nil or the bridge closes.
func (b *Bridge) Record(i int, s Sink) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if b.kind != Audio || b.legs[i].Transport == nil {
		return errNotPlayed
	}
	p := b.paths[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.recorder
	p.recorder = s
	err := p.arrange()
	if err == nil && s != nil && (p.work == nil || p.work.hear == nil) {
		err = ErrNoCodec
	}
	if err != nil {
		p.recorder = before
		return errors.Join(err, p.arrange())
	}
	if s != nil {
		b.attach()
	}
	return nil
}

var errNotPlayed = errors.New("media engine: only what a peer hears and says can be played and recorded")

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
	if w := b.worker.Load(); w != nil { // last, since a path puts its bridge on a worker while it is open
		w.remove(b)
	}
	b.engine.remove(b)
}

func (p *path) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.scratch == nil { // it was never set up
		return
	}
	p.bye()
	p.closed = true
	if p.music != nil {
		close(p.ended)
	}
	if w := p.work; w != nil {
		w.closeHear()
		w.closeSpeak()
		p.work = nil
	}
}
