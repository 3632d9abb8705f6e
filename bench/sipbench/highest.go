package main

import (
	"context"
	"fmt"
	"time"
)

// measureHighest searches, on UDP, the highest rate at which no datagram has to be repeated and no unit
// fails. SIPp itself takes one core at some point; a rate it does not reach ends the search, and the table
// says so with a ">".
func measureHighest(ctx context.Context, s *settings, subjects []*subject, t *table) error {
	for _, kind := range s.kinds {
		for _, sub := range subjects {
			best, limited, err := highest(ctx, s, sub, kind)
			if err != nil {
				return fmt.Errorf("%s, highest rate of %s: %w", sub.name, kind, err)
			}
			t.set("max "+kind, sub.name, float64(best), limited)
			progress("%s highest rate of %s without loss: %d a second", sub.name, kind, best)
		}
	}
	return nil
}

// highest doubles the rate until something is lost, then halves the gap until it is under 10 %. limited says
// that SIPp, not the server, ended it.
func highest(ctx context.Context, s *settings, sub *subject, kind string) (best int, limited bool, err error) {
	good, bad := 0, 0
	for rate := s.rates[kind]; ; {
		ok, reached, err := lossFree(ctx, s, sub, kind, rate)
		if err != nil {
			return 0, false, err
		}
		progress("%s %s at %d: loss-free %v, reached %d", sub.name, kind, rate, ok, reached)
		if ok {
			good = max(good, min(rate, reached))
			if reached < rate*95/100 {
				return good, true, nil
			}
		} else {
			bad = rate
		}
		switch {
		case bad == 0:
			rate *= 2
		case good == 0:
			if rate /= 2; rate < 10 {
				return 0, false, nil
			}
		case bad-good < good/10:
			return good, false, nil
		default:
			rate = (good + bad) / 2
		}
	}
}

// lossFree reports whether a rate is carried, in one of two tries: a hiccup of the machine is not the server's
// limit.
func lossFree(ctx context.Context, s *settings, sub *subject, kind string, rate int) (ok bool, reached int, err error) {
	for range 2 {
		r, err := sub.start(ctx, true)
		if err != nil {
			return false, 0, err
		}
		l, done, err := newLoad(s, r, "udp")
		if err != nil {
			r.stop()
			return false, 0, err
		}
		n := rate * 3
		l.Patience = 8 * time.Second
		res, err := l.Run(ctx, kind, n, rate)
		done()
		r.stop()
		if ctx.Err() != nil {
			return false, 0, ctx.Err()
		}
		if res == nil || err != nil {
			continue // SIPp gave up
		}
		reached = int(float64(n) / max(res.Elapsed.Seconds(), 0.001))
		if res.Clean(n) == nil && res.Retransmissions == 0 {
			return true, reached, nil
		}
	}
	return false, reached, nil
}
