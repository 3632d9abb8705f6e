package engine

import "time"

// Stats is what a bridge has done, for each leg.
type Stats struct {
	Kind Kind
	Legs [2]LegStats
}

// Count is packets and octets; octets received are those of whole packets, octets sent those of payloads.
type Count struct{ Packets, Octets uint64 }

// LegStats is one leg: what its peer sent, what was sent to it, and what it says of that.
type LegStats struct {
	Codec    string // of what its peer sent last
	Received Count
	Lost     uint64        // of what its peer sent
	Jitter   time.Duration // between its arrivals (RFC 3550 6.4.1)
	Dropped  Dropped
	Delay    time.Duration // in the jitter buffer; 0 for what is forwarded

	Speaks    string // the codec of what was sent to it last
	Converted bool   // that was encoded here
	Sent      Count
	Reported  Reported
	RoundTrip time.Duration // to the peer and back; 0 while not known
	MayBeSent uint64        // bits a second, as the peer estimates (REMB); 0 when it says nothing

	// Quality is how the peer hears the call, from 1 to 4.5 (E-model, an estimate); 0 while it has not reported, and for video.
	Quality float64
}

// Reported is what a peer says of how it is reached.
type Reported struct {
	At     time.Time // when it said so; zero when it never did
	Loss   float64   // share of the packets between its last two reports
	Lost   int       // in all
	Jitter time.Duration
}

// Stats returns the counts so far.
func (b *Bridge) Stats() Stats {
	s := Stats{Kind: b.kind}
	for i, p := range b.paths {
		p.mu.Lock()
		from, to := &s.Legs[i], &s.Legs[1-i]
		from.Received = Count{p.in.packets, p.in.octets}
		from.Lost, from.Jitter, from.Dropped = p.in.lost(), p.in.interarrival(), p.dropped
		to.Sent = Count{uint64(p.line.packets), uint64(p.line.octets)}
		to.RoundTrip, to.MayBeSent = p.remote.rtt, p.remote.remb
		to.Reported = Reported{At: p.remote.at, Loss: float64(p.remote.fraction) / 256, Lost: int(p.remote.lost)}
		if p.line.clock > 0 {
			to.Reported.Jitter = time.Duration(p.remote.jitter) * time.Second / time.Duration(p.line.clock)
		}
		from.Codec, to.Speaks = p.codecs()
		if w := p.work; w != nil {
			to.Converted = w.speak != nil
			if w.hear != nil && w.hear.current != nil {
				from.Delay = w.hear.current.Stats().Delay
				from.Dropped.Broken += w.hear.broken
			}
		}
		if p.kind == Audio && !p.remote.at.IsZero() {
			to.Quality = quality(to.Speaks, to.Reported.Loss, to.RoundTrip/2+from.Delay+tickTime)
		}
		p.mu.Unlock()
	}
	return s
}

// codecs are what was last received and sent.
func (p *path) codecs() (in, out string) {
	if p.in.heard {
		in = p.formats[p.in.typ].codec.Name
	}
	switch {
	case p.work != nil && p.work.speak != nil:
		out = p.work.speak.codec.Name
	case p.forward && p.line.begun:
		out = in
	}
	return in, out
}

// EngineStats is what an engine does at the moment.
type EngineStats struct {
	Bridges int
	Refused uint64 // bridges, for want of time
	Workers []WorkerStats
	Ports   [2]Share // of each Kind
}

// WorkerStats is a worker.
type WorkerStats struct {
	Bridges   int
	Mean, P99 time.Duration // of its ticks in the last ten seconds; each has 20 ms
	Skipped   uint64        // ticks that were left out
}

// Share is so many of what there is.
type Share struct{ Used, Of int }

// Stats returns what the engine does.
func (e *Engine) Stats() EngineStats {
	s := EngineStats{Refused: e.refused.Load()}
	e.mu.Lock()
	s.Bridges = len(e.bridges)
	e.mu.Unlock()
	for _, w := range e.workers {
		var ws WorkerStats
		ws.Mean, ws.P99, ws.Bridges = w.load()
		w.mu.Lock()
		ws.Skipped = w.skipped
		w.mu.Unlock()
		s.Workers = append(s.Workers, ws)
	}
	for i, p := range e.pools {
		if p != nil {
			s.Ports[i].Used, s.Ports[i].Of = p.InUse()
		}
	}
	return s
}
