package flow

import "sync/atomic"

// Stats counts what happened since the layer was made. The fields may be read at any time; metrics take them as
// they are.
type Stats struct {
	Accepted       atomic.Uint64 // connections accepted
	Dialled        atomic.Uint64 // connections opened by Connect
	DialFailures   atomic.Uint64 // attempts of Connect that failed
	OpenStreams    atomic.Int64  // connections open now
	OpenUDP        atomic.Int64  // UDP flows open now
	PendingTLS     atomic.Int64  // handshakes under way
	Handshakes     atomic.Uint64 // TLS and WebSocket handshakes completed
	HandshakeFails atomic.Uint64 // and failed

	RefusedConns      atomic.Uint64 // refused: Limits.Conns
	RefusedIP         atomic.Uint64 // refused: Limits.ConnsPerIP
	RefusedHandshakes atomic.Uint64 // refused: Limits.Handshakes or HandshakesPerIP
	RefusedHandler    atomic.Uint64 // refused: Handler.Open
	RefusedUDP        atomic.Uint64 // datagrams dropped: Limits.UDPFlows
	AcceptErrors      atomic.Uint64 // accept failed, as when out of file descriptors

	BytesIn      atomic.Uint64
	BytesOut     atomic.Uint64
	MessagesIn   atomic.Uint64
	MessagesOut  atomic.Uint64
	KeepAlives   atomic.Uint64 // CRLF and STUN answered
	ParseErrors  atomic.Uint64 // bytes that were no message
	SendDropped  atomic.Uint64 // datagrams the kernel did not take
	ClosedSlow   atomic.Uint64 // flows closed: outbox full or stalled
	ClosedIdle   atomic.Uint64 // flows closed: idle
	ClosedLate   atomic.Uint64 // flows closed: message or first message not in time
	ClosedFrames atomic.Uint64 // flows closed: framing lost
	Panics       atomic.Uint64 // handler panics caught
}
