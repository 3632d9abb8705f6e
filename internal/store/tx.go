package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Tx is a running transaction. It belongs to the function it was given to:
// one goroutine, and not after that function returned.
type Tx struct {
	db   *DB
	lite *liteWriter // a writing transaction on SQLite
	std  *sql.Tx     // everything else

	reading bool // rows of an earlier statement are being read
}

// errReading is the rule of the PostgreSQL protocol, kept on both engines so
// that it is noticed on either.
var errReading = errors.New("store: read the rows of a statement to the end, or close them, before the next one of the transaction")

// Tx runs fn in a transaction that is kept when fn returns nil and undone
// otherwise (also when it panics). On SQLite writers take turns, first come
// first served; PostgreSQL runs them side by side at READ COMMITTED, so a
// decision taken on a row that was read must be guarded by its version (see
// Change) or made in TxRepeatable.
func (db *DB) Tx(ctx context.Context, fn func(*Tx) error) error {
	return db.tx(ctx, sql.LevelReadCommitted, fn)
}

// TxRepeatable is Tx for a function that may run more than once, because it
// has no effect outside the transaction. It sees the database as if it ran
// alone (SERIALIZABLE), and is run again, up to five times, when the engine
// could not arrange that.
func (db *DB) TxRepeatable(ctx context.Context, fn func(*Tx) error) error {
	const attempts = 5
	for i := 1; ; i++ {
		err := db.tx(ctx, sql.LevelSerializable, fn)
		if i == attempts || !errors.Is(err, ErrUnavailable) || db.isClosed() {
			return err
		}
		pause := time.Duration(i*i)*5*time.Millisecond + rand.N(5*time.Millisecond)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// View runs fn on an unchanging picture of the database. It cannot write, and
// on both engines it neither waits for writers nor holds them up.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	level := sql.LevelDefault
	if db.engine == PostgreSQL {
		level = sql.LevelRepeatableRead
	}
	return db.stdTx(ctx, db.read, &sql.TxOptions{Isolation: level, ReadOnly: db.engine == PostgreSQL}, fn)
}

func (db *DB) tx(ctx context.Context, level sql.IsolationLevel, fn func(*Tx) error) error {
	if db.isClosed() {
		return translate(errClosed)
	}
	if db.engine == SQLite {
		if db.writer == nil {
			return errors.New("store: opened for reading only")
		}
		return db.writer.alone(ctx, db, fn)
	}
	return db.stdTx(ctx, db.write, &sql.TxOptions{Isolation: level}, fn)
}

// stdTx begins on a connection that it waited for with ctx, but does not bind
// the transaction to ctx: a context that ends during COMMIT would leave the
// caller not knowing what happened. Statements still obey their own contexts.
func (db *DB) stdTx(ctx context.Context, pool *sql.DB, opt *sql.TxOptions, fn func(*Tx) error) error {
	if db.isClosed() {
		return translate(errClosed)
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Close()
	std, err := conn.BeginTx(context.WithoutCancel(ctx), opt)
	if err != nil {
		return translate(err)
	}
	tx := &Tx{db: db, std: std}
	done := false
	defer func() {
		if !done {
			std.Rollback()
		}
	}()
	if err := fn(tx); err != nil {
		return translate(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	done = true
	return translate(std.Commit())
}

// Query runs a statement that returns rows. They must be read to the end, or
// closed, before the next statement.
func (tx *Tx) Query(ctx context.Context, text string, args ...any) (*Rows, error) {
	if tx.reading {
		return nil, errReading
	}
	s := tx.db.statement(text)
	var rows *sql.Rows
	var err error
	if tx.lite != nil {
		rows, err = tx.lite.query(ctx, s, args)
	} else {
		rows, err = tx.std.QueryContext(ctx, s.text, args...)
	}
	if err != nil {
		return nil, translate(err)
	}
	tx.reading = true
	return &Rows{rows: rows, release: func() { tx.reading = false }}, nil
}

// QueryRow runs a statement of which one row is wanted.
func (tx *Tx) QueryRow(ctx context.Context, text string, args ...any) *Row {
	rows, err := tx.Query(ctx, text, args...)
	return &Row{rows: rows, err: err}
}

// Exec runs one statement and returns how many rows it touched.
func (tx *Tx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	if tx.reading {
		return 0, errReading
	}
	s := tx.db.statement(text)
	var res sql.Result
	var err error
	if tx.lite != nil {
		res, err = tx.lite.exec(ctx, s, args)
	} else {
		res, err = tx.std.ExecContext(ctx, s.text, args...)
	}
	if err != nil {
		return 0, translate(err)
	}
	return res.RowsAffected()
}

// Try runs fn so that its failure undoes only what fn did, and the transaction
// goes on. (On PostgreSQL any failed statement otherwise spoils the whole.)
func (tx *Tx) Try(ctx context.Context, fn func() error) error {
	if _, err := tx.Exec(ctx, "SAVEPOINT try"); err != nil {
		return err
	}
	if err := fn(); err != nil {
		if _, undo := tx.Exec(context.WithoutCancel(ctx), "ROLLBACK TO SAVEPOINT try"); undo != nil {
			return errors.Join(err, fmt.Errorf("undo: %w", undo))
		}
		tx.Exec(context.WithoutCancel(ctx), "RELEASE SAVEPOINT try")
		return err
	}
	_, err := tx.Exec(ctx, "RELEASE SAVEPOINT try")
	return err
}
