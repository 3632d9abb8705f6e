package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"parley/test/procstat"
	"parley/test/sipp"
)

// measureCPU fills the rows of CPU per unit. The subjects take turns run by run, so that a slow minute of
// the machine does not hit one of them alone.
func measureCPU(ctx context.Context, s *settings, subjects []*subject, t *table) error {
	for _, transport := range s.transports {
		for _, kind := range s.kinds {
			for range s.runs {
				for _, sub := range subjects {
					var cost time.Duration
					var err error
					for try := range 3 { // other work on the machine may spoil a run
						if cost, err = cpuPerUnit(ctx, s, sub, transport, kind); err == nil {
							break
						}
						progress("%s %s %s, try %d: %.120v", sub.name, kind, transport, try+1, err)
					}
					if err != nil {
						return fmt.Errorf("%s, %s over %s: %w", sub.name, kind, transport, err)
					}
					t.least("cpu "+kind+" "+transport, sub.name, float64(cost.Nanoseconds())/1000)
					progress("%s %s %s: %.1f us", sub.name, kind, transport, float64(cost.Nanoseconds())/1000)
				}
			}
		}
	}
	return nil
}

// cpuPerUnit starts the subject, warms it up with the same work, and measures.
func cpuPerUnit(ctx context.Context, s *settings, sub *subject, transport, kind string) (time.Duration, error) {
	r, err := sub.start(ctx, true)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	rate := s.rates[kind]
	n := rate * s.seconds
	l, done, err := newLoad(s, r, transport)
	if err != nil {
		return 0, err
	}
	defer done()
	session, err := l.Open(ctx, kind)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	if res, err := session.Work(ctx, rate*s.warm, rate); err != nil {
		return 0, err
	} else if err := res.Clean(rate * s.warm); err != nil {
		return 0, fmt.Errorf("warming up: %w", err)
	}
	before, err := procstat.Group(r.group, false)
	if err != nil {
		return 0, err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- takeProfile(ctx, s, r, kind+"-"+transport) }()
	res, err := session.Work(ctx, n, rate)
	if err != nil {
		return 0, err
	}
	if err := <-profiled; err != nil {
		return 0, err
	}
	after, err := procstat.Group(r.group, false)
	if err != nil {
		return 0, err
	}
	if err := res.Clean(n); err != nil {
		return 0, err
	}
	return (after.CPU - before.CPU) / time.Duration(n), nil
}

// takeProfile writes a CPU profile of the seconds that are measured, when profiles are wanted.
func takeProfile(ctx context.Context, s *settings, r *running, name string) error {
	if s.profiles == "" || r.profile == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s?seconds=%d", r.profile, max(1, s.seconds-1)), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s: %.100s", resp.Status, body)
	}
	if err := os.MkdirAll(s.profiles, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.profiles, name+".pprof"), body, 0o644)
}

func newLoad(s *settings, r *running, transport string) (*sipp.Load, func(), error) {
	dir, err := os.MkdirTemp("", "sipbench-sipp-")
	if err != nil {
		return nil, nil, err
	}
	l := &sipp.Load{
		Transport: transport, Server: r.at(transport), TLS: r.tls, Domain: domain,
		Users: benchUsers(s)[:s.users], Callers: callers(transport), Callees: callees(transport),
		Dir: dir,
	}
	return l, func() { os.RemoveAll(dir) }, nil
}
