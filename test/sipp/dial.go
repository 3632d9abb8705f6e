package sipp

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// dialPatiently connects to a program that was just started, trying until ctx ends.
func dialPatiently(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := d.DialContext(ctx, "tcp", addr.String())
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// FreePort finds a port of 127.0.0.1 that is free for UDP and TCP just now.
func FreePort() (netip.AddrPort, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return netip.AddrPort{}, err
		}
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenPacket("udp", addr.String())
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		return addr, nil
	}
}

// bound returns when a UDP port is taken, which is when a SIPp that was started is there.
func bound(ctx context.Context, addr netip.AddrPort) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return nil
		}
		c.Close()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
