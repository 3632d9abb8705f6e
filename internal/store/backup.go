package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Backup writes a copy of the whole store to path, which must not exist, while
// the store is in use. The copy is an SQLite file whatever the engine is, so
// that Restore can bring it back to either. (For very large PostgreSQL
// databases pg_dump is faster: pg_dump --format=custom DSN.)
func (db *DB) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %s exists already", path)
	}
	part, err := os.MkdirTemp(filepath.Dir(path), ".backup-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(part)
	draft := filepath.Join(part, "store")
	if db.engine == SQLite {
		err = vacuumInto(ctx, db.path, draft)
	} else {
		err = copyInto(ctx, draft, db)
	}
	if err == nil {
		err = checkFile(ctx, draft)
	}
	if err == nil {
		err = errors.Join(flush(draft), os.Link(draft, path), flush(filepath.Dir(path)))
	}
	if err != nil {
		return fmt.Errorf("backup to %s: %w", path, err)
	}
	return nil
}

// Restore fills the store at dsn from a backup. An SQLite file must not exist
// yet, a PostgreSQL database must be empty; nothing may be using either.
func Restore(ctx context.Context, dsn, backup string) error {
	if err := checkFile(ctx, backup); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if address, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		path, _, err := sqliteOptions(address)
		if err != nil {
			return err
		}
		if err := restoreFile(path, backup); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		return nil
	}
	src := sqliteReadOnly(backup)
	defer src.Close()
	dst, err := Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer dst.Close()
	_, err = Copy(ctx, dst, src)
	return err
}

// Move copies the store at one address to an empty one at another, which may be
// on the other engine. The first is left as it is; nothing may be using it.
func Move(ctx context.Context, from, to string) ([]TableCount, error) {
	src, err := Open(ctx, from)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := Open(ctx, to)
	if err != nil {
		return nil, err
	}
	defer dst.Close()
	return Copy(ctx, dst, src)
}

func vacuumInto(ctx context.Context, path, target string) error {
	// VACUUM INTO accepts an empty file, so the mode is right from the start.
	if err := createPrivate(target); err != nil {
		return err
	}
	pool := sqlitePool(path, url.Values{"_busy_timeout": {"5000"}})
	defer pool.Close()
	_, err := pool.ExecContext(ctx, "VACUUM INTO ?1", target)
	return translate(err)
}

func copyInto(ctx context.Context, path string, src *DB) error {
	dst, err := openLite(ctx, path, liteOptions{synchronous: "normal", readers: 1})
	if err != nil {
		return err
	}
	_, err = Copy(ctx, dst, src)
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	// Without a log beside it the file can be read where nothing can be written.
	pool := sqlitePool(path, url.Values{"_journal_mode": {"delete"}})
	return errors.Join(pool.PingContext(ctx), pool.Close())
}

// checkFile says whether path is a sound SQLite file with Parley's tables.
func checkFile(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	src := sqliteReadOnly(path)
	defer src.Close()
	var verdict string
	if err := src.read.QueryRowContext(ctx, "PRAGMA quick_check").Scan(&verdict); err != nil || verdict != "ok" {
		return errors.Join(fmt.Errorf("%s is not a sound SQLite file: %s", path, verdict), err)
	}
	if _, err := One(ctx, src, Value[int64], "SELECT count(*) FROM store_migration"); err != nil {
		return fmt.Errorf("%s is not a store of Parley: %w", path, err)
	}
	return nil
}

// sqliteReadOnly opens a file without changing it or leaving logs beside it.
func sqliteReadOnly(path string) *DB {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	pool := sqlitePool(path, url.Values{"mode": {"ro"}, "_busy_timeout": {"5000"}})
	return &DB{engine: SQLite, name: "sqlite:" + path, path: path, read: pool, write: pool}
}

func restoreFile(path, backup string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists; stop the server and move it away first", path+suffix)
		}
	}
	src, err := os.Open(backup)
	if err != nil {
		return err
	}
	defer src.Close()
	part := path + ".restoring"
	dst, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(part)
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Sync(), dst.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(part, path), flush(filepath.Dir(path)))
}

// flush forces a file or folder to the disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
