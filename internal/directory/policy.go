package directory

import (
	"encoding/json"
	"reflect"
	"strings"
)

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

	// HomePool is the FQDN of the pool that serves the user: the others send his
	// clients and what is for him there. Empty: every pool serves him.
	HomePool string `json:"homePool"`

	// unknown keeps, as the text of a JSON object, settings that a newer
	// version of the program wrote; they survive a change made by this one.
	unknown string
}

// DefaultPolicy is what a user has when nothing else was set.
func DefaultPolicy() Policy {
	return Policy{
		MaxEndpoints: 8, Voice: true, Video: true, Messaging: true, OfflineMessages: true,
		MaxContacts: 250, MaxSubscriptions: 1000, MaxSubscribers: 200, Federation: true,
	}
}

func (p *Policy) check() error {
	for _, limit := range []struct {
		name                 string
		value, least, utmost int
	}{
		{"maxEndpoints", p.MaxEndpoints, 1, 64},
		{"maxContacts", p.MaxContacts, 0, 1000},
		{"maxSubscriptions", p.MaxSubscriptions, 0, 3000},
		{"maxSubscribers", p.MaxSubscribers, 0, 600},
	} {
		if limit.value < limit.least || limit.value > limit.utmost {
			return invalid("policy", "%s is %d, want a number from %d to %d", limit.name, limit.value, limit.least, limit.utmost)
		}
	}
	if p.HomePool != "" && !domainName.MatchString(p.HomePool) {
		return invalid("policy", "homePool is %q, want the name of a pool such as pool.example.test in lower case, or nothing", p.HomePool)
	}
	return nil
}

// encodePolicy writes what differs from the defaults, so that a default that
// changes with a later version applies to everybody who never set it.
func encodePolicy(p Policy) (string, error) {
	out := map[string]any{}
	if p.unknown != "" {
		if err := json.Unmarshal([]byte(p.unknown), &out); err != nil {
			return "", err
		}
	}
	own, defaults := reflect.ValueOf(p), reflect.ValueOf(DefaultPolicy())
	for i := range own.NumField() {
		if name := own.Type().Field(i).Tag.Get("json"); name != "" && !own.Field(i).Equal(defaults.Field(i)) {
			out[name] = own.Field(i).Interface()
		}
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// decodePolicy reads what encodePolicy wrote, in this or another version.
func decodePolicy(text string) (Policy, error) {
	p := DefaultPolicy()
	if text == "{}" { // nearly everybody
		return p, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, err
	}
	for name := range raw {
		if policyNames[strings.ToLower(name)] {
			delete(raw, name)
		}
	}
	if len(raw) > 0 {
		unknown, err := json.Marshal(raw)
		if err != nil {
			return p, err
		}
		p.unknown = string(unknown)
	}
	return p, nil
}

// policyNames are the known settings, in lower case as encoding/json compares.
var policyNames = func() map[string]bool {
	names := map[string]bool{}
	t := reflect.TypeFor[Policy]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("json"); name != "" {
			names[strings.ToLower(name)] = true
		}
	}
	return names
}()
