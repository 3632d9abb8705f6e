// Package server builds Parley and runs it as a process of its own, the way an administrator would: init,
// serve, status --wait. Tests use it through parleytest; load and benchmark programs use it as it is.
//
// Ports stay those of the port table. Servers do not collide because each listens on a loopback address of
// its own (127.x.y.z); Linux has sixteen million of them.
package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"

	"parley/test/phone"
)

// Options say how a server is made.
type Options struct {
	Dir     string          // data directory, made by init; must not exist or be empty
	Domain  string          // default "example.test"
	Addr    netip.Addr      // loopback address; default: one that no other server of this machine has
	DSN     string          // store; default: SQLite in Dir
	Users   []phone.Account // added before Start returns
	Config  map[string]any  // merged into the node file: section name to keys
	Offset  int             // for ports below 1024
	Env     []string        // added to the environment of the server
	Args    []string        // added to `parley serve`
	Verbose bool            // log at level debug
}

// Server is a data directory and the process that serves it.
type Server struct {
	Dir, Domain string
	Addr        netip.Addr
	Binary      string
	Ready       time.Duration // from exec to the log line that says ready, of the last start

	env  []string
	args []string
	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	log  bytes.Buffer
}

var build struct {
	sync.Once
	path string
	err  error
}

// Binary builds cmd/parley once for this process and returns its path. PARLEY_BINARY names one that is
// built already.
func Binary(ctx context.Context) (string, error) {
	if p := os.Getenv("PARLEY_BINARY"); p != "" {
		return filepath.Abs(p)
	}
	build.Do(func() {
		dir, err := os.MkdirTemp("", "parley-test-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "parley")
		cmd := exec.CommandContext(ctx, "go", "build", "-o", build.path, "parley/cmd/parley")
		cmd.Dir = root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	return build.path, build.err
}

// CleanUp removes what Binary built. It is for TestMain and main functions.
func CleanUp() {
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
}

// root is the folder of the module.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

var nextAddr atomic.Uint32

// OwnAddr returns a loopback address that no other server of this process has, and that other processes are
// unlikely to have.
func OwnAddr() netip.Addr {
	n := uint32(os.Getpid())<<6 + nextAddr.Add(1)
	return netip.AddrFrom4([4]byte{127, 1 + byte(n>>16)%250, byte(n >> 8), 1 + byte(n)%250})
}

// Init makes the data directory and adds the users, without starting anything.
func Init(ctx context.Context, o Options) (*Server, error) {
	if o.Domain == "" {
		o.Domain = "example.test"
	}
	if !o.Addr.IsValid() {
		o.Addr = OwnAddr()
	}
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: o.Dir, Domain: o.Domain, Addr: o.Addr, Binary: binary, env: o.Env, args: o.Args}
	if err := os.MkdirAll(filepath.Dir(o.Dir), 0o700); err != nil {
		return nil, err
	}
	args := []string{"init", "--domain", o.Domain, "--address", o.Addr.String()}
	if o.Offset != 0 {
		args = append(args, "--offset", fmt.Sprint(o.Offset))
	}
	if _, err := s.CLI(ctx, "", args...); err != nil {
		return nil, err
	}
	change := map[string]any{"admin": map[string]any{"listen": "127.0.0.1:0"}}
	if o.DSN != "" {
		change["store"] = map[string]any{"dsn": o.DSN}
	}
	if o.Verbose {
		change["log"] = map[string]any{"level": "debug"}
	}
	for _, c := range []map[string]any{change, o.Config} {
		if err := s.Configure(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Start is Init and Serve, and adds the users.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := Init(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.Serve(ctx); err != nil {
		return nil, err
	}
	if err := s.AddUsers(ctx, o.Users); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// Configure merges keys into sections of the node file. A running server does not see it.
func (s *Server) Configure(sections map[string]any) error {
	if len(sections) == 0 {
		return nil
	}
	file := filepath.Join(s.Dir, "parley.toml")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	all := map[string]any{}
	if err := toml.Unmarshal(b, &all); err != nil {
		return err
	}
	for name, keys := range sections {
		section, _ := all[name].(map[string]any)
		if section == nil {
			section = map[string]any{}
			all[name] = section
		}
		for k, v := range keys.(map[string]any) {
			section[k] = v
		}
	}
	if b, err = toml.Marshal(all); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

// Serve starts the server and returns when every service is ready.
func (s *Server) Serve(ctx context.Context) error {
	cmd := exec.Command(s.Binary, append([]string{"serve", "--data", s.Dir}, s.args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), s.env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done, ready := make(chan struct{}), make(chan time.Duration, 1)
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	go func() {
		defer close(done)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.mu.Lock()
			s.log.Write(lines.Bytes())
			s.log.WriteByte('\n')
			s.mu.Unlock()
			if isReady(lines.Text()) {
				select {
				case ready <- time.Since(begin):
				default:
				}
			}
		}
		_ = cmd.Wait()
	}()
	if _, err := s.CLI(ctx, "", "status", "--wait", "60s"); err != nil {
		s.Kill()
		return fmt.Errorf("parley is not ready: %w\n%s", err, s.Log())
	}
	select {
	case s.Ready = <-ready:
	default:
		s.Ready = time.Since(begin)
	}
	return nil
}

// isReady recognises the log line that serve promises.
func isReady(line string) bool {
	return strings.Contains(line, "msg=ready") || strings.Contains(line, `"msg":"ready"`)
}

// Group is the process group of the running server, for procstat.
func (s *Server) Group() int { return s.cmd.Process.Pid }

// Running reports whether the process lives.
func (s *Server) Running() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Kill ends the server with SIGKILL, as a power cut would.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// Stop asks the server to drain and waits for it. The error says that it did not leave well.
func (s *Server) Stop() error {
	if s.cmd == nil || !s.Running() {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(90 * time.Second):
		s.Kill()
		return errors.New("parley did not stop on SIGTERM")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("parley ended with status %d\n%s", code, s.Log())
	}
	return nil
}

// Log is what the server wrote to standard error so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// CLI runs one verb on the data directory and returns its standard output.
func (s *Server) CLI(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Binary, append(args, "--data", s.Dir)...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("parley %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// At is the address of a transport that phones use: "udp", "tcp" or "tls".
func (s *Server) At(transport string) netip.AddrPort {
	if transport == "tls" {
		return netip.AddrPortFrom(s.Addr, 5061)
	}
	return netip.AddrPortFrom(s.Addr, 5060)
}

// CAFile is the certificate that phones trust.
func (s *Server) CAFile() string { return filepath.Join(s.Dir, "ca", "ca.crt") }

// TLS is the configuration of a client that trusts the server's CA and expects the name of its domain.
func (s *Server) TLS() (*tls.Config, error) {
	b, err := os.ReadFile(s.CAFile())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("no certificate in %s", s.CAFile())
	}
	return &tls.Config{RootCAs: pool, ServerName: "sip." + s.Domain}, nil
}
