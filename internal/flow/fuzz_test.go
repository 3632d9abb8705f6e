package flow

import (
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"

	"parley/internal/sip"
)

// recorder is a Handler that notes what it is told.
type recorder struct{ events []string }

func (r *recorder) Open(*Flow) error { return nil }
func (r *recorder) Message(_ *Flow, m *sip.Message) {
	r.events = append(r.events, "message "+string(m.Raw()))
}
func (r *recorder) Closed(*Flow, error) {}
func (r *recorder) Malformed(_ *Flow, m *sip.Message, err error) {
	// The text of an error that lost the framing may depend on how much had come by then.
	r.events = append(r.events, "malformed")
}

// FuzzChunks: however the bytes of a stream are cut, the handler is told the same.
func FuzzChunks(f *testing.F) {
	one := string(request(TCP, 1, "body"))
	f.Add([]byte(one+"\r\n\r\n"+one), []byte{1, 3, 200})
	f.Add([]byte("\r\n"+one+one+"GET / HTTP/1.1\r\n\r\n"), []byte{0, 7})
	f.Add([]byte(one[:len(one)-30]), []byte{50})
	f.Add([]byte("OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999\r\n\r\n"), []byte{2})

	l := New(Config{Handler: &recorder{}, Log: slog.New(slog.DiscardHandler)})
	// The streams are never read from, but answer pings.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	peer, err := ln.Accept()
	if err != nil {
		f.Fatal(err)
	}
	defer peer.Close()
	go io.Copy(io.Discard, peer)

	run := func(data []byte, cuts []byte) []string {
		r := &recorder{}
		l.config.Handler = r
		s, err := newStream(c.(*net.TCPConn))
		if err != nil {
			panic(err)
		}
		s.flow = l.newFlow(TCP, addrPort(c.LocalAddr()), addrPort(c.RemoteAddr()), s)
		w := &workspace{in: make([]byte, 256)} // small, so that messages outgrow it
		for i := 0; len(data) > 0; i++ {
			n := len(data)
			if len(cuts) > 0 {
				n = min(n, int(cuts[i%len(cuts)])+1)
			}
			for chunk := data[:n]; len(chunk) > 0; { // as readOnce does
				buf, have := w.in, s.part.len()
				if have > 0 {
					buf = s.resume(buf)
				}
				got := copy(buf[have:], chunk)
				chunk = chunk[got:]
				if s.handle(w, buf[:have+got]) != nil {
					return r.events
				}
			}
			data = data[n:]
		}
		return r.events
	}
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		whole, cut := run(data, nil), run(data, cuts)
		if !slices.Equal(whole, cut) {
			t.Errorf("whole: %q\ncut: %q", whole, cut)
		}
	})
}

// FuzzRecords: the record boundaries followed do not depend on how the bytes come.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 2, 1, 2, 23, 3, 3, 0, 0, 22}, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, size byte) {
		var whole, cut tlsSocket
		whole.follow(data)
		for chunk := range slices.Chunk(data, int(size)+1) {
			cut.follow(chunk)
		}
		if whole != cut {
			t.Errorf("whole: %+v, cut: %+v", whole, cut)
		}
	})
}
