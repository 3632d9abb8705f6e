package adminapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is what fits into sockaddr_un on every system we know,
// including the terminating zero.
const maxSocketPath = 103

// socketPath returns a name for the socket that the system accepts. done
// releases what the name stands on; the socket itself is not touched.
func socketPath(path string) (name string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	name = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(name)); err != nil {
		dir.Close()
		return "", nil, fmt.Errorf("%s: path is too long for a unix socket", path)
	}
	return name, func() { dir.Close() }, nil
}

// listenSocket opens the admin socket with mode 0600. A socket left behind by
// a server that was killed is replaced; the caller holds the lock of the data
// directory, so nobody else can be using it.
func listenSocket(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	name, done, err := socketPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	// The data directory has mode 0700, so nobody can connect between the
	// two steps either.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by our own name instead: name may be gone by then
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
