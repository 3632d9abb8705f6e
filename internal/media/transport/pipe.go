package transport

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// pipe is the socket as DTLS sees it: what arrives is put into it by the reader of the component, and what is written
// goes the way of media. It holds few datagrams and drops more, as a socket does.
type pipe struct {
	k    *component
	in   chan []byte
	done chan struct{}

	mu     sync.Mutex
	once   sync.Once
	from   netip.AddrPort // where the last one came from, for answers before there is a path
	timer  *time.Timer
	expire chan struct{} // closed when the deadline of reads has passed
}

func newPipe(k *component) *pipe {
	return &pipe{k: k, in: make(chan []byte, 32), done: make(chan struct{}), expire: make(chan struct{})}
}

func (p *pipe) put(b []byte, from netip.AddrPort) {
	p.mu.Lock()
	p.from = from
	p.mu.Unlock()
	select {
	case p.in <- append([]byte(nil), b...):
	default:
	}
}

// ReadFrom waits for a datagram.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	expire := p.expire
	p.mu.Unlock()
	select {
	case <-p.done:
		return 0, nil, net.ErrClosed
	case <-expire:
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case d := <-p.in:
		return copy(b, d), peerAddr, nil
	case <-p.done:
		return 0, nil, net.ErrClosed
	case <-expire:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// peerAddr stands for the peer, wherever it is: ICE moves it.
var peerAddr net.Addr = &net.UDPAddr{}

// WriteTo sends to where media goes, or to where the handshake comes from.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	from := p.from
	p.mu.Unlock()
	if err := p.k.raw(b, from); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close ends reads.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// LocalAddr says nothing.
func (p *pipe) LocalAddr() net.Addr { return peerAddr }

// SetDeadline is SetReadDeadline: writes do not wait.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline does nothing.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline bounds reads, those that wait already included.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil && !p.timer.Stop() {
		<-p.expire // it is being closed
	}
	p.timer = nil
	select {
	case <-p.expire:
		p.expire = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return nil
	}
	expire := p.expire
	if wait := time.Until(t); wait > 0 {
		p.timer = time.AfterFunc(wait, func() { close(expire) })
	} else {
		close(expire)
	}
	return nil
}
