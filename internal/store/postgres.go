package store

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// oldestPostgres is the first supported server version.
const oldestPostgres = 130000

func openPostgres(ctx context.Context, dsn string) (*DB, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		// The error of url.Parse repeats the text, password and all.
		return nil, fmt.Errorf("store address postgres:...: not a URL of the form postgres://user:password@host:port/name")
	}
	query := u.Query()
	conns := 16
	if v := query.Get("pool_max_conns"); v != "" {
		if conns, err = strconv.Atoi(v); err != nil || conns < 2 || conns > 1000 {
			return nil, fmt.Errorf("store address %s: pool_max_conns is %q, want a number from 2 to 1000", u.Redacted(), v)
		}
		query.Del("pool_max_conns")
		u.RawQuery = query.Encode()
	}
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("store address %s: %w", u.Redacted(), err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	cfg.DialFunc = (&net.Dialer{Control: giveUpOnSilence, KeepAlive: 15 * time.Second}).DialContext
	cfg.RuntimeParams["application_name"] = "parley"
	cfg.RuntimeParams["timezone"] = "UTC"

	pool := stdlib.OpenDB(*cfg)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db := &DB{engine: PostgreSQL, name: u.Redacted(), read: pool, write: pool}
	if err := checkPostgres(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open %s: %w", u.Redacted(), translate(err))
	}
	return db, nil
}

// checkPostgres refuses a database in which the same statements would give
// other answers than on SQLite.
func checkPostgres(ctx context.Context, pool *sql.DB) error {
	var version int
	var name, encoding, collation string
	err := pool.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, datname,
		pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()`).
		Scan(&version, &name, &encoding, &collation)
	if err != nil {
		return err
	}
	if version < oldestPostgres {
		return fmt.Errorf("the PostgreSQL server is version %d, Parley needs %d or newer", version/10000, oldestPostgres/10000)
	}
	sorted := collation == "C" || collation == "POSIX" || collation == "C.UTF-8" || collation == "C.utf8"
	if encoding != "UTF8" || !sorted {
		return fmt.Errorf("database %q has encoding %s and collation %s; Parley needs UTF8 and C: "+
			"CREATE DATABASE %s TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'", name, encoding, collation, name)
	}
	return nil
}
