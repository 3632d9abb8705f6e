// Package turn is the media relay as a machine: what a client or a peer sent and the time go in, and what is to be sent
// and which relay addresses are to be opened or closed comes out through Net. It opens no socket and keeps no clock.
//
// Two dialects share the ports and the allocations: RFC 8656 (TURN, with STUN binding of RFC 8489), and [MS-TURN], which
// Lync clients speak. Who may relay is decided by credentials that carry their own expiry (see Secret), so that a relay
// needs no database. Relayed is UDP only: RFC 6062 is refused with 442.
//
// A Server is one shard: it owns the clients that the network leads to it and is used by one goroutine at a time. Several
// share the User table, which counts over all of them. Packets of an allocation that exists cost no memory.
package turn
