package directory

import (
	"encoding/json"
	"fmt"
	"time"

	"parley/internal/uc"
)

// User is one person (or thing with a password). It is immutable: a change
// makes a new one. Slices in it must not be modified.
type User struct {
	ID      string   // never changes and is never used again
	AOR     uc.AOR   // address of record
	Aliases []uc.AOR // further addresses that lead here
	Name    string   // display name
	Phones  []string // "tel:+15550100" or "tel:+15550100;ext=42", the first is shown to others
	Enabled bool     // may sign in and be reached
	Policy  Policy   // what the user may do
	Version int64    // grows with every change; see Change
	Created time.Time
	Changed time.Time

	HasPassword bool
}

// Policy holds the settings of a user. The zero value is not meaningful; start
// from DefaultPolicy.
type Policy struct {
	MaxEndpoints     int  `json:"maxEndpoints"`     // devices signed in at one time, 1 to 64
	Voice            bool `json:"voice"`            // may place and receive calls
	Video            bool `json:"video"`            // may use video
	Messaging        bool `json:"messaging"`        // may send and receive messages
	OfflineMessages  bool `json:"offlineMessages"`  // messages wait while signed out
	MaxContacts      int  `json:"maxContacts"`      // contact list, 0 to 1000
	MaxSubscriptions int  `json:"maxSubscriptions"` // watched presentities, 0 to 3000
	MaxSubscribers   int  `json:"maxSubscribers"`   // prompted watchers, 0 to 600
	Federation       bool `json:"federation"`       // may reach users of partner domains
	OutsideAccess    bool `json:"outsideAccess"`    // may sign in through an Edge
}

// DefaultPolicy is what a user has when nothing else was set.
func DefaultPolicy() Policy {
	return Policy{
		MaxEndpoints: 8, Voice: true, Video: true, Messaging: true, OfflineMessages: true,
		MaxContacts: 250, MaxSubscriptions: 1000, MaxSubscribers: 200, Federation: true,
	}
}

// encodePolicy lays p over what the store has, so that settings written by a
// newer version of the program stay.
func encodePolicy(stored string, p Policy) (string, error) {
	all := map[string]json.RawMessage{}
	if stored != "" {
		if err := json.Unmarshal([]byte(stored), &all); err != nil {
			return "", fmt.Errorf("stored policy: %w", err)
		}
	}
	known, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(known, &all); err != nil {
		return "", err
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// decodePolicy gives settings that are not stored their default.
func decodePolicy(stored string) (Policy, error) {
	p := DefaultPolicy()
	if err := json.Unmarshal([]byte(stored), &p); err != nil {
		return Policy{}, fmt.Errorf("stored policy: %w", err)
	}
	return p, nil
}
