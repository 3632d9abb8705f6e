package interop

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/server"
)

// member is one server of a pool as a target for phones.
func member(p *server.Pool, i int) *target {
	m := p.Members[i]
	return &target{caFile: m.CAFile(), at: m.At}
}

// Phones on different members of a pool call and write to each other; a member that is killed takes nothing with it
// that is elsewhere.
func TestPool(t *testing.T) {
	parleytest.Need(t, "baresip")
	p := parleytest.StartPool(t, 3, parleytest.Users("alice", "bob", "carol"))
	alice := signIn(t, member(p, 0), "alice", "tls", says(440), knows("bob"))
	bob := signIn(t, member(p, 1), "bob", "tls", answers, says(660), knows("alice"))
	carol := signIn(t, member(p, 2), "carol", "udp", answers, says(880))
	known(t, p, 0, "bob on fe2", "carol on fe3")
	known(t, p, 1, "alice on fe1")
	t.Run("a call between members", func(t *testing.T) {
		alice.dial("bob")
		alice.await("CALL_ESTABLISHED")
		bob.await("CALL_ESTABLISHED")
		alice.hears(660)
		bob.hears(440)
		alice.do("hangup", "")
		bob.await("CALL_CLOSED")
		alice.await("CALL_CLOSED")
	})
	t.Run("a call hung up by the called", func(t *testing.T) {
		alice.dial("carol")
		alice.await("CALL_ESTABLISHED")
		carol.await("CALL_ESTABLISHED")
		carol.do("hangup", "")
		carol.await("CALL_CLOSED")
		alice.await("CALL_CLOSED")
	})
	t.Run("messages", func(t *testing.T) {
		alice.writes("lunch at noon?")
		bob.reads("lunch at noon?")
		bob.writes("one is better")
		alice.reads("one is better")
	})
	t.Run("a killed member", func(t *testing.T) {
		p.Members[2].Kill()
		alice.dial("bob")
		alice.await("CALL_ESTABLISHED")
		alice.do("hangup", "")
		alice.await("CALL_CLOSED")
		alice.dial("carol")
		alice.await("CALL_CLOSED")
		// Carol comes back on another member and is reached there.
		carol.Stop()
		carol := signIn(t, member(p, 1), "carol", "tls", answers)
		known(t, p, 0, "carol on fe2")
		alice.dial("carol")
		alice.await("CALL_ESTABLISHED")
		carol.await("CALL_ESTABLISHED")
		alice.do("hangup", "")
		alice.await("CALL_CLOSED")
	})
}

// known waits until a member knows that users are signed in: "bob on fe2".
func known(t *testing.T, p *server.Pool, i int, users ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		out, err := p.Members[i].CLI(t.Context(), "", "registrations", "--json")
		if err != nil {
			t.Fatal(err)
		}
		var all []struct{ User, Node string }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		have := map[string]bool{}
		for _, r := range all {
			user, _, _ := strings.Cut(r.User, "@")
			node, _, _ := strings.Cut(r.Node, ".")
			have[user+" on "+node] = true
		}
		missing := slices.DeleteFunc(slices.Clone(users), func(u string) bool { return have[u] })
		if len(missing) == 0 {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			for _, m := range p.Members {
				t.Logf("%s:\n%s", m.Dir, m.Log())
			}
			t.Fatalf("member %d does not know of %v:\n%s", i, missing, out)
		}
	}
}
