package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

func filled(t *testing.T, db *store.DB) *store.DB {
	t.Helper()
	migrated(t, db)
	seeded := files("0001_seed.sql", `CREATE TABLE a_needs_thing (
			id BIGINT PRIMARY KEY, thing_id BIGINT REFERENCES thing (id), note TEXT);
		CREATE TABLE seed (id BIGINT PRIMARY KEY); INSERT INTO seed VALUES (1);`)
	if err := db.Migrate(t.Context(), "seeds", seeded); err != nil {
		t.Fatal(err)
	}
	err := db.Tx(t.Context(), func(tx *store.Tx) error {
		for i := range int64(1000) {
			add(t, tx, i, fmt.Sprint("thing ", i))
			if err := execute(t.Context(), tx, "INSERT INTO part VALUES ($1, 1)", i); err != nil {
				return err
			}
		}
		return execute(t.Context(), tx, "INSERT INTO a_needs_thing VALUES (1, 5, NULL)")
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// same compares what matters: rows, kinds of values, and that the rules hold.
func same(t *testing.T, db *store.DB) {
	t.Helper()
	for table, want := range map[string]int64{"thing": 1000, "part": 1000, "a_needs_thing": 1, "seed": 1, "tag": 0} {
		if n := count(t, db, table); n != want {
			t.Errorf("%s: %d rows, want %d", table, n, want)
		}
	}
	var live bool
	var data []byte
	var weight float64
	row := db.QueryRow(t.Context(), "SELECT live, data, weight FROM thing WHERE live AND id = $1", 999)
	if err := row.Scan(&live, &data, &weight); err != nil || !live || !bytes.Equal(data, []byte{0, 1, 2}) || weight != 1.5 {
		t.Error(err, live, data, weight)
	}
	if err := execute(t.Context(), db, "INSERT INTO part VALUES (4000, 1)"); err == nil {
		t.Error("the copy has lost its foreign keys")
	}
	if err := db.Migrate(t.Context(), "things", schema); err != nil {
		t.Error("the copy does not know its migrations:", err)
	}
}

func TestBackupComesBackOnEitherEngine(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		filled(t, db)
		dir := t.TempDir()
		backup := filepath.Join(dir, "backup")
		if err := db.Backup(t.Context(), backup); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(backup)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(err, info.Mode())
		}
		before, _ := os.ReadFile(backup)
		if err := db.Backup(t.Context(), backup); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("over an old backup: %v", err)
		}
		for _, dsn := range []string{"sqlite:" + filepath.Join(dir, "restored"), storetest.PostgresDSN(t)} {
			if err := store.Restore(t.Context(), dsn, backup); err != nil {
				t.Fatal(err)
			}
			if err := store.Restore(t.Context(), dsn, backup); err == nil {
				t.Error("restored over what was there")
			}
			restored, err := store.Open(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			same(t, restored)
			restored.Close()
		}
		after, _ := os.ReadFile(backup)
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		if !bytes.Equal(before, after) || len(names) != 2 {
			t.Errorf("restoring changed the backup, or left files: %v", names)
		}
	})
}

func TestMoveToTheOtherEngineAndBack(t *testing.T) {
	dir := t.TempDir()
	first, second, third := "sqlite:"+dir+"/first", storetest.PostgresDSN(t), "sqlite:"+dir+"/third"
	db, err := store.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	filled(t, db)
	db.Close()
	for _, step := range [][2]string{{first, second}, {second, third}} {
		report, err := store.Move(t.Context(), step[0], step[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(report); got != "[{thing 1000} {a_needs_thing 1} {part 1000} {seed 1} {tag 0}]" {
			t.Error(got)
		}
		db, err := store.Open(t.Context(), step[1])
		if err != nil {
			t.Fatal(err)
		}
		same(t, db)
		db.Close()
	}
	if _, err := store.Move(t.Context(), first, third); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a full store: %v", err)
	}
}

func TestBackupOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600)
	for _, path := range []string{text, filepath.Join(dir, "missing")} {
		if err := store.Restore(t.Context(), "sqlite:"+dir+"/new", path); err == nil {
			t.Errorf("%s was restored", path)
		}
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("a refused restore left a file")
	}
}
