package flow

import "time"

// tick is how often the janitor looks after every flow; time limits are kept to that precision.
const tick = time.Second

// janitor keeps the layer's clock, closes flows whose time is up, and ends datagram flows, which have no goroutine
// of their own. It is one goroutine for all, so that no flow needs a timer.
func (l *Layer) janitor() {
	every := tick
	for _, d := range []time.Duration{l.config.Limits.Partial, l.config.Limits.FirstMessage, l.config.Limits.WriteStall,
		l.config.Limits.Idle, l.config.Limits.IdleUDP} {
		every = min(every, max(d/4, time.Millisecond))
	}
	t := time.NewTicker(every)
	defer t.Stop()
	var flows []*Flow
	for {
		select {
		case <-l.reaped:
			l.reapAll()
		case now := <-t.C:
			l.clock.Store(now.UnixNano())
			for i := range l.flows.shards {
				flows = l.flows.shard(i, flows[:0])
				for _, f := range flows {
					f.wire.check(f, now.UnixNano())
				}
			}
			clear(flows[:cap(flows)])
			l.dials.expire(now)
		case <-l.ctx.Done():
			l.reapAll()
			return
		}
	}
}

// reapLater has the janitor finish a flow that has no goroutine.
func (l *Layer) reapLater(f *Flow) {
	l.mu.Lock()
	l.reap = append(l.reap, f)
	l.mu.Unlock()
	select {
	case l.reaped <- struct{}{}:
	default:
	}
}

func (l *Layer) reapAll() {
	l.mu.Lock()
	reap := l.reap
	l.reap = nil
	l.mu.Unlock()
	for _, f := range reap {
		f.finish()
	}
}
