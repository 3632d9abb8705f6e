package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// leaseBucket is on disk so that terms keep growing when the whole pool is
// started anew.
var leaseBucket = BucketConfig{Name: "lease_v1", MaxBytes: 8 << 20, MaxValue: 1024, File: true}

// errLost ends the context of a holder.
var errLost = errors.New("the lease was lost")

// holder is the value of a lease.
type holder struct {
	Node    string `json:"node"`
	Session string `json:"session"`
}

// Lead runs fn while this node holds the lease called name; at most one node of
// the pool does. It competes until ctx ends and then returns ctx's error; when
// fn returns an error Lead returns that, when fn returns nil before its context
// ended the lease is given up and Lead returns nil.
//
// ttl, whole seconds, is how long the others wait for a holder that vanished.
// The lease is renewed at a third of it. When it cannot be renewed, the context
// given to fn ends before another node can hold the lease, if fn obeys it at
// once; what the holder writes elsewhere is safe in any case when it is fenced
// by term, which is greater for every later holder.
func (b *Bus) Lead(ctx context.Context, name string, ttl time.Duration, fn func(ctx context.Context, term uint64) error) error {
	if ttl < time.Second || ttl%time.Second != 0 {
		return fmt.Errorf("bus: lease of %v, want whole seconds", ttl)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })()
	l := &lease{bus: b, key: MakeKey(name), ttl: ttl}
	l.value, _ = json.Marshal(holder{b.cfg.Node, b.session})
	for {
		if err := l.acquire(ctx); err != nil {
			return err
		}
		err := l.hold(ctx, fn)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, errLost):
			return err
		}
		b.log.Warn("lease lost", "lease", name, "node", b.cfg.Node)
	}
}

type lease struct {
	bus      *Bus
	key      Key
	ttl      time.Duration
	value    []byte
	revision uint64
	renewed  time.Time // taken before the write, so the server's count ends later
}

// acquire waits until the lease is ours or ctx ends.
func (l *lease) acquire(ctx context.Context) error {
	for {
		err := l.try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotReady) {
			return err
		}
		if err := l.await(ctx, errors.Is(err, ErrConflict)); err != nil {
			return err
		}
	}
}

// try takes a free lease, or one that an earlier run of this node left behind:
// a node runs once, so that holder is dead.
func (l *lease) try(ctx context.Context) (err error) {
	l.renewed = time.Now()
	l.revision, err = l.bus.leases.Create(ctx, l.key, l.value, l.ttl)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	e, got := l.bus.leases.Get(ctx, l.key)
	if got != nil {
		return err
	}
	var h holder
	if json.Unmarshal(e.Value, &h) != nil || h.Node != l.bus.cfg.Node || h.Session == l.bus.session {
		return err
	}
	l.renewed = time.Now()
	l.revision, err = l.bus.leases.Update(ctx, l.key, l.value, e.Revision, l.ttl)
	return err
}

// await returns when it is worth trying again: soon while there is no quorum,
// else when the holder gives up or expires. The watch is only a hint; a look
// once per ttl does not depend on it.
func (l *lease) await(ctx context.Context, held bool) error {
	wait := l.ttl / 10
	free := make(chan struct{}, 1)
	if held {
		wait = l.ttl
		watch, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			live := false
			l.bus.leases.Watch(watch, l.key, func(c Change) {
				switch {
				case c.Op == Put:
					live = true
				case c.Op == Deleted, c.Op == Expired:
					live = false
				}
				if (c.Op == Synced || c.Op == Deleted || c.Op == Expired) && !live {
					select {
					case free <- struct{}{}:
					default:
					}
				}
			})
		}()
		defer func() { stop(); <-done }()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-free:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hold runs fn and renews until fn returns; it returns fn's error, or errLost
// after fn has returned because the lease was lost.
func (l *lease) hold(ctx context.Context, fn func(context.Context, uint64) error) error {
	term, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	done := make(chan error, 1)
	number := l.revision
	go func() { done <- fn(term, number) }()
	// The holder stops a tenth before the lease ends for the others.
	patience := l.ttl - l.ttl/10
	next := time.NewTimer(l.ttl / 3)
	defer next.Stop()
	for {
		select {
		case err := <-done:
			l.release(ctx)
			if term.Err() != nil && ctx.Err() == nil {
				return errLost
			}
			return err
		case <-next.C:
		}
		if term.Err() != nil {
			continue // lost; waiting for fn
		}
		end := l.renewed.Add(patience)
		switch err := l.renew(term, end); {
		case err == nil:
			next.Reset(l.ttl / 3)
		case errors.Is(err, ErrConflict), !time.Now().Before(end):
			lose(errLost)
		default:
			next.Reset(min(l.ttl/10, max(time.Until(end), time.Millisecond)))
		}
	}
}

// renew extends the lease. The write must be answered before end, when the
// holder has to stop anyway. An earlier renewal may have succeeded without our
// hearing of it; then the lease has a revision that we do not know, but our
// session.
func (l *lease) renew(ctx context.Context, end time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	start := time.Now()
	revision, err := l.bus.leases.Update(ctx, l.key, l.value, l.revision, l.ttl)
	if errors.Is(err, ErrConflict) {
		e, got := l.bus.leases.Get(ctx, l.key)
		if got != nil || !bytes.Equal(e.Value, l.value) {
			return err
		}
		start = time.Now()
		revision, err = l.bus.leases.Update(ctx, l.key, l.value, e.Revision, l.ttl)
	}
	if err == nil {
		l.revision, l.renewed = revision, start
	}
	return err
}

// release lets the next one in at once. A lease that is lost already stays as
// it is.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quorumPatience)
	defer cancel()
	l.bus.leases.Delete(ctx, l.key, l.revision)
}
