package main

import (
	"context"
	"fmt"

	"parley/test/phone"
)

// client is one signed-in user. Until the load begins one goroutine has it; then one reads with receive while another
// sends with publish.
type client interface {
	// signIn connects and signs in.
	signIn(ctx context.Context) error
	// watch subscribes to the user's contacts and publishes the state everybody begins with.
	watch(ctx context.Context) error
	// publish sends a publication that carries a token, without waiting for the answer.
	publish(kind, token string) error
	// receive returns the next message, after answering it if that is due.
	receive(ctx context.Context) (*phone.Message, error)
	close()
}

// group are the clients of all users, and whom they watch.
type group struct {
	s   *settings
	r   *running
	all []client
}

// newGroup makes clients that are not connected yet.
func newGroup(s *settings, r *running, kind string) *group {
	g := &group{s: s, r: r}
	for i := range s.users {
		if kind == standard {
			g.all = append(g.all, &device{g: g, i: i})
		} else {
			g.all = append(g.all, &lync{g: g, i: i})
		}
	}
	return g
}

// contact is the k-th contact of user i, of 0 to contacts-1.
func (g *group) contact(i, k int) int { return (i + 1 + k) % g.s.users }

// place is the k for which user i has contact j.
func (g *group) place(i, j int) int { return ((j-i-1)%g.s.users + g.s.users) % g.s.users }

func account(i int) phone.Account {
	return phone.Account{User: fmt.Sprintf("user%04d", i), Password: password, Domain: domain}
}

func (g *group) close() {
	for _, c := range g.all {
		c.close()
	}
}

// each does something for users first to last-1, a few at a time.
func each(ctx context.Context, first, last, atOnce int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	done := make(chan struct{})
	for range atOnce {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(fmt.Errorf("user %d: %w", i, err))
				}
			}
		}()
	}
	for i := first; i < last && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	for range atOnce {
		<-done
	}
	return context.Cause(ctx)
}
