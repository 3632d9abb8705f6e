package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Engine names a database engine.
type Engine string

// The two engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgresql"
)

// errClosed reports use after Close.
var errClosed = errors.New("the store is closed")

// DB is an open store. It is safe for concurrent use.
type DB struct {
	engine Engine
	name   string // the address, secrets masked
	path   string // SQLite: the file
	read   *sql.DB
	write  *sql.DB     // the same as read on PostgreSQL
	writer *liteWriter // SQLite only
	batch  batcher     // SQLite only
	stmts  sync.Map    // SQL text -> *statement
	kept   atomic.Int64
	closed atomic.Bool
}

// Open opens the store that dsn names:
//
//	sqlite:PATH[?synchronous=full|normal][&readers=N]
//	postgres://user:password@host:port/name[?sslmode=...][&pool_max_conns=N]
//
// The SQLite file is created (mode 0600) when it is missing, its folder is
// not. A PostgreSQL database must exist, in UTF-8 and with the C collation;
// one that cannot be reached now is ErrUnavailable.
func Open(ctx context.Context, dsn string) (*DB, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(ctx, rest)
	case "postgres", "postgresql":
		return openPostgres(ctx, dsn)
	}
	return nil, fmt.Errorf("store address %q: want sqlite:PATH or postgres://user@host/name", scheme+":...")
}

// Close waits for running transactions and closes the store. Later calls
// return ErrUnavailable.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	db.batch.close()
	if db.writer != nil {
		db.writer.take(context.Background())
		defer db.writer.pass()
		db.writer.drop()
	}
	db.stmts.Range(func(_, v any) bool { v.(*statement).close(); return true })
	err := db.read.Close()
	if db.write != db.read {
		err = errors.Join(err, db.write.Close())
	}
	return err
}

func (db *DB) isClosed() bool { return db.closed.Load() }

// Engine says which engine serves.
func (db *DB) Engine() Engine { return db.engine }

// String is the address of the store without its password.
func (db *DB) String() string { return db.name }

// Ping asks whether the store answers; ErrUnavailable when not.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.QueryRow(ctx, "SELECT 1").Scan(&one)
}

// Query runs a SELECT outside any transaction. On SQLite it runs on a
// read-only connection and never waits for a writer.
func (db *DB) Query(ctx context.Context, text string, args ...any) (*Rows, error) {
	if db.isClosed() {
		return nil, translate(errClosed)
	}
	s := db.statement(text)
	if s.writes {
		return nil, fmt.Errorf("store: a statement that writes and returns rows needs a transaction: %s", oneLine(text))
	}
	var rows *sql.Rows
	var err error
	if db.engine == SQLite {
		rows, err = s.onReader(ctx, db, args)
	} else {
		rows, err = db.read.QueryContext(ctx, s.text, args...)
	}
	if err != nil {
		return nil, translate(err)
	}
	return &Rows{rows: rows}, nil
}

// QueryRow runs a statement of which one row is wanted; INSERT ... RETURNING
// and its like run in a transaction of their own when Scan is called.
func (db *DB) QueryRow(ctx context.Context, text string, args ...any) *Row {
	if db.statement(text).writes {
		return &Row{write: func(dest []any) error {
			return db.Tx(ctx, func(tx *Tx) error { return tx.QueryRow(ctx, text, args...).Scan(dest...) })
		}}
	}
	rows, err := db.Query(ctx, text, args...)
	return &Row{rows: rows, err: err}
}

// Exec runs one statement in a transaction of its own and returns how many
// rows it touched.
func (db *DB) Exec(ctx context.Context, text string, args ...any) (n int64, err error) {
	if db.engine == SQLite {
		err = db.Tx(ctx, func(tx *Tx) (err error) {
			n, err = tx.Exec(ctx, text, args...)
			return err
		})
		return n, err
	}
	if db.isClosed() {
		return 0, translate(errClosed)
	}
	res, err := db.write.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, translate(err)
	}
	return res.RowsAffected()
}

// Micros is t as the store keeps it: microseconds since 1970, UTC. The zero
// time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros reverses Micros.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func oneLine(text string) string {
	line := strings.Join(strings.Fields(text), " ")
	if len(line) > 120 {
		line = line[:120] + "..."
	}
	return line
}
