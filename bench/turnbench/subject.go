package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"parley/test/server"
)

// Both take credentials of the customary form, made with one secret.
const (
	secret = "a secret of the benchmark"
	realm  = "example.test"
)

// subject is a relay to be measured. It is started afresh for each run.
type subject struct {
	name, version, command string
	start                  func(ctx context.Context) (*running, error)
}

// running is a relay that is up, in a process group of its own.
type running struct {
	group int
	at    netip.AddrPort
	stop  func() error
}

func newSubject(ctx context.Context, name string) (*subject, error) {
	switch name {
	case "parley":
		if _, err := server.Binary(ctx); err != nil {
			return nil, err
		}
		return &subject{name, runtime.Version(), "a complete server, with the bounds on bandwidth off", startParley}, nil
	case "coturn":
		out, err := exec.Command("turnserver", "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("turnserver (Debian package coturn): %w", err)
		}
		lines := strings.Fields(string(out))
		return &subject{name, lines[len(lines)-1], "turnserver " + strings.Join(coturnArgs("ADDRESS"), " "), startCoturn}, nil
	}
	return nil, fmt.Errorf("subject %q: want parley or coturn", name)
}

// threads is the setting of Parley's relay of that name.
var threads int

func startParley(ctx context.Context) (*running, error) {
	dir, err := os.MkdirTemp("", "turnbench-")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*running, error) {
		os.RemoveAll(dir)
		return nil, err
	}
	s, err := server.Init(ctx, server.Options{Dir: filepath.Join(dir, "data"),
		Config: map[string]any{"avedge": map[string]any{"secret": secret, "port-rate": 0, "user-rate": 0, "per-user": 4000, "threads": threads}}})
	if err != nil {
		return fail(err)
	}
	file := filepath.Join(s.Dir, "topology.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		return fail(err)
	}
	before, after, ok := strings.Cut(string(text), "[[pool.server]]")
	if !ok {
		return fail(errors.New("no server in the topology"))
	}
	text = []byte(before + "[pool.edge-settings]\nrelay-peers = [\"127.0.0.0/8\"]\n\n[[pool.server]]" + after)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fail(err)
	}
	if err := s.Serve(ctx); err != nil {
		return fail(err)
	}
	return &running{group: s.Group(), at: netip.AddrPortFrom(s.Addr, 3478), stop: func() error {
		return errors.Join(s.Stop(), os.RemoveAll(dir))
	}}, nil
}

func coturnArgs(address string) []string {
	return []string{"-n", "--use-auth-secret", "--static-auth-secret=SECRET", "--realm=" + realm, "--listening-ip=" + address, "--relay-ip=" + address,
		"--listening-port=3478", "--min-port=50000", "--max-port=59999", "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers",
		"--log-file=stdout", "--simple-log", "--pidfile="}
}

func startCoturn(ctx context.Context) (*running, error) {
	at := netip.AddrPortFrom(server.OwnAddr(), 3478)
	var args []string
	for _, a := range coturnArgs(at.Addr().String()) {
		args = append(args, strings.Replace(a, "=SECRET", "="+secret, 1))
	}
	cmd := exec.Command("turnserver", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop := func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		return nil
	}
	if err := answers(ctx, at); err != nil {
		return nil, errors.Join(err, stop())
	}
	return &running{group: cmd.Process.Pid, at: at, stop: stop}, nil
}
