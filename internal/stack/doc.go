// Package stack drives the transaction machines of package txn over the flows of package flow. It is the server
// and client side of SIP for everything above it.
//
// # Serving
//
// A request that is not a repetition becomes a [ServerTxn]. It is shown to Config.Admit, which may refuse it
// without any state being kept, and then given to Config.Route. Both run in the reader of the flow, one message
// after the other, and must not wait for anything but memory. A handler that has to wait calls
// [ServerTxn.Retain], hands the transaction to a lane and returns; it may answer later from any goroutine.
//
// An ACK for a 2xx, and one for an INVITE in the Accepted state, arrives as a ServerTxn whose method is ACK and
// which cannot be answered, and so does a BENOTIFY. Other ACKs, repetitions, and CANCEL are dealt with here.
//
// # Asking
//
// [Stack.Request] sends a complete request and calls back for each response. [Stack.Send] is the same for users
// that write the request themselves into the stack's buffer, as the proxy does. Both try the targets of a
// [Destination] one after the other (RFC 3263 section 4.3).
//
// # Locks
//
// Transactions live in shards. A shard's lock is held for one step of a machine and never while sending or
// calling out. No other lock is taken under it.
package stack
