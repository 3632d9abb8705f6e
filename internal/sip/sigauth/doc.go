// Package sigauth is the authentication of Lync-protocol clients ([MS-SIPAE]): a handshake of one of three
// schemes carried in SIP header fields makes a security association, and with it every later message is signed
// in both directions.
//
// Like the other machines of this folder it has no socket, no goroutine and no clock: time and randomness are
// arguments. A Server holds what is the same for everybody; a Session belongs to one connection and holds its
// half-finished handshakes and its Associations. The reader of the connection calls Step and Verify, whoever
// writes to it calls Sign, in send order.
//
// NTLM is the connectionless form of [MS-NLMP], TLS-DSK an inner TLS 1.0 handshake of which only the keys are
// used. Kerberos needs a library and comes in through the Acceptor interface; package krb has one.
package sigauth
