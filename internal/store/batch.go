package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxBatch bounds how many writes share a transaction, and with it how long
// the first of them waits for the last.
const maxBatch = 256

// maxWaiting bounds the writes that wait for their turn.
const maxWaiting = 8192

// errQueueFull reports more waiting writes than the store will keep.
var errQueueFull = errors.New("too many writes are waiting")

// Write runs fn in a transaction like Tx and returns when it is on disk, but
// lets it share the transaction, and the flush, with other Writes that wait
// at the same moment: thousands of small writes a second become a few dozen
// transactions. fn that fails is undone alone. It should be short, and must
// not wait for anything but the store.
//
// When ctx ends before fn began, fn never runs and the error is ctx's own;
// after that Write stays until the outcome is known. A full waiting line is
// ErrUnavailable at once.
//
// On PostgreSQL the server shares flushes between sessions by itself, and
// Write is Tx.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	if db.engine != SQLite {
		return db.Tx(ctx, fn)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{fn: fn, done: make(chan error, 1)}
	if err := db.batch.add(db, j); err != nil {
		return translate(err)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if db.batch.withdraw(j) {
			return ctx.Err()
		}
		return <-j.done
	}
}

type job struct {
	fn   func(*Tx) error
	done chan error
	err  error
}

// batcher is the line of writes waiting to share a transaction. A goroutine
// serves it only while it is not empty.
type batcher struct {
	mu      sync.Mutex
	waiting []*job
	serving bool
	closed  bool
	idle    sync.WaitGroup

	batches, writes int64 // served so far; for Stats
}

func (b *batcher) add(db *DB, j *job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return errClosed
	case len(b.waiting) >= maxWaiting:
		return &Error{Kind: ErrUnavailable, Err: errQueueFull}
	}
	b.waiting = append(b.waiting, j)
	if !b.serving {
		b.serving = true
		b.idle.Add(1)
		go b.serve(db)
	}
	return nil
}

// withdraw takes j out of the line; false when it is being served already.
func (b *batcher) withdraw(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == j {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// close refuses new writes and waits for those in line.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.idle.Wait()
}

func (b *batcher) serve(db *DB) {
	defer b.idle.Done()
	for {
		// Take the turn first, then the line: whoever arrives while another
		// transaction is being flushed joins this one.
		if err := db.writer.take(context.Background()); err != nil {
			return
		}
		b.mu.Lock()
		n := min(len(b.waiting), maxBatch)
		if n == 0 {
			b.serving = false
			b.mu.Unlock()
			db.writer.pass()
			return
		}
		jobs := append([]*job(nil), b.waiting[:n]...)
		b.waiting = append(b.waiting[:0], b.waiting[n:]...)
		b.batches++
		b.writes += int64(n)
		b.mu.Unlock()
		db.writer.together(db, jobs)
		db.writer.pass()
		for _, j := range jobs {
			j.done <- j.err
		}
	}
}

// together runs jobs in one transaction and leaves each one's outcome in it.
func (w *liteWriter) together(db *DB, jobs []*job) {
	fail := func(err error) {
		w.rollback()
		for _, j := range jobs {
			if j.err == nil {
				j.err = err
			}
		}
	}
	if err := w.begin(); err != nil {
		for _, j := range jobs {
			j.err = err
		}
		return
	}
	for _, j := range jobs {
		if len(jobs) > 1 {
			if err := w.savepoint(); err != nil {
				fail(err)
				return
			}
		}
		j.err = translate(j.run(&Tx{db: db, lite: w}))
		switch {
		case len(jobs) == 1 && j.err != nil:
			w.rollback()
			return
		case len(jobs) > 1:
			end := w.keep
			if j.err != nil {
				end = w.undo
			}
			if err := end(); err != nil {
				fail(&Error{Kind: ErrUnavailable, Err: err})
				return
			}
		}
	}
	if err := w.commit(); err != nil {
		fail(err)
	}
}

// run calls the job's function; a panic is that job's failure and nobody
// else's.
func (j *job) run(tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: write panicked: %v", p)
		}
	}()
	return j.fn(tx)
}

// Stats counts what DB.Write did since Open.
type Stats struct {
	Writes  int64 // calls served
	Batches int64 // transactions they took
	Waiting int   // calls in line now
}

// Stats returns the counters of DB.Write. They stay 0 on PostgreSQL.
func (db *DB) Stats() Stats {
	b := &db.batch
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Writes: b.writes, Batches: b.batches, Waiting: len(b.waiting)}
}
