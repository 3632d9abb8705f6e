// Package interwork brings ends of a call together that share no way to send media to each other: a browser, which knows
// nothing but WebRTC, and a phone with plain RTP; a phone that insists on SRTP and one that has none; a Lync client,
// which wants ICE, and a phone without. It puts the media engine between them, and only between them: what two ends can
// do by themselves passes untouched and goes from end to end.
//
// The server stays a proxy. A [Gateway] is the proxy's Media: it sees what is forwarded and gives each end, in place of
// the other's session description, one that this end can use, with the engine's ports. Requests, dialogs, tags and
// sequence numbers stay those of the ends, so that transfer, replacement and everything else works as between them.
//
// # Words
//
// An end is a device; its [Profile] says which descriptions it can use. A leg is one dialog, or what may become one: the
// caller's end and one end that is called. The ends of the caller's side are shared by its legs, so that a call that
// rings at five phones has one port for the caller. A session is all legs of one Call-ID and caller's tag.
//
// # Descriptions
//
// Descriptions of both sides have the same media in the same order (RFC 3264 5, 6), so medium 2 of one is medium 2 of
// the other. A description for an end is written anew: nothing is copied into it but what is understood. It has an
// origin of its own, whose version grows by one when the text changes and not otherwise (RFC 3264 8).
package interwork
