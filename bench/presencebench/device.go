package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"parley/test/phone"
)

// device is a standard client (RFC 3856, RFC 3903) with a subscription for each contact.
type device struct {
	*phone.Phone
	g    *group
	i    int
	etag atomic.Pointer[string] // of the last publication
}

const pidf = "application/pidf+xml"

func (c *device) uri() string { return "sip:" + c.AOR() }

func (c *device) signIn(ctx context.Context) (err error) {
	if c.Phone, err = phone.Dial(ctx, account(c.i), "tls", c.g.r.tls5061, c.g.r.tls); err != nil {
		return err
	}
	return c.Register(ctx, 3600)
}

func (c *device) watch(ctx context.Context) error {
	for k := range c.g.s.contacts {
		uri := "sip:" + account(c.g.contact(c.i, k)).AOR()
		m := c.Request("SUBSCRIBE", uri, uri, phone.Header{Name: "Event", Value: "presence"}, phone.Header{Name: "Accept", Value: pidf},
			phone.Header{Name: "Expires", Value: "3600"}, phone.Header{Name: "Contact", Value: "<" + c.Contact() + ">"})
		if err := c.Send(m); err != nil {
			return err
		}
	}
	answered, told := 0, map[string]bool{}
	for answered < c.g.s.contacts || len(told) < c.g.s.contacts {
		m, err := c.receive(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("%d of %d subscriptions, %d told: %w", answered, c.g.s.contacts, len(told), err)
		case m.Method() == "NOTIFY":
			told[m.Get("Call-ID")] = true
		case m.Code()/100 == 2:
			answered++
		case m.Code() >= 300:
			return fmt.Errorf("refused:\n%s", m)
		}
	}
	if err := c.publish(standard, ""); err != nil {
		return err
	}
	for {
		m, err := c.receive(ctx)
		if err != nil {
			return err
		}
		if strings.HasSuffix(m.Get("CSeq"), " PUBLISH") {
			if m.Code() != 200 {
				return fmt.Errorf("refused:\n%s", m)
			}
			return nil
		}
	}
}

// publish sends a document anew or in place of the one before. During the load that is answered long before the user's
// next turn.
func (c *device) publish(_, token string) error {
	m := c.Request("PUBLISH", c.uri(), c.uri(), phone.Header{Name: "Event", Value: "presence"}, phone.Header{Name: "Expires", Value: "3600"},
		phone.Header{Name: "Content-Type", Value: pidf})
	if etag := c.etag.Load(); etag != nil {
		m.Headers = append(m.Headers, phone.Header{Name: "SIP-If-Match", Value: *etag})
	}
	m.Body = fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="%s"><tuple id="t%d"><status><basic>open</basic></status>`+
		`<contact>%s</contact><note>token="%s"</note></tuple></presence>`, c.uri(), c.i, c.uri(), token)
	return c.Send(m)
}

func (c *device) receive(ctx context.Context) (*phone.Message, error) {
	m, err := c.Receive(ctx)
	if err != nil {
		return nil, err
	}
	if m.Method() == "" {
		if etag := m.Get("SIP-ETag"); etag != "" {
			c.etag.Store(&etag)
		}
		return m, nil
	}
	return m, c.Send(m.Reply(200, "OK", "device"))
}

func (c *device) close() {
	if c.Phone != nil {
		c.Phone.Close()
	}
}
