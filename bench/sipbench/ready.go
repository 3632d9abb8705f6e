package main

import (
	"context"
	"fmt"
)

// measureReady fills the row of the time from start to ready, with the users of the benchmark in place.
func measureReady(ctx context.Context, s *settings, subjects []*subject, t *table) error {
	for range s.runs {
		for _, sub := range subjects {
			r, err := sub.start(ctx, false)
			if err != nil {
				return fmt.Errorf("%s: %w", sub.name, err)
			}
			r.stop()
			t.least("ready", sub.name, float64(r.ready.Microseconds())/1000)
			progress("%s ready after %v", sub.name, r.ready)
		}
	}
	return nil
}
