package flow

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"parley/internal/sip"
)

// Handler receives what happens on flows. All calls for one flow come one after another: Open, then Message and
// Malformed, then Closed. Calls for different flows run at the same time. For UDP, Message may run at the same
// time for one flow, should the kernel move a peer from one socket of a listener to another.
type Handler interface {
	// Open is called before a flow's first message, after its TLS handshake. An error refuses the flow: it is
	// closed and Closed is not called.
	Open(f *Flow) error
	// Message is called in the reader. m and everything sliced out of it are valid until it returns.
	Message(f *Flow, m *sip.Message)
	// Malformed is called in the reader for bytes that are not a message. When they were parsed far enough to be
	// answered, m is not nil; errors.As finds the *sip.Error to answer with. A stream on which framing is lost is
	// closed after Malformed returns, with the answer written first.
	Malformed(f *Flow, m *sip.Message, err error)
	// Closed is called once, when the flow is gone. err says why and is never nil: io.EOF when the peer closed.
	Closed(f *Flow, err error)
}

// Resolver finds where a request for a URI goes, in the order to try (RFC 3263). Package resolve has one.
type Resolver interface {
	Resolve(ctx context.Context, uri sip.URI) ([]Target, error)
}

// OutFilter sees the final bytes of a message, once, in send order, and returns what is written instead: b, or
// other bytes that stay valid until its next call for this flow. It must not block nor send.
type OutFilter func(f *Flow, b []byte) []byte

// TraceFunc sees every message that was received (in is true) or is about to be sent. b is valid until it returns.
type TraceFunc func(f *Flow, in bool, b []byte)

// Config is what a Layer is made of. Handler and Log must be set; every other zero value means its default.
type Config struct {
	Handler  Handler
	Log      *slog.Logger
	Resolver Resolver
	// ClientTLS returns the TLS configuration to dial a target with: roots and the own certificate. ServerName
	// and the check of the peer's name (RFC 5922) are filled in by the layer unless InsecureSkipVerify is set.
	// Nil means that TLS targets cannot be dialled.
	ClientTLS func(t Target) (*tls.Config, error)
	// Origins are the host patterns from which browsers may open a WebSocket, besides the server's own host.
	Origins []string
	// Exempt says which source addresses the bounds per address do not hold for; nil exempts loopback.
	Exempt func(netip.Addr) bool
	Limits Limits
}

// Limits bounds what peers may cost. A zero field takes the default that is written beside it.
type Limits struct {
	Message sip.Limits // size of messages on a new flow (sip.DefaultLimits); see also Flow.SetLimits
	Outbox  int        // bytes that wait for one peer (256 KiB); what exceeds it closes the flow

	Conns           int // accepted connections in all (200,000)
	ConnsPerIP      int // accepted connections from one IPv4 address or IPv6 /64 (1,024)
	Handshakes      int // TLS handshakes under way in all (2,048)
	HandshakesPerIP int // TLS handshakes under way from one address (128)
	UDPFlows        int // flows of one UDP listener (200,000)
	ConnsPerPeer    int // connections we dial to one target (4)

	Handshake    time.Duration // to complete a TLS or WebSocket handshake (10 s)
	Dial         time.Duration // to establish a connection, handshake included (5 s)
	FirstMessage time.Duration // from accepting a connection to its first message (60 s)
	Partial      time.Duration // from the first to the last byte of a message (30 s)
	WriteStall   time.Duration // without progress while the peer does not read (30 s)
	Idle         time.Duration // without a byte from the peer on a stream that nobody holds (15 min)
	IdleUDP      time.Duration // the same for UDP (2 min)
	// IdleHeld ends flows that are held (Flow.Hold), as a registered phone's, when nothing came for this long.
	// The default is never: TCP keep-alive probes find dead peers, and registrations expire by themselves.
	IdleHeld time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Message = *complete(&l.Message)
	or(&l.Outbox, 256<<10)
	or(&l.Conns, 200_000)
	or(&l.ConnsPerIP, 1024)
	or(&l.Handshakes, 2048)
	or(&l.HandshakesPerIP, 128)
	or(&l.UDPFlows, 200_000)
	or(&l.ConnsPerPeer, 4)
	or(&l.Handshake, 10*time.Second)
	or(&l.Dial, 5*time.Second)
	or(&l.FirstMessage, time.Minute)
	or(&l.Partial, 30*time.Second)
	or(&l.WriteStall, 30*time.Second)
	or(&l.Idle, 15*time.Minute)
	or(&l.IdleUDP, 2*time.Minute)
	return l
}

// complete returns l with every field set, as the parser wants it for each message.
func complete(l *sip.Limits) *sip.Limits {
	if l == nil {
		return nil
	}
	c, d := *l, &sip.DefaultLimits
	or(&c.MaxMessage, d.MaxMessage)
	or(&c.MaxHead, d.MaxHead)
	or(&c.MaxHeaders, d.MaxHeaders)
	or(&c.MaxHeaderLine, d.MaxHeaderLine)
	or(&c.MaxBody, d.MaxBody)
	return &c
}

func or[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Reasons for which flows end or sends fail.
var (
	ErrClosed       = errors.New("flow: closed")
	ErrLayerClosed  = errors.New("flow: layer closed")
	ErrSlowPeer     = errors.New("flow: peer does not read: outbox full")
	ErrStalled      = errors.New("flow: peer does not read: no progress")
	ErrSlowMessage  = errors.New("flow: message not completed in time")
	ErrIdle         = errors.New("flow: idle")
	ErrNoMessage    = errors.New("flow: no message after connecting")
	ErrFraming      = errors.New("flow: framing lost")
	ErrPanic        = errors.New("flow: handler panicked")
	ErrNoTransport  = errors.New("flow: no way to send on this transport")
	ErrTooLong      = errors.New("flow: message too long for a datagram")
	ErrFlowsFull    = errors.New("flow: too many UDP flows")
	ErrUnresolvable = errors.New("flow: host is not an address and there is no resolver")
)
