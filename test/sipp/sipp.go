// Package sipp runs SIPp with the scenarios of this folder and reads its counters.
//
// SIPp judges every message: whatever a scenario does not expect is a failed call, so "no failed call"
// means that the server said exactly what it should, as often as the scenario ran.
// Debian's SIPp (package sip-tester) speaks UDP and TCP; for TLS it stands behind a [Trunk].
package sipp

import (
	"bytes"
	"context"
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed *.xml
var scenarios embed.FS

// Run describes one SIPp process.
type Run struct {
	Scenario string         // file name without ".xml": register, message_uac, message_uas, call_uac, call_uas
	Remote   netip.AddrPort // where a client scenario sends; zero for a server scenario
	Local    netip.AddrPort // where SIPp binds; port 0 lets SIPp choose for a client
	TCP      bool           // one TCP connection instead of UDP
	Contact  netip.AddrPort // what stands in Contact of calls
	// ContactTransport is the transport parameter of Contact; empty means that of the run.
	ContactTransport string
	Domain           string     // SIP domain of all users
	Rows             [][]string // CSV rows, taken in turn
	Rate             int        // calls a second
	Calls            int        // calls in all; a server scenario with 0 runs until its context ends
	Limit            int        // calls open at once; 0 means SIPp's own default
	Timeout          time.Duration
	Dir              string // where scenario, rows and logs lie; kept by the caller
	Name             string // prefix of the files in Dir; empty means Scenario
	NoRetransmit     bool   // never repeat a request on UDP, so that a lost packet shows
}

// Result holds SIPp's final counters.
type Result struct {
	Created, Successful, Failed int
	Retransmissions             int
	UnexpectedMessages          int
	Elapsed                     time.Duration
	Log                         string // the error log, shortened
}

// Clean reports whether each of n calls ended as the scenario says.
func (r *Result) Clean(n int) error {
	if r.Successful == n && r.Failed == 0 && r.UnexpectedMessages == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d calls good, %d failed, %d unexpected messages, %d retransmissions\n%s",
		r.Successful, n, r.Failed, r.UnexpectedMessages, r.Retransmissions, r.Log)
}

// Process is a SIPp that runs.
type Process struct {
	cmd            *exec.Cmd
	stats, errlog  string
	out            bytes.Buffer
	done           chan struct{}
	err            error
	server, killed bool
}

// Available reports whether SIPp is installed.
func Available() bool {
	_, err := exec.LookPath("sipp")
	return err == nil
}

// Do runs r to its end. The error is about running SIPp; whether the calls were good is in the Result.
func Do(ctx context.Context, r Run) (*Result, error) {
	p, err := Start(ctx, r)
	if err != nil {
		return nil, err
	}
	return p.Wait()
}

// Start starts SIPp and returns at once. When ctx ends SIPp is killed.
func Start(ctx context.Context, r Run) (*Process, error) {
	name := r.Name
	if name == "" {
		name = r.Scenario
	}
	path := func(ext string) string { return filepath.Join(r.Dir, name+ext) }
	xml, err := scenarios.ReadFile(r.Scenario + ".xml")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path(".xml"), xml, 0o600); err != nil {
		return nil, err
	}
	transport, sockets := "udp", "u1"
	if r.TCP {
		transport, sockets = "tcp", "t1"
	}
	if r.ContactTransport == "" {
		r.ContactTransport = transport
	}
	args := []string{
		"-sf", path(".xml"), "-t", sockets, "-nostdin",
		"-key", "domain", r.Domain, "-key", "contact_transport", r.ContactTransport,
		"-key", "contact_host", r.Contact.String(),
		"-trace_stat", "-stf", path(".csv"), "-fd", "1", "-trace_err", "-error_file", path(".err"),
		"-default_behaviors", "all,-bye", "-buff_size", "4194304", "-skip_rlimit", "-cp", "0",
	}
	if r.Local.IsValid() {
		args = append(args, "-i", r.Local.Addr().String())
		if r.Local.Port() != 0 {
			args = append(args, "-p", strconv.Itoa(int(r.Local.Port())))
		}
	}
	if r.Rows != nil {
		if err := writeRows(path(".users"), r.Rows); err != nil {
			return nil, err
		}
		args = append(args, "-inf", path(".users"))
	}
	if r.Rate > 0 {
		args = append(args, "-r", strconv.Itoa(r.Rate))
	}
	if r.Limit > 0 {
		args = append(args, "-l", strconv.Itoa(r.Limit))
	}
	if r.Calls > 0 {
		args = append(args, "-m", strconv.Itoa(r.Calls))
	}
	if r.Timeout > 0 {
		args = append(args, "-timeout", fmt.Sprintf("%ds", int(r.Timeout.Seconds())), "-timeout_error")
	}
	if r.NoRetransmit {
		args = append(args, "-nr")
	}
	if r.Remote.IsValid() {
		args = append(args, r.Remote.String())
	}
	p := &Process{
		cmd: exec.CommandContext(ctx, "sipp", args...), stats: path(".csv"), errlog: path(".err"),
		done: make(chan struct{}), server: !r.Remote.IsValid(),
	}
	_ = os.Remove(p.stats)
	_ = os.Remove(p.errlog)
	p.cmd.Dir = r.Dir
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), "TERM=dumb")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Stop asks a server scenario to finish: open calls end, then SIPp leaves.
func (p *Process) Stop() {
	p.killed = true
	_ = p.cmd.Process.Signal(syscall.SIGUSR1)
	select {
	case <-p.done:
	case <-time.After(6 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Wait waits for SIPp and returns its counters.
func (p *Process) Wait() (*Result, error) {
	<-p.done
	res, err := p.result()
	if err != nil {
		return nil, fmt.Errorf("sipp: %w (%v)\n%s", err, p.err, tail(p.out.String(), 2000))
	}
	// Exit status 1 only says that a call failed, which the counters say better.
	var exit *exec.ExitError
	if p.err != nil && !p.killed && (!errors.As(p.err, &exit) || exit.ExitCode() != 1) {
		return res, fmt.Errorf("sipp: %w\n%s", p.err, res.Log)
	}
	return res, nil
}

func (p *Process) result() (*Result, error) {
	f, err := os.Open(p.stats)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 {
		return nil, errors.New("no statistics")
	}
	last := rows[len(rows)-1]
	col := func(name string) int {
		for i, h := range rows[0] {
			if h == name && i < len(last) {
				n, _ := strconv.Atoi(last[i])
				return n
			}
		}
		return 0
	}
	res := &Result{
		Successful: col("SuccessfulCall(C)"), Failed: col("FailedCall(C)"),
		Created:            col("OutgoingCall(C)") + col("IncomingCall(C)"),
		Retransmissions:    col("Retransmissions(C)"),
		UnexpectedMessages: col("FailedUnexpectedMessage(C)") + col("OutOfCallMsgs(C)"),
	}
	for i, h := range rows[0] {
		if h == "ElapsedTime(C)" {
			res.Elapsed = clock(last[i])
		}
	}
	if b, err := os.ReadFile(p.errlog); err == nil {
		res.Log = tail(string(b), 4000)
	}
	return res, nil
}

// clock reads "00:00:10:123000" (hours, minutes, seconds, microseconds).
func clock(s string) time.Duration {
	var d time.Duration
	units := []time.Duration{time.Hour, time.Minute, time.Second, time.Microsecond}
	for i, f := range strings.SplitN(s, ":", 4) {
		n, _ := strconv.Atoi(f)
		d += time.Duration(n) * units[i]
	}
	return d
}

func writeRows(path string, rows [][]string) error {
	var b strings.Builder
	b.WriteString("SEQUENTIAL\n")
	for _, r := range rows {
		b.WriteString(strings.Join(r, ";"))
		b.WriteByte('\n')
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
