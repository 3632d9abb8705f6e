// Package flow owns every SIP socket: listeners and connections for UDP, TCP, TLS and WebSocket, framing,
// keep-alives, and the table of flows.
//
// A [Flow] is one way to reach one peer: a connection, or a local UDP socket with a remote address. It is a
// number that is never used again, not even by a later process, so it may be written into a Path or Record-Route
// token. It is never looked up by address, and a flow that died is never replaced by dialling the peer; opening
// a connection to somebody is [Layer.Connect], which takes a [Target] that came out of name resolution
// (RFC 3263) or configuration, never a client's address.
//
// # Reading
//
// Messages are handed to the [Handler] in the goroutine that read them, in the order in which they came. UDP has
// one reader for each of a few SO_REUSEPORT sockets; a stream has one reader each. A handler must not wait for
// anything but memory: what has to wait takes a copy of the message into a lane and returns.
//
// # Sending
//
// [Flow.Send] copies the bytes and never waits for the peer. What is sent from inside a reader is written when
// that reader has handled everything it read, in one system call for each flow; [Flow.SendWithin] extends that to
// the other flows which a message touches, as the two sides of a proxied call. A peer that does not read costs its
// outbox, by default 256 KiB, and is then closed with [ErrSlowPeer].
//
// # What it does not know
//
// Users, policy, routing, transactions: an identity is stored on the flow by whoever finds it out.
package flow
