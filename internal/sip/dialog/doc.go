// Package dialog keeps the state two user agents share for the length of a dialog (RFC 3261 section 12): its id,
// route set, remote target and sequence numbers, and writes the requests that are sent within it.
//
// A Dialog is pure state: it sends nothing, keeps no clock and is not safe for concurrent use. The owner hands
// it what arrives and sends what it writes.
package dialog
