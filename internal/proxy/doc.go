// Package proxy forwards requests statefully, as RFC 3261 section 16 describes, over package stack.
//
// [Proxy.Forward] sends a request to one or more branches, in parallel within a group and one group after the
// other, and answers it with the best response. What to do about each response is decided by a machine without
// I/O (machine.go), whose scenarios are in testdata; what happens to one request runs one step after the other,
// whichever goroutines its responses come from.
//
// [Proxy.InDialog] forwards requests that carry a Route we made: our Record-Route and Path fields name the flow to
// use in a signed token (RFC 5626 section 5.3), so a request within a dialog finds the connection of its phone and
// nothing else, and nobody can have us send to a flow of their choice.
//
// Loops are found by the part of our branch that depends on everything a forwarding decision depends on
// (RFC 5393).
package proxy
