package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Op is what happened to a key.
type Op uint8

// What a watcher is told.
const (
	Reset   Op = iota // a snapshot follows; always the first. Keys not in it are gone.
	Put               // the key has this value
	Deleted           // somebody deleted the key; it may be unknown to the watcher
	Expired           // the life of the key ended; it may be unknown to the watcher
	Synced            // the snapshot is complete; changes follow
)

func (o Op) String() string {
	return [...]string{"reset", "put", "deleted", "expired", "synced"}[o]
}

// Change is one step of a watch. Key and Revision are set for Put, Deleted and
// Expired, Value for Put. Value may be kept.
type Change struct {
	Op Op
	Entry
}

// A watch notices a silent server after two missed heartbeats and tries again
// after a pause.
const (
	heartbeat  = time.Second
	watchPause = 200 * time.Millisecond
)

// Watch calls fn with every value at or below prefix ("" for all), then with
// every change, in order, until ctx ends; it returns ctx's error, or ErrClosed.
// It waits for a quorum by itself. When the watch broke, because the member it
// was served by is gone, it begins again with Reset; a reader of a local copy
// should keep using the old one until Synced. fn must not block for long.
func (k *Bucket) Watch(ctx context.Context, prefix Key, fn func(Change)) error {
	if prefix != "" && !prefix.Valid() {
		return fmt.Errorf("%w: %.80q", ErrKey, string(prefix))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(k.bus.ctx, func() { cancel(ErrClosed) })()
	var silent time.Time // since when nobody leads the bucket
	for {
		begun := time.Now()
		err := k.watchOnce(ctx, prefix, fn)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, ErrIncompatible) {
			return err
		}
		k.bus.log.Debug("bus watch begins again", "bucket", k.cfg.Name, "err", err)
		k.forget()
		switch {
		case !leaderless(err):
			silent = time.Time{}
		case silent.IsZero():
			silent = begun
		case time.Since(silent) > k.bus.patience:
			k.remake(ctx)
			silent = time.Time{}
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (k *Bucket) watchOnce(ctx context.Context, prefix Key, fn func(Change)) error {
	k.bus.mu.Lock()
	broken := k.bus.broken
	k.bus.mu.Unlock()
	setup, cancel := context.WithTimeout(ctx, 2*quorumPatience)
	defer cancel()
	if err := k.ensure(setup); err != nil {
		return err
	}
	filter := []string{k.pre + ">"}
	if prefix != "" {
		filter = []string{k.pre + string(prefix), k.pre + string(prefix) + ".>"}
	}
	consumer, err := k.made.Load().stream.CreateConsumer(setup, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		FilterSubjects:    filter,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	name := consumer.CachedInfo().Name
	defer func() {
		// The server forgets it by itself in a minute; this is only tidy.
		if k.bus.ctx.Err() == nil {
			tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), quorumPatience/4)
			defer cancel()
			k.made.Load().delete(tidy, name)
		}
	}()
	messages, err := consumer.Messages(jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	defer messages.Stop()
	over := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() { // a connection that came back may lead to a server without our consumer
		select {
		case <-broken:
			messages.Stop()
		case <-over:
		}
	})
	defer func() { close(over); guard.Wait() }()
	w := &watcher{prefix: k.pre, fn: fn, left: consumer.CachedInfo().NumPending}
	fn(Change{Op: Reset})
	w.sync()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if err := w.take(m); err != nil {
			return err
		}
	}
}

func (m *made) delete(ctx context.Context, consumer string) {
	if m != nil {
		m.stream.DeleteConsumer(ctx, consumer)
	}
}

// leaderless reports whether an error of watchOnce may mean that nobody leads the bucket: silence, or the word of the
// leader of all.
func leaderless(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &api) && (api.ErrorCode == codeStreamOffline || api.ErrorCode == codeClusterNotAvail)
}

// watcher turns deliveries into changes and notices lost ones.
type watcher struct {
	prefix string
	fn     func(Change)
	left   uint64 // messages of the snapshot still to come
	synced bool
	seen   uint64 // deliveries so far
}

var errGap = errors.New("a delivery is missing")

func (w *watcher) take(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if w.seen++; meta.Sequence.Consumer != w.seen {
		return errGap
	}
	c := Change{Op: opOf(nats.Header(m.Headers()))}
	c.Key, c.Revision = Key(strings.TrimPrefix(m.Subject(), w.prefix)), meta.Sequence.Stream
	if c.Op == Put {
		c.Value = m.Data()
	}
	w.fn(c)
	if w.left > 0 {
		w.left--
	}
	if meta.NumPending == 0 {
		w.left = 0
	}
	w.sync()
	return nil
}

func (w *watcher) sync() {
	if w.left == 0 && !w.synced {
		w.synced = true
		w.fn(Change{Op: Synced})
	}
}
