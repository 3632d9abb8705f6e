package engine

import (
	"math/rand/v2"
	"time"

	"parley/internal/rtp"
)

// RTCP ends here: each peer gets reports of its own about what was received of it and sent to it. What asks for something
// of the other peer (a whole picture, a packet again, less bandwidth) goes to it under its own SSRC.

const (
	maxControl  = 1200 // octets of what is sent
	keyEvery    = 200 * time.Millisecond
	maxResend   = 64 // packets for one NACK
	audioReport = 5 * time.Second
	videoReport = time.Second
)

// remote is what the listener says of the stream that it gets.
type remote struct {
	at       time.Time
	fraction uint8
	lost     int32
	jitter   uint32
	rtt      time.Duration
	remb     uint64
}

// sentReport is a sender report of ours, that the listener will refer to.
type sentReport struct {
	middle uint32
	at     time.Time
}

// control takes a compound that came from leg i.
func (b *Bridge) control(i int, pkt []byte, now time.Time) {
	out, back := b.paths[i], b.paths[1-i]
	for rest := pkt; len(rest) > 0; {
		c, next, err := rtp.ParseControl(rest)
		if err != nil {
			out.mu.Lock()
			out.dropped.Broken++
			out.mu.Unlock()
			return
		}
		rest = next
		switch c.Type {
		case rtp.SR, rtp.RR, rtp.BYE:
			out.said(c, now)
			back.reported(c, now)
		case rtp.PSFB, rtp.RTPFB:
			back.feedback(c, now)
		}
	}
}

// said is what the speaker says of its own stream.
func (p *path) said(c rtp.Control, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := c.Sender(); ok {
		p.in.said(now, c.SSRC(), s)
	}
	for i := range c.Sources() {
		if p.line.source.live && c.Source(i) == p.line.source.ssrc {
			p.line.source.live = false // the next source begins at once
		}
	}
}

// reported is what the listener says of the stream that it gets.
func (p *path) reported(c rtp.Control, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range c.Reports() {
		r := c.Report(i)
		if r.SSRC != p.line.ssrc {
			continue
		}
		p.remote.at, p.remote.fraction, p.remote.lost, p.remote.jitter = now, r.Fraction, r.Lost, r.Jitter
		if p.work != nil {
			p.work.lossThere(int(r.Fraction) * 100 / 256)
		}
		for _, s := range p.sent {
			if !s.at.IsZero() && s.middle == r.LastSR {
				held := time.Duration(r.SinceSR) * time.Second / 65536
				if rtt := now.Sub(s.at) - held; rtt >= 0 {
					p.remote.rtt = rtt
				}
			}
		}
	}
}

// feedback is what the listener wants of the speaker.
func (p *path) feedback(c rtp.Control, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.open {
		return
	}
	switch {
	case c.IsPLI() && (c.Media() == p.line.ssrc || c.Media() == 0):
		p.askKey(now)
	case c.IsFIR():
		for media := range c.Intra() {
			if media == p.line.ssrc {
				p.askKey(now)
			}
		}
	case c.IsNACK() && c.Media() == p.line.ssrc:
		p.resend(c, now)
	default:
		if rate, ok := c.REMB(); ok {
			p.remote.remb = rate
			if p.from.Feedback.REMB && p.forward && p.in.heard {
				p.ask(func(dst []byte) []byte { return rtp.AppendREMB(dst, p.us, p.in.ssrc, rate) })
			}
		}
	}
}

// askKey asks the speaker for a whole picture, not more often than it can be of use.
func (p *path) askKey(now time.Time) {
	if !p.forward || !p.in.heard || now.Sub(p.keyAt) < keyEvery {
		return
	}
	switch {
	case p.from.Feedback.PLI:
		p.ask(func(dst []byte) []byte { return rtp.AppendPLI(dst, p.us, p.in.ssrc) })
	case p.from.Feedback.FIR:
		p.fir++
		p.ask(func(dst []byte) []byte { return rtp.AppendFIR(dst, p.us, p.in.ssrc, p.fir) })
	default:
		return
	}
	p.keyAt = now
}

// resend sends again what the listener misses, and asks the speaker for what never came.
func (p *path) resend(c rtp.Control, now time.Time) {
	var missing [maxResend]uint16
	n, all := 0, 0
	for seq := range c.Missing() {
		if all++; all > maxResend {
			break
		}
		if p.repair != nil {
			if pkt, known := p.repair.get(now, seq); known {
				if pkt != nil {
					_ = p.to.Transport.WriteRTP(pkt)
				}
				continue
			}
		}
		if in, ok := p.line.original(seq); ok {
			missing[n] = in
			n++
		}
	}
	if n > 0 && p.from.Feedback.NACK && p.forward && p.in.ssrc == p.line.source.ssrc {
		p.ask(func(dst []byte) []byte { return rtp.AppendNACK(dst, p.us, p.in.ssrc, missing[:n]) })
	}
}

// ask sends feedback to the speaker, alone or behind an empty report (RFC 4585 3.1).
func (p *path) ask(what func([]byte) []byte) {
	dst := p.scratch[:0]
	if !p.from.Feedback.ReducedSize {
		dst = rtp.AppendSDES(rtp.AppendRR(dst, p.us), p.us, p.ourName)
	}
	_ = p.from.Transport.WriteRTCP(what(dst))
}

// report tells leg i how its stream was received and what was sent to it.
func (b *Bridge) report(i int, now time.Time) {
	p := b.paths[i]
	p.mu.Lock()
	about, ok := p.in.report(now)
	p.mu.Unlock()
	b.paths[1-i].report(now, about, ok)
}

func (p *path) report(now time.Time, about rtp.Report, heard bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.to.Transport == nil || !p.line.begun && !heard {
		return
	}
	reports := [1]rtp.Report{about}
	n := 0
	if heard {
		n = 1
	}
	dst := p.scratch[:0]
	if p.line.packets != p.sentOf {
		s := p.sender(now)
		p.sent[p.sentN%len(p.sent)] = sentReport{rtp.Middle(s.NTP), now}
		p.sentN++
		p.sentOf = p.line.packets
		dst = rtp.AppendSR(dst, p.line.ssrc, s, reports[:n]...)
	} else {
		dst = rtp.AppendRR(dst, p.line.ssrc, reports[:n]...)
	}
	_ = p.to.Transport.WriteRTCP(rtp.AppendSDES(dst, p.line.ssrc, p.cname))
}

// sender is what this server says of the stream that it sends. Its wall clock is that of the speaker, as soon as the
// speaker has said what that is: so sound and pictures that were taken at the same time are played at the same time,
// however long either took to come here.
func (p *path) sender(now time.Time) rtp.Sender {
	s := rtp.Sender{
		NTP:       rtp.NTP(now.UnixNano()),
		Timestamp: p.line.stampAt(now),
		Packets:   p.line.packets,
		Octets:    p.line.octets,
	}
	ts, ok := s.Timestamp-p.line.tsOff, p.line.source.live
	if !ok && p.work != nil {
		ts, ok = p.work.source(s.Timestamp)
	}
	if ok {
		if ntp, ok := p.in.wall(ts); ok {
			s.NTP = ntp
		}
	}
	return s
}

// bye takes leave of the listener.
func (p *path) bye() {
	if p.to.Transport != nil && p.line.begun {
		dst := rtp.AppendSDES(rtp.AppendRR(p.scratch[:0], p.line.ssrc), p.line.ssrc, p.cname)
		_ = p.to.Transport.WriteRTCP(rtp.AppendBYE(dst, p.line.ssrc))
	}
}

// nextReport is when the next report is due: by half at random, so that they do not come all at once (RFC 3550 6.3.1).
func nextReport(kind Kind, now time.Time) time.Time {
	every := audioReport
	if kind == Video {
		every = videoReport
	}
	return now.Add(every/2 + rand.N(every))
}
