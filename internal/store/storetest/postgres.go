package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// AdminDSN is the environment variable with the address of a database (UTF-8,
// C collation) in which tests may create schemas. Without it a server is
// started.
const AdminDSN = "PARLEY_TEST_POSTGRES"

// server is the one server of this test binary: the address of its database
// "postgres".
var server = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv(AdminDSN); dsn != "" {
		return dsn, nil
	}
	return startPostgres()
})

var errNoPostgres = errors.New("no PostgreSQL server programs (Debian package postgresql) and no " + AdminDSN)

// PostgresDSN returns the address of an empty PostgreSQL store, dropped with
// the test. It is a schema of its own in one database, which costs
// milliseconds where a database of its own costs a second.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	admin, err := server()
	if errors.Is(err, errNoPostgres) && os.Getenv("PARLEY_CI") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(rand.Text())
	if err := admins(t.Context(), admin, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admins(context.Background(), admin, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Errorf("drop the test's schema: %v", err)
		}
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

func admins(ctx context.Context, dsn, statement string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}

// startPostgres makes a cluster in a temporary folder and starts its server.
//
// The server's life hangs on a pipe: a shell reads it and stops the server at
// its end, which comes when this process ends, also when it is killed. So no
// test needs to remember to stop it. PostgreSQL refuses to run as root; then
// everything runs as the user postgres.
func startPostgres() (dsn string, err error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "parley-postgres-")
	if err != nil {
		return "", err
	}
	prefix, err := unprivileged(dir)
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	password := rand.Text()
	script := `
		cd "$1" || exit 1
		umask 077
		printf %s "$4" > password
		"$2/initdb" -D data -U parley -A scram-sha-256 --pwfile=password -E UTF8 --locale=C -N >log 2>&1 || exit 1
		"$2/postgres" -D data -k "$1" -p "$3" -c listen_addresses=127.0.0.1 -c fsync=off \
			-c full_page_writes=off -c max_connections=200 -c shared_buffers=32MB >>log 2>&1 &
		server=$!
		cat >/dev/null
		kill -INT $server
		wait $server
		cd / && rm -rf "$1"`
	args := append(prefix, "sh", "-c", script, "sh", dir, bin, strconv.Itoa(port), password)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	if _, err := cmd.StdinPipe(); err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	keep = cmd // its end of the pipe must live as long as the process

	u := url.URL{Scheme: "postgres", User: url.UserPassword("parley", password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres", RawQuery: "sslmode=disable"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if err = admins(ctx, u.String(), "SELECT 1"); err == nil {
			return u.String(), nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return "", fmt.Errorf("PostgreSQL did not start: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var keep *exec.Cmd

// binaries finds initdb and postgres, on the PATH or where Debian puts them,
// the newest version first.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// unprivileged gives dir to the user that the server will run as and returns
// the command that changes to it; nothing when we are not root.
func unprivileged(dir string) ([]string, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups"}, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
