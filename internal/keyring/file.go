package keyring

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// FileName is the customary name of the key file in a data directory.
const FileName = "keyring"

const fileHead = `# Keys that seal the secrets in Parley's database. Keep a copy apart from the
# database backups: without it every password must be set anew. One key a line,
# oldest first; the last one seals.
`

// Create makes the file at path with one fresh key. It never replaces a file:
// an existing one is fs.ErrExist.
func Create(path string) (*Keyring, error) {
	k := New()
	k.path = path
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the keyring: %w", err)
	}
	f.Close()
	if err := k.save(); err != nil {
		return nil, err
	}
	return k, nil
}

// Open reads the file at path. It refuses one that other users may read.
func Open(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the keyring: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" { // there the mode says nothing
		return nil, fmt.Errorf("open the keyring: %s has mode %04o and others may read it; chmod 600, and if they may have, rotate the keys", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open the keyring: %w", err)
	}
	k := &Keyring{path: path, keys: map[KeyID]*key{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := k.parse(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if len(k.order) == 0 {
		return nil, fmt.Errorf("open the keyring: %s holds no key; restore it from its copy", path)
	}
	return k, nil
}

// OpenOrCreate opens the file at path, or creates it when there is none. It is
// for the first start of a node; a lost file of a node with users must be
// restored, and directory.Open says so.
func OpenOrCreate(path string) (*Keyring, error) {
	k, err := Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Create(path)
	}
	return k, err
}

// Rotate adds a fresh key, which seals from now on, and saves the file. The
// old keys stay for opening.
func (k *Keyring) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.current
	k.add(fresh())
	if err := k.save(); err != nil {
		delete(k.keys, k.current)
		k.order = k.order[:len(k.order)-1]
		k.current = before
		return err
	}
	return nil
}

func (k *Keyring) parse(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return errors.New("want a key id and a key") // never quote the line
	}
	id, err := strconv.ParseUint(fields[0], 16, 32)
	if err != nil {
		return errors.New("the key id is not a hexadecimal number of 32 bits")
	}
	secret, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil || len(secret) != 32 {
		return errors.New("the key is not 32 bytes in base64")
	}
	if _, twice := k.keys[KeyID(id)]; twice {
		return fmt.Errorf("key %08x is there twice", id)
	}
	k.add(KeyID(id), secret)
	return nil
}

// save replaces the file whole, so that a crash leaves the old or the new one.
// The caller holds the lock or is alone.
func (k *Keyring) save() error {
	if k.path == "" {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(fileHead)
	for _, id := range k.order {
		fmt.Fprintf(&b, "%s %s\n", id, base64.StdEncoding.EncodeToString(k.keys[id].secret))
	}
	dir := filepath.Dir(k.path)
	f, err := os.CreateTemp(dir, ".keyring-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save the keyring: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		return fmt.Errorf("save the keyring: %w", err)
	}
	if d, err := os.Open(dir); err == nil {
		d.Sync() // the rename itself; not every system can
		d.Close()
	}
	return nil
}
