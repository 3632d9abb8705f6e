package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = fstest.MapFS{"schema/0001_create.sql": {Data: []byte(`
	-- One table of each kind of column, and one that refers to it.
	CREATE TABLE thing (
		id      BIGINT PRIMARY KEY,
		name    TEXT NOT NULL UNIQUE,
		live    BOOLEAN NOT NULL,
		data    BYTEA,
		weight  DOUBLE PRECISION,
		version BIGINT NOT NULL CHECK (version > 0)
	);
	CREATE TABLE part (
		thing_id BIGINT NOT NULL REFERENCES thing (id) ON DELETE CASCADE,
		number   BIGINT NOT NULL,
		PRIMARY KEY (thing_id, number)
	);
	CREATE TABLE tag (
		thing_id BIGINT NOT NULL REFERENCES thing (id) ON DELETE RESTRICT,
		label    TEXT NOT NULL
	);
	CREATE UNIQUE INDEX tag_once ON tag (label) WHERE label <> '';
`)}}

const insertThing = `INSERT INTO thing (id, name, live, data, weight, version) VALUES ($1, $2, $3, $4, $5, 1)`

func migrated(t testing.TB, db *store.DB) *store.DB {
	t.Helper()
	if err := db.Migrate(t.Context(), "things", schema); err != nil {
		t.Fatal(err)
	}
	return db
}

func add(t testing.TB, q store.Querier, id int64, name string) {
	t.Helper()
	if _, err := q.Exec(t.Context(), insertThing, id, name, true, []byte{0, 1, 2}, 1.5); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, q store.Querier, table string) int64 {
	t.Helper()
	n, err := store.One(t.Context(), q, store.Value[int64], "SELECT count(*) FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestValuesComeBackAsTheyWent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		ctx := t.Context()
		// The placeholders appear out of order on purpose.
		_, err := db.Exec(ctx, `INSERT INTO thing (version, weight, data, live, name, id) VALUES ($6, $5, $4, $3, $2, $1)`,
			int64(1)<<62, "naïve 'quoted' $1 ?2", false, []byte("\x00\xff"), -0.25, 3)
		if err != nil {
			t.Fatal(err)
		}
		var id, version int64
		var name string
		var live bool
		var data []byte
		var weight float64
		row := db.QueryRow(ctx, `SELECT id, name, live, data, weight, version FROM thing WHERE name <> '$1' AND id = $1`, int64(1)<<62)
		if err := row.Scan(&id, &name, &live, &data, &weight, &version); err != nil {
			t.Fatal(err)
		}
		if id != 1<<62 || name != "naïve 'quoted' $1 ?2" || live || string(data) != "\x00\xff" || weight != -0.25 || version != 3 {
			t.Fatal(id, name, live, data, weight, version)
		}
	})
}

func TestErrorsHaveTheSameKindOnBothEngines(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		ctx := t.Context()
		add(t, db, 1, "one")
		add(t, db, 2, "two")
		for _, row := range []struct {
			say  string
			want error
			err  error
		}{
			{"a key twice", store.ErrConflict, execute(ctx, db, insertThing, 1, "other", true, nil, nil)},
			{"a unique column twice", store.ErrConflict, execute(ctx, db, insertThing, 3, "one", true, nil, nil)},
			{"a partial index", store.ErrConflict, errors.Join(
				execute(ctx, db, "INSERT INTO tag VALUES (1, $1)", ""), execute(ctx, db, "INSERT INTO tag VALUES (1, $1)", ""),
				execute(ctx, db, "INSERT INTO tag VALUES (1, $1)", "x"), execute(ctx, db, "INSERT INTO tag VALUES (1, $1)", "x"))},
			{"a reference to nothing", store.ErrReferenced, execute(ctx, db, "INSERT INTO part VALUES (99, 1)")},
			{"removing what is needed", store.ErrReferenced, execute(ctx, db, "DELETE FROM thing WHERE id = 1")},
			{"a null", store.ErrInvalid, execute(ctx, db, insertThing, 4, nil, true, nil, nil)},
			{"a check", store.ErrInvalid, execute(ctx, db, "UPDATE thing SET version = 0 WHERE id = 2")},
			{"no row", store.ErrNotFound, db.QueryRow(ctx, "SELECT name FROM thing WHERE id = $1", 77).Scan(new(string))},
			{"a stale version", store.ErrStale, store.Change(ctx, db,
				"UPDATE thing SET version = version + 1 WHERE id = $1 AND version = $2", 1, 7)},
			{"the current version", nil, store.Change(ctx, db,
				"UPDATE thing SET version = version + 1 WHERE id = $1 AND version = $2", 1, 1)},
		} {
			if !errors.Is(row.err, row.want) {
				t.Errorf("%s: got %v, want %v", row.say, row.err, row.want)
			}
		}
		if err := execute(ctx, db, "SELECT nonsense FROM thing"); err == nil || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a wrong statement: got %v", err)
		}
		if err := execute(ctx, db, `UPDATE thing SET name = "text in double quotes"`); err == nil {
			t.Error("text in double quotes was taken for a string")
		}
	})
}

func execute(ctx context.Context, q store.Querier, text string, args ...any) error {
	_, err := q.Exec(ctx, text, args...)
	return err
}

func TestTransactionIsKeptWholeOrNotAtAll(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		ctx := t.Context()
		boom := errors.New("boom")
		err := db.Tx(ctx, func(tx *store.Tx) error {
			add(t, tx, 1, "one")
			if n := count(t, tx, "thing"); n != 1 {
				t.Errorf("a transaction does not see its own write: %d", n)
			}
			if n := count(t, db, "thing"); n != 0 {
				t.Errorf("others see an unfinished transaction: %d", n)
			}
			return boom
		})
		if !errors.Is(err, boom) || count(t, db, "thing") != 0 {
			t.Fatalf("failed: %v, %d rows", err, count(t, db, "thing"))
		}
		func() {
			defer func() { recover() }()
			db.Tx(ctx, func(tx *store.Tx) error { add(t, tx, 1, "one"); panic("broken") })
		}()
		if n := count(t, db, "thing"); n != 0 {
			t.Fatalf("after a panic: %d rows", n)
		}
		cut, cancel := context.WithCancel(ctx)
		err = db.Tx(cut, func(tx *store.Tx) error { add(t, tx, 1, "one"); cancel(); return nil })
		if !errors.Is(err, context.Canceled) || count(t, db, "thing") != 0 {
			t.Fatalf("cancelled: %v, %d rows", err, count(t, db, "thing"))
		}
		if err = db.Tx(ctx, func(tx *store.Tx) error { add(t, tx, 1, "one"); return nil }); err != nil || count(t, db, "thing") != 1 {
			t.Fatalf("kept: %v, %d rows", err, count(t, db, "thing"))
		}
	})
}

func TestTryUndoesOnlyItsOwnPart(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		ctx := t.Context()
		err := db.Tx(ctx, func(tx *store.Tx) error {
			add(t, tx, 1, "one")
			err := tx.Try(ctx, func() error { return execute(ctx, tx, insertThing, 1, "again", true, nil, nil) })
			if !errors.Is(err, store.ErrConflict) {
				t.Errorf("got %v", err)
			}
			add(t, tx, 2, "two")
			return tx.Try(ctx, func() error { add(t, tx, 3, "three"); return nil })
		})
		if err != nil || count(t, db, "thing") != 3 {
			t.Fatalf("%v, %d rows", err, count(t, db, "thing"))
		}
	})
}

func TestRowsAreReadBeforeTheNextStatement(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		add(t, db, 1, "one")
		add(t, db, 2, "two")
		const text = "SELECT id FROM thing ORDER BY id"
		err := db.Tx(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Query(t.Context(), text)
			if err != nil {
				return err
			}
			rows.Next()
			if _, err := tx.Query(t.Context(), text); err == nil {
				t.Error("a second statement ran in the middle of a result")
			}
			if err := execute(t.Context(), tx, "DELETE FROM thing"); err == nil {
				t.Error("a write ran in the middle of a result")
			}
			rows.Close()
			return execute(t.Context(), tx, "DELETE FROM thing")
		})
		if err != nil || count(t, db, "thing") != 0 {
			t.Fatal(err)
		}
	})
}

func TestViewDoesNotMove(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		add(t, db, 1, "one")
		err := db.View(t.Context(), func(tx *store.Tx) error {
			before := count(t, tx, "thing")
			add(t, db, 2, "two")
			if after := count(t, tx, "thing"); after != before {
				t.Errorf("a view moved from %d to %d rows", before, after)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.View(t.Context(), func(tx *store.Tx) error { return execute(t.Context(), tx, "DELETE FROM thing") }); err == nil {
			t.Error("a view could write")
		}
	})
}

func TestRepeatableCountsRight(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		add(t, db, 1, "one")
		// Read, then write what was read plus one: lost updates would show.
		const workers, rounds = 4, 5
		var all sync.WaitGroup
		var done sync.Map
		for w := range workers {
			all.Go(func() {
				for r := range rounds {
					for {
						err := db.TxRepeatable(t.Context(), func(tx *store.Tx) error {
							v, err := store.One(t.Context(), tx, store.Value[int64], "SELECT version FROM thing WHERE id = 1")
							if err != nil {
								return err
							}
							return execute(t.Context(), tx, "UPDATE thing SET version = $1 WHERE id = 1", v+1)
						})
						if err == nil {
							done.Store([2]int{w, r}, true)
							break
						}
						if !errors.Is(err, store.ErrUnavailable) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		all.Wait()
		v, err := store.One(t.Context(), db, store.Value[int64], "SELECT version FROM thing WHERE id = 1")
		if err != nil || v != workers*rounds+1 {
			t.Fatalf("counted %d, want %d (%v)", v, workers*rounds+1, err)
		}
	})
}

func TestWritesShareATransactionAndFailAlone(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		const n = 500
		hold, held := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			db.Tx(t.Context(), func(*store.Tx) error { close(held); <-hold; return nil })
		})
		<-held // everything below waits in line, on SQLite
		var failed [n]error
		for i := range n {
			all.Go(func() {
				failed[i] = db.Write(t.Context(), func(tx *store.Tx) error {
					add(t, tx, int64(i+1), fmt.Sprint("thing ", i))
					switch i % 10 {
					case 3:
						return execute(t.Context(), tx, insertThing, i+1, "twice", true, nil, nil)
					case 7:
						return os.ErrInvalid
					}
					return nil
				})
			})
		}
		if db.Engine() == store.SQLite {
			for db.Stats().Waiting < n && db.Stats().Writes == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		close(hold)
		all.Wait()
		for i, err := range failed {
			want := map[int]error{3: store.ErrConflict, 7: os.ErrInvalid}[i%10]
			if !errors.Is(err, want) {
				t.Errorf("write %d: got %v, want %v", i, err, want)
			}
		}
		if got := count(t, db, "thing"); got != n*8/10 {
			t.Errorf("%d rows, want %d", got, n*8/10)
		}
		if s := db.Stats(); db.Engine() == store.SQLite && (s.Writes != n || s.Batches > n/50) {
			t.Errorf("%+v: the writes did not share transactions", s)
		}
	})
}

func TestWriteThatIsGivenUpInLineNeverRuns(t *testing.T) {
	db := migrated(t, storetest.SQLite(t))
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		db.Tx(t.Context(), func(*store.Tx) error { close(held); <-hold; return nil })
	})
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	var first, second error
	all.Go(func() {
		first = db.Write(ctx, func(tx *store.Tx) error { add(t, tx, 1, "one"); return nil })
	})
	for db.Stats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	for db.Stats().Waiting != 0 {
		time.Sleep(time.Millisecond)
	}
	all.Go(func() {
		second = db.Write(t.Context(), func(tx *store.Tx) error { add(t, tx, 2, "two"); panic("broken") })
	})
	close(hold)
	all.Wait()
	if !errors.Is(first, context.Canceled) || second == nil || count(t, db, "thing") != 0 {
		t.Fatalf("%v; %v; %d rows", first, second, count(t, db, "thing"))
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		migrated(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		for _, err := range []error{
			db.Ping(ctx), execute(ctx, db, "DELETE FROM thing"),
			db.Write(ctx, func(*store.Tx) error { return nil }),
			db.View(ctx, func(*store.Tx) error { return nil }),
			db.TxRepeatable(ctx, func(*store.Tx) error { return nil }),
		} {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestOpenRefusesWithASentence(t *testing.T) {
	dir := t.TempDir()
	for dsn, want := range map[string]string{
		"":                         "want sqlite:PATH or postgres://",
		"mysql://root:pw@host/x":   "want sqlite:PATH or postgres://",
		"sqlite:":                  "want the path of a file",
		"sqlite::memory:":          "want the path of a file",
		"sqlite:x?synchronous=1":   "want full or normal",
		"sqlite:x?readers=0":       "want a number from 1 to 64",
		"sqlite:x?cache=shared":    `unknown setting "cache"`,
		"sqlite:" + dir + "/a/b/c": "create the store",
		"postgres://u:secret@127.0.0.1:1/x?sslmode=disable":  "u:xxxxx@",
		"postgres://u:secret@127.0.0.1:1/x?pool_max_conns=z": "want a number from 2 to 1000",
		"postgres://u:secret@ 127.0.0.1:1/x":                 "not a URL",
	} {
		db, err := store.Open(t.Context(), dsn)
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", dsn)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v; want %q", dsn, err, want)
		}
	}
	if _, err := store.Open(t.Context(), "postgres://u@127.0.0.1:1/x?sslmode=disable"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a server that is not there: %v", err)
	}
}

func TestSQLiteFileIsPrivateAndOddNamesWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20#c.db")
	db, err := store.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	migrated(t, db)
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path+suffix, info.Mode())
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresWithAnotherOrderIsRefused(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := "latin_" + strings.ToLower(t.Name())[:8] + fmt.Sprint(os.Getpid())
	if _, err := db.Exec(t.Context(), "CREATE DATABASE "+other+" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		t.Fatal(err)
	}
	defer db.Exec(context.Background(), "DROP DATABASE "+other+" WITH (FORCE)")
	u, _ := url.Parse(dsn)
	u.Path = "/" + other
	_, err = store.Open(t.Context(), u.String())
	if err == nil || !strings.Contains(err.Error(), "CREATE DATABASE") {
		t.Fatalf("got %v", err)
	}
}

func TestLostConnectionIsUnavailableAndComesBack(t *testing.T) {
	db := migrated(t, storetest.Postgres(t))
	err := db.Tx(t.Context(), func(tx *store.Tx) error {
		add(t, tx, 1, "one")
		pid, err := store.One(t.Context(), tx, store.Value[int64], "SELECT pg_backend_pid()::bigint")
		if err != nil {
			return err
		}
		// Another session cuts this one off, as a restart of the server would.
		if err := db.QueryRow(t.Context(), "SELECT pg_terminate_backend($1::int)", pid).Scan(new(bool)); err != nil {
			return err
		}
		return execute(t.Context(), tx, "DELETE FROM thing")
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := count(t, db, "thing"); n != 0 {
		t.Errorf("%d rows were kept", n)
	}
	add(t, db, 1, "one")
}

func TestTwoProcessesShareTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley.db")
	one, err := store.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	migrated(t, one)
	two, err := store.Open(t.Context(), "sqlite:"+path) // as the command line beside the server
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	err = one.Tx(t.Context(), func(tx *store.Tx) error {
		add(t, tx, 1, "one")
		if n := count(t, two, "thing"); n != 0 {
			t.Errorf("the other process sees %d rows of an unfinished transaction", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	add(t, two, 2, "two") // the file is free again
	if n := count(t, one, "thing"); n != 2 {
		t.Errorf("%d rows", n)
	}
}
