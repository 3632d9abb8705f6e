package flow

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/internal/sip"
)

// TestOutOfDescriptors: a server that has run out of file descriptors goes on serving what it has accepted, and
// accepts again when it can. The server is a process of its own, since the limit is.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv("PARLEY_FLOW_CHILD") == "1" {
		fewDescriptors(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.v")
	cmd.Env = append(os.Environ(), "PARLEY_FLOW_CHILD=1")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close() // ends the child
	addr := ""
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		addr, _ = strings.CutPrefix(lines.Text(), "listening on ")
		if !strings.Contains(addr, "127.0.0.1") {
			addr = ""
		}
	}
	go io.Copy(io.Discard, out)
	connect := func() *client {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return &client{Conn: c, t: t}
	}
	first := connect()
	defer first.Close()
	first.write(request(TCP, 1, ""))
	first.expect(200, 1)
	var more []*client
	for range 40 {
		more = append(more, connect()) // the kernel takes them though the server cannot
	}
	for i := 2; ; i++ {
		first.write(request(TCP, i, ""))
		var m sip.Message
		if err := m.Parse(first.next(), nil); err != nil {
			t.Fatal(err)
		}
		if m.StatusCode() == 299 {
			break // it has run out
		}
	}
	for _, c := range more {
		c.Close()
	}
	last := connect()
	defer last.Close()
	last.write(request(TCP, 1, ""))
	last.expect(299, 1)
}

// fewDescriptors is the server: it answers 200, or 299 once accepting has failed.
func fewDescriptors(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	h.on(func(f *Flow, m *sip.Message) {
		code := 200
		if l.Stats().AcceptErrors.Load() > 0 {
			code = 299
		}
		answer(f, m, code)
	})
	ln := listen(t, l, TCP, nil)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 20, Max: 20}); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening on %s\n", ln.Addr())
	io.Copy(io.Discard, os.Stdin)
}
