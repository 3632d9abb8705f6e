// Package lyncprobe drives lync-probe, a Lync-protocol client without a user interface: pidgin-sipe's protocol
// plugin, which is a real client, commanded line by line. Its source is in test/interop/lync-probe.
package lyncprobe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Options say who signs in and how.
type Options struct {
	User     string // "alice@example.test"
	Login    string // login name, if it is another
	Password string
	Server   string   // "host:port"; empty: what autodiscover and DNS say
	Auth     string   // "ntlm" (default), "tls-dsk", "krb" or "auto"
	CADir    string   // directory of PEM files whom the client trusts; empty trusts everybody
	Host     string   // name of the machine: one user needs another for each endpoint
	Args     []string // further options
	Env      []string // added to the environment
	Debug    bool     // log every message
}

// Event is what the probe reports: what happened under "event", the rest by name.
type Event map[string]any

// Is reports whether the event is of a type, with these values.
func (e Event) Is(kind string, values ...string) bool {
	if e["event"] != kind {
		return false
	}
	for i := 0; i+1 < len(values); i += 2 {
		if e[values[i]] != values[i+1] {
			return false
		}
	}
	return true
}

// Probe is a client that runs.
type Probe struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and renewed with every event
	events  []Event
	log     bytes.Buffer
	mark    int // events that Do has looked at
}

var build struct {
	sync.Once
	dir string
	err error
}

// Tools are the programs needed beside the libraries.
var Tools = []string{"cc", "make", "pkg-config"}

// Available reports what is missing to build and run the probe.
func Available() error {
	for _, tool := range Tools {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	if err := exec.Command("pkg-config", "--exists", "purple", "libxml-2.0").Run(); err != nil {
		return errors.New("libpurple-dev and libxml2-dev are not installed")
	}
	out, err := exec.Command("pkg-config", "--variable=plugindir", "purple").Output()
	if err != nil {
		return err
	}
	for _, dir := range []string{strings.TrimSpace(string(out)), "/usr/lib/purple-2"} { // Debian has plugins in both
		if _, err := os.Stat(filepath.Join(dir, "libsipe.so")); err == nil {
			return nil
		}
	}
	return errors.New("pidgin-sipe is not installed")
}

// Binary builds the probe once for this process.
func Binary(ctx context.Context) (string, error) {
	build.Do(func() {
		_, file, _, _ := runtime.Caller(0)
		source := filepath.Join(filepath.Dir(file), "..", "interop", "lync-probe")
		if build.dir, build.err = os.MkdirTemp("", "lync-probe-"); build.err != nil {
			return
		}
		out, err := exec.CommandContext(ctx, "make", "-C", build.dir, "-f", filepath.Join(source, "Makefile"), "VPATH="+source).CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("build lync-probe: %w\n%s", err, out)
		}
	})
	return filepath.Join(build.dir, "lync-probe"), build.err
}

// CleanUp removes what Binary built.
func CleanUp() {
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
}

// Start starts a probe. It signs in at once.
func Start(ctx context.Context, o Options) (*Probe, error) {
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	args := []string{"--user", o.User, "--password-env", "LYNC_PROBE_PASSWORD", "--transport", "tls"}
	for _, option := range [...][2]string{{"--server", o.Server}, {"--login", o.Login}, {"--auth", o.Auth}, {"--ca-dir", o.CADir}, {"--host-name", o.Host}} {
		if option[1] != "" {
			args = append(args, option[0], option[1])
		}
	}
	if o.CADir == "" {
		args = append(args, "--insecure")
	}
	if o.Debug {
		args = append(args, "--debug")
	}
	p := &Probe{cmd: exec.Command(binary, append(args, o.Args...)...), done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "LYNC_PROBE_PASSWORD="+o.Password), o.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = writer(func(b []byte) { p.mu.Lock(); p.log.Write(b); p.mu.Unlock() })
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			e := Event{}
			if json.Unmarshal(lines.Bytes(), &e) != nil {
				e = Event{"event": "unreadable", "text": lines.Text()}
			}
			p.mu.Lock()
			p.events = append(p.events, e)
			fmt.Fprintf(&p.log, "%s\n", lines.Bytes())
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
		_ = p.cmd.Wait()
	}()
	return p, nil
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// Do gives the probe a command. One that waits is waited for, and its failure returned.
func (p *Probe) Do(ctx context.Context, command string) error {
	p.mu.Lock()
	p.mark = len(p.events)
	p.mu.Unlock()
	if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if !strings.HasPrefix(command, "wait-") && !strings.HasPrefix(command, "no-event ") {
		return nil
	}
	e, err := p.next(ctx, func(e Event) bool {
		return e.Is("ok") || e.Is("timeout") || e.Is("failed") || e.Is("unexpected") || e.Is("command-error") || e.Is("exit")
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", command, err)
	case !e.Is("ok"):
		return fmt.Errorf("%s: %v", command, e)
	}
	return nil
}

// next returns the first event after mark that fits.
func (p *Probe) next(ctx context.Context, fits func(Event) bool) (Event, error) {
	for {
		p.mu.Lock()
		for ; p.mark < len(p.events); p.mark++ {
			if e := p.events[p.mark]; fits(e) {
				p.mark++
				p.mu.Unlock()
				return e, nil
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.done:
			return nil, errors.New("the probe has ended")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Events returns what was reported so far.
func (p *Probe) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Event(nil), p.events...)
}

// Find returns the first event of a type with these values, or nil.
func (p *Probe) Find(kind string, values ...string) Event {
	for _, e := range p.Events() {
		if e.Is(kind, values...) {
			return e
		}
	}
	return nil
}

// Log is everything the probe has said.
func (p *Probe) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Finish lets the probe sign out, which it does when the commands are over, and returns its exit status.
func (p *Probe) Finish(ctx context.Context) (int, error) {
	_ = p.stdin.Close()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		p.Kill()
		return -1, ctx.Err()
	}
}

// Kill ends the probe at once, as a crash would.
func (p *Probe) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}
