package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// Conditions a caller may act on. Compare with errors.Is.
var (
	// ErrNotFound: the row that was asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a row with this key exists already.
	ErrConflict = errors.New("already exists")
	// ErrReferenced: another row needs this one, or this one names a row that
	// does not exist.
	ErrReferenced = errors.New("referenced by, or refers to, another row")
	// ErrInvalid: a column rule (NOT NULL, CHECK) refuses the value.
	ErrInvalid = errors.New("value not allowed by the schema")
	// ErrStale: the row changed since the caller read its version.
	ErrStale = errors.New("changed by somebody else meanwhile")
	// ErrUnavailable: the store cannot answer now, or two transactions met.
	// Trying again later may help. Nothing of the transaction was kept, except
	// when the connection broke during the commit itself: then it is unknown.
	ErrUnavailable = errors.New("store unavailable")
	// ErrNewerSchema: the tables were made by a newer version of the program.
	ErrNewerSchema = errors.New("schema is newer than this program")
)

// Error joins one of the conditions above to what the engine said.
type Error struct {
	Kind error // ErrConflict, ErrReferenced, ...
	Err  error // the engine's error
}

func (e *Error) Error() string   { return e.Kind.Error() + ": " + e.Err.Error() }
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

// SQLite result codes (https://www.sqlite.org/rescode.html).
const (
	sqliteBusy      = 5
	sqliteLocked    = 6
	sqliteIOErr     = 10
	sqliteFull      = 13
	sqliteCantOpen  = 14
	sqliteCheck     = 275
	sqliteForeign   = 787
	sqliteNotNull   = 1299
	sqlitePrimary   = 1555
	sqliteTrigger   = 1811 // how ON DELETE RESTRICT reports
	sqliteUnique    = 2067
	sqliteRowID     = 2579
	sqliteDataType  = 3091
	sqlitePrimaryOf = 0xff // mask from an extended to a primary code
)

// translate gives err its condition. Errors of the caller's own context stay
// as they are: giving up is not a failure of the store.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if kind := kindOf(err); kind != nil {
		return &Error{Kind: kind, Err: err}
	}
	return err
}

func kindOf(err error) error {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return sqliteKind(lite.Code())
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return postgresKind(pg.Code)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &connect), errors.As(err, &network),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, errClosed),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return ErrUnavailable
	}
	return nil
}

func sqliteKind(code int) error {
	switch code {
	case sqliteUnique, sqlitePrimary, sqliteRowID:
		return ErrConflict
	case sqliteForeign, sqliteTrigger:
		return ErrReferenced
	case sqliteNotNull, sqliteCheck, sqliteDataType:
		return ErrInvalid
	}
	switch code & sqlitePrimaryOf {
	case sqliteBusy, sqliteLocked, sqliteIOErr, sqliteFull, sqliteCantOpen:
		return ErrUnavailable
	}
	return nil
}

// postgresKind reads an SQLSTATE (PostgreSQL manual, appendix A).
func postgresKind(state string) error {
	switch state {
	case "23505":
		return ErrConflict
	case "23503", "23001":
		return ErrReferenced
	case "23502", "23514":
		return ErrInvalid
	case "40001", "40P01", "55P03": // serialization, deadlock, lock not available
		return ErrUnavailable
	}
	switch state[:min(2, len(state))] {
	case "08", "53", "57", "58": // connection, resources, operator, system
		return ErrUnavailable
	}
	return nil
}
