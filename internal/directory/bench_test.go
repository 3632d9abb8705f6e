package directory

import (
	"fmt"
	"testing"

	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/store/storetest"
)

func crowd(n int) []NewUser {
	users := make([]NewUser, n)
	for i := range users {
		users[i] = NewUser{AOR: fmt.Sprintf("user%05d@example.test", i), Name: fmt.Sprintf("User %d", i),
			Password: fmt.Sprintf("secret-%d", i), Phones: []string{fmt.Sprintf("+1555%07d", i)}}
	}
	return users
}

// How long a node takes to know 80,000 users, on both engines.
func BenchmarkOpen80000(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.SQLite, "postgresql": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db, keys := open(b), keyring.New()
			d, err := Open(b.Context(), db, nil, keys, nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := d.AddDomain(b.Context(), "example.test"); err != nil {
				b.Fatal(err)
			}
			if err := d.AddAll(b.Context(), crowd(80_000)); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				d, err := Open(b.Context(), db, nil, keys, nil)
				if err != nil || d.Len() != 80_000 {
					b.Fatal(err, d.Len())
				}
				d.Close()
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	d := fresh(b, storetest.SQLite(b))
	if err := d.AddAll(b.Context(), crowd(20_000)); err != nil {
		b.Fatal(err)
	}
	name, realm := []byte("user01234"), []byte("example.test")
	b.Run("Login", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, ok := d.Login(name, realm, MD5); !ok {
					b.Error("not found")
				}
			}
		})
	})
	b.Run("ByNumber", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := d.ByNumber("+15550001234"); !ok {
				b.Error("not found")
			}
		}
	})
}
