// Package service is the contract between a node and the services it runs.
//
// A service is a folder below this one with an exported Spec. The Spec says
// which roles host the service, what it needs from the node, which rows of the
// port table it listens on and which SIP methods it takes; the node reads it,
// hands the service a Host with exactly that, and drives its life:
// Build, Start, Drain, Stop. Nothing but the contract lives in this folder;
// the list of services is package all.
//
// Services never import one another. They meet by SIP, by a package below
// internal/contract, or by a store table that one of them owns.
package service
