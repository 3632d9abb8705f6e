package directory

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"parley/internal/bus"
	"parley/internal/keyring"
	"parley/internal/store"
	"parley/internal/uc"
)

//go:embed schema
var schema embed.FS

// Directory is the open directory. Reading methods answer from memory, never
// block on I/O, and may be called from the readers of SIP messages.
type Directory struct {
	db   *store.DB
	bus  *bus.Bus // nil for a tool that works on a stopped node
	keys *keyring.Keyring
	log  *slog.Logger
	idx  *index
	stop func()

	change   sync.Mutex // one change at a time: store, memory, watchers, bus
	watchers []*watcher // guarded by change
}

// Open loads all users. b may be nil for a tool that works on a stopped node.
func Open(ctx context.Context, db *store.DB, b *bus.Bus, keys *keyring.Keyring, log *slog.Logger) (*Directory, error) {
	d := &Directory{db: db, bus: b, keys: keys, log: log, idx: newIndex(), stop: func() {}}
	if err := db.Migrate(ctx, "directory", schema); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	// Following begins before loading, so that no change falls between the two.
	d.change.Lock()
	defer d.change.Unlock()
	if b != nil {
		stop, err := b.Subscribe(b.Subject(topic, verbChanged), d.heard)
		if err != nil {
			return nil, fmt.Errorf("directory: follow other nodes: %w", err)
		}
		d.stop = stop
	}
	if err := d.load(ctx); err != nil {
		d.stop()
		return nil, fmt.Errorf("directory: load users: %w", err)
	}
	return d, nil
}

func (d *Directory) load(ctx context.Context) error {
	domains, err := d.readDomains(ctx)
	if err != nil {
		return err
	}
	for _, name := range domains {
		d.idx.setDomain(name, true)
	}
	return d.db.View(ctx, func(tx *store.Tx) error {
		records, err := d.readUsers(ctx, tx, "")
		if err != nil {
			return err
		}
		for _, r := range records {
			d.idx.put(r)
		}
		return nil
	})
}

// Close stops following the changes of other nodes.
func (d *Directory) Close() { d.stop() }

// Lookup returns the user with this address of record or alias.
func (d *Directory) Lookup(aor uc.AOR) (*User, bool) {
	d.idx.mu.RLock()
	defer d.idx.mu.RUnlock()
	r, ok := d.idx.aors[aor]
	return r.User, ok
}

// LookupBytes is Lookup for canonical bytes (see uc.AppendAOR), without a conversion.
func (d *Directory) LookupBytes(aor []byte) (*User, bool) {
	r, ok := d.idx.byAOR(aor)
	return r.User, ok
}

// ByNumber returns the user with this number: "+15550100", with or without
// "tel:" before and ";ext=42" after it.
func (d *Directory) ByNumber(number string) (*User, bool) {
	key, ok := canonicalNumber(number)
	if !ok {
		return nil, false
	}
	r, ok := d.idx.byNumber(key)
	return r.User, ok
}

// ByID returns the user with this ID.
func (d *Directory) ByID(id string) (*User, bool) {
	r, ok := d.idx.byID(id)
	return r.User, ok
}

// Login finds the user who signs in with the user name "alice" or
// "alice@example.test" in the realm, which is the SIP domain, and the HA1
// value (lower-case hexadecimal) for exactly this spelling of the name. ok is
// false for an unknown name, and for a user without password. A disabled user
// is found: the caller decides what to answer.
func (d *Directory) Login(username, realm []byte, alg Algorithm) (u *User, ha1 Secret, ok bool) {
	var buf [uc.MaxAOR]byte
	if len(username)+1+len(realm) > len(buf) {
		return nil, nil, false
	}
	full := false
	for i, c := range username {
		if c == '@' {
			full = string(username[i+1:]) == string(realm)
			if !full {
				return nil, nil, false
			}
			break
		}
	}
	aor := append(buf[:0], username...)
	if !full {
		aor = append(append(aor, '@'), realm...)
	}
	r, ok := d.idx.byAOR(aor)
	// An alias is no user name: the verifiers are those of the address of record.
	if !ok || r.verifiers == nil || string(aor) != string(r.AOR) {
		return nil, nil, false
	}
	ha1 = r.verifiers.digest(alg, full)
	return r.User, ha1, ha1 != nil
}

// NTHash returns MD4 of the user's password in UTF-16LE, which NTLM needs.
func (d *Directory) NTHash(aor uc.AOR) (*User, Secret, bool) {
	r, ok := d.idx.byAOR([]byte(aor))
	if !ok || r.verifiers == nil {
		return nil, nil, false
	}
	return r.User, r.verifiers.nt, true
}

// CheckPassword says in constant time whether password is the user's.
func (d *Directory) CheckPassword(aor uc.AOR, password string) bool {
	r, ok := d.idx.byAOR([]byte(aor))
	return ok && r.verifiers != nil && r.verifiers.check(r.AOR, password)
}

// IsLocal says whether domain (any case) is a SIP domain of this deployment.
func (d *Directory) IsLocal(domain []byte) bool {
	var buf [256]byte
	if len(domain) > len(buf) {
		return false
	}
	lower := buf[:len(domain)]
	for i, c := range domain {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return d.idx.hasDomain(lower)
}

// Domains returns the SIP domains, sorted.
func (d *Directory) Domains() []string { return d.idx.domainNames() }

// List returns the users sorted by address.
func (d *Directory) List() []*User { return d.idx.users() }

// Len is the number of users.
func (d *Directory) Len() int { return d.idx.size() }

// AddDomain adds a SIP domain. One that exists is no error.
func (d *Directory) AddDomain(ctx context.Context, name string) error {
	aor, err := uc.MakeAOR("domain", name)
	if err != nil || strings.Contains(name, "@") {
		return invalid("domain", "%q is not a domain name", name)
	}
	name = aor.Domain()
	d.change.Lock()
	defer d.change.Unlock()
	if d.idx.hasDomain([]byte(name)) {
		return nil
	}
	if _, err := d.db.Exec(ctx, "INSERT INTO directory_domain (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", name); err != nil {
		return fmt.Errorf("add domain %s: %w", name, err)
	}
	d.idx.setDomain(name, true)
	d.announce(announcement{Domain: name})
	return nil
}

// RemoveDomain removes a SIP domain that has no users left (store.ErrReferenced).
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	name = strings.ToLower(name)
	d.change.Lock()
	defer d.change.Unlock()
	n, err := d.db.Exec(ctx, "DELETE FROM directory_domain WHERE name = $1", name)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove domain %s: %w", name, err)
	}
	d.idx.setDomain(name, false)
	d.announce(announcement{Domain: name})
	return nil
}
