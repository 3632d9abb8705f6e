package flow

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// tlsSocket is what a stream's tls.Conn takes for its connection.
//
// During the handshake it passes everything through. Afterwards it never waits: Read takes from what the reader
// read from the socket and says errWouldBlock when that is used up, which tls.Conn takes as temporary; Write
// appends to the stream's outbox. So the goroutine of an idle connection waits outside crypto/tls, where it needs
// neither buffer nor a deep stack, and a sender is never held up by somebody else's full socket.
type tlsSocket struct {
	s     *stream
	ready bool // the handshake is over
	// Where in a TLS record the bytes read so far end: half a record is half a message.
	header int // bytes of the record's header seen, 5 while in its body
	body   int // bytes of its body to come
}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "flow: nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}

func (t *tlsSocket) Read(b []byte) (n int, err error) {
	s := t.s
	if t.ready {
		if len(s.cipher) == 0 {
			return 0, errWouldBlock
		}
		n = copy(b, s.cipher)
		s.cipher = s.cipher[n:]
	} else if n, err = s.conn.Read(b); err != nil {
		return n, err
	}
	t.follow(b[:n])
	return n, nil
}

// follow keeps track of record boundaries (RFC 8446 section 5.1).
func (t *tlsSocket) follow(b []byte) {
	for len(b) > 0 {
		if t.header == 5 {
			n := min(t.body, len(b))
			t.body -= n
			b = b[n:]
		} else {
			switch t.header {
			case 3:
				t.body = int(b[0]) << 8
			case 4:
				t.body |= int(b[0])
			}
			t.header++
			b = b[1:]
		}
		if t.header == 5 && t.body == 0 {
			t.header = 0
		}
	}
}

func (t *tlsSocket) Write(b []byte) (int, error) {
	if !t.ready {
		return t.s.conn.Write(b)
	}
	t.s.sockMu.Lock()
	t.s.sock = t.s.sock.append(b)
	t.s.sockMu.Unlock()
	return len(b), nil
}

func (t *tlsSocket) Close() error         { return t.s.conn.Close() }
func (t *tlsSocket) LocalAddr() net.Addr  { return t.s.conn.LocalAddr() }
func (t *tlsSocket) RemoteAddr() net.Addr { return t.s.conn.RemoteAddr() }

func (t *tlsSocket) SetDeadline(time.Time) error      { return nil }
func (t *tlsSocket) SetReadDeadline(time.Time) error  { return nil }
func (t *tlsSocket) SetWriteDeadline(time.Time) error { return nil }

// handshake runs the TLS handshake, as the server or the client, until the deadline or until ctx ends. It returns
// what is kept of it.
func (s *stream) handshake(ctx context.Context, side func(net.Conn, *tls.Config) *tls.Conn, c *tls.Config, limit time.Duration) (*tlsState, error) {
	t := &tlsSocket{s: s}
	s.tls = side(t, c)
	s.conn.SetDeadline(time.Now().Add(limit))
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(past) })
	err := s.tls.Handshake()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.conn.SetDeadline(time.Time{})
	t.ready = true
	s.socket = t
	state := s.tls.ConnectionState()
	return &tlsState{serverName: state.ServerName, peer: state.PeerCertificates}, nil
}

// readTLS is readOnce for TLS: one read from the socket, then all that can be decrypted of it.
func (s *stream) readTLS(fd uintptr, w *workspace) (more bool, err error) {
	if !s.started {
		s.started = true // the first message may have come with the end of the handshake
		more = true
	} else {
		var n int
		if n, more, err = w.read.read(fd, w.in); err != nil {
			return false, err
		}
		s.came(n)
		s.cipher = w.in[:n]
	}
	if w.plain == nil {
		w.plain = make([]byte, readSize)
	}
	s.bt.begin(w.dirty[:0])
	slim.lend(s.tls, &w.raw)
	err = s.decrypt(w)
	slim.reclaim(s.tls, &w.raw)
	w.dirty = s.bt.end()
	s.cipher = nil
	if err == nil && s.sockWaits() {
		s.flush() // tls answered something by itself, as a key update
	}
	return more, err
}

// decrypt handles what the cipher text holds.
func (s *stream) decrypt(w *workspace) error {
	for !s.flow.closed.Load() {
		buf, have := w.plain, s.part.len()
		if have > 0 {
			buf = s.resume(buf)
		}
		n, err := s.tls.Read(buf[have:])
		if n > 0 {
			if err := s.messages(w, buf[:have+n]); err != nil {
				return err
			}
		}
		if err == errWouldBlock {
			break
		}
		if err != nil {
			return err
		}
	}
	if s.socket.header > 0 {
		s.partSince.CompareAndSwap(0, s.flow.layer.clock.Load())
	} else if s.part == nil {
		s.partSince.Store(0)
	}
	return nil
}

func (s *stream) sockWaits() bool {
	s.sockMu.Lock()
	defer s.sockMu.Unlock()
	return s.sock.len() > 0
}
