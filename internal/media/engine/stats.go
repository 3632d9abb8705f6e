package engine

import "time"

// Stats is what a bridge has done, for each leg.
type Stats struct {
	Legs [2]LegStats
}

// Count is packets and octets; octets received are those of whole packets, octets sent those of payloads.
type Count struct{ Packets, Octets uint64 }

// LegStats is one leg: what its peer sent, what was sent to it, and what it says of that.
type LegStats struct {
	Received Count
	Lost     uint64        // of what its peer sent
	Jitter   time.Duration // between its arrivals (RFC 3550 6.4.1)
	Dropped  Dropped

	Sent      Count
	Reported  Reported
	RoundTrip time.Duration // to the peer and back; 0 while not known
	MayBeSent uint64        // bits a second, as the peer estimates (REMB); 0 when it says nothing
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
	var s Stats
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
		p.mu.Unlock()
	}
	return s
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
