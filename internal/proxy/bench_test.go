package proxy_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"parley/internal/flow"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
)

// site is a server that forwards everything to one peer, with a real clock, and the sockets of caller and peer.
type site struct {
	layer  *flow.Layer
	stack  *stack.Stack
	caller *net.UDPConn
	callee *net.UDPConn
	server netip.AddrPort
	stop   func()
}

func newSite(b *testing.B) *site {
	s := &site{}
	var p *proxy.Proxy
	var branch proxy.Branch
	log := slog.New(slog.DiscardHandler)
	s.stack = stack.New(stack.Config{Log: log, Route: func(tx *stack.ServerTxn) {
		if p.InDialog(tx) {
			return
		}
		p.Forward(tx, []proxy.Branch{branch}, proxy.Options{RecordRoute: tx.Method() == sip.INVITE})
	}})
	s.layer = flow.New(flow.Config{Handler: s.stack, Log: log})
	s.stack.Start(s.layer)
	p = proxy.New(proxy.Config{Stack: s.stack, Log: log})
	socket := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		c.SetReadBuffer(4 << 20)
		return c
	}
	s.caller, s.callee = socket(), socket()
	l, err := s.layer.Listen(b.Context(), flow.ListenSpec{Transport: flow.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		b.Fatal(err)
	}
	s.server = l.Addr()
	branch.URI = []byte("sip:bob@" + s.callee.LocalAddr().String())
	s.layer.ConnectFunc(flow.Target{Transport: flow.UDP, Addr: netip.MustParseAddrPort(s.callee.LocalAddr().String())}, func(f *flow.Flow, err error) {
		branch.Dest.Flow = f
	})
	b.Cleanup(func() {
		s.caller.Close()
		s.callee.Close()
		s.layer.Close(b.Context())
		s.stack.Stop(b.Context())
	})
	return s
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

// BenchmarkMessage is a proxied MESSAGE over UDP on loopback; caller and called party are in the figure.
func BenchmarkMessage(b *testing.B) {
	s := newSite(b)
	go s.answerer()
	buf := make([]byte, 65536)
	out := make([]byte, 0, 65536)
	sent, done := 0, 0
	b.ReportAllocs()
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
		if !bytes.HasPrefix(buf[:n], []byte("SIP/2.0 200")) {
			b.Fatalf("%s", buf[:n])
		}
		done++
	}
	b.StopTimer()
	if st := s.stack.Stats(); st.Retransmits > 0 {
		b.Logf("%d retransmissions", st.Retransmits)
	}
}

// BenchmarkCall is INVITE, 180, 200, ACK, BYE, 200 through the proxy over UDP on loopback.
func BenchmarkCall(b *testing.B) {
	s := newSite(b)
	go s.answerer()
	buf := make([]byte, 65536)
	out := make([]byte, 0, 65536)
	sent, done := 0, 0
	var m sip.Message
	b.ReportAllocs()
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
	b.StopTimer()
	if st := s.stack.Stats(); st.Retransmits > 0 {
		b.Logf("%d retransmissions", st.Retransmits)
	}
}
