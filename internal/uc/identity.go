package uc

import "strconv"

// TrustClass says what kind of peer is at the other end of a flow. It is fixed when the flow opens and refined
// by authentication, and selects size limits and what the peer may assert.
type TrustClass uint8

// The trust classes. The zero value is the least trusted, so a forgotten assignment grants nothing.
const (
	Anonymous     TrustClass = iota // nothing is known
	Client                          // a person's endpoint that has authenticated
	Member                          // another node of this pool
	TrustedServer                   // a server or application named in the topology
	Trunk                           // a gateway or SIP trunk named in the topology
	Partner                         // a federated organisation, behind an edge
	Edge                            // one of our edge nodes
)

var classNames = [...]string{"anonymous", "client", "member", "trusted-server", "trunk", "partner", "edge"}

// String returns the class's name as logs and metrics print it.
func (c TrustClass) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class-" + strconv.Itoa(int(c))
}

// Server reports whether the class was earned by a certificate and the topology, not by a person's
// credentials.
func (c TrustClass) Server() bool { return c == Member || c == TrustedServer || c == Edge }

// Identity is who a peer has proved to be. It is a value and never changes once made; services read it and
// never look at sockets.
type Identity struct {
	AOR   AOR        // the user, for Client
	Class TrustClass // what the peer is
	Name  string     // the server's FQDN or the trunk's name, for everything that is not a person
}

// Known reports whether anything at all was proved.
func (i Identity) Known() bool { return i.Class != Anonymous }

// String returns the identity for logs.
func (i Identity) String() string {
	switch {
	case i.AOR != "":
		return string(i.AOR)
	case i.Name != "":
		return i.Class.String() + ":" + i.Name
	}
	return i.Class.String()
}
