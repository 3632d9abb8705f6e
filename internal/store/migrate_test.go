package store_test

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

func files(texts ...string) fs.FS {
	m := fstest.MapFS{}
	for i := 0; i < len(texts); i += 2 {
		m[texts[i]] = &fstest.MapFile{Data: []byte(texts[i+1])}
	}
	return m
}

const (
	first  = "CREATE TABLE a (id BIGINT PRIMARY KEY);"
	second = "ALTER TABLE a ADD COLUMN note TEXT; CREATE INDEX a_note ON a (note); INSERT INTO a VALUES (1, 'x;y');"
)

func TestMigrationsRunOnceAndInOrder(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		one := files("0001_a.sql", first)
		both := files("schema/0001_a.sql", strings.ReplaceAll(first, "\n", "\r\n"), "schema/0002_note.sql", second)
		for _, step := range []fs.FS{one, one, both, both} {
			if err := db.Migrate(ctx, "svc", step); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, db, "a WHERE note = 'x;y'"); n != 1 {
			t.Fatalf("%d rows", n)
		}
		err := db.Migrate(ctx, "svc", one)
		if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "version 2 and this program knows 1") {
			t.Errorf("an older program: %v", err)
		}
		err = db.Migrate(ctx, "svc", files("0001_a.sql", first+" ", "0002_note.sql", second))
		if err == nil || !strings.Contains(err.Error(), "must not change") {
			t.Errorf("a changed text: %v", err)
		}
		if err := db.Migrate(ctx, "other", files("0001_b.sql", "CREATE TABLE b (id BIGINT PRIMARY KEY)")); err != nil {
			t.Errorf("another owner: %v", err)
		}
	})
}

func TestMigrationThatFailsLeavesNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		err := db.Migrate(t.Context(), "svc", files("0001_a.sql", first, "0002_bad.sql", "CREATE TABLE c (id BIGINT); nonsense"))
		if err == nil || !strings.Contains(err.Error(), "0002_bad") {
			t.Fatalf("got %v", err)
		}
		for _, table := range []string{"a", "c"} {
			if err := execute(t.Context(), db, "SELECT * FROM "+table); err == nil {
				t.Errorf("table %s was left behind", table)
			}
		}
		if err := db.Migrate(t.Context(), "svc", files("0001_a.sql", first)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMigrationNamesAreChecked(t *testing.T) {
	db := storetest.SQLite(t)
	for _, row := range []struct {
		owner string
		files fs.FS
		want  string
	}{
		{"svc", files("0002_a.sql", first), "want number 0001"},
		{"svc", files("0001_a.sql", first, "0001_b.sql", first), "want number 0002"},
		{"svc", files("1_a.sql", first), "want a name like"},
		{"Svc", files("0001_a.sql", first), "no name for the owner"},
	} {
		if err := db.Migrate(t.Context(), row.owner, row.files); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %q", err, row.want)
		}
	}
}

func TestNodesMigrateOneAfterTheOther(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := db.Migrate(t.Context(), "svc", files("0001_a.sql", first, "0002_note.sql", second)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := count(t, db, "a"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}
