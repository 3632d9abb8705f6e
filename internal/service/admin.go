package service

import (
	"context"
	"net/http"

	"parley/internal/directory"
	"parley/internal/uc"
)

// Administration is what a service gets that lets people administer the node.
type Administration struct {
	// API is the administration interface, the same that the command line uses. It answers requests that carry
	// an Administrator, as far as the role allows, and refuses all others.
	API http.Handler
	// Audit records what the Administrator in ctx did, beside what API records.
	Audit func(ctx context.Context, action, object string, detail any)
	// Password checks a password, here or where the user is kept.
	Password func(aor uc.AOR, password string) bool
}

// Administrator is who sends a request to Administration.API.
type Administrator struct {
	AOR  uc.AOR
	Role directory.Role
	From string // where the request came from, such as an IP address
}

type administratorKey struct{}

// WithAdministrator returns a context in which a acts.
func WithAdministrator(ctx context.Context, a Administrator) context.Context {
	return context.WithValue(ctx, administratorKey{}, a)
}

// AdministratorOf returns who acts in ctx.
func AdministratorOf(ctx context.Context) (Administrator, bool) {
	a, ok := ctx.Value(administratorKey{}).(Administrator)
	return a, ok
}
