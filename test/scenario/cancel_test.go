package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"parley/test/parleytest"
	"parley/test/phone"
)

// A caller gives up while the callee answers. However the two cross, both sides end with the same verdict: a
// call that is up (200 on both sides, to be hung up then), or none (487 on both sides).
func TestCancelRacesAnswer(t *testing.T) {
	s := parleytest.Start(t, parleytest.Users("alice", "bob"))
	alice, bob := signIn(t, s, "alice", "tcp"), signIn(t, s, "bob", "tcp")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := alice.Do(ctx, alice.Request("OPTIONS", "sip:"+s.Domain, "sip:"+s.Domain)); err != nil {
		t.Fatal(err) // the connection is alice's own from here on
	}
	const rounds = 40
	seen := map[string]int{}
	orders := []struct {
		name       string
		bobAnswers bool // without waiting for a CANCEL
		aliceWaits bool // for the answer before she gives up
	}{
		{"CANCEL arrives before the answer is given", false, false},
		{"the two cross", true, false},
		{"the answer arrives before CANCEL is sent", true, true},
	}
	for _, o := range orders {
		for range rounds {
			verdict, err := race(ctx, alice, bob, s.Domain, o.bobAnswers, o.aliceWaits)
			if err != nil {
				t.Fatalf("%s: %v", o.name, err)
			}
			seen[o.name+": "+verdict]++
		}
	}
	for k, n := range seen {
		t.Logf("%3d %s", n, k)
	}
	if n := seen[orders[0].name+": 487"]; n != rounds {
		t.Errorf("a CANCEL in time ended %d of %d calls", n, rounds)
	}
	if n := seen[orders[2].name+": 200"]; n != rounds {
		t.Errorf("a CANCEL too late left %d of %d calls", n, rounds)
	}
}

func race(ctx context.Context, alice, bob *phone.Phone, domain string, bobAnswers, aliceWaits bool) (string, error) {
	invite := alice.Request("INVITE", "sip:bob@"+domain, "sip:bob@"+domain, phone.Header{Name: "Contact", Value: "<" + alice.Contact() + ">"})
	if err := alice.Send(invite); err != nil {
		return "", err
	}
	got, err := await(ctx, bob, func(m *phone.Message) bool { return m.Method() == "INVITE" })
	if err != nil {
		return "", fmt.Errorf("bob: %w", err)
	}
	tag := phone.Unique()
	contact := phone.Header{Name: "Contact", Value: "<" + bob.Contact() + ">"}
	if err := bob.Send(got.Reply(180, "Ringing", tag, contact)); err != nil {
		return "", err
	}
	if _, err := await(ctx, alice, func(m *phone.Message) bool { return m.Code() == 180 }); err != nil {
		return "", fmt.Errorf("alice: %w", err)
	}
	ok := got.Reply(200, "OK", tag, contact)
	cancelled := cancelOf(invite)
	var final *phone.Message
	switch {
	case aliceWaits:
		if err := bob.Send(ok); err != nil {
			return "", err
		}
		if final, err = await(ctx, alice, isFinal(invite)); err != nil {
			return "", err
		}
		err = alice.Send(cancelled)
	case bobAnswers:
		sent := make(chan error, 1)
		go func() {
			time.Sleep(time.Duration(rand.IntN(400)) * time.Microsecond)
			sent <- alice.Send(cancelled)
		}()
		time.Sleep(time.Duration(rand.IntN(400)) * time.Microsecond)
		err = errors.Join(bob.Send(ok), <-sent)
	default:
		err = alice.Send(cancelled)
	}
	if err != nil {
		return "", err
	}
	// Bob's side: a CANCEL that comes after his 200 changes nothing (RFC 3261 9.2).
	bobSaid := "200"
	if !bobAnswers && !aliceWaits {
		c, err := await(ctx, bob, func(m *phone.Message) bool { return m.Method() == "CANCEL" })
		if err != nil {
			return "", fmt.Errorf("bob got no CANCEL: %w", err)
		}
		bobSaid = "487"
		if err := errors.Join(bob.Send(c.Reply(200, "OK", tag)), bob.Send(got.Reply(487, "Request Terminated", tag))); err != nil {
			return "", err
		}
	}
	for final == nil {
		m, err := await(ctx, alice, func(m *phone.Message) bool { return m.Code() >= 200 })
		if err != nil {
			return "", fmt.Errorf("alice got no final answer: %w", err)
		}
		if isFinal(invite)(m) {
			final = m
		} else if m.Code() != 200 && m.Code() != 481 {
			return "", fmt.Errorf("CANCEL was answered with %q", m.Start)
		}
	}
	verdict := fmt.Sprint(final.Code())
	if verdict != bobSaid {
		return "", fmt.Errorf("bob said %s and alice heard %q", bobSaid, final.Start)
	}
	if final.Code() != 200 {
		return verdict, alice.Send(phone.AckOf(invite, final))
	}
	return verdict, hangUp(ctx, alice, bob, invite, final)
}

// hangUp ends a call that came up: ACK, BYE, 200.
func hangUp(ctx context.Context, alice, bob *phone.Phone, invite, final *phone.Message) error {
	if err := alice.Send(inDialog(alice, "ACK", 1, invite, final)); err != nil {
		return err
	}
	if err := alice.Send(inDialog(alice, "BYE", 2, invite, final)); err != nil {
		return err
	}
	bye, err := await(ctx, bob, func(m *phone.Message) bool {
		if m.Method() == "CANCEL" {
			_ = bob.Send(m.Reply(200, "OK", "late"))
		}
		return m.Method() == "BYE"
	})
	if err != nil {
		return fmt.Errorf("bob got no BYE: %w", err)
	}
	if err := bob.Send(bye.Reply(200, "OK", "bye")); err != nil {
		return err
	}
	_, err = await(ctx, alice, func(m *phone.Message) bool { return strings.HasSuffix(m.Get("CSeq"), "BYE") && m.Code() == 200 })
	return err
}

func inDialog(p *phone.Phone, method string, step int, invite, final *phone.Message) *phone.Message {
	uri := strings.Trim(strings.SplitN(final.Get("Contact"), ">", 2)[0], "<")
	m := p.Request(method, uri, "x")
	var seq int
	_, _ = fmt.Sscan(invite.Get("CSeq"), &seq)
	if method != "ACK" {
		seq += step
	}
	routes := final.All("Record-Route")
	for i := len(routes) - 1; i >= 0; i-- {
		m.Headers = append(m.Headers, phone.Header{Name: "Route", Value: routes[i]})
	}
	m.Set("From", final.Get("From"))
	m.Set("To", final.Get("To"))
	m.Set("Call-ID", final.Get("Call-ID"))
	m.Set("CSeq", fmt.Sprintf("%d %s", seq, method))
	return m
}

func isFinal(invite *phone.Message) func(*phone.Message) bool {
	return func(m *phone.Message) bool {
		return m.Code() >= 200 && m.Get("CSeq") == invite.Get("CSeq") && m.Get("Call-ID") == invite.Get("Call-ID")
	}
}

// cancelOf is the CANCEL of an INVITE (RFC 3261 9.1).
func cancelOf(invite *phone.Message) *phone.Message {
	c := &phone.Message{Start: "CANCEL" + strings.TrimPrefix(invite.Start, "INVITE")}
	for _, name := range []string{"Via", "Max-Forwards", "From", "To", "Call-ID"} {
		c.Headers = append(c.Headers, phone.Header{Name: name, Value: invite.Get(name)})
	}
	c.Headers = append(c.Headers, phone.Header{Name: "CSeq", Value: strings.Replace(invite.Get("CSeq"), "INVITE", "CANCEL", 1)})
	return c
}

// await reads until something fits; the rest is passed over.
func await(ctx context.Context, p *phone.Phone, fits func(*phone.Message) bool) (*phone.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	var passed []string
	for {
		m, err := p.Receive(ctx)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("it did not come; what came: %q", passed)
			}
			return nil, err
		}
		if fits(m) {
			return m, nil
		}
		passed = append(passed, m.Start)
	}
}
