package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"parley/internal/store"
)

// TestAcceptedWritesSurviveAKill starts this test binary again as a writer,
// kills it in the middle of its work and looks for every write that it had
// reported as done.
func TestAcceptedWritesSurviveAKill(t *testing.T) {
	const dsnVar, enough = "PARLEY_STORE_KILL_TEST", 2000
	if dsn := os.Getenv(dsnVar); dsn != "" {
		writeForever(dsn)
	}
	dsn := "sqlite:" + t.TempDir() + "/parley.db"
	cmd := exec.Command(os.Args[0], "-test.run=^TestAcceptedWritesSurviveAKill$")
	cmd.Env = append(os.Environ(), dsnVar+"="+dsn)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var accepted []int64
	for lines := bufio.NewScanner(out); lines.Scan(); {
		id, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			t.Error("writer:", lines.Text())
			continue
		}
		accepted = append(accepted, id)
		if len(accepted) == enough {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if len(accepted) < enough {
		t.Fatalf("the writer ended by itself after %d", len(accepted))
	}
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kept := map[int64]bool{}
	if err := store.Each(t.Context(), db, func(s store.Scanner) error {
		id, err := store.Value[int64](s)
		kept[id] = true
		return err
	}, "SELECT id FROM thing"); err != nil {
		t.Fatal(err)
	}
	for _, id := range accepted {
		if !kept[id] {
			t.Fatalf("write %d was accepted and is lost", id)
		}
	}
	t.Logf("%d accepted, %d kept", len(accepted), len(kept))
}

func writeForever(dsn string) {
	ctx := context.Background()
	db, err := store.Open(ctx, dsn)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if err := db.Migrate(ctx, "things", schema); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var out sync.Mutex
	for w := range int64(64) {
		go func() {
			for i := int64(0); ; i++ {
				id := w<<32 + i
				err := db.Write(ctx, func(tx *store.Tx) error {
					_, err := tx.Exec(ctx, insertThing, id, fmt.Sprint(id), true, nil, nil)
					return err
				})
				out.Lock()
				if err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	select {}
}
