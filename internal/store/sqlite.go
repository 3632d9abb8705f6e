package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver; its errors are read in errors.go
)

// openSQLite opens PATH[?synchronous=...][&readers=N].
func openSQLite(ctx context.Context, address string) (*DB, error) {
	path, opt, err := sqliteOptions(address)
	if err != nil {
		return nil, err
	}
	return openLite(ctx, path, opt)
}

// openLite opens the file with these settings:
//
// WAL lets readers work beside the writer. FULL flushes
// the log at each commit. Foreign keys are off in SQLite unless asked for. The
// busy time-out matters only when another process (a backup, the command line)
// holds the file for a moment. Text in double quotes is never a string, so a
// misspelt column is an error as it is on PostgreSQL.
func openLite(ctx context.Context, path string, opt liteOptions) (*DB, error) {
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	settings := url.Values{
		"_foreign_keys": {"on"},
		"_busy_timeout": {"5000"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		"_pragma":       {"temp_store(memory)", "cache_size(-8192)", "journal_size_limit(67108864)"},
	}
	write := sqlitePool(path, settings, url.Values{"_synchronous": {opt.synchronous}, "_journal_mode": {"wal"}})
	write.SetMaxOpenConns(1)
	db := &DB{engine: SQLite, name: "sqlite:" + path, path: path, write: write}
	var err error
	if db.writer, err = newLiteWriter(ctx, write.Conn); err != nil {
		write.Close()
		return nil, fmt.Errorf("open %s: %w", path, translate(err))
	}
	db.read = sqlitePool(path, settings, url.Values{"_query_only": {"on"}})
	db.read.SetMaxOpenConns(opt.readers)
	db.read.SetMaxIdleConns(opt.readers)
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func sqlitePool(path string, settings ...url.Values) *sql.DB {
	all := url.Values{}
	for _, s := range settings {
		for k, v := range s {
			all[k] = v
		}
	}
	// The file: form keeps a "?" in the path apart from the settings.
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: all.Encode()}
	pool, err := sql.Open("sqlite", name.String())
	if err != nil {
		panic(err) // only for a driver that is not linked in
	}
	return pool
}

type liteOptions struct {
	synchronous string
	readers     int
}

func sqliteOptions(address string) (path string, opt liteOptions, err error) {
	opt = liteOptions{synchronous: "full", readers: 4}
	path, query, _ := strings.Cut(address, "?")
	if path == "" || path == ":memory:" {
		return "", opt, fmt.Errorf("store address sqlite:%s: want the path of a file", address)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", opt, fmt.Errorf("store address sqlite:%s: %w", address, err)
	}
	for key, v := range values {
		switch key {
		case "synchronous":
			opt.synchronous = strings.ToLower(v[0])
			if opt.synchronous != "full" && opt.synchronous != "normal" {
				return "", opt, fmt.Errorf("store address sqlite:%s: synchronous is %q, want full or normal", path, v[0])
			}
		case "readers":
			opt.readers, err = strconv.Atoi(v[0])
			if err != nil || opt.readers < 1 || opt.readers > 64 {
				return "", opt, fmt.Errorf("store address sqlite:%s: readers is %q, want a number from 1 to 64", path, v[0])
			}
		default:
			return "", opt, fmt.Errorf("store address sqlite:%s: unknown setting %q, known are synchronous and readers", path, key)
		}
	}
	path, err = filepath.Abs(path)
	return path, opt, err
}

// createPrivate makes an empty file that only its owner may read; SQLite gives
// the same mode to the log beside it.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	return fmt.Errorf("create the store: %w", err)
}
