package sipp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"parley/test/phone"
)

// Trunk is one connection to the server on which users are signed in and through which a SIPp process then
// speaks. SIPp scenarios hold one dialog each, so a phone that registers and later is called cannot be one
// scenario: the trunk registers, and hands the same connection on. It also is SIPp's TLS.
type Trunk struct {
	// Contact is the trunk's own address towards the server, for the Contact of scenarios.
	Contact netip.AddrPort
	// Addr is where a client scenario connects to. Zero when the trunk itself dialled a server scenario.
	Addr netip.AddrPort

	p    *phone.Phone
	ln   net.Listener
	wg   sync.WaitGroup
	side atomic.Pointer[net.Conn] // the SIPp that is there
}

// OpenTrunk connects to server over "tcp" or "tls" and signs every account in on that connection.
func OpenTrunk(ctx context.Context, transport, server string, conf *tls.Config, accounts []phone.Account) (*Trunk, error) {
	p, err := phone.Dial(ctx, phone.Account{}, transport, server, conf)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		one := *p // the same connection and reader, another user
		one.Account = a
		if err := one.Register(ctx, 3600); err != nil {
			p.Close()
			return nil, err
		}
	}
	addr, err := netip.ParseAddrPort(p.Local())
	if err != nil {
		return nil, err
	}
	return &Trunk{Contact: addr, p: p}, nil
}

// Serve lets client scenarios connect to Addr, one after the other, and joins each to the server.
func (t *Trunk) Serve() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	t.ln, t.Addr = ln, ln.Addr().(*net.TCPAddr).AddrPort()
	t.wg.Go(t.fromServer)
	t.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.toServer(c)
		}
	})
	return nil
}

// Reach connects to a server scenario that listens at addr and joins it to the server.
func (t *Trunk) Reach(ctx context.Context, addr netip.AddrPort) error {
	c, err := dialPatiently(ctx, addr)
	if err != nil {
		return fmt.Errorf("SIPp at %v: %w", addr, err)
	}
	t.side.Store(&c) // before anything can arrive
	t.wg.Go(t.fromServer)
	t.wg.Go(func() { t.toServer(c) })
	return nil
}

// toServer passes on what one SIPp says, until it leaves.
func (t *Trunk) toServer(c net.Conn) {
	t.side.Store(&c)
	_, _ = io.Copy(t.p.Conn, c)
	t.side.CompareAndSwap(&c, nil)
	c.Close()
}

// fromServer passes on what the server says to the SIPp that is there just now.
func (t *Trunk) fromServer() {
	buf := make([]byte, 64<<10)
	for {
		n, err := t.p.Reader().Read(buf)
		if err != nil {
			return
		}
		if c := t.side.Load(); c != nil {
			_, _ = (*c).Write(buf[:n])
		}
	}
}

// Close drops both sides and waits.
func (t *Trunk) Close() {
	t.p.Close()
	if t.ln != nil {
		t.ln.Close()
	}
	if c := t.side.Load(); c != nil {
		(*c).Close()
	}
	t.wg.Wait()
}

// SignIn registers accounts from a UDP port and gives the port free again, for a SIPp that binds it next:
// to the server it is the same phone.
func SignIn(ctx context.Context, local netip.AddrPort, server string, accounts []phone.Account) (netip.AddrPort, error) {
	p, err := phone.DialFrom(ctx, phone.Account{}, "udp", local, server, nil)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer p.Close()
	for _, a := range accounts {
		one := *p
		one.Account = a
		if err := one.Register(ctx, 3600); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.ParseAddrPort(p.Local())
}
