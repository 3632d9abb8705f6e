package gate

import (
	"encoding/hex"
	"hash/maphash"
	"time"

	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/digest"
	"parley/internal/uc"
)

// authenticate finds the user who sent m, or the answer that asks for
// credentials or refuses. dialog says that m belongs to a dialog.
func (g *Gate) authenticate(f *flow.Flow, m *sip.Message, dialog bool) (uc.Identity, error) {
	now := g.now()
	register := m.Method() == sip.REGISTER
	realm, hidden, refused := g.realm(m)
	if refused != nil {
		return uc.Identity{}, g.refuse(f, refused)
	}
	served := g.served(m)
	creds, found := credentials(m, served, g.cfg.Users)
	s := g.settings.Load()
	if !found {
		if s.once && !register && !hidden && f.Transport().Reliable() {
			if user := g.user(m.Header(sip.HFrom)); user != nil && user.Enabled && associated(f, user) && direct(m) {
				g.counts.Remembered.Add(1)
				return client(user), nil
			}
		}
		return uc.Identity{}, g.challenge(f, m, realm, served, false)
	}
	user, err := g.verify(f, m, &creds, now)
	switch {
	case err == errStale:
		g.counts.Stale.Add(1)
		return uc.Identity{}, g.challenge(f, m, string(creds.Realm), served, true)
	case err == errWrong:
		return uc.Identity{}, g.challenge(f, m, string(creds.Realm), served, false)
	case err != nil:
		return uc.Identity{}, err
	}
	g.earned(f)
	if !user.Enabled {
		return uc.Identity{}, diag.UserDisabled.Error(g.host(), "user is disabled")
	}
	// Within a dialog From is what the other side called him.
	if err := g.himself(m, user, hidden || dialog, register); err != nil {
		g.counts.Impostors.Add(1)
		return uc.Identity{}, err
	}
	g.counts.Admitted.Add(1)
	if s.once && f.Transport().Reliable() && direct(m) {
		associate(f, user)
	}
	return client(user), nil
}

// direct reports whether the request came from its sender without a proxy
// between: then the connection is the user's own.
func direct(m *sip.Message) bool { return m.Count(sip.HVia) == 1 }

// realm decides in which domain the sender must have an account: the one he
// claims to be from. hidden is set for a caller who withholds his name (RFC
// 3323 section 4.1). Strangers from elsewhere are refused; so is anybody who
// wants to use us as a relay.
func (g *Gate) realm(m *sip.Message) (realm string, hidden bool, err *sip.Error) {
	from, ok := address(m.Header(sip.HFrom))
	if !ok {
		return "", false, &sip.Error{Code: 400, Diagnostic: "unreadable From"}
	}
	var to sip.URI
	if err := sip.ParseURI(m.RequestURI(), &to); err != nil {
		return "", false, &sip.Error{Code: 400, Diagnostic: "unreadable request URI"}
	}
	local := to.Kind != sip.SIPURI || g.cfg.Users.IsLocal(to.Host) || g.cfg.IsSelf != nil && g.cfg.IsSelf(to.Host, to.Port) ||
		g.cfg.Reachable != nil && g.cfg.Reachable(to.Host)
	switch {
	case from.Kind == sip.SIPURI && g.cfg.Users.IsLocal(from.Host):
		realm = lower(from.Host)
	case from.Kind == sip.SIPURI && string(from.Host) == "anonymous.invalid" && to.Kind == sip.SIPURI && g.cfg.Users.IsLocal(to.Host):
		realm, hidden = lower(to.Host), true
	default:
		return "", false, &sip.Error{Code: 403, Diagnostic: "sender belongs to no domain of this server"}
	}
	if !local {
		return "", false, &sip.Error{Code: 403, Diagnostic: "no relay to foreign domains"}
	}
	return realm, hidden, nil
}

// refuse answers somebody who is not even challenged.
func (g *Gate) refuse(f *flow.Flow, err *sip.Error) error {
	if err.Code == 403 {
		g.counts.Relays.Add(1)
	}
	if limited := g.stranger(f); limited != nil {
		return limited
	}
	return err
}

func (g *Gate) served(m *sip.Message) bool {
	if g.cfg.Served != nil {
		return g.cfg.Served(m)
	}
	switch m.Method() {
	case sip.REGISTER, sip.PUBLISH, sip.SUBSCRIBE:
		return true
	}
	return false
}

// credentials finds digest credentials for one of our realms. Which of the two
// fields they are in follows the challenge; phones that answer one challenge
// with the other field are understood.
func credentials(m *sip.Message, served bool, users Users) (c digest.Credentials, found bool) {
	fields := [2]sip.HeaderID{sip.HProxyAuthorization, sip.HAuthorization}
	if served {
		fields[0], fields[1] = fields[1], fields[0]
	}
	for _, id := range fields {
		for v := m.Values(id); ; {
			value, ok := v.Next()
			if !ok {
				break
			}
			if digest.ParseCredentials(value, &c) == nil && users.IsLocal(c.Realm) {
				return c, true
			}
		}
	}
	return digest.Credentials{}, false
}

// refusal is why credentials are not taken.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	errStale refusal = "nonce is stale"
	errWrong refusal = "credentials are wrong"
)

// verify finds the user whose credentials these are.
func (g *Gate) verify(f *flow.Flow, m *sip.Message, c *digest.Credentials, now time.Time) (*directory.User, error) {
	s := g.settings.Load()
	if g.nonces.Check(c.Nonce, now) != digest.Fresh {
		return nil, errStale
	}
	made, salt := digest.Stamp(c.Nonce)
	if uint32(salt>>16) != g.binding(f) {
		return nil, errStale // made for somebody else
	}
	if c.QOP == digest.OtherQOP || !s.offers(c.Algorithm) {
		return nil, errWrong
	}
	// From here on the source has shown that what is sent to it arrives.
	name := sourceOf(f)
	all := name
	name.name = maphash.Bytes(g.seed, c.Username)
	exempt := s.exempt(f.Remote().Addr())
	if !exempt && (s.failures.empty(name, now) || s.guesses.empty(all, now)) {
		g.counts.Blocked.Add(1)
		return nil, &sip.Error{Code: 403, Diagnostic: "too many wrong passwords",
			Headers: []sip.Header{{Name: "Retry-After", Value: "30"}}}
	}
	user, secret, known := g.cfg.Users.Login(c.Username, c.Realm, directory.Algorithm(c.Algorithm))
	var buf [32]byte
	ha1 := binaryHA1(buf[:], secret, c.Algorithm)
	if ha1 == nil {
		known, ha1 = false, buf[:c.Algorithm.Size()] // as much work for an unknown name
	}
	if !c.Verify(m.MethodName(), ha1, m.Body()) || !known {
		g.counts.Failed.Add(1)
		if !exempt {
			s.failures.take(name, now)
			s.guesses.take(all, now)
		}
		return nil, errWrong
	}
	if !f.Transport().Reliable() {
		if c.QOP == digest.NoQOP {
			return nil, errWrong // without a count a datagram can be repeated at will
		}
		switch g.replays.use(c.Nonce, made, c.NC, now) {
		case repeated:
			g.counts.Replayed.Add(1)
			return nil, errStale
		case tooOld:
			return nil, errStale
		}
	}
	return user, nil
}

// binaryHA1 returns the verifier in binary form; the directory keeps it in hex.
func binaryHA1(buf []byte, secret directory.Secret, a digest.Algorithm) []byte {
	size := a.Size()
	switch len(secret) {
	case size:
		return secret
	case 2 * size:
		if _, err := hex.Decode(buf[:size], secret); err == nil {
			return buf[:size]
		}
	}
	return nil
}

// himself checks that the user speaks in his own name: From is his address, or
// an alias; and the same for the To of a REGISTER.
func (g *Gate) himself(m *sip.Message, user *directory.User, hidden, register bool) *sip.Error {
	if !hidden && !same(g.user(m.Header(sip.HFrom)), user) {
		return diag.NotHisAddress.Error(g.host(), "From is not the user of the credentials")
	}
	if register && !same(g.user(m.Header(sip.HTo)), user) {
		return diag.NotHisAddress.Error(g.host(), "To is not the user of the credentials")
	}
	return nil
}

func same(a, b *directory.User) bool { return a != nil && a.AOR == b.AOR }

// user finds the user of an address field, nil when it is none of ours.
func (g *Gate) user(field []byte) *directory.User {
	uri, ok := address(field)
	if !ok {
		return nil
	}
	var buf [96]byte
	aor, err := uri.AppendAOR(buf[:0])
	if err != nil {
		return nil
	}
	user, _ := g.cfg.Users.LookupBytes(aor)
	return user
}

func address(field []byte) (u sip.URI, ok bool) {
	var n sip.NameAddr
	ok = sip.ParseNameAddr(field, &n) == nil && sip.ParseURI(n.URI, &u) == nil
	return u, ok
}

// challenge asks for credentials, once for each algorithm, the preferred first
// (RFC 8760 section 2.4).
func (g *Gate) challenge(f *flow.Flow, m *sip.Message, realm string, served, stale bool) error {
	if err := g.stranger(f); err != nil {
		return err
	}
	g.counts.Challenged.Add(1)
	e := &sip.Error{Code: 407}
	name := "Proxy-Authenticate"
	if served {
		e.Code, name = 401, "WWW-Authenticate"
	}
	salt := uint64(g.binding(f))<<16 | g.salt.Add(1)&0xffff
	var mem [digest.NonceLen]byte
	nonce := g.nonces.Append(mem[:0], g.now(), salt)
	algorithms := g.settings.Load().offered(m.Header(sip.HUserAgent))
	if served && !stale {
		e.Headers = g.lyncSchemes(m)
	}
	for _, a := range algorithms {
		var buf [256]byte
		e.Headers = append(e.Headers, sip.Header{Name: name, Value: string(digest.AppendChallenge(buf[:0], a, realm, nonce, stale))})
	}
	return e
}

// binding is what a nonce given out on f remembers of it: the connection, or
// the address of a peer that sends datagrams.
func (g *Gate) binding(f *flow.Flow) uint32 {
	if f.Transport().Reliable() {
		return uint32(maphash.Comparable(g.seed, f.ID()))
	}
	return uint32(maphash.Comparable(g.seed, f.Remote()))
}

// lower returns a domain in lower case.
func lower(b []byte) string {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			low := make([]byte, len(b))
			for i, c := range b {
				if 'A' <= c && c <= 'Z' {
					c += 'a' - 'A'
				}
				low[i] = c
			}
			return string(low)
		}
	}
	return string(b)
}
