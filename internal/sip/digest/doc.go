// Package digest implements digest authentication for SIP: RFC 3261 section 22 with the algorithms MD5 and
// SHA-256 of RFC 7616 and RFC 8760, both for the server that challenges and for the client that answers.
//
// Passwords never come near the verifying side: it works from HA1, the hash of user, realm and password, which
// the directory keeps. Nonces carry their own time and a keyed hash, so no table of them is needed; replay
// within a nonce's life is up to the caller, who keeps a Window where he keeps the flow.
//
// The package is pure: keys, time and random numbers are arguments. Parsing and verifying do not allocate.
package digest
