package samba

import (
	"context"
	"errors"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/server"
)

// A controller answers LDAP over TLS, and knows a user who was just made.
func TestController(t *testing.T) {
	parleytest.Need(t, Tools...)
	if err := Available(); err != nil {
		parleytest.Without(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c, err := Start(ctx, t.TempDir(), "example.test", server.OwnAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.Add("alice", "Alice-secret-1", map[string]string{"mail": "alice@example.test"}); err != nil {
		t.Fatal(err)
	}
	if path, err := c.Keytab(ctx, "alice", "sip/server.example.test"); err != nil {
		t.Error(path, err)
	}
	if err := errors.Join(c.Disable("alice"), c.Enable("alice"), c.Delete("alice")); err != nil {
		t.Error(err)
	}
	if err := c.Set("alice", map[string]string{"title": "Clerk"}); err == nil {
		t.Error("a deleted account was changed")
	}
}
