package directory

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/internal/uc"
)

// Invalid is input that was refused, with a sentence for the administrator.
type Invalid struct {
	Field   string // "aor", "phones", "password", ...
	Problem string
}

func (e *Invalid) Error() string { return e.Problem }

func invalid(field, format string, args ...any) error {
	return &Invalid{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Bounds of what a person types; generous, but not open.
const (
	minPassword = 6
	maxPassword = 256
	maxName     = 256
	maxAliases  = 32
	maxPhones   = 16
)

func checkAOR(field, text string) (uc.AOR, error) {
	aor, err := uc.ParseAOR(text)
	if err != nil {
		return "", invalid(field, "%q is not an address; write it like alice@example.test", text)
	}
	return aor, nil
}

func checkAliases(aor uc.AOR, texts []string) ([]uc.AOR, error) {
	if len(texts) > maxAliases {
		return nil, invalid("aliases", "at most %d aliases a user", maxAliases)
	}
	aliases := make([]uc.AOR, 0, len(texts))
	seen := map[uc.AOR]bool{aor: true}
	for _, text := range texts {
		a, err := checkAOR("aliases", text)
		if err != nil {
			return nil, err
		}
		if !seen[a] {
			seen[a] = true
			aliases = append(aliases, a)
		}
	}
	return aliases, nil
}

// checkPhones returns the numbers as tel URIs.
func checkPhones(texts []string) ([]string, error) {
	if len(texts) > maxPhones {
		return nil, invalid("phones", "at most %d numbers a user", maxPhones)
	}
	phones := make([]string, 0, len(texts))
	seen := map[string]bool{}
	for _, text := range texts {
		number, ok := canonicalNumber(text)
		if !ok {
			return nil, invalid("phones", "%q is not a phone number; write it with country code, like tel:+15550100 or tel:+15550100;ext=42", text)
		}
		if !seen[number] {
			seen[number] = true
			phones = append(phones, "tel:"+number)
		}
	}
	return phones, nil
}

func checkName(name string) error {
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return invalid("name", "a display name is at most %d bytes of text without control characters", maxName)
	}
	return nil
}

func checkPassword(aor uc.AOR, password string) error {
	switch {
	case password == "":
		return invalid("password", "the password is empty")
	case len(password) < minPassword:
		return invalid("password", "the password is too short; use at least %d characters", minPassword)
	case len(password) > maxPassword:
		return invalid("password", "the password is too long; use at most %d bytes", maxPassword)
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return invalid("password", "the password holds control characters (a line break at its end?)")
	case strings.EqualFold(password, aor.User()) || strings.EqualFold(password, string(aor)):
		return invalid("password", "the password is the user's own name")
	}
	return nil
}

func checkPolicy(p Policy) error {
	bound := func(name string, v, low, high int) error {
		if v < low || v > high {
			return invalid("policy", "%s is %d; it must be between %d and %d", name, v, low, high)
		}
		return nil
	}
	for _, err := range []error{
		bound("maxEndpoints", p.MaxEndpoints, 1, 64),
		bound("maxContacts", p.MaxContacts, 0, 1000),
		bound("maxSubscriptions", p.MaxSubscriptions, 0, 3000),
		bound("maxSubscribers", p.MaxSubscribers, 0, 600),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
