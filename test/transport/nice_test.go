package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/internal/media/ports"
	"parley/internal/media/transport"
	"parley/internal/sdp"
	"parley/test/parleytest"
)

// built is the libnice peer, compiled once.
var built = sync.OnceValues(func() (string, error) {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "nice", "glib-2.0").Output()
	if err != nil {
		return "", fmt.Errorf("libnice-dev is not installed: %w", err)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		return "", err
	}
	out := filepath.Join(buildDir, "peer")
	args := append([]string{"-o", out, filepath.Join(dir, "peer.c")}, strings.Fields(string(flags))...)
	if text, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return out, nil
})

// nice is a libnice agent that runs: the library that the open Lync client has its media from.
type nice struct {
	cmd   *exec.Cmd
	in    *bufio.Writer
	close func()
	out   *bufio.Scanner
	log   bytes.Buffer
}

func startNice(t *testing.T, ctx context.Context, dialect, role string, components int) *nice {
	t.Helper()
	bin, err := built()
	if err != nil {
		parleytest.Without(t, err)
	}
	n := &nice{cmd: exec.CommandContext(ctx, bin, dialect, role, fmt.Sprint(components))}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.cmd.Stderr = &n.log
	in, err := n.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.in, n.out = bufio.NewWriter(in), bufio.NewScanner(out)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.close = func() {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
	return n
}

// described reads what it says of itself.
func (n *nice) described(t *testing.T) transport.Remote {
	t.Helper()
	r := transport.Remote{ICE: &sdp.ICE{}}
	for n.out.Scan() {
		f := strings.Fields(n.out.Text())
		switch f[0] {
		case "cred":
			r.ICE.Ufrag, r.ICE.Pwd = f[1], f[2]
		case "cand":
			c, err := sdp.ParseCandidate(fmt.Sprintf("%s %s UDP %s %s %s typ %s", f[6], f[1], f[5], f[3], f[4], f[2]))
			if err != nil {
				t.Fatal(err)
			}
			r.Candidates = append(r.Candidates, c)
		case "end":
			return r
		}
	}
	t.Fatalf("the peer ended: %s", n.log.String())
	return r
}

// describe tells it of a transport.
func (n *nice) describe(t *testing.T, l transport.Local) {
	t.Helper()
	fmt.Fprintf(n.in, "cred %s %s\n", l.ICE.Ufrag, l.ICE.Pwd)
	for _, c := range l.Candidates {
		fmt.Fprintf(n.in, "cand %d %s %s %d %d %s\n", c.Component, c.Type, c.Address, c.Port, c.Priority, c.Foundation)
	}
	fmt.Fprintln(n.in, "end")
	if err := n.in.Flush(); err != nil {
		t.Fatal(err)
	}
}

// returned counts packets that came back.
type returned struct {
	mu   sync.Mutex
	n    [2]int
	want [2][]byte
	bad  int
}

func (r *returned) RTP(pkt []byte, _ time.Time)  { r.take(0, pkt) }
func (r *returned) RTCP(pkt []byte, _ time.Time) { r.take(1, pkt) }

func (r *returned) take(kind int, pkt []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n[kind]++; !bytes.Equal(pkt, r.want[kind]) {
		r.bad++
	}
}

func (r *returned) counts() [2]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// TestNice: a path is found with libnice as it speaks to browsers and as it speaks to Lync clients, in both roles, for
// one component and for two; and packets go both ways over it.
func TestNice(t *testing.T) {
	for _, dialect := range []string{"rfc", "r2"} {
		for _, role := range []string{"controlling", "controlled"} {
			for components := 1; components <= 2; components++ {
				t.Run(fmt.Sprintf("%s,%s,%d", dialect, role, components), func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					n := startNice(t, ctx, dialect, role, components)
					defer n.close()
					pool, err := ports.New(ports.Range{First: 49152, Last: 57500}, ports.Reuse)
					if err != nil {
						t.Fatal(err)
					}
					c := transport.Config{Ports: pool, Listen: here, ICE: transport.Full, Mux: components == 1}
					if dialect == "r2" {
						c.Dialect = transport.Lync
					}
					x, err := transport.New(c)
					if err != nil {
						t.Fatal(err)
					}
					defer x.Close()
					back := &returned{want: [2][]byte{
						append([]byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}, "voice"...), binary.BigEndian.AppendUint32([]byte{0x80, 201, 0, 1}, 9)}}
					x.Handle(back)

					r := n.described(t)
					r.Mux, r.Answer = components == 1, role == "controlled"
					l := x.Local()
					if role == "controlling" { // it offers, and hears of us when we have heard of it
						if err := x.SetRemote(r); err != nil {
							t.Fatal(err)
						}
						l = x.Local()
						n.describe(t, l)
					} else {
						n.describe(t, l)
						if err := x.SetRemote(r); err != nil {
							t.Fatal(err)
						}
					}
					defer func() {
						if t.Failed() {
							n.close()
							t.Logf("%+v\n%s", x.Stats(), tail(n.log.String()))
						}
					}()
					await(t, ctx, "the path", func() bool { return x.Stats().State == transport.Connected })
					await(t, ctx, "what it sends back", func() bool {
						_ = x.WriteRTP(back.want[0]) // counted
						_ = x.WriteRTCP(back.want[1])
						n := back.counts()
						return n[0] > 3 && n[1] > 3
					})
					selected := x.Local().Selected
					t.Logf("%v %+v", selected, x.Stats())
					if back.bad > 0 || selected[0] == (netip.AddrPort{}) || components == 2 && selected[1] == (netip.AddrPort{}) {
						t.Errorf("%d packets came back changed; %v", back.bad, selected)
					}
					n.close()
					if s := n.log.String(); strings.Contains(s, "failed") || strings.Count(s, "ready") < components {
						t.Errorf("the peer's states:\n%s", s)
					}
				})
			}
		}
	}
}
