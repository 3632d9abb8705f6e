// Package bus connects the nodes of a pool: messages, questions and answers,
// and state that clients repeat by themselves (bindings, presence, leases). It
// is NATS, embedded in every node that carries a bus, always, also when the
// node is alone; the kinds of connection differ only in Open:
//
//   - alone: an embedded server without any socket
//   - member: an embedded server, clustered by mutual TLS with the pool's others
//   - external: a server that somebody else runs, by URL
//
// Open does not wait for the others. Until a quorum exists, operations on
// buckets return ErrNotReady and Ready says what is missing; publishing and
// questions between connected nodes work before that.
//
// Nothing here is the only copy of what a person typed: that is in the store.
package bus
