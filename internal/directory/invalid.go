package directory

import (
	"fmt"

	"parley/internal/store"
	"parley/internal/uc"
)

// Invalid is input that was refused, with a sentence for the administrator.
type Invalid struct {
	Field   string // "aor", "name", "aliases", "phones", "password", "policy", "profile", "photo", "domain", "address", "description", "members", "logins", "origin"
	Problem string
}

func (e *Invalid) Error() string { return e.Problem }

func invalid(field, format string, args ...any) error {
	return &Invalid{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Taken is an address or a number that another user or a group has. It matches
// store.ErrConflict.
type Taken struct {
	Field string // "aor", "aliases", "phones" or "address"
	Value string // the address or number
	By    uc.AOR // whose it is; empty when that is not known
	Group bool   // a group has it
}

func (e *Taken) Error() string {
	switch {
	case e.Group:
		return fmt.Sprintf("there is a group %s already", e.Value)
	case e.By == "":
		return fmt.Sprintf("%s is taken by another user", e.Value)
	case string(e.By) == e.Value:
		return fmt.Sprintf("there is a user %s already", e.Value)
	}
	return fmt.Sprintf("%s belongs to %s", e.Value, e.By)
}

// Is makes a Taken match store.ErrConflict.
func (e *Taken) Is(target error) bool { return target == store.ErrConflict }
