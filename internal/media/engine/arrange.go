package engine

import (
	"errors"
	"slices"

	"parley/internal/media/dtmf"
	"parley/internal/sdp"
)

// ErrNoCodec is returned for two legs that share no codec of which both can be spoken here. SIP answers 488.
var ErrNoCodec = errors.New("media engine: the legs have no codec in common, and none that can be converted")

// needs is what has to be done between two legs.
type needs struct {
	forward     bool // packets go as they are
	hear, speak bool // they are decoded, something is encoded
	rate        int  // at which it is worked
}

// between tells what has to be done in a path. It changes nothing.
func (p *path) between(from, to *Leg) (n needs, err error) {
	remote := from.Transport != nil && to.Transport != nil
	if p.kind == Video {
		n.forward = remote
		return n, nil
	}
	in, canHear := bestRate(from.Receive)
	best, canSpeak := speakable(to.Send)
	shared := false
	for _, c := range voices(from.Receive) {
		_, ok := mapped(c, to.Send)
		shared = shared || ok
	}
	code := canHear && canSpeak && (!shared || p.coded || !keysPass(from.Receive, to.Send))
	if remote && !shared && !code && from.speaks() && to.listens() {
		return n, ErrNoCodec
	}
	n.forward = remote && !code && p.music == nil
	n.hear = from.Transport != nil && canHear && (remote && code || to.Sink != nil || p.recorder != nil)
	n.speak = to.Transport != nil && canSpeak && (remote && code || from.Source != nil || p.music != nil)

	// As many samples as both ends can make use of.
	out := anyRate
	switch {
	case to.Sink != nil:
		out = to.Sink.Rate()
	case n.speak:
		out, _ = codecRate(best)
	case p.recorder != nil:
		out = p.recorder.Rate()
	}
	switch {
	case from.Source != nil:
		in = from.Source.Rate()
	case !n.hear && p.music != nil:
		in = p.music.Rate()
	}
	n.rate = min(in, out)
	return n, nil
}

// bestRate is the greatest rate of the formats that can be decoded here.
func bestRate(cs []sdp.Codec) (rate int, ok bool) {
	for _, c := range cs {
		if r, can := codecRate(c); can {
			rate, ok = max(rate, r), true
		}
	}
	return rate, ok
}

func hasEvent(cs []sdp.Codec) bool {
	_, ok := eventOf(cs, 0)
	return ok
}

// keysPass reports whether telephone-event of the speaker is one that the listener knows, or neither has any.
func keysPass(from, to []sdp.Codec) bool {
	for _, c := range from {
		if _, ok := mapped(c, to); ok && isEvent(c) {
			return true
		}
	}
	return !hasEvent(from) && !hasEvent(to)
}

// canCode reports whether the path could decode and encode.
func (p *path) canCode() bool {
	_, hear := bestRate(p.from.Receive)
	_, speak := speakable(p.to.Send)
	return p.kind == Audio && hear && speak
}

// arrange makes what has to be done out of what is there: what did not change goes on without a break. When it fails, the
// path is as it was.
func (p *path) arrange() error {
	n, err := p.between(&p.from, &p.to)
	if err != nil {
		return err
	}
	var w *work
	if n.hear || n.speak || p.from.Source != nil && p.to.Sink != nil {
		if w, err = p.build(n); err != nil {
			return err
		}
	}
	if old := p.work; old != nil {
		if w == nil || w.hear != old.hear {
			old.closeHear()
		}
		if w == nil || w.speak != old.speak {
			old.closeSpeak()
		}
	}
	p.work, p.forward = w, n.forward
	if p.keys == nil && p.kind == Audio {
		if ev, ok := eventOf(p.from.Receive, 0); ok && (w != nil || p.from.Keys != nil) {
			p.keys = dtmf.NewReceiver(ev.Clock)
		}
	}
	return nil
}

// build makes the work of a path, with the parts of the present one that serve.
func (p *path) build(n needs) (w *work, err error) {
	w = newWork(n.rate)
	old := p.work
	if old != nil && old.rate != n.rate {
		old = nil
	}
	defer func() {
		if err == nil {
			return
		}
		if w.hear != nil && (old == nil || w.hear != old.hear) {
			w.closeHear()
		}
		if w.speak != nil && (old == nil || w.speak != old.speak) {
			w.closeSpeak()
		}
	}()
	if n.hear {
		if old != nil && old.hear != nil && slices.Equal(old.heardAs, p.from.Receive) {
			w.hear = old.hear
		} else if w.hear, err = newHearing(p.from.Receive, n.rate); err != nil {
			return nil, err
		}
		w.heardAs = slices.Clone(p.from.Receive)
	}
	if n.speak {
		if old != nil && old.speak != nil && slices.Equal(old.spokenAs, p.to.Send) && old.packet == p.to.Packet {
			w.speak = old.speak
		} else if w.speak, err = newSpeech(p.to.Send, n.rate, p.to.Packet); err != nil {
			return nil, err
		}
		w.spokenAs, w.packet = slices.Clone(p.to.Send), p.to.Packet
	}
	if src := p.source(); src != nil {
		if old != nil && old.play != nil && old.play.from == src {
			w.play = old.play
		} else if w.play, err = newPlaying(src, n.rate); err != nil {
			return nil, err
		}
	}
	if p.to.Sink != nil {
		if w.sink, err = newTap(p.to.Sink, n.rate); err != nil {
			return nil, err
		}
	}
	if p.recorder != nil && n.hear {
		if w.tap, err = newTap(p.recorder, n.rate); err != nil {
			return nil, err
		}
	}
	here, there := hasEvent(p.from.Receive), w.speak != nil && w.speak.event != nil
	switch {
	case n.hear && n.speak && here && !there:
		if w.tones = newKeyTones(n.rate); old != nil && old.tones != nil {
			w.tones = old.tones
		}
	case n.hear && !here && (there || p.from.Keys != nil):
		if w.detect, err = newDetect(n.rate); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// source is what is heard in place of the speaker, or is the speaker.
func (p *path) source() Source {
	if p.music != nil {
		return p.music
	}
	return p.from.Source
}

// played is the end of what was played: the speaker is heard again.
func (p *path) played() {
	if p.music != nil {
		p.music = nil
		close(p.ended)
	} else {
		p.from.Source = nil
	}
	if p.arrange() != nil && p.work != nil {
		p.work.play = nil
	}
}
