package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Files below the data directory: the current document, and every revision there was.
const (
	FileName   = "topology.toml"
	historyDir = "topology"
)

// Errors of a Store.
var (
	// ErrNone says that the data directory has no topology.
	ErrNone = errors.New("there is no topology")
	// ErrStale says that the topology changed since the caller looked.
	ErrStale = errors.New("the topology has changed in the meantime")
)

// InvalidError says that a topology cannot be used. It lists warnings as well.
type InvalidError struct{ Problems []Problem }

// Error prints the failures, one a line.
func (e *InvalidError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		if p.Severity == Failure {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Store keeps the topology of a node: the current snapshot in memory, the document and its history on disk.
// A node needs nobody else to start from it. It is safe for concurrent use, also by several processes.
type Store struct {
	dir     string
	now     func() time.Time
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // held while changing
	watchers map[int]func(old, new *Snapshot)
	nextID   int
}

// Revision is one entry of the history.
type Revision struct {
	Number int64
	Time   time.Time
	Note   string
}

// OpenStore reads the topology of a data directory. When topology.toml was edited since the last revision,
// the edited text becomes a revision, provided that it is valid. The error is ErrNone when there is no
// topology, a tomlfile.Errors when it does not parse, and an *InvalidError when it cannot be used.
func OpenStore(dataDir string) (*Store, error) {
	st := &Store{dir: dataDir, now: time.Now, watchers: map[int]func(old, new *Snapshot){}}
	if _, err := st.Refresh(); err != nil {
		return nil, err
	}
	return st, nil
}

// Peek reads the topology of a data directory without changing anything there: for looking at the directory
// of a node that may be running. An edited topology.toml that is no revision yet has revision 0. History and
// At can be called on the returned store; it must not be changed.
func Peek(dataDir string) (*Store, error) {
	st := &Store{dir: dataDir, now: time.Now}
	text, err := os.ReadFile(filepath.Join(dataDir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	s, err := Parse(filepath.Join(dataDir, FileName), text)
	if err != nil {
		return nil, err
	}
	last, err := st.last()
	if err != nil {
		return nil, err
	}
	if last > 0 {
		stored, err := st.read(last)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(stored, text) {
			s.revision = last
		}
	}
	st.current.Store(s)
	return st, nil
}

// CreateStore writes the first revision into a data directory that has none; otherwise the error wraps
// fs.ErrExist.
func CreateStore(dataDir string, text []byte) (*Store, error) {
	for _, name := range []string{FileName, historyDir} {
		if _, err := os.Stat(filepath.Join(dataDir, name)); err == nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dataDir, name), fs.ErrExist)
		}
	}
	st := &Store{dir: dataDir, now: time.Now, watchers: map[int]func(old, new *Snapshot){}}
	st.mu.Lock()
	defer st.mu.Unlock()
	unlock, err := st.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := st.apply(text, "first revision", 0); err != nil {
		return nil, err
	}
	return st, nil
}

// Current is the snapshot in use. It is a Source.
func (st *Store) Current() *Snapshot { return st.current.Load() }

// Watch calls fn after each change, one call at a time, until the returned function is called. Fn must not
// change the store.
func (st *Store) Watch(fn func(old, new *Snapshot)) (stop func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	id := st.nextID
	st.nextID++
	st.watchers[id] = fn
	return func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		delete(st.watchers, id)
	}
}

// Apply makes text the topology. Base is the revision that the caller's text was made from, or 0 for any;
// when it is not the current one, the error is ErrStale. The returned snapshot is the current one afterwards:
// with an unchanged text nothing happens. A text that cannot be used changes nothing.
func (st *Store) Apply(text []byte, note string, base int64) (*Snapshot, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	unlock, err := st.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	last, err := st.last()
	if err != nil {
		return nil, err
	}
	if base != 0 && last != base {
		return nil, fmt.Errorf("%w: it is at revision %d, this change was made from %d", ErrStale, last, base)
	}
	return st.apply(text, note, last)
}

// Refresh takes up an edited topology.toml. It reports whether the topology changed. On an error the current
// snapshot stays in use.
func (st *Store) Refresh() (changed bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	unlock, err := st.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	last, err := st.last()
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(filepath.Join(st.dir, FileName))
	switch {
	case errors.Is(err, fs.ErrNotExist) && last == 0:
		return false, ErrNone
	case errors.Is(err, fs.ErrNotExist):
		if text, err = st.read(last); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	}
	before := st.current.Load()
	if last > 0 {
		stored, err := st.read(last)
		if err != nil {
			return false, err
		}
		if bytes.Equal(stored, text) {
			if before != nil && before.revision == last {
				return false, nil
			}
			s, err := st.check(text)
			if err != nil {
				return false, err
			}
			s.revision = last
			st.swap(s)
			return true, nil
		}
	}
	_, err = st.apply(text, "edited by hand", last)
	return err == nil, err
}

// lock keeps other processes from changing the directory.
func (st *Store) lock() (unlock func(), err error) { return lockDir(st.dir) }

// apply validates, writes and swaps. The caller holds both locks; last is the newest revision on disk.
func (st *Store) apply(text []byte, note string, last int64) (*Snapshot, error) {
	s, err := st.check(text)
	if err != nil {
		return nil, err
	}
	if cur := st.current.Load(); cur != nil && cur.revision == last && bytes.Equal(cur.text, text) {
		return cur, nil
	}
	s.revision = last + 1
	if err := st.write(s, note); err != nil {
		return nil, fmt.Errorf("store topology: %w", err)
	}
	st.swap(s)
	return s, nil
}

func (st *Store) check(text []byte) (*Snapshot, error) {
	s, err := Parse(filepath.Join(st.dir, FileName), text)
	if err != nil {
		return nil, err
	}
	if problems := s.Validate(); Failed(problems) {
		return nil, &InvalidError{problems}
	}
	return s, nil
}

func (st *Store) swap(s *Snapshot) {
	old := st.current.Swap(s)
	for id := range st.nextID {
		if fn := st.watchers[id]; fn != nil {
			fn(old, s)
		}
	}
}

// History lists the revisions, the newest first.
func (st *Store) History() ([]Revision, error) {
	entries, err := os.ReadDir(filepath.Join(st.dir, historyDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []Revision
	for _, e := range entries {
		n, ok := revisionOf(e.Name())
		if !ok {
			continue
		}
		data, err := os.ReadFile(filepath.Join(st.dir, historyDir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, header(n, data))
	}
	slices.SortFunc(out, func(a, b Revision) int { return int(b.Number - a.Number) })
	return out, nil
}

// At is the snapshot of an earlier revision.
func (st *Store) At(revision int64) (*Snapshot, error) {
	text, err := st.read(revision)
	if err != nil {
		return nil, err
	}
	s, err := Parse(fmt.Sprintf("revision %d", revision), text)
	if err != nil {
		return nil, err
	}
	s.revision = revision
	return s, nil
}

// A file of the history begins with one comment line that says when and why; the text follows unchanged.
const headerMark = "#: "

func (st *Store) write(s *Snapshot, note string) error {
	dir := filepath.Join(st.dir, historyDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	note = strings.Join(strings.Fields(note), " ")
	data := append([]byte(headerMark+st.now().UTC().Format(time.RFC3339)+" "+note+"\n"), s.text...)
	tmp, err := writeTemp(dir, data)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A link fails when the number is taken. Where directories cannot be locked, another process was faster.
	if err := os.Link(tmp, st.path(s.revision)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrStale
		}
		return err
	}
	if tmp, err = writeTemp(st.dir, s.text); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(st.dir, FileName))
}

// writeTemp writes a new file that is on disk when the function returns.
func writeTemp(dir string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	return f.Name(), err
}

func (st *Store) path(revision int64) string {
	return filepath.Join(st.dir, historyDir, fmt.Sprintf("%06d.toml", revision))
}

// read returns the text of a revision without the line that the store put before it.
func (st *Store) read(revision int64) ([]byte, error) {
	data, err := os.ReadFile(st.path(revision))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no revision %d of the topology", revision)
	}
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, []byte(headerMark)) {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return data, nil
}

func header(n int64, data []byte) Revision {
	r := Revision{Number: n}
	line, _, _ := strings.Cut(string(data), "\n")
	if rest, ok := strings.CutPrefix(line, headerMark); ok {
		when, note, _ := strings.Cut(rest, " ")
		r.Time, _ = time.Parse(time.RFC3339, when)
		r.Note = note
	}
	return r
}

func revisionOf(name string) (int64, bool) {
	base, ok := strings.CutSuffix(name, ".toml")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(base, 10, 64)
	return n, err == nil && n > 0
}

// last is the highest revision on disk, 0 when there is none.
func (st *Store) last() (int64, error) {
	entries, err := os.ReadDir(filepath.Join(st.dir, historyDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var last int64
	for _, e := range entries {
		if n, ok := revisionOf(e.Name()); ok {
			last = max(last, n)
		}
	}
	return last, nil
}
