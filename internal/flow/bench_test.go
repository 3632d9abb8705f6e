package flow

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/internal/sip"
)

// The benchmarks run the server in a process of its own, so that its CPU time can be told from that of the peers.
// They report the server's CPU microseconds, system calls included, for each message it read and answered:
//
//	go test -run '^$' -bench . ./internal/flow
//
// PARLEY_FLOW_PROFILE and PARLEY_FLOW_HEAP name files for profiles of the server.

// child is a server process.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startChild runs serveChild in another process.
func startChild(b testing.TB, tr Transport) (*child, netip.AddrPort) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerForBenchmarks$", "-test.v")
	cmd.Env = append(os.Environ(), "PARLEY_FLOW_SERVER="+tr.String())
	cmd.Stderr = os.Stderr
	c := &child{cmd: cmd}
	c.in, _ = cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	c.out = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.in.Close()
		cmd.Wait()
	})
	return c, netip.MustParseAddrPort(c.ask(b, ""))
}

// ask sends a command to the server and returns its answer.
func (c *child) ask(b testing.TB, command string) string {
	b.Helper()
	if command != "" {
		fmt.Fprintln(c.in, command)
	}
	for c.out.Scan() {
		if s, ok := strings.CutPrefix(c.out.Text(), "> "); ok {
			return s
		}
	}
	b.Fatal("the server has ended")
	return ""
}

// usage returns the server's CPU time so far, how often it allocated, its heap and its resident memory.
func (c *child) usage(b testing.TB) (cpu time.Duration, mallocs, heap, stack, rss uint64) {
	b.Helper()
	var ns int64
	fmt.Sscan(c.ask(b, "usage"), &ns, &mallocs, &heap, &stack, &rss)
	return time.Duration(ns), mallocs, heap, stack, rss
}

// TestServerForBenchmarks is the server process.
func TestServerForBenchmarks(t *testing.T) {
	name := os.Getenv("PARLEY_FLOW_SERVER")
	if name == "" {
		return
	}
	tr, _ := ParseTransport(name)
	h := newEcho()
	h.on(func(f *Flow, m *sip.Message) { answer(f, m, 200) })
	l := newLayer(t, h, func(c *Config) { c.Limits.FirstMessage = time.Hour })
	ln := listen(t, l, tr, nil)
	if path := os.Getenv("PARLEY_FLOW_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("> %s\n", ln.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "collect":
			for range 5 { // stacks shrink by half each time
				runtime.GC()
			}
			fmt.Println("> done")
		case "heap":
			if f, err := os.Create(os.Getenv("PARLEY_FLOW_HEAP")); err == nil {
				pprof.Lookup("heap").WriteTo(f, 0)
				f.Close()
			}
			fmt.Println("> done")
		case "usage":
			var ru syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Printf("> %d %d %d %d %d\n", ru.Utime.Nano()+ru.Stime.Nano(), m.Mallocs, m.HeapAlloc, m.StackInuse, residentBytes())
		}
	}
}

func residentBytes() (n uint64) {
	b, _ := os.ReadFile("/proc/self/statm")
	var pages uint64
	fmt.Sscan(string(b), &n, &pages)
	return pages * uint64(os.Getpagesize())
}

// register is a request of the size that phones send.
func register(tr Transport, seq int) []byte {
	return fmt.Appendf(nil, "REGISTER sip:example.test SIP/2.0\r\nVia: SIP/2.0/%s 192.0.2.17:5062;branch=z9hG4bK-%d;rport\r\n"+
		"Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.test>;tag=49583a\r\nTo: \"Alice\" <sip:alice@example.test>\r\n"+
		"Call-ID: 843817637684230@998sdasdh09\r\nCSeq: %d REGISTER\r\n"+
		"Contact: <sip:alice@192.0.2.17:5062;transport=%s>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\";reg-id=1\r\n"+
		"Authorization: Digest username=\"alice\", realm=\"example.test\", nonce=\"84a4cc6f3082121f32b42a2187831a9e\", uri=\"sip:example.test\","+
		" response=\"7587245234b3434cc3412213e5f113a5432\", algorithm=MD5, cnonce=\"0a4f113b\", nc=00000001, qop=auth\r\n"+
		"User-Agent: Phone/1.0\r\nExpires: 3600\r\nSupported: path, outbound\r\nContent-Length: 0\r\n\r\n", tr, seq, seq, strings.ToLower(tr.String()))
}

// peers is how many phones the benchmarks have, each with one request under way.
const peers = 32

func BenchmarkAnswer(b *testing.B) {
	for _, tr := range []Transport{UDP, TCP, TLS} {
		for _, window := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/pipeline=%d", tr, window), func(b *testing.B) { benchmarkAnswer(b, tr, window) })
		}
	}
}

func benchmarkAnswer(b *testing.B, tr Transport, window int) {
	c, addr := startChild(b, tr)
	conns := make([]net.Conn, peers)
	for i := range conns {
		network := "tcp"
		if tr == UDP {
			network = "udp"
		}
		conn, err := net.Dial(network, addr.String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if tr == TLS {
			conn = tls.Client(conn, clientTLS2())
		}
		conns[i] = conn
		exchange(b, conn, tr, window, window)
	}
	cpu, mallocs, _, _, _ := c.usage(b)
	rounds := b.N/(peers*window) + 1
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() { exchange(b, conn, tr, window, rounds*window) })
	}
	wg.Wait()
	b.StopTimer()
	cpu2, mallocs2, _, _, _ := c.usage(b)
	n := float64(rounds * window * peers)
	b.ReportMetric(float64((cpu2-cpu).Nanoseconds())/1000/n, "server-us/msg")
	b.ReportMetric(float64(mallocs2-mallocs)/n, "server-allocs/msg")
	b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
}

func clientTLS2() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// exchange sends n requests, window at a time, and reads as many answers.
func exchange(b testing.TB, c net.Conn, tr Transport, window, n int) {
	req := register(tr, 1)
	all := []byte{}
	for range window {
		all = append(all, req...)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 64<<10)
	answer := 0 // length of one, once known
	for ; n > 0; n -= window {
		if tr == UDP {
			for range window {
				c.Write(req)
			}
			for range window {
				if _, err := c.Read(buf); err != nil {
					b.Error(err)
					return
				}
			}
			continue
		}
		if _, err := c.Write(all); err != nil {
			b.Error(err)
			return
		}
		for got := 0; answer == 0 || got < answer*window; {
			n, err := c.Read(buf[got:])
			if err != nil {
				b.Error(err)
				return
			}
			got += n
			if answer == 0 {
				var f sip.Framer
				answer, _, _ = f.Next(buf[:got], nil)
			}
		}
	}
}

// BenchmarkIdleConnections measures what a connection costs that has sent one message and keeps silent.
func BenchmarkIdleConnections(b *testing.B) {
	const n = 10_000
	for _, tr := range []Transport{UDP, TCP, TLS} {
		b.Run(tr.String(), func(b *testing.B) {
			c, addr := startChild(b, tr)
			c.ask(b, "collect")
			_, _, heap, stack, rss := c.usage(b)
			conns := make([]net.Conn, n)
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for i := w; i < n; i += 8 {
						network := "tcp"
						if tr == UDP {
							network = "udp"
						}
						conn, err := net.Dial(network, addr.String())
						if err != nil {
							b.Error(err)
							return
						}
						if tr == TLS {
							conn = tls.Client(conn, clientTLS2())
						}
						conns[i] = conn
						exchange(b, conn, tr, 1, 2)
						if tr == UDP {
							conn.Close()
						}
					}
				})
			}
			wg.Wait()
			c.ask(b, "collect")
			c.ask(b, "heap")
			_, _, heap2, stack2, rss2 := c.usage(b)
			b.ReportMetric(float64(heap2-heap)/n, "heap-B/flow")
			b.ReportMetric(float64(stack2-stack)/n, "stack-B/flow")
			b.ReportMetric(float64(rss2-rss)/n, "rss-B/flow")
			for _, conn := range conns {
				conn.Close()
			}
		})
	}
}
