// Package gate decides who sent a request and whether it is listened to. It
// runs in the reader of a connection and uses processor and memory only.
//
// A flow's trust class comes from its certificate and the topology when it
// opens, and never changes; a request on a client's flow is believed to come
// from a user because of digest credentials (RFC 3261 section 22, RFC 7616, RFC
// 8760) or because that user has proved himself on the same connection before.
// A user may speak as himself only.
//
// Nothing a stranger sends can hurt somebody else: what is counted against an
// address is counted only after the address has shown, by bringing back a
// nonce that was made for it, that packets to it arrive; and what is counted
// against a user name is counted for that address alone.
package gate

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/digest"
	"parley/internal/sip/sigauth"
	"parley/internal/stack"
	"parley/internal/uc"
)

// Users is what the gate asks about users. *directory.Directory is one.
type Users interface {
	Login(username, realm []byte, alg directory.Algorithm) (*directory.User, directory.Secret, bool)
	LookupBytes(aor []byte) (*directory.User, bool)
	IsLocal(domain []byte) bool
}

// Config is what a Gate is made of.
type Config struct {
	Users Users
	Log   *slog.Logger
	// Identify names the server whose certificates these are. An error refuses
	// the flow. The zero Identity with no error is a peer that is no server
	// and may be a client. Nil trusts nobody.
	Identify func(chain []*x509.Certificate) (uc.Identity, error)
	// InDialog reports whether a request has a route with a token of this
	// server, whose signature is checked when it is followed: it then belongs
	// to a dialog whose beginning passed the gate. Nil reports false.
	InDialog func(tx *stack.ServerTxn) bool
	// Served reports whether a request is answered by a service here, which
	// challenges with 401, and not passed on, which does with 407. Nil takes
	// REGISTER, PUBLISH and SUBSCRIBE to be served.
	Served func(m *sip.Message) bool
	// IsSelf reports whether a host and port (0 when absent) are a name or
	// address of this server: what clients in a dialog with a service ask. Nil
	// knows none.
	IsSelf func(host []byte, port uint16) bool
	// Reachable reports whether authenticated users may reach a host that is
	// none of our domains. Nil reports false.
	Reachable func(host []byte) bool
	// Open reports whether anybody may ask: OPTIONS to the server itself. Nil
	// allows OPTIONS, and NEGOTIATE, whose request URI has no user.
	Open func(m *sip.Message) bool

	Limits   Limits
	Settings Settings
	Now      func() time.Time // nil is time.Now
}

// Limits are the sizes of messages by trust class.
type Limits struct {
	Client, Server sip.Limits // zero values take sip.DefaultLimits and sip.ServerLimits
}

// Gate is safe for concurrent use.
type Gate struct {
	cfg      Config
	now      func() time.Time
	nonces   *digest.Nonces
	replays  *replays
	seed     maphash.Seed
	salt     atomic.Uint64
	settings atomic.Pointer[settings]
	limits   atomic.Pointer[Limits]
	signing  atomic.Pointer[sigauth.Server]
	counts   Counters
}

// New returns a gate.
func New(cfg Config) (*Gate, error) {
	g := &Gate{cfg: cfg, now: cfg.Now, replays: newReplays(), seed: maphash.MakeSeed()}
	if g.now == nil {
		g.now = time.Now
	}
	var key [40]byte
	rand.Read(key[:])
	g.nonces = digest.NewNonces(key[:32], nonceLife)
	g.salt.Store(binary.BigEndian.Uint64(key[32:]))
	g.SetLimits(cfg.Limits)
	return g, g.Reload(cfg.Settings)
}

// nonceLife is how long credentials made with one nonce are taken. Clients that
// come later are told that it is stale and try again by themselves.
const nonceLife = 5 * time.Minute

// SetLimits changes the sizes for flows that open from now on.
func (g *Gate) SetLimits(l Limits) {
	if l.Client == (sip.Limits{}) {
		l.Client = sip.DefaultLimits
	}
	if l.Server == (sip.Limits{}) {
		l.Server = sip.ServerLimits
	}
	g.limits.Store(&l)
}

// Opened gives a flow its trust class and the limits of that class. It is meant
// for stack.Config.Open.
func (g *Gate) Opened(f *flow.Flow) error {
	id, err := g.identify(f.PeerCertificates())
	if err != nil {
		g.cfg.Log.Warn("peer refused: not a server of this deployment", "flow", f.ID(), "peer", f.Remote(), "err", err)
		return err
	}
	l := g.limits.Load()
	if id.Known() {
		f.SetIdentity(id)
	}
	if trusted(id) {
		f.SetLimits(&l.Server)
	} else {
		f.SetLimits(&l.Client)
	}
	return nil
}

func (g *Gate) identify(chain []*x509.Certificate) (uc.Identity, error) {
	if len(chain) == 0 || g.cfg.Identify == nil {
		return uc.Identity{}, nil
	}
	id, err := g.cfg.Identify(chain)
	if err != nil {
		g.counts.Certificates.Add(1)
	}
	return id, err
}

// trusted reports whether an identity was earned with a certificate, so that
// requests need no credentials.
func trusted(id uc.Identity) bool {
	return id.Class.Server() || id.Class == uc.Trunk || id.Class == uc.Partner
}

// Admit decides about a request and sets the identity of its transaction. It is
// meant for stack.Config.Admit.
func (g *Gate) Admit(tx *stack.ServerTxn) error {
	f := tx.Flow()
	m := tx.Request()
	if id := f.Identity(); trusted(id) {
		g.asserted(tx, id)
		return nil
	}
	if tx.Method() == sip.ACK {
		return nil // has no answer, and goes nowhere but along a route of ours
	}
	dialog := m.ToTag() != nil && g.cfg.InDialog != nil && g.cfg.InDialog(tx)
	if decided, err := g.signed(tx, dialog); decided {
		return err
	}
	if dialog && !begins(m.Method()) {
		// Whoever holds a signed route was let in when the dialog began. Who
		// sends is known only as far as the connection says.
		if user := g.user(m.Header(sip.HFrom)); user != nil && associated(f, user) {
			tx.SetIdentity(client(user))
		}
		return nil
	}
	if g.open(m) {
		return g.stranger(f)
	}
	id, err := g.authenticate(f, m, dialog)
	if err != nil {
		return err
	}
	tx.SetIdentity(id)
	return nil
}

// asserted believes another server of ours that says for which user it sends a
// request (RFC 3325 section 5).
func (g *Gate) asserted(tx *stack.ServerTxn, id uc.Identity) {
	if id.Class != uc.Member && id.Class != uc.TrustedServer {
		return
	}
	for v := tx.Request().Values(sip.HPAssertedIdentity); ; {
		value, ok := v.Next()
		if !ok {
			return
		}
		if user := g.user(value); user != nil {
			id.AOR = user.AOR
			tx.SetIdentity(id)
			return
		}
	}
}

// begins reports whether a method does by itself what people should be asked
// their names for, in a dialog or not: the other side of a call knows the route
// to a phone, and must not use it for messages in other people's names.
func begins(m sip.Method) bool {
	return m == sip.MESSAGE || m == sip.SUBSCRIBE || m == sip.PUBLISH || m == sip.REGISTER
}

func client(u *directory.User) uc.Identity { return uc.Identity{AOR: u.AOR, Class: uc.Client} }

// open reports whether a request is answered whoever sent it.
func (g *Gate) open(m *sip.Message) bool {
	if g.cfg.Open != nil {
		return g.cfg.Open(m)
	}
	// NEGOTIATE asks for compression before anybody has signed in, and is refused whoever asks ([MS-SIPCOMP]).
	if m.Method() != sip.OPTIONS && m.Method() != sip.NEGOTIATE || m.Has(sip.HRoute) {
		return false
	}
	var u sip.URI
	return sip.ParseURI(m.RequestURI(), &u) == nil && u.Kind == sip.SIPURI && u.User == nil
}

var errTooMuch = &sip.Error{Code: 503, Diagnostic: "too many requests without credentials from this address",
	Headers: []sip.Header{{Name: "Retry-After", Value: "10"}}}

// stranger counts work done for somebody unknown.
func (g *Gate) stranger(f *flow.Flow) error {
	s := g.settings.Load()
	if s.exempt(f.Remote().Addr()) || s.unknown.take(sourceOf(f), g.now()) {
		return nil
	}
	g.counts.Throttled.Add(1)
	if !f.Transport().Reliable() {
		return stack.ErrDrop // the address may be somebody else's: send nothing there
	}
	return errTooMuch
}

// earned gives back what a stranger was charged for the challenge he answered.
func (g *Gate) earned(f *flow.Flow) {
	s := g.settings.Load()
	if !s.exempt(f.Remote().Addr()) {
		s.unknown.giveBack(sourceOf(f), g.now())
	}
}

func sourceOf(f *flow.Flow) source {
	return source{addr: network(f.Remote().Addr()), stream: f.Transport().Reliable()}
}

// Counters say what the gate refused since it was made.
type Counters struct {
	Admitted     atomic.Uint64 // with credentials
	Remembered   atomic.Uint64 // without, on a connection that had shown them
	Challenged   atomic.Uint64 // asked for credentials
	Stale        atomic.Uint64 // of these, because the nonce was old or not for this peer
	Failed       atomic.Uint64 // credentials were wrong
	Blocked      atomic.Uint64 // not even checked: too many wrong ones before
	Replayed     atomic.Uint64 // credentials were used before
	Impostors    atomic.Uint64 // user spoke as somebody else
	Relays       atomic.Uint64 // stranger wanted to reach a foreign domain
	Throttled    atomic.Uint64 // stranger asked too often
	Forged       atomic.Uint64 // message of a client that signs was not signed by it
	Certificates atomic.Uint64 // certificate of no server of ours
}

// Counters returns the live counters.
func (g *Gate) Counters() *Counters { return &g.counts }
