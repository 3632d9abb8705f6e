package stack

import (
	"context"
	"fmt"
	"net/netip"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/uc"
)

// more reports whether there is anywhere else to send the request to. The lock is held.
func (c *ClientTxn) more() bool { return len(c.dst.Targets) > 0 || c.dst.URI != nil }

// next sends the request to the next target; err is why the one before failed, and what the request fails with
// when there is none.
func (c *ClientTxn) next(err error) {
	s := c.stack
	c.shard.mu.Lock()
	if c.over || c.wantCancel {
		c.shard.mu.Unlock()
		c.fail(ErrCancelled)
		return
	}
	if !c.more() {
		c.shard.mu.Unlock()
		c.fail(err)
		return
	}
	if c.flow != nil {
		s.stats.failovers.Add(1)
	}
	dst := c.dst // pop below what reach will try
	if len(dst.Targets) > 0 {
		c.dst.Targets = dst.Targets[1:]
		dst.Targets = dst.Targets[:1]
	} else {
		c.dst.URI = nil
	}
	c.shard.mu.Unlock()
	if len(dst.Targets) == 0 {
		s.resolve(dst.URI, func(ts []flow.Target, err error) {
			c.shard.mu.Lock()
			c.dst.Targets = ts
			c.shard.mu.Unlock()
			c.next(err)
		})
		return
	}
	s.layer.ConnectFunc(dst.Targets[0], func(f *flow.Flow, err error) {
		defer s.recovered("request", nil)
		if err != nil {
			c.next(err)
		} else {
			c.attempt(f)
		}
	})
}

// resolve finds the targets of a URI and calls fn with them, or with an error that is never nil when there are
// none; fn runs at once when no look-up is needed, else in a goroutine of its own.
func (s *Stack) resolve(uri []byte, fn func([]flow.Target, error)) {
	var u sip.URI
	if err := sip.ParseURI(uri, &u); err != nil {
		fn(nil, err)
		return
	}
	look := func(ctx context.Context) {
		defer s.recovered("resolve", nil)
		ts, err := s.layer.Resolve(ctx, u)
		if err == nil && len(ts) == 0 {
			err = ErrNoTarget
		}
		fn(ts, err)
	}
	if isAddress(u.Host) {
		look(s.ctx)
		return
	}
	if !s.background(look) {
		fn(nil, ErrBusy)
	}
}

// isAddress reports whether a host is an IP address, which needs no look-up.
func isAddress(host []byte) bool {
	if len(host) > 2 && host[0] == '[' {
		return true
	}
	_, err := netip.ParseAddr(string(host))
	return err == nil
}

// reach calls fn with a flow to the first target of dst that can be had.
func (s *Stack) reach(dst *Destination, fn func(*flow.Flow, error)) {
	if len(dst.Targets) > 0 {
		s.reachFirst(dst.Targets, ErrNoTarget, fn)
		return
	}
	if dst.URI == nil {
		fn(nil, ErrNoTarget)
		return
	}
	s.resolve(dst.URI, func(ts []flow.Target, err error) { s.reachFirst(ts, err, fn) })
}

func (s *Stack) reachFirst(ts []flow.Target, err error, fn func(*flow.Flow, error)) {
	if len(ts) == 0 {
		fn(nil, err)
		return
	}
	s.layer.ConnectFunc(ts[0], func(f *flow.Flow, err error) {
		if err != nil {
			s.reachFirst(ts[1:], err, fn)
			return
		}
		fn(f, nil)
	})
}

// unsent is called when the flow a request came on does not take its response. A client that is gone is gone.
// Another server is reached by a new connection to what its Via says (RFC 3261 18.2.2), once.
func (s *Stack) unsent(c *serverCore, code int, raw []byte, err error) error {
	if code < 200 || !server(c.flow.Identity()) {
		s.ended(c)
		return fmt.Errorf("stack: response not sent: %w", err)
	}
	t, ok := returnTarget(c.flow, raw)
	if !ok {
		s.ended(c)
		return fmt.Errorf("stack: response not sent: %w", err)
	}
	msg := append([]byte(nil), raw...)
	s.layer.ConnectFunc(t, func(f *flow.Flow, err error) {
		if err == nil {
			err = f.Send(msg)
		}
		if err != nil {
			s.ended(c)
		}
	})
	return nil
}

// server reports whether a peer is a machine that can be connected to.
func server(id uc.Identity) bool { return id.Class != uc.Anonymous && id.Class != uc.Client }

// returnTarget reads from the topmost Via of a response where its receiver can be connected to.
func returnTarget(f *flow.Flow, raw []byte) (flow.Target, bool) {
	var m sip.Message
	if m.Parse(raw, &sip.ServerLimits) != nil {
		return flow.Target{}, false
	}
	v, err := m.TopVia()
	if err != nil || !f.Transport().Stream() {
		return flow.Target{}, false
	}
	host := v.Host
	if v.Received != nil {
		host = v.Received
	}
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(string(host))
	if err != nil {
		addr = f.Remote().Addr()
	}
	port := v.Port
	if port == 0 {
		port = f.Transport().DefaultPort()
	}
	t := flow.Target{Transport: f.Transport(), Addr: netip.AddrPortFrom(addr, port)}
	if f.Transport().Secure() {
		t.ServerName = f.Identity().Name
	}
	return t, true
}
