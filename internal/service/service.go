package service

import (
	"context"
	"net/http"
	"net/url"

	"parley/internal/directory"
	"parley/internal/stack"
)

// Service is one running service. The constructor (Spec.Build) starts nothing.
// The node calls the methods from one goroutine, in this order.
type Service interface {
	// Start acquires what the service needs and returns. It must not wait for
	// peers; a service that works only once a peer is there reports that by
	// the optional Readier. ctx ends the attempt, not the service.
	Start(ctx context.Context) error
	// Drain refuses new work and finishes the old. It returns nil when
	// nothing is left and ctx.Err() when the deadline came first.
	Drain(ctx context.Context) error
	// Stop releases everything. After it returns no goroutine of the service
	// remains. It is called after a failed Start as well.
	Stop(ctx context.Context) error
}

// The optional abilities of a Service, found by assertion when it starts and
// checked against its Spec: a Spec that names methods in Handles must build a
// SIPHandler, one that names Paths an HTTPHandler.
type (
	// SIPHandler takes the requests named in Spec.Handles. ServeSIP may run
	// in the reader of a connection: it answers from memory or moves the
	// transaction to a lane, and never waits.
	SIPHandler interface {
		ServeSIP(tx *stack.ServerTxn)
	}
	// HTTPHandler serves the paths named in Spec.Paths.
	HTTPHandler interface {
		http.Handler
	}
	// Readier reports whether the service can do its work now. The error says
	// what is missing, in words an operator understands. It is called from any
	// goroutine and must not block.
	Readier interface {
		Ready() error
	}
	// Asked answers administrators who ask for the service by its name: GET
	// looks, POST changes, and is recorded. What it returns becomes JSON.
	Asked interface {
		Ask(ctx context.Context, method string, query url.Values) (any, error)
	}
	// PasswordChecker checks the passwords of users who are kept in another
	// directory, which may take a while. An error means that nobody knows.
	PasswordChecker interface {
		CheckPassword(ctx context.Context, u *directory.User, password string) (bool, error)
	}
	// Reloader takes a changed Settings value, decoded and valid by itself. It
	// may refuse; then it is called again on the services that had taken the
	// change, with the old value, and the server keeps running.
	Reloader interface {
		Reload(ctx context.Context, settings any) error
	}
)
