package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/test/procstat"
)

// result is what one kind of load came to.
type result struct {
	subject, kind string
	memory        float64         // KiB for each user who is signed in and watches his contacts
	cpu           []time.Duration // of each run, for a notification
	rate          float64         // publications a second that were reached, of the best run
	delays        []time.Duration // from publication to notification, ascending, of the best run
	answers       []time.Duration // from publication to its answer, ascending, of the best run
	notifications int             // that arrived in the best run, each once
}

// measure signs everybody in and does every kind of load with them.
func measure(ctx context.Context, s *settings, sub *subject, kinds []string) ([]*result, error) {
	r, err := sub.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { r.stop() }()
	g := newGroup(s, r, kinds[0])
	defer func() { g.close() }()
	if kinds[0] != standard {
		begin := time.Now()
		err := each(ctx, 0, s.users, 16, func(ctx context.Context, i int) error {
			c := g.all[i].(*lync)
			defer c.close()
			if err := c.signIn(ctx); err != nil {
				return err
			}
			return c.fill(ctx)
		})
		if err != nil {
			return nil, fmt.Errorf("keep contacts: %w\n%s", err, tail(r.log()))
		}
		progress("%s: %d contacts are kept after %v", sub.name, s.users*s.contacts, time.Since(begin).Round(time.Second))
		// Afresh, so that memory is what signing in needs, and contacts come from the store.
		r.stop()
		if r, err = sub.start(ctx); err != nil {
			return nil, err
		}
		g = newGroup(s, r, kinds[0])
	}
	memory, err := g.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(r.log()))
	}
	progress("%s: %.1f KiB for each of %d users (%s)", sub.name, memory, s.users, kinds[0])
	l := newLoad(g)
	defer l.stop()
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var all []*result
	for _, kind := range kinds {
		best := &result{subject: sub.name, kind: kind, memory: memory}
		for n := range s.runs {
			one, err := l.run(ctx, kind, n)
			if err != nil {
				return nil, fmt.Errorf("%w\n%s", err, tail(r.log()))
			}
			progress("%s %s: %v of CPU, p99 %v", sub.name, kind, one.cpu[0], quantile(one.delays, 0.99))
			cpu := append(best.cpu, one.cpu...)
			if len(cpu) == 1 || one.cpu[0] < slices.Min(best.cpu) {
				*best = *one
				best.subject, best.kind, best.memory = sub.name, kind, memory
			}
			best.cpu = cpu
		}
		all = append(all, best)
	}
	return all, nil
}

// settle is how long nothing happens before the first run: a standard subscriber who has just been told something is
// told the next thing five seconds later, and then what came after that another five.
const settle = 12 * time.Second

func tail(s string) string { return s[max(0, len(s)-2000):] }

// begin signs everybody in and has everybody watch his contacts. It returns the KiB that one user takes; a twentieth
// of them comes first and is not counted, nor is what the server allocates once.
func (g *group) begin(ctx context.Context) (float64, error) {
	up := func(first, last int) error {
		if err := each(ctx, first, last, g.r.atOnce, func(ctx context.Context, i int) error { return g.all[i].signIn(ctx) }); err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
		if err := each(ctx, first, last, g.r.atOnce, func(ctx context.Context, i int) error { return g.all[i].watch(ctx) }); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		return nil
	}
	few := max(1, g.s.users/20)
	if err := up(0, few); err != nil {
		return 0, err
	}
	before, err := procstat.Group(g.r.group, true)
	if err != nil {
		return 0, err
	}
	if err := up(few, g.s.users); err != nil {
		return 0, err
	}
	after, err := procstat.Group(g.r.group, true)
	if err != nil {
		return 0, err
	}
	return float64(after.PSS-before.PSS) / 1024 / float64(g.s.users-few), nil
}

// load is a group under load: every client has a reader.
type load struct {
	g       *group
	cancel  context.CancelFunc
	readers sync.WaitGroup
	failed  chan error
	now     atomic.Pointer[ledger]
}

func newLoad(g *group) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{g: g, cancel: cancel, failed: make(chan error, 1)}
	for i := range g.all {
		l.readers.Go(func() { l.read(ctx, i) })
	}
	return l
}

func (l *load) stop() {
	l.cancel()
	l.readers.Wait()
}

func (l *load) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// read takes what the server sends to user i.
func (l *load) read(ctx context.Context, i int) {
	for {
		m, err := l.g.all[i].receive(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.fail(fmt.Errorf("user %d: %w", i, err))
			return
		}
		at := time.Now()
		led := l.now.Load()
		switch code := m.Code(); {
		case led == nil || code > 0 && code < 200:
		case code == 200:
			led.answered(i, at)
		case code > 0:
			l.fail(fmt.Errorf("user %d is refused:\n%s", i, m))
		case m.Get("Event") == "presence" || strings.HasPrefix(m.Get("Event"), "presence;"):
			if token, ok := token(m.Body, led.mark); ok {
				if err := led.told(i, token, at); err != nil {
					l.fail(fmt.Errorf("%w:\n%s", err, m))
				}
			}
		}
	}
}

// token finds the number of a publication in a document.
func token(body, mark string) (int, bool) {
	_, rest, ok := strings.Cut(body, mark)
	if !ok {
		return 0, false
	}
	text, _, _ := strings.Cut(rest, `"`)
	text, _, _ = strings.Cut(text, "&") // escaped in an attribute or not
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// ledger says of every publication of a run when it was sent and by whom, and which of the publisher's watchers have
// heard of it.
type ledger struct {
	g       *group
	mark    string // what stands before the number in documents
	sent    []atomic.Int64
	by      []int
	heard   [][]atomic.Int32 // by publication and place among the publisher's watchers
	missing atomic.Int64
	done    chan struct{}

	mu      sync.Mutex
	delays  []time.Duration
	last    []time.Time // by user: when his publication was sent that is not answered yet
	answers []time.Duration
}

func newLedger(g *group, mark string, n int) *ledger {
	led := &ledger{g: g, mark: mark, sent: make([]atomic.Int64, n), by: make([]int, n), heard: make([][]atomic.Int32, n), done: make(chan struct{}),
		last: make([]time.Time, len(g.all))}
	for i := range led.heard {
		led.by[i] = i * 389 % len(g.all) // each in turn, not one beside the other
		led.heard[i] = make([]atomic.Int32, g.s.contacts)
	}
	led.missing.Store(int64(n * g.s.contacts))
	return led
}

func (led *ledger) told(i, n int, at time.Time) error {
	if n >= len(led.heard) {
		return fmt.Errorf("user %d is told of publication %d, which there is not", i, n)
	}
	place := led.g.place(i, led.by[n])
	if place >= led.g.s.contacts {
		return fmt.Errorf("user %d is told of publication %d by user %d, whom he does not watch", i, n, led.by[n])
	}
	if led.heard[n][place].Add(1) > 1 {
		return fmt.Errorf("user %d is told of publication %d twice", i, n)
	}
	delay := at.Sub(time.Unix(0, led.sent[n].Load()))
	led.mu.Lock()
	led.delays = append(led.delays, delay)
	led.mu.Unlock()
	if led.missing.Add(-1) == 0 {
		close(led.done)
	}
	return nil
}

// lost says which notifications are missing.
func (led *ledger) lost() error {
	var some []string
	for n := range led.heard {
		for k := range led.heard[n] {
			if led.heard[n][k].Load() == 0 && len(some) < 8 {
				some = append(some, fmt.Sprintf("publication %d by user %d to his watcher %d", n, led.by[n], k))
			}
		}
	}
	return fmt.Errorf("%d of %d notifications did not arrive, such as %s", led.missing.Load(), len(led.heard)*led.g.s.contacts, strings.Join(some, ", "))
}

func (led *ledger) answered(i int, at time.Time) {
	led.mu.Lock()
	if !led.last[i].IsZero() {
		led.answers = append(led.answers, at.Sub(led.last[i]))
		led.last[i] = time.Time{}
	}
	led.mu.Unlock()
}

// patience is how long after the last publication the last notification may come. Notifications of standard
// subscribers come at intervals of seconds.
const patience = 30 * time.Second

// run does one run. Publications leave at their time whether those before were answered or not.
func (l *load) run(ctx context.Context, kind string, number int) (*result, error) {
	s := l.g.s
	n := s.rate * s.seconds
	mark := fmt.Sprintf("r%d%sn", number, kind)
	led := newLedger(l.g, mark, n)
	l.now.Store(led)
	before, err := procstat.Group(l.g.r.group, false)
	if err != nil {
		return nil, err
	}
	var profiled sync.WaitGroup
	if s.profile != "" && l.g.r.profile != nil {
		profiled.Go(func() {
			if err := l.g.r.profile(filepath.Join(s.profile, fmt.Sprintf("%s-%d.pprof", kind, number)), s.seconds); err != nil {
				fmt.Fprintln(os.Stderr, "profile:", err)
			}
		})
	}
	begin := time.Now()
	for i := range n {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(s.rate))))
		at := time.Now()
		led.sent[i].Store(at.UnixNano())
		led.mu.Lock()
		led.last[led.by[i]] = at
		led.mu.Unlock()
		if err := l.g.all[led.by[i]].publish(kind, mark+strconv.Itoa(i)); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	took := time.Since(begin)
	select {
	case <-led.done:
	case err := <-l.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(patience):
		return nil, led.lost()
	}
	after, err := procstat.Group(l.g.r.group, false)
	if err != nil {
		return nil, err
	}
	profiled.Wait()
	// What comes twice comes soon after.
	select {
	case err := <-l.failed:
		return nil, err
	case <-time.After(time.Second):
	}
	led.mu.Lock()
	defer led.mu.Unlock()
	slices.Sort(led.delays)
	slices.Sort(led.answers)
	return &result{cpu: []time.Duration{(after.CPU - before.CPU) / time.Duration(n*s.contacts)}, rate: float64(n) / took.Seconds(),
		delays: slices.Clone(led.delays), answers: slices.Clone(led.answers), notifications: len(led.delays)}, nil
}

// quantile is the value below which a part q of ascending values lies.
func quantile(v []time.Duration, q float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	return v[min(len(v)-1, int(q*float64(len(v))))]
}
