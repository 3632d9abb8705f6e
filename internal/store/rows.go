package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Querier is what a DB and a Tx have in common, so that a question can be
// asked inside and outside a transaction.
type Querier interface {
	Query(ctx context.Context, text string, args ...any) (*Rows, error)
	QueryRow(ctx context.Context, text string, args ...any) *Row
	Exec(ctx context.Context, text string, args ...any) (int64, error)
}

// Scanner is a row being read: a *Row or the current one of a *Rows.
type Scanner interface{ Scan(dest ...any) error }

// Rows walks a result. Close is needed only when the walk is left early.
type Rows struct {
	rows    *sql.Rows
	release func() // tells the transaction that they were read; may be nil
}

// Next goes to the next row.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.done()
	return false
}

// Scan reads the current row.
func (r *Rows) Scan(dest ...any) error { return translate(r.rows.Scan(dest...)) }

// Err is what ended the walk, nil at the proper end.
func (r *Rows) Err() error { return translate(r.rows.Err()) }

// Close ends the walk.
func (r *Rows) Close() error {
	err := r.rows.Close()
	r.done()
	return translate(err)
}

func (r *Rows) done() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

// Row is a result of which the first row is wanted.
type Row struct {
	rows  *Rows
	err   error
	write func(dest []any) error // a statement that must run in a transaction
}

// Scan reads the row: ErrNotFound when the result is empty. It must be called
// once, and before the next statement of the same transaction.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return translate(r.err)
	}
	if r.write != nil {
		return r.write(dest)
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}

// One returns the single value that scan reads from the result, ErrNotFound
// when it is empty.
func One[T any](ctx context.Context, q Querier, scan func(Scanner) (T, error), text string, args ...any) (T, error) {
	return scan(q.QueryRow(ctx, text, args...))
}

// All returns what scan reads from each row, in the order of the result.
func All[T any](ctx context.Context, q Querier, scan func(Scanner) (T, error), text string, args ...any) ([]T, error) {
	var all []T
	err := Each(ctx, q, func(s Scanner) error {
		v, err := scan(s)
		if err == nil {
			all = append(all, v)
		}
		return err
	}, text, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Each calls visit for each row and stops at its first error.
func Each(ctx context.Context, q Querier, visit func(Scanner) error, text string, args ...any) error {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Value is the scan function of a result with one column:
//
//	n, err := store.One(ctx, db, store.Value[int64], "SELECT count(*) FROM ...")
func Value[T any](s Scanner) (v T, err error) {
	err = s.Scan(&v)
	return v, err
}

// Change runs a statement that must touch exactly one row, in the manner of
// optimistic versions:
//
//	UPDATE t SET ..., version = version + 1 WHERE id = $1 AND version = $2
//
// It returns ErrStale when no row matched.
func Change(ctx context.Context, q Querier, text string, args ...any) error {
	n, err := q.Exec(ctx, text, args...)
	switch {
	case err != nil:
		return err
	case n == 0:
		return ErrStale
	case n > 1:
		return fmt.Errorf("store: %d rows changed where one was meant: %s", n, oneLine(text))
	}
	return nil
}
