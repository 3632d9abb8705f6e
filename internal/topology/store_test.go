package topology

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parley/internal/tomlfile"
)

func newStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	st, err := CreateStore(dir, Format(Single("example.test", "server.example.test")))
	if err != nil {
		t.Fatal(err)
	}
	return st, dir
}

func withDomain(s *Snapshot, d string) []byte {
	return []byte(strings.Replace(string(s.Text()), "domains = ['example.test']", "domains = ['example.test', '"+d+"']", 1))
}

func TestStoreApply(t *testing.T) {
	st, dir := newStore(t)
	if r := st.Current().Revision(); r != 1 {
		t.Fatalf("revision %d", r)
	}
	var seen []int64
	stop := st.Watch(func(old, new *Snapshot) { seen = append(seen, old.Revision(), new.Revision()) })
	s, err := st.Apply(withDomain(st.Current(), "example.org"), "second\ndomain", 1)
	if err != nil || s.Revision() != 2 || !st.Current().OwnDomain("example.org") {
		t.Fatalf("got %v, %v", s, err)
	}
	if s, err := st.Apply(s.Text(), "again", 0); err != nil || s.Revision() != 2 {
		t.Errorf("an unchanged text makes revision %d, %v", s.Revision(), err)
	}
	if _, err := st.Apply(withDomain(st.Current(), "x.test"), "", 1); !errors.Is(err, ErrStale) {
		t.Errorf("a change made from revision 1: %v", err)
	}
	stop()
	var invalid *InvalidError
	if _, err := st.Apply([]byte("version = 1\n"), "", 0); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "no SIP domain") {
		t.Errorf("an empty topology: %v", err)
	}
	var errs tomlfile.Errors
	if _, err := st.Apply([]byte("version = "), "", 0); !errors.As(err, &errs) {
		t.Errorf("a broken file: %v", err)
	}
	if len(seen) != 2 || seen[0] != 1 || seen[1] != 2 {
		t.Errorf("watcher saw %v", seen)
	}

	again, err := OpenStore(dir)
	if err != nil || again.Current().Revision() != 2 || again.Current().Hash() != st.Current().Hash() {
		t.Fatalf("reopened: %v", err)
	}
	history, err := again.History()
	if err != nil || len(history) != 2 || history[0].Number != 2 || history[0].Note != "second domain" || history[0].Time.IsZero() {
		t.Errorf("history %+v, %v", history, err)
	}
	if old, err := again.At(1); err != nil || old.OwnDomain("example.org") || old.Revision() != 1 {
		t.Errorf("revision 1: %v", err)
	}
	if _, err := again.At(9); err == nil {
		t.Error("a revision that does not exist was read")
	}
}

func TestStoreEditedByHand(t *testing.T) {
	st, dir := newStore(t)
	file := filepath.Join(dir, FileName)
	if changed, err := st.Refresh(); changed || err != nil {
		t.Fatalf("nothing was edited: %t, %v", changed, err)
	}
	write(t, file, withDomain(st.Current(), "example.org"))
	peeked, err := Peek(dir)
	if err != nil || peeked.Current().Revision() != 0 || !peeked.Current().OwnDomain("example.org") {
		t.Errorf("peeked at %v, %v", peeked, err)
	}
	if changed, err := st.Refresh(); !changed || err != nil || st.Current().Revision() != 2 {
		t.Fatalf("edited: %t, %v, revision %d", changed, err, st.Current().Revision())
	}
	write(t, file, []byte("domains = ['example.test']\npol = 1\n"))
	if _, err := st.Refresh(); err == nil || !strings.Contains(err.Error(), `unknown key "pol"`) {
		t.Errorf("broken edit: %v", err)
	}
	if st.Current().Revision() != 2 {
		t.Error("a broken edit took effect")
	}
	if _, err := OpenStore(dir); err == nil {
		t.Error("a store with a broken document was opened")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if again, err := OpenStore(dir); err != nil || again.Current().Revision() != 2 {
		t.Errorf("without the document: %v", err)
	}
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStoreNone(t *testing.T) {
	if _, err := OpenStore(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
	if _, err := Peek(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
	_, dir := newStore(t)
	if _, err := CreateStore(dir, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
}

// TestStoreTwoProcesses lets stores that do not know of each other change one directory at once: every
// revision number is given once, and the document is the newest revision in the end.
func TestStoreTwoProcesses(t *testing.T) {
	first, dir := newStore(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	given := map[int64]int{}
	for i := range 4 {
		wg.Go(func() {
			st, err := OpenStore(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for j := range 5 {
				s, err := st.Apply(withDomain(first.Current(), string(rune('a'+i))+string(rune('a'+j))+".test"), "", 0)
				if err != nil {
					t.Error(err)
					continue
				}
				mu.Lock()
				given[s.Revision()]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for r := int64(2); r <= 21; r++ {
		if given[r] != 1 {
			t.Errorf("revision %d was given %d times", r, given[r])
		}
	}
	// The document is that of the newest revision, not of a slower writer.
	if st, err := Peek(dir); err != nil || st.Current().Revision() != 21 {
		t.Errorf("the document is not the newest revision: %v", err)
	}
}
