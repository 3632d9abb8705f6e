package flow

import (
	"cmp"
	"fmt"
	"syscall"
)

// send takes a copy of b into the outbox.
func (s *stream) send(f *Flow, in *batch, b []byte) error {
	l := f.layer
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return ErrClosed
	}
	if p := f.filter.Load(); p != nil {
		b = (*p)(f, b)
	}
	if s.size()+len(b) > l.config.Limits.Outbox {
		s.mu.Unlock()
		f.Close(ErrSlowPeer)
		return ErrSlowPeer
	}
	if trace := l.tracing(); trace != nil {
		trace(f, false, b)
	}
	s.out = s.out.append(b)
	if !s.writing && (!s.dirty || s.out.len() >= flushAt) {
		if s.out.len() < flushAt && in.add(s) {
			s.dirty = true
		} else {
			s.push()
		}
	}
	s.mu.Unlock()
	f.lastOut.Store(l.clock.Load())
	l.stats.MessagesOut.Add(1)
	return nil
}

// size returns the bytes that wait for the peer. The caller holds s.mu.
func (s *stream) size() int {
	s.sockMu.Lock()
	n := s.sock.len()
	s.sockMu.Unlock()
	return n + s.out.len() + s.flying
}

func (s *stream) backlog() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size()
}

// flush writes what a batch left in the outbox.
func (s *stream) flush() {
	s.mu.Lock()
	s.dirty = false
	if !s.writing && !s.ended {
		s.push()
	}
	s.mu.Unlock()
}

// push writes as much as the socket takes and leaves the rest to a writer goroutine. The caller holds s.mu and
// there is no writer.
func (s *stream) push() {
	if !s.seal() {
		return
	}
	s.sockMu.Lock()
	b := s.sock
	s.sock = nil
	s.sockMu.Unlock()
	if b.len() == 0 {
		return
	}
	n, err := s.writeNow(b.bytes())
	s.flow.layer.stats.BytesOut.Add(uint64(n))
	b.r += n
	if err != nil {
		b.free()
		s.broken(err)
		return
	}
	if b.len() == 0 {
		b.free()
		return
	}
	// The rest goes in front of what tls may have added meanwhile.
	s.unshift(b)
	s.writing = true
	s.progress.Store(s.flow.layer.clock.Load())
	if !s.flow.layer.start(s.drain) {
		s.writing = false
	}
}

// unshift puts b in front of sock.
func (s *stream) unshift(b *buf) {
	s.sockMu.Lock()
	if s.sock.len() > 0 {
		b = b.append(s.sock.bytes())
		s.sock.free()
	}
	s.sock = b
	s.sockMu.Unlock()
}

// seal moves the outbox to sock, through TLS if there is any. It reports whether the flow is still good. The
// caller holds s.mu.
func (s *stream) seal() bool {
	if s.out.len() == 0 {
		return true
	}
	out := s.out
	s.out = nil
	if s.tls != nil {
		_, err := s.tls.Write(out.bytes())
		out.free()
		if err != nil {
			s.broken(err)
			return false
		}
		return true
	}
	s.sockMu.Lock()
	if s.sock.len() == 0 {
		s.sock.free()
		s.sock = out
	} else {
		s.sock = s.sock.append(out.bytes())
		out.free()
	}
	s.sockMu.Unlock()
	return true
}

// broken closes the flow for an error of the socket. The caller holds s.mu.
func (s *stream) broken(err error) {
	s.ended = true
	s.discard()
	if s.flow.closing(fmt.Errorf("flow: write: %w", err)) {
		s.wakeLocked()
	}
}

// discard forgets what was not written. The caller holds s.mu.
func (s *stream) discard() {
	s.out.free()
	s.out = nil
	s.sockMu.Lock()
	s.sock.free()
	s.sock = nil
	s.sockMu.Unlock()
}

// writeNow writes what the socket takes without waiting.
func (s *stream) writeNow(b []byte) (int, error) {
	s.wbuf, s.wn, s.werr = b, 0, nil
	err := s.raw.Write(s.tryWrite)
	s.wbuf = nil
	if err == nil {
		err = s.werr
	}
	return s.wn, err
}

// writeOnce is called by RawConn.Write. It always returns true: the socket is not waited for.
func (s *stream) writeOnce(fd uintptr) bool {
	for len(s.wbuf) > 0 {
		n, err := writeSocket(fd, s.wbuf)
		if err != nil {
			if err != syscall.EAGAIN {
				s.werr = err
			}
			break
		}
		s.wn += n
		s.wbuf = s.wbuf[n:]
	}
	return true
}

// drain is the writer goroutine: it waits for the socket until nothing is left.
func (s *stream) drain() {
	l := s.flow.layer
	for {
		s.mu.Lock()
		good := s.seal() && !s.ended
		s.sockMu.Lock()
		b := s.sock
		s.sock = nil
		s.sockMu.Unlock()
		if !good || b.len() == 0 {
			b.free()
			s.flying = 0
			s.writing = false
			if s.drained != nil {
				s.drained.Broadcast()
			}
			s.mu.Unlock()
			return
		}
		s.flying = b.len()
		s.mu.Unlock()

		err := s.raw.Write(func(fd uintptr) bool {
			for b.len() > 0 {
				n, err := writeSocket(fd, b.bytes())
				if err != nil {
					if err == syscall.EAGAIN {
						return false
					}
					s.werr = err
					return true
				}
				b.r += n
				l.stats.BytesOut.Add(uint64(n))
				s.progress.Store(l.clock.Load())
			}
			return true
		})
		b.free()
		if err = cmp.Or(err, s.werr); err != nil {
			s.mu.Lock()
			s.broken(err)
			s.mu.Unlock()
		}
	}
}

// stalled reports whether the writer waits in vain.
func (s *stream) stalled(now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing && now-s.progress.Load() > int64(s.flow.layer.config.Limits.WriteStall)
}
