//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package node

import (
	"errors"
	"os"
	"path/filepath"
)

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked")

// lock takes the lock of a data directory. On this system an open file cannot
// be removed, which is what holds the lock.
func lock(dir string) (unlock func(), err error) {
	name := filepath.Join(dir, "parley.lock")
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errLocked
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errLocked
	}
	return func() { f.Close(); os.Remove(name) }, nil
}
