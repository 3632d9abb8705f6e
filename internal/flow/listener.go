package flow

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"parley/internal/sip"
)

// ListenSpec says where and how to listen.
type ListenSpec struct {
	Row       string         // name of the row of the port table, for status
	Transport Transport      //
	Addr      netip.AddrPort // port 0 takes a free one
	TLS       *tls.Config    // for TLS and WSS, with a certificate or a callback that finds one
	Limits    *sip.Limits    // size of messages, if not Config.Limits.Message
	Sockets   int            // UDP: sockets that share the port; 0 is one for each processor
}

// Listener is an open listening socket, or for UDP a group of sockets that share an address.
type Listener struct {
	spec  ListenSpec
	layer *Layer
	addr  netip.AddrPort
	open  acceptor
	flows atomic.Int64
}

// acceptor is the transport half of a listener.
type acceptor interface {
	stopAccepting()
	close()
}

// Listen opens a listener. Its flows go to the layer's Handler at once.
func (l *Layer) Listen(ctx context.Context, spec ListenSpec) (*Listener, error) {
	if spec.Transport.Secure() && spec.TLS == nil {
		return nil, fmt.Errorf("flow: listen on %s %s: no TLS configuration", spec.Transport, spec.Addr)
	}
	spec.Limits = complete(spec.Limits)
	ln := &Listener{spec: spec, layer: l}
	var err error
	switch spec.Transport {
	case UDP:
		err = ln.listenUDP(ctx)
	case TCP, TLS:
		err = ln.listenStream(ctx, ln.serveStream)
	case WS, WSS:
		err = ln.listenWebSocket(ctx)
	default:
		err = ErrNoTransport
	}
	if err != nil {
		return nil, fmt.Errorf("flow: listen on %s %s: %w", spec.Transport, spec.Addr, err)
	}
	return ln, nil
}

// Addr returns the address that was bound.
func (ln *Listener) Addr() netip.AddrPort { return ln.addr }

// Row returns the name of the port table's row it was opened for.
func (ln *Listener) Row() string { return ln.spec.Row }

// Transport returns what is spoken there.
func (ln *Listener) Transport() Transport { return ln.spec.Transport }

// Flows returns how many flows that came in by it are open.
func (ln *Listener) Flows() int { return int(ln.flows.Load()) }

// Close closes the socket. Streams that were accepted stay open; UDP flows end with their socket.
func (ln *Listener) Close() { ln.close() }

func (ln *Listener) stopAccepting() { ln.open.stopAccepting() }

func (ln *Listener) close() {
	ln.layer.mu.Lock()
	ln.layer.listeners = slices.DeleteFunc(ln.layer.listeners, func(o *Listener) bool { return o == ln })
	ln.layer.mu.Unlock()
	ln.open.close()
}

// register adds an opened listener to the layer, unless that is closing.
func (ln *Listener) register(a acceptor) error {
	ln.open = a
	l := ln.layer
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return ErrLayerClosed
	}
	l.listeners = append(l.listeners, ln)
	return nil
}
