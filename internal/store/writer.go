package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// liteWriter is the one connection that writes to the SQLite file. Whoever
// holds the turn owns everything in it.
type liteWriter struct {
	turn  chan struct{} // holds one token; goroutines waiting for it are served in order
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	fresh func(context.Context) (*sql.Conn, error) // replaces a broken connection
}

func newLiteWriter(ctx context.Context, fresh func(context.Context) (*sql.Conn, error)) (*liteWriter, error) {
	conn, err := fresh(ctx)
	if err != nil {
		return nil, err
	}
	w := &liteWriter{turn: make(chan struct{}, 1), conn: conn, stmts: map[string]*sql.Stmt{}, fresh: fresh}
	w.turn <- struct{}{}
	return w, nil
}

// take waits for the turn, first come first served. (The waiting line of
// database/sql picks at random, which makes the unlucky wait very long.)
func (w *liteWriter) take(ctx context.Context) error {
	select {
	case <-w.turn:
		return nil
	default:
	}
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *liteWriter) pass() { w.turn <- struct{}{} }

// alone runs fn in a transaction of its own.
func (w *liteWriter) alone(ctx context.Context, db *DB, fn func(*Tx) error) error {
	if err := w.take(ctx); err != nil {
		return err
	}
	defer w.pass()
	if db.isClosed() {
		return translate(errClosed)
	}
	if err := w.begin(); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			w.rollback()
		}
	}()
	if err := fn(&Tx{db: db, lite: w}); err != nil {
		return translate(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	done = true
	return nil
}

func (w *liteWriter) begin() error {
	if w.conn == nil {
		conn, err := w.fresh(context.Background())
		if err != nil {
			return translate(err)
		}
		w.conn, w.stmts = conn, map[string]*sql.Stmt{}
	}
	return w.command("BEGIN IMMEDIATE")
}

func (w *liteWriter) commit() error { return w.command("COMMIT") }

// rollback undoes the transaction. SQLite ends a transaction by itself after
// some errors (disk full, I/O), so its complaint is ignored; a connection that
// is still inside one afterwards is thrown away.
func (w *liteWriter) rollback() {
	if w.command("ROLLBACK") == nil {
		return
	}
	if w.command("BEGIN IMMEDIATE") == nil && w.command("ROLLBACK") == nil {
		return
	}
	w.drop()
}

func (w *liteWriter) drop() {
	for _, st := range w.stmts {
		st.Close()
	}
	if w.conn != nil {
		w.conn.Close()
	}
	w.conn, w.stmts = nil, nil
}

func (w *liteWriter) command(text string) error {
	st, err := w.prepared(text)
	if err != nil {
		return translate(err)
	}
	_, err = st.ExecContext(context.Background())
	return translate(err)
}

func (w *liteWriter) prepared(text string) (*sql.Stmt, error) {
	if st, ok := w.stmts[text]; ok {
		return st, nil
	}
	if w.conn == nil {
		return nil, errors.New("no connection")
	}
	st, err := w.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	if len(w.stmts) < maxStatements {
		w.stmts[text] = st
	}
	return st, nil
}

// exec and query look at ctx before they start and not while they run: SQLite
// answers an interruption by undoing the whole transaction, which may hold the
// writes of others (see DB.Write), and a write here takes microseconds.
func (w *liteWriter) exec(ctx context.Context, s *statement, args []any) (sql.Result, error) {
	st, err := w.ready(ctx, s)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}

func (w *liteWriter) query(ctx context.Context, s *statement, args []any) (*sql.Rows, error) {
	st, err := w.ready(ctx, s)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (w *liteWriter) ready(ctx context.Context, s *statement) (*sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.prepared(s.text)
}

// savepoint names the boundary between two writes that share a transaction.
func (w *liteWriter) savepoint() error { return w.command("SAVEPOINT job") }

func (w *liteWriter) keep() error { return w.command("RELEASE SAVEPOINT job") }

func (w *liteWriter) undo() error {
	if err := w.command("ROLLBACK TO SAVEPOINT job"); err != nil {
		return fmt.Errorf("undo one of several writes: %w", err)
	}
	return w.keep()
}
