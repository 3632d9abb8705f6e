// Package ice finds a path between this server and a peer for one medium of one or two components (RFC 8445), and keeps
// asking whether the peer still wants what is sent to it (RFC 7675). It is a machine: octets, their source and the time
// go in; datagrams to send, events and the time of the next wake-up come out.
//
// An agent is full or lite, controlling or controlled; it nominates regularly and accepts aggressive nomination (RFC
// 5245); candidates may come late (RFC 8838). Its own candidates are those of the sockets it is told of and the address
// that a translator shows them by; it asks no STUN server. Peer-reflexive candidates of both sides are found as they
// show themselves.
//
// In the dialect of Lync clients ([MS-ICE2]) messages carry IMPLEMENTATION-VERSION and CANDIDATE-IDENTIFIER and another
// MESSAGE-INTEGRITY; until the version of the peer is known, each check is sent a second time with the FINGERPRINT of
// the first implementations. Only UDP is spoken: TCP-PASS and TCP-ACT candidates are passed over. So are names (.local,
// of browsers): their checks come by themselves.
//
// A description names addresses that need not be the peer's. What it can have this server send there is bounded (RFC
// 8445 19.5.1): maxRemote candidates, maxPairs pairs, one check in Ta, and seven in all to each address (in two forms to
// Lync clients), none after expiry; more only to where a check with our password came from, and there 28.
package ice
