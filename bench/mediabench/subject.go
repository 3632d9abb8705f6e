package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Codecs.
const (
	pcmu     = "PCMU"
	opusName = "opus"
)

var payloadTypes = map[string]uint8{pcmu: 0, opusName: 96}

// here is where everything listens.
var here = netip.MustParseAddr("127.0.0.1")

// subject is what is measured. It is started afresh for each run.
type subject struct {
	name    string
	version string
	command string // how it is started, for the report
	start   func(ctx context.Context, profile string) (*running, error)
}

// running is a subject that is up, in a process group of its own.
type running struct {
	group int
	// connect makes a call between two ends that listen at the given addresses, and says where each has to send to.
	connect func(ctx context.Context, n int, k kind, one, other netip.AddrPort) (toOne, toOther netip.AddrPort, err error)
	stop    func() error
}

func newSubject(name string) (*subject, error) {
	switch name {
	case "parley":
		return &subject{name: name, version: runtime.Version(), command: "its engine in a process of its own, GOMAXPROCS as it comes", start: startParley}, nil
	case "rtpengine":
		version, err := exec.Command("rtpengine", "--version").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("rtpengine (Debian package rtpengine): %w", err)
		}
		return &subject{
			name: name, version: strings.TrimSpace(strings.TrimPrefix(string(version), "Version:")),
			command: "rtpengine " + strings.Join(rtpengineArgs(22222), " "),
			start:   func(ctx context.Context, _ string) (*running, error) { return startRTPEngine(ctx) },
		}, nil
	}
	return nil, fmt.Errorf("subject %q: want parley or rtpengine", name)
}

// launch starts a command in a process group of its own, that ends with this program. The second function waits for the
// end of it.
func launch(cmd *exec.Cmd) (stop func() error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		return nil
	}, nil
}

// request is what a child is asked for, one a line; it answers with a reply.
type request struct {
	Codecs [2]string
	Ends   [2]netip.AddrPort
}

type reply struct {
	Ends  [2]netip.AddrPort
	Error string
}

func startParley(ctx context.Context, profile string) (*running, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"serve"}
	if profile != "" {
		args = append(args, "-cpuprofile", filepath.Join(profile, fmt.Sprintf("media-%d.pprof", time.Now().Unix())))
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stop, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	write, read := json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))
	return &running{
		group: cmd.Process.Pid,
		connect: func(_ context.Context, _ int, k kind, one, other netip.AddrPort) (netip.AddrPort, netip.AddrPort, error) {
			var r reply
			if err := write.Encode(request{[2]string{k.one, k.other}, [2]netip.AddrPort{one, other}}); err != nil {
				return r.Ends[0], r.Ends[1], err
			}
			if err := read.Decode(&r); err != nil {
				return r.Ends[0], r.Ends[1], err
			}
			if r.Error != "" {
				return r.Ends[0], r.Ends[1], fmt.Errorf("parley: %s", r.Error)
			}
			return r.Ends[0], r.Ends[1], nil
		},
		stop: func() error {
			in.Close()
			_, _ = io.Copy(io.Discard, out)
			return stop()
		},
	}, nil
}
