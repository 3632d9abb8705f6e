// Package storetest runs a test on both engines of the store: on SQLite
// always, on PostgreSQL when its server programs are installed. The PostgreSQL
// server is a real one, started for the test binary in a temporary folder and
// stopped with it, however it ends.
package storetest

import (
	"testing"

	"parley/internal/store"
)

// Run runs test on a fresh, empty store of each engine, as the subtests
// "sqlite" and "postgresql". Without PostgreSQL the second is skipped, or
// fails when PARLEY_CI=1.
func Run(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgresql", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns a fresh SQLite store that is closed with the test.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, "sqlite:"+t.TempDir()+"/parley.db")
}

// Postgres returns a store on a fresh PostgreSQL database, which is dropped
// with the test.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	return open(t, PostgresDSN(t))
}

func open(t testing.TB, dsn string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return db
}
