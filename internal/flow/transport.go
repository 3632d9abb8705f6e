package flow

import (
	"fmt"
	"strings"
)

// Transport says how SIP travels on a flow.
type Transport uint8

// The transports. The zero value is no transport.
const (
	UDP Transport = iota + 1
	TCP
	TLS
	WS  // RFC 7118 over TCP
	WSS // RFC 7118 over TLS
)

var transportNames = [...]string{UDP: "UDP", TCP: "TCP", TLS: "TLS", WS: "WS", WSS: "WSS"}

// String returns the name as a Via header spells it (RFC 3261 section 20.42, RFC 7118 section 5.2).
func (t Transport) String() string {
	if t == 0 || int(t) >= len(transportNames) {
		return fmt.Sprintf("Transport(%d)", uint8(t))
	}
	return transportNames[t]
}

// ParseTransport reads a transport's name in any case, as it stands in a Via header, in a transport parameter of
// a URI or in a configuration file.
func ParseTransport(s string) (Transport, bool) {
	for t := UDP; t <= WSS; t++ {
		if strings.EqualFold(s, transportNames[t]) {
			return t, true
		}
	}
	return 0, false
}

// Reliable reports whether the transport retransmits by itself, so that transactions need not (RFC 3261
// section 17.1).
func (t Transport) Reliable() bool { return t != UDP }

// Secure reports whether the transport is protected by TLS.
func (t Transport) Secure() bool { return t == TLS || t == WSS }

// Stream reports whether messages are framed by Content-Length, as on TCP and TLS. A datagram and a WebSocket
// message each hold exactly one.
func (t Transport) Stream() bool { return t == TCP || t == TLS }

// DefaultPort returns the port of a URI that names none (RFC 3261 section 19.1.2, RFC 7118 section 5.3).
func (t Transport) DefaultPort() uint16 {
	switch t {
	case TLS:
		return 5061
	case WS:
		return 80
	case WSS:
		return 443
	}
	return 5060
}
