package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The table of applied migrations keeps their text too, so that a copy of the
// database can be rebuilt on the other engine without the program that made it
// (see Copy).
const migrationTable = `CREATE TABLE IF NOT EXISTS store_migration (
	owner    TEXT NOT NULL,
	version  BIGINT NOT NULL,
	name     TEXT NOT NULL,
	checksum TEXT NOT NULL,
	body     TEXT NOT NULL,
	applied  BIGINT NOT NULL,
	PRIMARY KEY (owner, version)
)`

// migrationLock is the advisory lock that makes nodes of a pool migrate one
// after the other. The number only has to be the same in every version.
const migrationLock = 0x5061726c6579 // "Parley"

var migrationName = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)
var ownerName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

type migration struct {
	version              int64
	name, checksum, body string
}

// Migrate brings the tables of owner (a service or package name) to the newest
// version in schema: files NNNN_name.sql, numbered from 0001 without a gap, at
// its root or in its folder "schema". Each file runs once, whole or not at all,
// and must never change afterwards. Tables of a version that the program does
// not know are refused with ErrNewerSchema.
func (db *DB) Migrate(ctx context.Context, owner string, schema fs.FS) error {
	if !ownerName.MatchString(owner) {
		return fmt.Errorf("migrate: %q is no name for the owner of tables", owner)
	}
	known, err := readMigrations(schema)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	err = db.Tx(ctx, func(tx *Tx) error {
		if err := tx.lockSchema(ctx); err != nil {
			return err
		}
		done, err := appliedMigrations(ctx, tx, owner)
		if err != nil {
			return err
		}
		if err := comparable(owner, done, known); err != nil {
			return err
		}
		for _, m := range known[len(done):] {
			if err := tx.apply(ctx, owner, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	return nil
}

// lockSchema waits for other migrations and makes the table of them. On SQLite
// the transaction itself is the lock.
func (tx *Tx) lockSchema(ctx context.Context) error {
	if tx.db.engine == PostgreSQL {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
	}
	return tx.script(ctx, migrationTable)
}

func (tx *Tx) apply(ctx context.Context, owner string, m migration) error {
	if err := tx.script(ctx, m.body); err != nil {
		return fmt.Errorf("%04d_%s: %w", m.version, m.name, err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO store_migration (owner, version, name, checksum, body, applied)
		VALUES ($1, $2, $3, $4, $5, $6)`, owner, m.version, m.name, m.checksum, m.body, Micros(time.Now()))
	return err
}

// script runs a text of several statements without arguments.
func (tx *Tx) script(ctx context.Context, text string) error {
	var err error
	if tx.lite != nil {
		_, err = tx.lite.conn.ExecContext(context.WithoutCancel(ctx), text)
	} else {
		_, err = tx.std.ExecContext(ctx, text)
	}
	return translate(err)
}

func appliedMigrations(ctx context.Context, q Querier, owner string) ([]migration, error) {
	return All(ctx, q, func(s Scanner) (m migration, err error) {
		err = s.Scan(&m.version, &m.name, &m.checksum, &m.body)
		return m, err
	}, "SELECT version, name, checksum, body FROM store_migration WHERE owner = $1 ORDER BY version", owner)
}

// comparable checks that what was applied is the beginning of what is known.
func comparable(owner string, done, known []migration) error {
	if len(done) > len(known) {
		return fmt.Errorf("%w: its tables are at version %d and this program knows %d; "+
			"run the newer program, or restore the backup taken before the upgrade", ErrNewerSchema, len(done), len(known))
	}
	for i, d := range done {
		if k := known[i]; d.version != k.version || d.checksum != k.checksum {
			return fmt.Errorf("%04d_%s was applied with another text than this program has for %04d_%s (%.8s, %.8s); "+
				"an applied migration must not change", d.version, d.name, k.version, k.name, d.checksum, k.checksum)
		}
	}
	return nil
}

func readMigrations(schema fs.FS) ([]migration, error) {
	if sub, err := fs.Stat(schema, "schema"); err == nil && sub.IsDir() {
		if schema, err = fs.Sub(schema, "schema"); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(schema, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []migration
	for i, name := range names {
		parts := migrationName.FindStringSubmatch(name)
		if parts == nil {
			return nil, fmt.Errorf("%s: want a name like 0001_create.sql", name)
		}
		version, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, fmt.Errorf("%s: want number %04d here", name, i+1)
		}
		body, err := fs.ReadFile(schema, name)
		if err != nil {
			return nil, err
		}
		text := strings.ReplaceAll(string(body), "\r\n", "\n") // a checkout on Windows is the same text
		sum := sha256.Sum256([]byte(text))
		all = append(all, migration{version, parts[2], hex.EncodeToString(sum[:]), text})
	}
	return all, nil
}
