package directory

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
	Profile Profile  // what others are told of the user
	Origin  Origin   // which other directory keeps the user, if one does
	Role    Role     // what the user may do as an administrator
	Version int64    // grows with every change; see Change
	Created time.Time
	Changed time.Time

	HasPassword bool
	PasswordSet int64  // which password it is: another number with every new one
	PhotoHash   string // changes with the photo; empty without one
	PhotoSize   int    // bytes
}

// Limits on what an administrator may enter.
const (
	maxName    = 256 // bytes
	maxAliases = 16
	maxPhones  = 8
)

func parseAOR(field, text string) (uc.AOR, error) {
	aor, err := uc.ParseAOR(text)
	if err != nil || !utf8.ValidString(text) {
		return "", invalid(field, "%q is not an address of the form alice@example.test", text)
	}
	return aor, nil
}

func parseAliases(aor uc.AOR, texts []string) ([]uc.AOR, error) {
	if len(texts) > maxAliases {
		return nil, invalid("aliases", "%d aliases, want at most %d", len(texts), maxAliases)
	}
	seen := map[uc.AOR]bool{aor: true}
	var all []uc.AOR
	for _, text := range texts {
		alias, err := parseAOR("aliases", text)
		if err != nil {
			return nil, err
		}
		if seen[alias] {
			return nil, invalid("aliases", "%s is listed twice, or is the address itself", alias)
		}
		seen[alias] = true
		all = append(all, alias)
	}
	return all, nil
}

// parsePhones returns canonical numbers without the "tel:".
func parsePhones(texts []string) ([]string, error) {
	if len(texts) > maxPhones {
		return nil, invalid("phones", "%d numbers, want at most %d", len(texts), maxPhones)
	}
	seen := map[string]bool{}
	var all []string
	for _, text := range texts {
		number, ok := canonicalNumber(text)
		if !ok {
			return nil, invalid("phones", "%q is not an international number such as tel:+15550100 or tel:+15550100;ext=42", text)
		}
		if seen[number] {
			return nil, invalid("phones", "%s is listed twice", number)
		}
		seen[number] = true
		all = append(all, number)
	}
	return all, nil
}

func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return invalid("name", "the name has %d bytes, want at most %d", len(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return invalid("name", "the name holds characters that cannot be shown")
	}
	return nil
}

var domainName = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func parseDomain(text string) (string, error) {
	name := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), ".")
	if len(name) > 253 || !domainName.MatchString(name) {
		return "", invalid("domain", "%q is not a domain name such as example.test (write an international name in its xn-- form)", text)
	}
	return name, nil
}
