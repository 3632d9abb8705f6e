package flow

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"parley/internal/sip"
)

// stream is the wire of a TCP or TLS flow: one reader goroutine, an outbox, and a writer goroutine only while the
// socket is full.
//
// The reader spends its life inside one RawConn.Read, parked on the netpoller with a shallow stack and no buffer.
// TLS is run over what was read without ever blocking in it, see tlsSocket.
type stream struct {
	flow *Flow
	conn *net.TCPConn
	raw  syscall.RawConn
	tls  *tls.Conn // nil for TCP
	bt   batch

	// The reader's own.
	part    *buf // the beginning of a message
	frame   sip.Framer
	cipher  []byte     // TLS: read from the socket, not yet taken by tls
	socket  *tlsSocket // TLS
	lost    bool       // framing is lost
	started bool       // tls may hold data from the handshake: look there before waiting
	readErr error

	partSince atomic.Int64 // layer clock when the message in part began, 0 without one
	progress  atomic.Int64 // layer clock when the writer last got rid of bytes

	mu      sync.Mutex
	drained *sync.Cond // signalled when the writer ends
	out     *buf       // to be sent, before TLS
	dirty   bool       // a batch will flush
	writing bool       // a writer goroutine owns the socket
	ended   bool       // the socket is closed
	sockMu  sync.Mutex // guards sock; taken last
	sock    *buf       // to be sent, as it goes to the socket
	flying  int        // bytes the writer took out of sock

	tryWrite func(fd uintptr) bool // for RawConn.Write, made once
	wbuf     []byte                // its argument and results
	wn       int
	werr     error
}

// flushAt is the outbox size at which bytes are written though the batch goes on, and above which the peer's own
// requests are not read until it has read our answers.
const flushAt = 64 << 10

func newStream(conn *net.TCPConn) (*stream, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, raw: raw}
	s.tryWrite = s.writeOnce
	announceQueue(raw)
	return s, nil
}

// run reads until the flow ends. The flow was admitted.
func (s *stream) run() {
	err := s.raw.Read(s.readable)
	switch {
	case s.readErr != nil:
		err = s.readErr
	case errors.Is(err, os.ErrDeadlineExceeded) || err == nil:
		err = ErrClosed // woken by Close, whose reason stands
	}
	s.end(err)
}

// readable is called whenever there may be something to read. It returns true to end the reader. Without leaving
// RawConn.Read in between, no readiness is lost.
func (s *stream) readable(fd uintptr) (done bool) {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	for !s.flow.closed.Load() {
		if s.throttled() {
			continue
		}
		more, err := s.readOnce(fd, w)
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			s.readErr = err
			return true
		}
		if !more {
			return s.flow.closed.Load()
		}
	}
	return true
}

// readOnce reads once from the socket and handles what came. It reports whether there may be more.
func (s *stream) readOnce(fd uintptr, w *workspace) (more bool, err error) {
	if s.tls != nil {
		return s.readTLS(fd, w)
	}
	buf := w.in
	n := s.part.len()
	if n > 0 {
		buf = s.resume(buf)
	}
	got, more, err := w.read.read(fd, buf[n:])
	if err != nil {
		return false, err
	}
	s.came(got)
	return more, s.handle(w, buf[:n+got])
}

// resume returns a buffer to read into that begins with the part of a message that is there already: in itself
// for a small part, else the part's own buffer, grown.
func (s *stream) resume(in []byte) []byte {
	if n := s.part.len(); n <= len(in)/2 {
		copy(in, s.part.bytes())
		return in
	}
	s.part = s.part.grow(len(in) / 2)
	return s.part.b[s.part.r:cap(s.part.b)]
}

// came counts bytes from the socket.
func (s *stream) came(n int) {
	l := s.flow.layer
	s.flow.lastIn.Store(l.clock.Load())
	l.stats.BytesIn.Add(uint64(n))
}

// handle hands over all complete messages in data, which begins where the last message ended, and keeps the rest.
func (s *stream) handle(w *workspace, data []byte) error {
	s.bt.begin(w.dirty[:0])
	err := s.messages(w, data)
	w.dirty = s.bt.end()
	return err
}

// keep stores the beginning of an incomplete message. rest may lie in the buffer of the part itself.
func (s *stream) keep(rest []byte) {
	if len(rest) == 0 {
		s.part.free()
		s.part = nil
		s.partSince.Store(0)
		return
	}
	now := s.flow.layer.clock.Load()
	s.partSince.CompareAndSwap(0, now)
	if p := s.part; p != nil && &rest[0] == &p.b[p.r : p.r+1][0] {
		p.b = p.b[:p.r+len(rest)]
		return
	}
	old := s.part
	s.part = (*buf)(nil).append(rest)
	old.free()
}

// messages calls the handler for each complete message in data and keeps what is left.
func (s *stream) messages(w *workspace, data []byte) (err error) {
	f := s.flow
	l := f.layer
	handled := 0
	defer func() {
		if handled > 0 {
			f.messages.Add(uint64(handled))
			l.stats.MessagesIn.Add(uint64(handled))
		}
		if p := recover(); p != nil {
			err = l.panicked(f, p, debug.Stack())
		}
	}()
	for !f.closed.Load() {
		lim := f.messageLimits()
		n, kind, ferr := s.frame.Next(data, lim)
		if ferr != nil {
			return s.unframed(w, data[:n], ferr)
		}
		switch kind {
		case sip.NeedMore:
			s.keep(data)
			return nil
		case sip.FramePing:
			l.stats.KeepAlives.Add(1)
			if err := f.Send(crlf); err != nil {
				return err
			}
		case sip.FrameMessage:
			handled++
			s.partSince.Store(0)
			l.deliver(f, &w.msg, data[:n:n], lim)
		}
		data = data[n:]
	}
	return nil
}

var crlf = []byte("\r\n")

// unframed reports bytes after which nothing can be found any more. head is the start line and the header fields, as
// far as they could be delimited.
func (s *stream) unframed(w *workspace, head []byte, err error) error {
	l := s.flow.layer
	l.stats.ClosedFrames.Add(1)
	s.lost = true
	if len(head) > 0 {
		// Parse fills in what it can; the reason to refuse is the framer's.
		w.msg.Parse(head, s.flow.messageLimits())
		w.msg.Source = s.flow.remote
		l.malformed(s.flow, &w.msg, err)
	} else {
		l.malformed(s.flow, nil, err)
	}
	return errors.Join(ErrFraming, err)
}

// throttled waits while the peer does not read what it asked for, so that requests come in no faster than answers
// go out. It reports whether it waited.
func (s *stream) throttled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := false
	for s.writing && s.size() > flushAt && !s.flow.closed.Load() {
		if s.drained == nil {
			s.drained = sync.NewCond(&s.mu)
		}
		s.drained.Wait()
		waited = true
	}
	return waited
}

// end closes the socket and reports it.
func (s *stream) end(err error) {
	f := s.flow
	f.closing(err)
	s.mu.Lock()
	if !s.writing && !s.ended {
		s.push()
		if s.tls != nil && err != io.EOF && !s.ended {
			s.tls.CloseWrite()
			s.push()
		}
	}
	s.ended = true
	s.mu.Unlock()
	if s.lost {
		s.linger()
	}
	s.conn.Close()
	s.mu.Lock()
	s.discard()
	s.mu.Unlock()
	s.part.free()
	s.part = nil
	if f.listener != nil {
		f.layer.gate.leave(f.remote.Addr())
	}
	f.finish()
}

// linger waits a moment for the peer to read the last answer: closing a socket with unread bytes resets the
// connection and may take the answer with it.
func (s *stream) linger() {
	s.conn.CloseWrite()
	s.conn.SetReadDeadline(time.Now().Add(time.Second))
	io.CopyN(io.Discard, s.conn, 256<<10)
}

func (s *stream) batch() *batch { return &s.bt }

// wake ends the reader's and the writer's waiting.
func (s *stream) wake(*Flow) {
	s.mu.Lock()
	s.wakeLocked()
	s.mu.Unlock()
}

func (s *stream) wakeLocked() {
	s.conn.SetReadDeadline(past)
	if s.writing {
		s.conn.SetWriteDeadline(past)
	}
	if s.drained != nil {
		s.drained.Broadcast()
	}
}

var past = time.Unix(1, 0)

func (s *stream) check(f *Flow, now int64) {
	lim := &f.layer.config.Limits
	since := s.partSince.Load()
	switch {
	case since != 0 && now-since > int64(lim.Partial):
		f.Close(ErrSlowMessage)
	case !f.dialled && f.messages.Load() == 0 && now-f.opened > int64(lim.FirstMessage):
		f.Close(ErrNoMessage)
	case s.stalled(now):
		f.Close(ErrStalled)
	default:
		f.checkIdle(now, lim.Idle)
	}
}
