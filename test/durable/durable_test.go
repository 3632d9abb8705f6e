// Package durable kills the server while people write to somebody who is away, and counts what arrives.
package durable

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
	"parley/test/server"
)

func TestMain(m *testing.M) { parleytest.Main(m) }

const (
	writers = 6
	rounds  = 3  // each ends with kill -9
	accept  = 80 // messages that are accepted before a round ends
)

// What was answered with 202 is delivered once after the next sign-in, whatever happened to the process. What
// was under way when it died, and never answered, is delivered once or not at all.
func TestAcceptedMessagesSurviveKill(t *testing.T) {
	parleytest.Stores(t, func(t *testing.T, store parleytest.Option) {
		var names []string
		for i := range writers {
			names = append(names, fmt.Sprintf("writer%d", i))
		}
		s := parleytest.Start(t, store, parleytest.Users(append(names, "bob")...))
		accepted := map[string]bool{}
		sent := map[string]bool{}
		for round := range rounds {
			writeAndKill(t, s, names, round, accepted, sent)
			if err := s.Serve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got := collect(t, s, accepted)
		for text, n := range got {
			if n > 1 {
				t.Errorf("%q arrived %d times", text, n)
			}
			if !sent[text] {
				t.Errorf("%q arrived and was never sent", text)
			}
		}
		t.Logf("%d accepted, %d sent, %d delivered", len(accepted), len(sent), len(got))
	})
}

// writeAndKill lets everybody write to bob until enough was accepted, and then pulls the plug while they go on.
func writeAndKill(t *testing.T, s *server.Server, names []string, round int, accepted, sent map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	enough := make(chan struct{})
	count := 0
	for _, name := range names {
		p, err := parleytest.Dial(ctx, s, phone.Account{User: name, Password: parleytest.Password, Domain: s.Domain}, "tcp")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Register(ctx, 600); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer p.Close()
			for i := 0; ; i++ {
				text := fmt.Sprintf("%s round %d message %d", name, round, i)
				mu.Lock()
				sent[text] = true
				mu.Unlock()
				code, err := p.Message(ctx, "bob@"+s.Domain, text)
				if err != nil {
					return // the server is gone
				}
				if code != 202 {
					t.Errorf("%q: status %d, want 202", text, code)
					return
				}
				mu.Lock()
				accepted[text] = true
				if count++; count == accept {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Error("the messages are not accepted")
	}
	s.Kill()
	wg.Wait()
}

// collect signs bob in and takes what comes until everything accepted is there, and a while longer to see
// whether something comes twice.
func collect(t *testing.T, s *server.Server, accepted map[string]bool) map[string]int {
	t.Helper()
	p := parleytest.Phone(t, s, "bob", "tcp")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := p.Register(ctx, 600); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	missing := len(accepted)
	receive := func(ctx context.Context) bool {
		m, err := p.Receive(ctx)
		if err != nil {
			return false
		}
		if m.Method() == "" {
			return true
		}
		if err := p.Send(m.Reply(200, "OK", "bob")); err != nil {
			t.Fatal(err)
		}
		if m.Method() == "MESSAGE" {
			if got[m.Body]++; got[m.Body] == 1 && accepted[m.Body] {
				missing--
			}
		}
		return true
	}
	for missing > 0 && receive(ctx) {
	}
	if missing > 0 {
		var lost []string
		for text := range accepted {
			if got[text] == 0 {
				lost = append(lost, text)
			}
		}
		slices.Sort(lost)
		t.Errorf("%d accepted messages did not arrive, such as %q", missing, lost[:min(5, len(lost))])
	}
	quiet, cancelQuiet := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancelQuiet()
	for receive(quiet) {
	}
	return got
}
