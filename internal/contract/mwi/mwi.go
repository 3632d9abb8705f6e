// Package mwi is how parts of Parley that keep messages for people, such as
// voice mail, tell the lamp on their phones: message waiting indication.
//
// Set may be called on any member of the pool; the service mwi answers it.
package mwi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"parley/internal/bus"
	"parley/internal/uc"
)

// Class is a kind of message (RFC 3842 section 3.5).
type Class string

// The classes.
const (
	Voice      Class = "voice-message"
	Fax        Class = "fax-message"
	Pager      Class = "pager-message"
	Multimedia Class = "multimedia-message"
	Text       Class = "text-message"
	None       Class = "none"
)

// Classes lists all classes, in the order in which they are printed.
func Classes() []Class { return []Class{Voice, Fax, Pager, Multimedia, Text, None} }

// Count says how many messages of a class there are. The urgent ones are among
// the others.
type Count struct {
	New       int `json:"new"`
	Old       int `json:"old"`
	NewUrgent int `json:"newUrgent,omitempty"`
	OldUrgent int `json:"oldUrgent,omitempty"`
}

// Counts is the state of a mailbox.
type Counts map[Class]Count

// Waiting reports whether there are new messages.
func (c Counts) Waiting() bool {
	for _, n := range c {
		if n.New > 0 {
			return true
		}
	}
	return false
}

// Check refuses unknown classes and negative numbers.
func (c Counts) Check() error {
	for class, n := range c {
		known := false
		for _, k := range Classes() {
			known = known || k == class
		}
		if !known {
			return fmt.Errorf("message class %q is not known", class)
		}
		if n.New < 0 || n.Old < 0 || n.NewUrgent < 0 || n.OldUrgent < 0 || n.NewUrgent > n.New || n.OldUrgent > n.Old {
			return fmt.Errorf("%s: %d new, %d old, of these %d and %d urgent: impossible", class, n.New, n.Old, n.NewUrgent, n.OldUrgent)
		}
	}
	return nil
}

// ErrNoUser says that the mailbox belongs to nobody.
var ErrNoUser = errors.New("no such user")

const noUser = "mwi: no such user"

type request struct {
	AOR    uc.AOR `json:"aor"`
	Counts Counts `json:"counts"`
}

func subject(b *bus.Bus) bus.Subject { return b.Subject("mwi", "set") }

// Set replaces the state of a user's mailbox; it returns when it is stored.
func Set(ctx context.Context, b *bus.Bus, aor uc.AOR, c Counts) error {
	if err := c.Check(); err != nil {
		return err
	}
	data, err := json.Marshal(request{aor, c})
	if err != nil {
		return err
	}
	_, err = b.Request(ctx, subject(b), data)
	var remote *bus.RemoteError
	if errors.As(err, &remote) && remote.Text == noUser {
		return ErrNoUser
	}
	if err != nil {
		return fmt.Errorf("set message waiting of %s: %w", aor, err)
	}
	return nil
}

// Serve answers Set with set until stop is called.
func Serve(b *bus.Bus, set func(ctx context.Context, aor uc.AOR, c Counts) error) (stop func(), err error) {
	return b.Serve(subject(b), func(ctx context.Context, m bus.Message) ([]byte, error) {
		var r request
		if err := json.Unmarshal(m.Data, &r); err != nil {
			return nil, fmt.Errorf("unreadable request: %w", err)
		}
		if err := r.Counts.Check(); err != nil {
			return nil, err
		}
		err := set(ctx, r.AOR, r.Counts)
		if errors.Is(err, ErrNoUser) {
			err = errors.New(noUser)
		}
		return nil, err
	})
}
