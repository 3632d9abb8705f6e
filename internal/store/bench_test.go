package store_test

import (
	"sync/atomic"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

// The two ways to write, by how safe a commit is and how many write at a time.
func BenchmarkSQLiteWrite(b *testing.B) {
	for _, sync := range []string{"full", "normal"} {
		for _, writers := range []int{1, 64} {
			for _, way := range []string{"Tx", "Write"} {
				b.Run(sync+"/"+way+"/"+map[int]string{1: "1writer", 64: "64writers"}[writers], func(b *testing.B) {
					db, err := store.Open(b.Context(), "sqlite:"+b.TempDir()+"/parley.db?synchronous="+sync)
					if err != nil {
						b.Fatal(err)
					}
					defer db.Close()
					migrated(b, db)
					run := db.Tx
					if way == "Write" {
						run = db.Write
					}
					var next atomic.Int64
					b.SetParallelism(writers/2 + writers%2)
					if writers == 1 {
						b.SetParallelism(1)
					}
					b.ReportAllocs()
					b.ResetTimer()
					work := func() {
						id := next.Add(1)
						if err := run(b.Context(), func(tx *store.Tx) error {
							_, err := tx.Exec(b.Context(), "INSERT INTO part VALUES (1, $1)", id)
							return err
						}); err != nil {
							b.Error(err)
						}
					}
					add(b, db, 1, "one")
					if writers == 1 {
						for b.Loop() {
							work()
						}
						return
					}
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							work()
						}
					})
				})
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	db := migrated(b, storetest.SQLite(b))
	add(b, db, 1, "one")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.One(b.Context(), db, store.Value[string], "SELECT name FROM thing WHERE id = $1", 1); err != nil {
			b.Fatal(err)
		}
	}
}
