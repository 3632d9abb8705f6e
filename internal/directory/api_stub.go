package directory

import (
	"context"
	"errors"
	"log/slog"

	"parley/internal/bus"
	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/uc"
)

var errStub = errors.New("directory: being written")

// Directory is the open directory. Reading methods answer from memory, never
// block on I/O, and may be called from the readers of SIP messages.
type Directory struct{}

// Open loads all users. b may be nil for a tool that works on a stopped node.
func Open(ctx context.Context, db *store.DB, b *bus.Bus, keys *keyring.Keyring, log *slog.Logger) (*Directory, error) {
	return nil, errStub
}

// Close stops following the changes of other nodes.
func (d *Directory) Close() {}

// Algorithm is a digest algorithm that has verifiers.
type Algorithm uint8

// The algorithms (RFC 7616, RFC 8760).
const (
	MD5 Algorithm = iota + 1
	SHA256
)

// Lookup returns the user with this address of record or alias.
func (d *Directory) Lookup(aor uc.AOR) (*User, bool) { return nil, false }

// LookupBytes is Lookup for canonical bytes (see uc.AppendAOR), without a conversion.
func (d *Directory) LookupBytes(aor []byte) (*User, bool) { return nil, false }

// ByNumber returns the user with this number: "+15550100", with or without
// "tel:" before and ";ext=42" after it.
func (d *Directory) ByNumber(number string) (*User, bool) { return nil, false }

// ByID returns the user with this ID.
func (d *Directory) ByID(id string) (*User, bool) { return nil, false }

// Login finds the user who signs in with the user name "alice" or
// "alice@example.test" in the realm, which is the SIP domain, and the HA1
// value (lower-case hexadecimal) for exactly this spelling of the name. ok is
// false for an unknown name, and for a user without password. A disabled user
// is found: the caller decides what to answer.
func (d *Directory) Login(username, realm []byte, alg Algorithm) (u *User, ha1 Secret, ok bool) {
	return nil, nil, false
}

// Secret is a verifier. It prints as [redacted]; convert to []byte to use it.
// It is shared: it must not be modified.
type Secret []byte

// IsLocal says whether domain (any case) is a SIP domain of this deployment.
func (d *Directory) IsLocal(domain []byte) bool { return false }

// Domains returns the SIP domains, sorted.
func (d *Directory) Domains() []string { return nil }

// AddDomain adds a SIP domain. One that exists is no error.
func (d *Directory) AddDomain(ctx context.Context, name string) error { return errStub }

// RemoveDomain removes a SIP domain that has no users left (store.ErrReferenced).
func (d *Directory) RemoveDomain(ctx context.Context, name string) error { return errStub }

// NewUser is what Add needs.
type NewUser struct {
	AOR      string // "alice@example.test"
	Name     string
	Aliases  []string
	Phones   []string // any usual spelling: "+1 555 0100", "tel:+15550100;ext=42"
	Password string   // empty: cannot sign in yet
	Disabled bool
	Policy   *Policy // nil: DefaultPolicy
}

// Add creates a user. Errors: *Invalid with a sentence for the administrator,
// store.ErrConflict for an address or number that is taken.
func (d *Directory) Add(ctx context.Context, n NewUser) (*User, error) { return nil, errStub }

// AddAll creates many users in one transaction, all or none.
func (d *Directory) AddAll(ctx context.Context, users []NewUser) error { return errStub }

// Change says what Set changes; nil leaves a field as it is.
type Change struct {
	Version int64 // 0, or the Version the change was based on (store.ErrStale when it is not current)
	Name    *string
	Aliases *[]string
	Phones  *[]string
	Enabled *bool
	Policy  *Policy
}

// Set changes a user and returns the new state.
func (d *Directory) Set(ctx context.Context, aor uc.AOR, c Change) (*User, error) {
	return nil, errStub
}

// Enable and Disable are Set with Enabled alone.
func (d *Directory) Enable(ctx context.Context, aor uc.AOR) (*User, error)  { return nil, errStub }
func (d *Directory) Disable(ctx context.Context, aor uc.AOR) (*User, error) { return nil, errStub }

// Remove deletes a user; version as in Change. store.ErrNotFound when there is none.
func (d *Directory) Remove(ctx context.Context, aor uc.AOR, version int64) error { return errStub }

// SetPassword replaces all verifiers of a user.
func (d *Directory) SetPassword(ctx context.Context, aor uc.AOR, password string) error {
	return errStub
}

// CheckPassword says in constant time whether password is the user's.
func (d *Directory) CheckPassword(aor uc.AOR, password string) bool { return false }

// List returns the users sorted by address.
func (d *Directory) List() []*User { return nil }

// Len is the number of users.
func (d *Directory) Len() int { return 0 }

// EventKind is what happened to a user.
type EventKind uint8

// The kinds of event. A user who was disabled is Changed with Enabled false.
const (
	Added EventKind = iota + 1
	Changed
	Removed
	PasswordSet
)

// Event tells of a change that is in memory already.
type Event struct {
	Kind EventKind
	User *User // after the change; for Removed, before it
	Old  *User // before the change; nil for Added
}

// Watch calls fn after each change, wherever it was made, one at a time and in
// order. fn must not block for long and must not call Add, Set and the like.
func (d *Directory) Watch(fn func(Event)) (stop func()) { return func() {} }

// Invalid is input that was refused, with a sentence for the administrator.
type Invalid struct {
	Field   string // "aor", "phones", "password", ...
	Problem string
}

func (e *Invalid) Error() string { return e.Problem }
