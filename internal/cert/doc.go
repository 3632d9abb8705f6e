// Package cert owns every key and certificate of a node: the internal CA, the node's own certificate with
// the names that its roles need, further certificates an administrator puts beside it, and the question
// whose certificate a peer presents.
//
// Certificates are looked up per handshake, so renewal changes nothing that runs. Trust between servers is
// the internal CA and the topology together: a chain to the CA proves a name, and the topology says whether
// a server of that name exists (RFC 5922). Neither alone is enough.
package cert
