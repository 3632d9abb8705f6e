package transport

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"parley/internal/media/ports"
	"parley/internal/sdp"
)

// ICEMode is how a transport takes part in ICE.
type ICEMode uint8

// Modes.
const (
	None ICEMode = iota // addresses as the descriptions name them
	Lite                // RFC 8445 2.5: answers checks and sends none; not for Lync clients, which need Full
	Full
)

// Dialect says which clients ICE is spoken with.
type Dialect uint8

// Dialects.
const (
	RFC  Dialect = iota // RFC 8445, and RFC 5245 before it
	Lync                // [MS-ICE2]
)

// Config is what a transport is made of. Ports and Listen are needed.
type Config struct {
	Ports  *ports.Pool
	Listen netip.Addr // an address of this machine, not the unspecified one
	// Advertise is the address that peers reach Listen by, where a translator with fixed mappings stands between; by
	// default Listen. The ports have to be the same outside.
	Advertise netip.Addr
	// Mux has one socket only: RTCP must share the port of RTP (RFC 5761). Otherwise there are two, of which the second
	// rests if the peer's description says that they share.
	Mux      bool
	Security sdp.Keying
	// AllowPlain accepts a description without keys, as a peer answers that was offered RTP/AVP with a=crypto.
	AllowPlain bool
	ICE        ICEMode
	Dialect    Dialect
	// Certificate is asked once, by New, for the certificate of DTLS-SRTP; see cert.Ephemeral.
	Certificate func(now time.Time) (*tls.Certificate, error)
	// DSCP marks what is sent (RFC 2474); 0 does not.
	DSCP uint8
	// OnState is told of every change of State, in order, from a goroutine of the transport. It may call any method but
	// Close.
	OnState func(State)
	Log     *slog.Logger // by default none; what peers cause is Debug
}

// State is how far a transport has come.
type State uint8

// States.
const (
	Waiting    State = iota // for the peer's description
	Connecting              // checks or a handshake run
	Connected               // media can flow
	Failed                  // nobody is reached any more, or keys could not be agreed upon; a new description may change it
	Closed
)

// String names the state.
func (s State) String() string {
	return [...]string{"waiting", "connecting", "connected", "failed", "closed"}[s]
}

// Errors of WriteRTP and WriteRTCP; both are counted.
var (
	// ErrNotReady is returned while there is no address to send to, or no key.
	ErrNotReady = errors.New("media transport: not ready to send")
	// ErrPacket is returned for what is no RTP or RTCP packet, or too large.
	ErrPacket = errors.New("media transport: not a packet that can be sent")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("media transport: closed")
)

// maxPacket is what a datagram may have. Media keep below the path's 1500 octets; what is larger is cut and dropped.
const maxPacket = 2048

// Handler takes what arrived, decrypted and from the peer. A packet is valid until the return and may be changed in
// place. RTP and RTCP are called from one goroutine, or from two that may run at the same time when RTCP has a port of
// its own.
type Handler interface {
	RTP(pkt []byte, now time.Time)
	RTCP(pkt []byte, now time.Time)
}
