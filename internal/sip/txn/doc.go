// Package txn holds the four transaction machines of RFC 3261 section 17 with the Accepted state of RFC 6026.
//
// A [Machine] is a small value without goroutine, timer or socket. Its owner feeds it inputs together with the
// present time and carries out the [Effects] it answers, in the order of their fields: send, deliver, wake, forget.
// It never allocates, so a driver may keep one inside each of its transactions.
package txn
