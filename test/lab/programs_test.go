package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// programs run in the machines of a network, with their files in one directory.
type programs struct {
	net *Net
	dir string
}

// start starts a program whose output goes to a file.
func (p programs) start(t *testing.T, machine, log string, args ...string) *exec.Cmd {
	t.Helper()
	f, err := os.Create(filepath.Join(p.dir, log))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := p.net.Command(machine, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.dir, f, f, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// background is start of a program that is killed at the end of the test.
func (p programs) background(t *testing.T, machine, log string, args ...string) {
	t.Helper()
	cmd := p.start(t, machine, log, args...)
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// serve starts Parley with the data directory that has the name of the machine, and returns when it is ready.
func (p programs) serve(t *testing.T, machine, program string) *exec.Cmd {
	t.Helper()
	log := machine + ".log"
	cmd := p.start(t, machine, log, program, "serve", "--data", filepath.Join(p.dir, machine))
	p.eventually(t, machine+" starts", log, func() bool { return strings.Contains(p.text(log), "msg=ready") })
	return cmd
}

func (p programs) text(log string) string {
	b, _ := os.ReadFile(filepath.Join(p.dir, log))
	return string(b)
}

// eventually waits until ok; log is shown when it does not happen.
func (p programs) eventually(t *testing.T, what, log string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute\n%s", what, p.text(log))
		}
	}
}
