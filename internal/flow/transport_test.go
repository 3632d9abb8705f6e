package flow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"parley/internal/sip"
	"parley/internal/uc"
)

var datagramAndStreams = []Transport{UDP, TCP, TLS}

func TestAnswersOnEveryTransport(t *testing.T) {
	for _, tr := range datagramAndStreams {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, nil)
			ln := listen(t, l, tr, nil)
			c := dial(t, ln)
			for i := range 3 {
				c.write(request(tr, i+1, ""))
				c.expect(200, i+1)
			}
			f := receive(t, h.opened, "flow")
			if got, ok := l.FlowByID(f.ID()); !ok || got != f {
				t.Error("FlowByID does not find the flow")
			}
			if f.Transport() != tr || f.Listener() != ln || f.Dialled() || f.Messages() != 3 {
				t.Errorf("flow is %v on %v, dialled %v, %d messages", f.Transport(), f.Listener(), f.Dialled(), f.Messages())
			}
			if f.Remote() != addrPort(c.LocalAddr()) || f.Local() != ln.Addr() {
				t.Errorf("flow from %v to %v, want from %v to %v", f.Remote(), f.Local(), c.LocalAddr(), ln.Addr())
			}
			if n := ln.Flows(); n != 1 {
				t.Errorf("listener has %d flows", n)
			}
		})
	}
}

func TestPipelinedInOrder(t *testing.T) {
	const n = 2000
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			l := newLayer(t, newEcho(), nil)
			c := dial(t, listen(t, l, tr, nil))
			var all []byte
			for i := range n {
				all = append(all, request(tr, i+1, strings.Repeat("x", i%300))...)
			}
			go c.Write(all)
			for i := range n {
				c.expect(200, i+1)
			}
			if out, in := l.Stats().MessagesOut.Load(), l.Stats().MessagesIn.Load(); in != n || out != n {
				t.Errorf("counted %d in and %d out, want %d", in, out, n)
			}
		})
	}
}

func TestByteByByte(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			l := newLayer(t, newEcho(), nil)
			c := dial(t, listen(t, l, tr, nil))
			for i := range 2 {
				for _, b := range request(tr, i+1, "body") {
					c.write([]byte{b})
				}
				c.expect(200, i+1)
			}
		})
	}
}

func TestLargeMessages(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		t.Run(tr.String(), func(t *testing.T) {
			h := newEcho()
			h.on(func(f *Flow, m *sip.Message) {
				if want := bytes.Repeat([]byte("0123456789"), len(m.Body())/10); !bytes.Equal(m.Body(), want) {
					answer(f, m, 500)
					return
				}
				answer(f, m, 200)
			})
			h.open = func(f *Flow) error { f.SetLimits(&sip.ServerLimits); return nil }
			l := newLayer(t, h, nil)
			c := dial(t, listen(t, l, tr, nil))
			for i, n := range []int{10, 60_000, 1_000_000, 10, 4_000_000, 70_000} {
				c.write(request(tr, i+1, strings.Repeat("0123456789", n/10)))
				c.write(request(tr, i+100, ""))
				c.expect(200, i+1)
				c.expect(200, i+100)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	short := string(request(TCP, 7, ""))
	tests := []struct {
		name  string
		bytes string
		code  int  // of the answer, 0 for none
		close bool // of a stream
	}{
		{"no SIP at all", "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n", 0, true},
		{"unknown version", strings.Replace(short, "SIP/2.0\r\n", "SIP/7.0\r\n", 1), 505, false},
		{"method of CSeq differs", strings.Replace(short, "7 OPTIONS", "7 INVITE", 1), 400, false},
		{"no Content-Length on a stream", strings.Replace(short, "Content-Length: 0\r\n", "", 1), 400, true},
		{"body too large", strings.Replace(short, "Content-Length: 0", "Content-Length: 999999", 1), 413, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, nil)
			c := dial(t, listen(t, l, TCP, nil))
			c.write([]byte(tt.bytes))
			if tt.code != 0 {
				c.expect(tt.code, 7)
			}
			if err := receive(t, h.bad, "report"); err == nil {
				t.Error("no error")
			}
			if tt.close {
				if b := c.next(); b != nil {
					t.Errorf("got %q, want the end", b)
				}
				c.Close()
				if err := receive(t, h.gone, "end"); !errors.Is(err, ErrFraming) {
					t.Errorf("flow ended with %v", err)
				}
			} else {
				c.write(request(TCP, 8, ""))
				c.expect(200, 8)
			}
			if n := l.Stats().ParseErrors.Load(); n != 1 {
				t.Errorf("counted %d parse errors", n)
			}
		})
	}
}

func TestMalformedDatagrams(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	c := dial(t, listen(t, l, UDP, nil))
	c.write([]byte("hello"))
	c.write([]byte("\r\n\r\n"))
	c.write([]byte{0, 0, 0, 0})
	c.write([]byte(strings.Replace(string(request(UDP, 1, "")), "SIP/2.0\r\n", "SIP/3.0\r\n", 1)))
	c.expect(505, 1)
	c.write(request(UDP, 2, ""))
	c.expect(200, 2)
	if n := l.Stats().ParseErrors.Load(); n != 2 {
		t.Errorf("counted %d parse errors, want 2", n)
	}
	if n := len(l.Flows()); n != 1 {
		t.Errorf("%d flows, want 1", n)
	}
}

func TestUDPOnUnspecifiedAddress(t *testing.T) {
	for _, tt := range []struct{ listen, to string }{
		{"0.0.0.0:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.2"}, {"[::]:0", "127.0.0.3"}, {"[::]:0", "::1"},
	} {
		t.Run(tt.listen+" "+tt.to, func(t *testing.T) {
			h := newEcho()
			l := newLayer(t, h, nil)
			ln := listen(t, l, UDP, func(s *ListenSpec) { s.Addr = mustAddrPort(tt.listen) })
			c, err := net.Dial("udp", net.JoinHostPort(tt.to, fmt.Sprint(ln.Addr().Port())))
			if err != nil {
				skip(t, "no IPv6 here: %v", err)
			}
			defer c.Close()
			cl := &client{Conn: c, t: t}
			cl.write(request(UDP, 1, ""))
			cl.expect(200, 1) // a connected socket takes answers from the address it sent to only
			f := receive(t, h.opened, "flow")
			if f.Local().Addr().String() != tt.to {
				t.Errorf("local address is %v, want %v", f.Local(), tt.to)
			}
			if err := f.Send(request(UDP, 2, "")); err != nil {
				t.Fatal(err)
			}
			if b := cl.next(); !bytes.HasPrefix(b, []byte("OPTIONS")) {
				t.Errorf("got %q", b)
			}
			if tt.to != "127.0.0.1" && tt.to != "::1" {
				return // the system's own choice of source is another address
			}
			same, err := l.Connect(t.Context(), Target{Transport: UDP, Addr: addrPort(c.LocalAddr()), Listener: ln})
			if err != nil || same != f {
				t.Errorf("Connect gives flow %v, %v, want the one there is", same, err)
			}
		})
	}
}

func TestWebSocket(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	front := httptest.NewServer(l.WebSocketHandler())
	defer front.Close()
	urls := map[string]string{
		"ws":    "ws://" + listen(t, l, WS, nil).Addr().String() + "/",
		"wss":   "wss://" + listen(t, l, WSS, nil).Addr().String() + "/sip",
		"front": strings.Replace(front.URL, "http", "ws", 1),
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			tr := http.Transport{TLSClientConfig: clientTLS()}
			defer tr.CloseIdleConnections()
			opt := &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPClient: &http.Client{Transport: &tr}}
			c, _, err := websocket.Dial(ctx, url, opt)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if c.Subprotocol() != "sip" {
				t.Errorf("subprotocol is %q", c.Subprotocol())
			}
			for i := range 3 {
				typ := websocket.MessageText
				if i == 1 {
					typ = websocket.MessageBinary
				}
				if err := c.Write(ctx, typ, request(WSS, i+1, "")); err != nil {
					t.Fatal(err)
				}
				_, b, err := c.Read(ctx)
				if err != nil || !bytes.HasPrefix(b, []byte("SIP/2.0 200 ")) {
					t.Fatalf("got %q, %v", b, err)
				}
			}
			c.Write(ctx, websocket.MessageText, []byte("\r\n\r\n"))
			if _, b, err := c.Read(ctx); err != nil || string(b) != "\r\n" {
				t.Errorf("ping answered with %q, %v", b, err)
			}
			c.Write(ctx, websocket.MessageText, []byte("nonsense"))
			receive(t, h.bad, "report")
			c.Close(websocket.StatusNormalClosure, "")
			if err := receive(t, h.gone, "end"); err != io.EOF {
				t.Errorf("flow ended with %v", err)
			}
		})
		t.Run(name+" without subprotocol", func(t *testing.T) {
			tr := http.Transport{TLSClientConfig: clientTLS()}
			defer tr.CloseIdleConnections()
			_, r, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: &tr}})
			if err == nil || r == nil || r.StatusCode != 400 {
				t.Errorf("got %v, %v, want 400", r, err)
			}
		})
	}
}

func TestWebSocketTooLong(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	ln := listen(t, l, WS, func(s *ListenSpec) { s.Limits = &sip.Limits{MaxMessage: 2000} })
	c, _, err := websocket.Dial(t.Context(), "ws://"+ln.Addr().String(), &websocket.DialOptions{Subprotocols: []string{"sip"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.Write(t.Context(), websocket.MessageText, request(WS, 1, strings.Repeat("x", 2000)))
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("got %v, want close status 1009", err)
	}
	receive(t, h.gone, "end")
}

func TestIdentityAndSlots(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	c := dial(t, listen(t, l, TCP, nil))
	c.write(request(TCP, 1, ""))
	f := receive(t, h.opened, "flow")
	if f.Identity().Known() || f.Value(SlotStack) != nil || f.PeerCertificates() != nil || f.ServerName() != "" {
		t.Error("a new flow knows something already")
	}
	want := uc.Identity{AOR: "alice@example.test", Class: uc.Client}
	f.SetIdentity(want)
	f.SetValue(SlotBindings, 7)
	if f.Identity() != want || f.Value(SlotBindings) != 7 {
		t.Errorf("got %v and %v", f.Identity(), f.Value(SlotBindings))
	}
	f.SetValue(SlotBindings, nil)
	if f.Value(SlotBindings) != nil {
		t.Error("slot is not empty")
	}
}

func TestOnClose(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	c := dial(t, listen(t, l, TCP, nil))
	c.write(request(TCP, 1, ""))
	f := receive(t, h.opened, "flow")
	why := errors.New("enough")
	got := make(chan error, 3)
	f.OnClose(func(err error) { got <- err })
	stop := f.OnClose(func(error) { t.Error("called though taken back") })
	if !stop() || stop() {
		t.Error("stop does not report what it did")
	}
	f.Close(why)
	f.Close(errors.New("later"))
	if err := receive(t, got, "call"); err != why {
		t.Errorf("closed for %v", err)
	}
	<-f.Done()
	if !f.Closed() || f.Err() != why || f.Send(crlf) != ErrClosed {
		t.Error("flow is not closed")
	}
	if err := receive(t, h.gone, "end"); err != why {
		t.Errorf("Closed was called with %v", err)
	}
	f.OnClose(func(err error) { got <- err })
	if err := receive(t, got, "late call"); err != why {
		t.Errorf("late hook called with %v", err)
	}
	if _, ok := l.FlowByID(f.ID()); ok {
		t.Error("a closed flow is found")
	}
}

func TestRefusedByHandler(t *testing.T) {
	for _, tr := range datagramAndStreams {
		h := newEcho()
		h.open = func(*Flow) error { return errors.New("no") }
		l := newLayer(t, h, nil)
		c := dial(t, listen(t, l, tr, nil))
		c.write(request(tr, 1, ""))
		if tr != UDP {
			if b, err := io.ReadAll(c); len(b) > 0 {
				t.Errorf("%v: got %q, %v", tr, b, err)
			}
		}
		eventually(t, "refused", func() bool { return l.Stats().RefusedHandler.Load() > 0 })
		if len(l.Flows()) != 0 {
			t.Errorf("%v: flow is there", tr)
		}
	}
}

// TestWebSocketNeverRead: a browser that does not read costs its outbox, too.
func TestWebSocketNeverRead(t *testing.T) {
	h := newEcho()
	l := newLayer(t, h, nil)
	c, _, err := websocket.Dial(t.Context(), "ws://"+listen(t, l, WS, nil).Addr().String(), &websocket.DialOptions{Subprotocols: []string{"sip"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	f := receive(t, h.opened, "flow")
	msg := request(WS, 1, strings.Repeat("x", 8000))
	for {
		if err := f.Send(msg); err != nil {
			if !errors.Is(err, ErrSlowPeer) {
				t.Errorf("got %v", err)
			}
			break
		}
		if n := f.Backlog(); n > 256<<10 {
			t.Fatalf("%d bytes wait", n)
		}
	}
	if err := receive(t, h.gone, "end"); err != ErrSlowPeer {
		t.Errorf("closed for %v", err)
	}
}
