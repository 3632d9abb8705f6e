// Package directory knows the users: their addresses, numbers, settings and
// password verifiers, and the SIP domains they live in.
//
// The store holds them; every node holds all of them in memory as well, so
// that the readers of SIP messages can ask without waiting and without
// allocating. A change is written to the store, then to memory, then announced
// on the bus, where the other nodes fetch what is newer than what they have.
package directory
