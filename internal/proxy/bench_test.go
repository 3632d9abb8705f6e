package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/flow"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
)

// site is a server in a process of its own that forwards everything to one peer, and the sockets of caller and peer.
type site struct {
	caller *net.UDPConn
	callee *net.UDPConn
	server netip.AddrPort
	ask    io.WriteCloser // a line makes the server report the processor time it has used
	report *bufio.Scanner
}

const benchEnv = "PARLEY_BENCH_CALLEE" // set in the server's process: where to forward to

// TestMain is also the start of the server of the benchmarks.
func TestMain(m *testing.M) {
	if callee := os.Getenv(benchEnv); callee != "" {
		serveBench(callee)
		return
	}
	goleak.VerifyTestMain(m)
}

// serveBench is the server: it prints its address and then, for each line it is given, its processor time in
// microseconds.
func serveBench(callee string) {
	var p *proxy.Proxy
	var branch proxy.Branch
	log := slog.New(slog.DiscardHandler)
	st := stack.New(stack.Config{Log: log, Route: func(tx *stack.ServerTxn) {
		if p.InDialog(tx, nil) {
			return
		}
		p.Forward(tx, []proxy.Branch{branch}, proxy.Options{RecordRoute: tx.Method() == sip.INVITE})
	}})
	layer := flow.New(flow.Config{Handler: st, Log: log})
	st.Start(layer)
	p = proxy.New(proxy.Config{Stack: st, Log: log})
	l, err := layer.Listen(context.Background(), flow.ListenSpec{Transport: flow.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		panic(err)
	}
	branch.URI = []byte("sip:bob@" + callee)
	layer.ConnectFunc(flow.Target{Transport: flow.UDP, Addr: netip.MustParseAddrPort(callee)}, func(f *flow.Flow, err error) {
		branch.Dest.Flow = f
	})
	fmt.Println(l.Addr())
	if f := os.Getenv("PARLEY_BENCH_PROFILE"); f != "" {
		w, err := os.Create(f)
		if err != nil {
			panic(err)
		}
		pprof.StartCPUProfile(w)
		defer pprof.StopCPUProfile()
	}
	if f := os.Getenv("PARLEY_BENCH_HEAP"); f != "" {
		runtime.MemProfileRate = 4096
		defer func() {
			w, err := os.Create(f)
			if err != nil {
				panic(err)
			}
			runtime.GC()
			pprof.Lookup("allocs").WriteTo(w, 0)
		}()
	}
	defer func() {
		if n := st.Stats().Overload; n > 0 {
			fmt.Fprintln(os.Stderr, n, "requests refused for overload")
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var ru syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
		fmt.Println((ru.Utime.Nano() + ru.Stime.Nano()) / 1000)
	}
}

func newSite(b *testing.B) *site {
	s := &site{}
	socket := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		c.SetReadBuffer(4 << 20)
		return c
	}
	s.caller, s.callee = socket(), socket()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchEnv+"="+s.callee.LocalAddr().String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		s.ask, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	s.report = bufio.NewScanner(out)
	s.report.Scan()
	s.server = netip.MustParseAddrPort(s.report.Text())
	b.Cleanup(func() {
		s.ask.Close()
		cmd.Wait()
		s.caller.Close()
		s.callee.Close()
	})
	return s
}

// used returns the processor time the server has used, in microseconds.
func (s *site) used() float64 {
	io.WriteString(s.ask, "\n")
	s.report.Scan()
	n, _ := strconv.ParseFloat(s.report.Text(), 64)
	return n
}

// answerer answers every request with 200, INVITE with 180 before it, by editing bytes.
func (s *site) answerer() {
	buf := make([]byte, 65536)
	out := make([]byte, 0, 65536)
	var m sip.Message
	for {
		n, from, err := s.callee.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if m.Parse(buf[:n], nil) != nil || !m.IsRequest() || m.Method() == sip.ACK {
			continue
		}
		if m.Method() == sip.INVITE {
			r := sip.Response{Code: 180, ToTag: "b", RecordRoute: true}
			out = r.Append(out[:0], &m)
			s.callee.WriteToUDPAddrPort(out, from)
		}
		r := sip.Response{Code: 200, ToTag: "b", RecordRoute: true, Headers: contact}
		out = r.Append(out[:0], &m)
		s.callee.WriteToUDPAddrPort(out, from)
	}
}

var contact = []sip.Header{{Name: "Contact", Value: "<sip:bob@127.0.0.1:9>"}}

const window = 64 // units under way

func request(dst []byte, method string, i int, totag, routes string) []byte {
	return fmt.Appendf(dst, "%s sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@example.test>;tag=a%d\r\nTo: <sip:bob@example.test>%s\r\nCall-ID: %d@bench\r\nCSeq: 1 %s\r\n"+
		"Contact: <sip:alice@127.0.0.1:9>\r\nUser-Agent: bench\r\nSupported: path, outbound\r\n%sContent-Type: text/plain\r\n"+
		"Content-Length: 24\r\n\r\nhow about lunch at noon?", method, method, i, i, totag, i, method, routes)
}

// BenchmarkMessage is a proxied MESSAGE over UDP on loopback; server-us/op is the processor time of the server alone,
// kernel included.
func BenchmarkMessage(b *testing.B) {
	s := newSite(b)
	go s.answerer()
	buf := make([]byte, 65536)
	out := make([]byte, 0, 65536)
	sent, done := 0, 0
	before := s.used()
	b.ResetTimer()
	for done < b.N {
		for sent < b.N && sent-done < window {
			out = request(out[:0], "MESSAGE", sent, "", "")
			s.caller.WriteToUDPAddrPort(out, s.server)
			sent++
		}
		s.caller.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := s.caller.Read(buf)
		if err != nil {
			b.Fatalf("%d of %d: %v", done, b.N, err)
		}
		if bytes.HasPrefix(buf[:n], []byte("SIP/2.0 100")) {
			continue
		}
		if !bytes.HasPrefix(buf[:n], []byte("SIP/2.0 200")) {
			b.Fatalf("%s", buf[:n])
		}
		done++
	}
	b.ReportMetric((s.used()-before)/float64(b.N), "server-us/op")
}

// BenchmarkCall is INVITE, 180, 200, ACK, BYE, 200 through the proxy over UDP on loopback.
func BenchmarkCall(b *testing.B) {
	s := newSite(b)
	go s.answerer()
	buf := make([]byte, 65536)
	out := make([]byte, 0, 65536)
	sent, done := 0, 0
	var m sip.Message
	before := s.used()
	b.ResetTimer()
	for done < b.N {
		for sent < b.N && sent-done < window {
			out = request(out[:0], "INVITE", sent, "", "")
			s.caller.WriteToUDPAddrPort(out, s.server)
			sent++
		}
		s.caller.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := s.caller.Read(buf)
		if err != nil {
			b.Fatalf("%d of %d: %v", done, b.N, err)
		}
		if err := m.Parse(buf[:n], nil); err != nil {
			b.Fatal(err)
		}
		switch {
		case m.StatusCode() == 200 && m.Method() == sip.INVITE:
			var i int
			fmt.Sscanf(string(m.CallID()), "%d@", &i)
			r := routes(&m)
			all := ""
			for _, l := range r {
				all += l + "\r\n"
			}
			out = request(out[:0], "ACK", i, ";tag=b", all)
			s.caller.WriteToUDPAddrPort(out, s.server)
			out = request(out[:0], "BYE", i, ";tag=b", all)
			s.caller.WriteToUDPAddrPort(out, s.server)
		case m.StatusCode() == 200:
			done++
		case m.StatusCode() >= 300:
			b.Fatalf("%s", buf[:n])
		}
	}
	b.ReportMetric((s.used()-before)/float64(b.N), "server-us/op")
}
