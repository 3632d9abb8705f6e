package route

import (
	"parley/internal/proxy"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/topology"
	"parley/internal/uc"
)

// Decision is where a request goes. The set is closed: a reader finds every
// possibility among the types below.
type Decision interface{ decision() }

type (
	// Service answers the request here.
	Service struct {
		Handler service.SIPHandler
	}
	// Self answers for the server itself: OPTIONS (RFC 3261 section 11).
	Self struct{}
	// Dialog follows a route this server made when the dialog began.
	Dialog struct{}
	// Endpoints forwards to where a user is signed in: on this node, and to the
	// other members of the pool on which he is.
	Endpoints struct {
		AOR      uc.AOR
		Branches []proxy.Branch
	}
	// Pool passes to the pool that serves the user.
	Pool struct {
		Name string
	}
	// Hop passes to another server, by a static route of the topology.
	Hop struct {
		Route topology.StaticRoute
	}
	// Refuse answers with an error.
	Refuse struct {
		Err *sip.Error
	}
	// Drop does nothing: an ACK that leads nowhere has no answer.
	Drop struct{}
)

func (Service) decision()   {}
func (Self) decision()      {}
func (Dialog) decision()    {}
func (Endpoints) decision() {}
func (Pool) decision()      {}
func (Hop) decision()       {}
func (Refuse) decision()    {}
func (Drop) decision()      {}
