// Package alarm wakes things up: many times of waking, one timer and one
// goroutine. It is for what waits seconds to hours, such as subscriptions and
// publications; transactions have the stack's own wheel.
package alarm

import (
	"context"
	"sync"
	"time"
)

// Clock calls a function with a key when the key's time has come. A key has
// one time. All methods may be called from anywhere, also from the function.
type Clock[K comparable] struct {
	fn  func(K)
	now func() time.Time

	mu   sync.Mutex
	at   map[K]time.Time
	heap []entry[K] // may hold entries that at no longer agrees with
	wake chan struct{}
}

type entry[K comparable] struct {
	at  time.Time
	key K
}

// New returns a clock that calls fn from the goroutine of Run. now nil is
// time.Now.
func New[K comparable](now func() time.Time, fn func(K)) *Clock[K] {
	if now == nil {
		now = time.Now
	}
	return &Clock[K]{fn: fn, now: now, at: make(map[K]time.Time), wake: make(chan struct{}, 1)}
}

// Set sets the time of key; the zero time takes it out.
func (c *Clock[K]) Set(key K, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.IsZero() {
		delete(c.at, key)
		return
	}
	if c.at[key].Equal(at) {
		return
	}
	c.at[key] = at
	c.push(entry[K]{at, key})
	if c.heap[0].at.Equal(at) {
		c.nudge()
	}
	if len(c.heap) > 64 && len(c.heap) > 4*len(c.at) {
		c.rebuild()
	}
}

func (c *Clock[K]) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Len returns how many keys have a time.
func (c *Clock[K]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at)
}

// Run works until ctx ends.
func (c *Clock[K]) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.Ring())
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// Ring calls the function for every key whose time has come, and returns how
// long it is to the next. Run does it; tests with a clock of their own may.
func (c *Clock[K]) Ring() time.Duration {
	for {
		c.mu.Lock()
		key, due, next := c.due()
		c.mu.Unlock()
		if !due {
			return next
		}
		c.fn(key)
	}
}

func (c *Clock[K]) due() (key K, due bool, next time.Duration) {
	now := c.now()
	for len(c.heap) > 0 {
		top := c.heap[0]
		at, ok := c.at[top.key]
		if !ok || !at.Equal(top.at) {
			c.pop()
			continue
		}
		if d := top.at.Sub(now); d > 0 {
			return key, false, d
		}
		c.pop()
		delete(c.at, top.key)
		return top.key, true, 0
	}
	return key, false, time.Hour
}

// rebuild drops entries that are no longer true.
func (c *Clock[K]) rebuild() {
	c.heap = c.heap[:0]
	for k, at := range c.at {
		c.push(entry[K]{at, k})
	}
}

func (c *Clock[K]) push(e entry[K]) {
	a := append(c.heap, e)
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if !a[i].at.Before(a[up].at) {
			break
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
	c.heap = a
}

func (c *Clock[K]) pop() {
	a := c.heap
	last := len(a) - 1
	a[0], a[last] = a[last], entry[K]{}
	a = a[:last]
	for i := 0; ; {
		kid := 2*i + 1
		if kid >= last {
			break
		}
		if kid+1 < last && a[kid+1].at.Before(a[kid].at) {
			kid++
		}
		if !a[kid].at.Before(a[i].at) {
			break
		}
		a[i], a[kid] = a[kid], a[i]
		i = kid
	}
	c.heap = a
}
