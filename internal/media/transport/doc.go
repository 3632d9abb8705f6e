// Package transport is the network side of one medium of one call towards one peer: its sockets, who may send to them,
// and what protects the packets. Inside there is plain RTP and RTCP; outside plain RTP, SRTP with keys of SDES (RFC
// 4568) or of DTLS (RFC 5763, 5764), with or without ICE (RFC 8445, [MS-ICE2]).
//
// What arrives is told apart by its first octet (RFC 7983). Each socket has one goroutine, which calls the Handler; what
// is sent goes out in the caller's. Nothing is allocated for a packet.
//
// # Who may send
//
// Packets of others are counted and dropped before anything is spent on them:
//
//   - With ICE: from where a check with our password came, or answered one of ours.
//   - Without ICE: from the address that the description named, and from the address that its signalling came from
//     (Remote.Source), since behind a translator of addresses the two differ. Plain RTP takes the named port, or the
//     first other source of these two addresses that sends two packets in order, and keeps to whichever came first until
//     a description names another address: nobody takes over a stream that runs. SRTP follows a change of the port,
//     because its packets prove who sends.
//
// Media is sent to where it comes from (symmetric RTP, RFC 4961).
package transport
