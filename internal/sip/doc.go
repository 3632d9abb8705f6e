// Package sip reads and writes SIP messages (RFC 3261) as an index over the bytes that arrived.
//
// A Message remembers for each header field where its name and value lie in the raw bytes. Nothing is copied
// or decoded until it is asked for, and what is asked for is a slice of the same bytes, so the spelling of the
// peer survives: a message nobody edited prints as it came, and a proxy changes only what it must. Parse,
// Header and the typed views (URI, NameAddr, Via, Params) do not allocate.
//
// Checking is done in two steps. Message.Parse checks everything a transaction needs: start line, field
// structure, Content-Length, CSeq and its method, the mandatory fields and that none of the single ones occurs
// twice. Message.Validate checks the grammar of the addresses and routes and is meant for requests that are
// about to be served. Both return a *ParseError that carries the status code of the answer, and leave the
// message fit for AppendResponse whenever the fields needed for an answer are there (Message.Answerable).
//
// The package has no sockets, clocks or goroutines. A Message may be used by one goroutine at a time.
package sip
