// Package kamailio starts Kamailio as the peer of benchmarks, and as a known good server that tells a fault
// of a test from a fault of Parley.
package kamailio

import (
	"bytes"
	"context"
	"crypto/md5"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"parley/test/ca"
	"parley/test/phone"
)

//go:embed kamailio.cfg
var template string

// Options say how Kamailio runs. The zero value of a number means its default.
type Options struct {
	Domain      string
	Dir         string // for configuration, certificate and log; must exist
	Users       []phone.Account
	Children    int    // UDP worker processes; default 4
	TCPChildren int    // TCP and TLS worker processes; default 4
	SharedMiB   int    // shared memory; default 1024
	Touch       bool   // take all shared memory from the kernel at the start, and not while work is measured
	Allocator   string // -x and -X; default "tlsf": the packaged default makes calls two to three times dearer
	Presence    bool   // is a presence server too, in memory (Debian package kamailio-presence-modules)
	NAT         bool   // phones may name a contact that cannot be dialled, as real phones behind TCP and TLS do
	Addr        string // loopback address; default 127.0.0.1
	UDP, TCP    int    // ports; 0 means any free one
	TLS         int
}

// Server is a Kamailio that runs, in a process group of its own.
type Server struct {
	UDP, TCP, TLS netip.AddrPort
	Domain        string
	CAFile        string
	Ready         time.Duration // from exec to the first answer
	Command       string

	cmd  *exec.Cmd
	log  lockedBuffer
	done chan struct{}
}

// Version is what `kamailio -v` says in its first line.
func Version() (string, error) {
	b, err := exec.Command("kamailio", "-v").Output()
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimPrefix(line, "version: "), nil
}

// Start starts Kamailio and waits until it answers.
func Start(ctx context.Context, o Options) (*Server, error) {
	def := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
	}
	def(&o.Children, 4)
	def(&o.TCPChildren, 4)
	def(&o.SharedMiB, 1024)
	if o.Allocator == "" {
		o.Allocator = "tlsf"
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1"
	}
	for _, p := range []*int{&o.UDP, &o.TCP, &o.TLS} {
		if *p == 0 {
			n, err := freePort(o.Addr)
			if err != nil {
				return nil, err
			}
			*p = n
		}
	}
	at := func(port int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(o.Addr), uint16(port)) }
	s := &Server{
		UDP: at(o.UDP), TCP: at(o.TCP), TLS: at(o.TLS), Domain: o.Domain,
		CAFile: filepath.Join(o.Dir, "ca.pem"), done: make(chan struct{}),
	}
	if err := s.certificate(o); err != nil {
		return nil, err
	}
	var users strings.Builder
	for _, u := range o.Users {
		fmt.Fprintf(&users, "\t$sht(ha1=>%s) = \"%s\";\n", u.User, ha1(u))
	}
	if users.Len() == 0 {
		users.WriteString("\treturn;\n")
	}
	cfg := template
	for k, v := range map[string]string{
		"DOMAIN": o.Domain, "DIR": o.Dir, "USERS": users.String(),
		"TOUCH":    map[bool]string{true: "yes", false: "no"}[o.Touch],
		"CHILDREN": strconv.Itoa(o.Children), "TCPCHILDREN": strconv.Itoa(o.TCPChildren),
		"UDP": s.UDP.String(), "TCP": s.TCP.String(), "TLS": s.TLS.String(),
	} {
		cfg = strings.ReplaceAll(cfg, "<<"+k+">>", v)
	}
	file := filepath.Join(o.Dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		return nil, err
	}
	args := []string{"-f", file, "-DD", "-E", "-x", o.Allocator, "-X", o.Allocator, "-m", strconv.Itoa(o.SharedMiB), "-M", "64",
		"-Y", o.Dir, "-w", o.Dir}
	if o.NAT {
		args = append(args, "-A", "NAT")
	}
	if o.Presence {
		args = append(args, "-A", "PRESENCE")
		if err := tables(filepath.Join(o.Dir, "db")); err != nil {
			return nil, err
		}
	}
	s.Command = fmt.Sprintf("kamailio -x %s -X %s -m %d, children=%d, tcp_children=%d", o.Allocator, o.Allocator, o.SharedMiB, o.Children, o.TCPChildren)
	s.cmd = exec.Command("kamailio", args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.answers(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
	s.Ready = time.Since(begin)
	return s, nil
}

// Group is the process group, for procstat.
func (s *Server) Group() int { return s.cmd.Process.Pid }

// Log is what Kamailio wrote so far.
func (s *Server) Log() string { return s.log.String() }

// Stop ends every process of the group.
func (s *Server) Stop() {
	_ = syscall.Kill(-s.Group(), syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-s.Group(), syscall.SIGKILL)
		<-s.done
	}
	_ = syscall.Kill(-s.Group(), syscall.SIGKILL)
}

// answers returns when a probe over TCP is answered.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		p, err := phone.Dial(ctx, phone.Account{User: "probe", Domain: s.Domain}, "tcp", s.TCP.String(), nil)
		if err == nil {
			_, err = p.Final(ctx, p.Request("OPTIONS", "sip:probe@"+s.Domain, "sip:probe@"+s.Domain))
			p.Close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kamailio does not answer: %w", err)
		case <-s.done:
			return errors.New("kamailio ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) certificate(o Options) error {
	authority, err := ca.New("peer CA")
	if err != nil {
		return err
	}
	cert, key, err := authority.Issue(o.Domain, "sip."+o.Domain, o.Addr)
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"ca.pem": authority.PEM, "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(o.Dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tables makes the empty tables without which the presence server does not start.
func tables(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"version", "presentity", "active_watchers", "watchers", "xcap"} {
		b, err := os.ReadFile(filepath.Join("/usr/share/kamailio/dbtext/kamailio", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func ha1(u phone.Account) string {
	sum := md5.Sum([]byte(u.User + ":" + u.Domain + ":" + u.Password))
	return hex.EncodeToString(sum[:])
}

func freePort(addr string) (int, error) {
	l, err := net.Listen("tcp", addr+":0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lockedBuffer is written by the process and read by whoever asks.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
