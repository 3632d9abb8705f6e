package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TableCount is how many rows of a table were copied.
type TableCount struct {
	Table string
	Rows  int64
}

// Copy makes dst, which must be empty, a copy of src, on whichever engines the
// two are: it runs the migrations that src recorded, then copies table by
// table. It reads one unchanging picture of src and fills dst in one
// transaction, so dst is complete or still empty. Tables made outside of
// Migrate are not copied.
func Copy(ctx context.Context, dst, src *DB) ([]TableCount, error) {
	var report []TableCount
	err := src.View(ctx, func(from *Tx) error {
		return dst.Tx(ctx, func(to *Tx) (err error) {
			report, err = copyAll(ctx, to, from)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w", src, dst, err)
	}
	return report, nil
}

func copyAll(ctx context.Context, to, from *Tx) ([]TableCount, error) {
	if err := to.lockSchema(ctx); err != nil {
		return nil, err
	}
	if n, err := One(ctx, to, Value[int64], "SELECT count(*) FROM store_migration"); err != nil || n > 0 {
		return nil, errors.Join(err, errors.New("the target is not empty"))
	}
	if err := replay(ctx, to, from); err != nil {
		return nil, err
	}
	tables, err := tablesInOrder(ctx, to)
	if err != nil {
		return nil, err
	}
	for _, table := range slices.Backward(tables) { // rows that migrations put in
		if _, err := to.Exec(ctx, "DELETE FROM "+quote(table)); err != nil {
			return nil, err
		}
	}
	var report []TableCount
	for _, table := range tables {
		n, err := copyTable(ctx, to, from, table)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", table, err)
		}
		report = append(report, TableCount{table, n})
	}
	return report, nil
}

// replay runs the migrations recorded in from, in the order in which they were
// applied there.
func replay(ctx context.Context, to, from *Tx) error {
	type recorded struct {
		owner string
		migration
	}
	all, err := All(ctx, from, func(s Scanner) (r recorded, err error) {
		err = s.Scan(&r.owner, &r.version, &r.name, &r.checksum, &r.body)
		return r, err
	}, "SELECT owner, version, name, checksum, body FROM store_migration ORDER BY applied, owner, version")
	if err != nil {
		return fmt.Errorf("the source is not a store of Parley: %w", err)
	}
	for _, r := range all {
		if err := to.apply(ctx, r.owner, r.migration); err != nil {
			return fmt.Errorf("%s: %w", r.owner, err)
		}
	}
	return nil
}

// rowsPerInsert keeps a statement below 32,766 parameters, the least of the
// engines' limits, for tables of up to 160 columns.
const rowsPerInsert = 200

func copyTable(ctx context.Context, to, from *Tx, table string) (int64, error) {
	columns, err := columnsOf(ctx, to, table)
	if err != nil {
		return 0, err
	}
	var names []string
	for _, c := range columns {
		names = append(names, quote(c.name))
	}
	list := strings.Join(names, ", ")
	var copied int64
	pending := make([]any, 0, rowsPerInsert*len(columns))
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		_, err := to.Exec(ctx, insertRows(table, list, len(columns), len(pending)/len(columns)), pending...)
		pending = pending[:0]
		return err
	}
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	err = Each(ctx, from, func(s Scanner) error {
		if err := s.Scan(dest...); err != nil {
			return err
		}
		for i, v := range values {
			switch v := v.(type) {
			case int64:
				if columns[i].boolean { // how SQLite keeps them
					values[i] = v != 0
				}
			case nil, float64, bool, string, []byte:
			default:
				return fmt.Errorf("column %s holds a %T, which is not portable", columns[i].name, v)
			}
		}
		pending = append(pending, values...)
		copied++
		if len(pending) == cap(pending) {
			return flush()
		}
		return nil
	}, "SELECT "+list+" FROM "+quote(table))
	if err == nil {
		err = flush()
	}
	if err != nil {
		return 0, err
	}
	there, err := One(ctx, to, Value[int64], "SELECT count(*) FROM "+quote(table))
	if err == nil && there != copied {
		err = fmt.Errorf("%d rows were written and %d are there", copied, there)
	}
	return copied, err
}

func insertRows(table, list string, columns, rows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", quote(table), list)
	for r := range rows {
		if r > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for c := range columns {
			if c > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "$%d", r*columns+c+1)
		}
		b.WriteByte(')')
	}
	return b.String()
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// tablesInOrder lists the tables except the one of migrations, each after those
// it refers to.
func tablesInOrder(ctx context.Context, tx *Tx) ([]string, error) {
	text := `SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name`
	if tx.db.engine == PostgreSQL {
		text = `SELECT table_name::text FROM information_schema.tables
			WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1`
	}
	all, err := All(ctx, tx, Value[string], text)
	if err != nil {
		return nil, err
	}
	var ordered []string
	state := map[string]int{} // 1 being placed, 2 placed
	var place func(table string) error
	place = func(table string) error {
		if state[table] != 0 {
			return nil // placed, or refers to itself in a circle
		}
		state[table] = 1
		needs, err := referencesOf(ctx, tx, table)
		if err != nil {
			return err
		}
		for _, other := range needs {
			if err := place(other); err != nil {
				return err
			}
		}
		state[table] = 2
		ordered = append(ordered, table)
		return nil
	}
	for _, table := range all {
		if table == "store_migration" {
			continue
		}
		if err := place(table); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

func referencesOf(ctx context.Context, tx *Tx, table string) ([]string, error) {
	text := `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`
	if tx.db.engine == PostgreSQL {
		text = `SELECT DISTINCT other.relname::text FROM pg_constraint c
			JOIN pg_class own ON own.oid = c.conrelid JOIN pg_class other ON other.oid = c.confrelid
			WHERE c.contype = 'f' AND own.relname = $1 AND own.relnamespace = current_schema()::regnamespace`
	}
	return All(ctx, tx, Value[string], text, table)
}

type column struct {
	name    string
	boolean bool
}

func columnsOf(ctx context.Context, tx *Tx, table string) ([]column, error) {
	text := `SELECT name, type = 'BOOLEAN' FROM pragma_table_info($1) ORDER BY cid`
	if tx.db.engine == PostgreSQL {
		text = `SELECT column_name::text, data_type = 'boolean' FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`
	}
	return All(ctx, tx, func(s Scanner) (c column, err error) {
		err = s.Scan(&c.name, &c.boolean)
		return c, err
	}, text, table)
}
