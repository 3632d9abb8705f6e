package ports

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// attempts is how many pairs are tried that somebody else on the machine has taken.
const attempts = 64

// Pair is the two sockets of a stream.
type Pair struct {
	RTP, RTCP *net.UDPConn // RTCP is nil when both share a port (RFC 5761)
	Port      uint16       // of RTP

	pool  *Pool
	close sync.Once
}

// Listen opens a pair on an address, or only its RTP port when RTCP shares it (mux). A pair of which a port is taken
// by another program is put to rest and the next one tried.
func (p *Pool) Listen(addr netip.Addr, mux bool, now time.Time) (*Pair, error) {
	for range attempts {
		port, err := p.Take(now)
		if err != nil {
			return nil, err
		}
		pair, err := open(addr, port, mux)
		if err == nil {
			pair.pool = p
			return pair, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			p.giveBack(port)
			return nil, err
		}
		p.Release(port, now)
	}
	return nil, fmt.Errorf("%w in %v: other programs have them", ErrExhausted, p.r)
}

func open(addr netip.Addr, port uint16, mux bool) (*Pair, error) {
	rtp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
	if err != nil {
		return nil, err
	}
	pair := &Pair{RTP: rtp, Port: port}
	if mux {
		return pair, nil
	}
	pair.RTCP, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port+1)))
	if err != nil {
		rtp.Close()
		return nil, err
	}
	return pair, nil
}

// Close closes the sockets and gives the pair back. Calling it again does nothing.
func (p *Pair) Close(now time.Time) error {
	var err error
	p.close.Do(func() {
		err = p.RTP.Close()
		if p.RTCP != nil {
			err = errors.Join(err, p.RTCP.Close())
		}
		p.pool.Release(p.Port, now)
	})
	return err
}
