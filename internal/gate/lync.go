package gate

import (
	"crypto/rand"
	"errors"
	"hash/maphash"
	"net/http"
	"time"

	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/sip/sigauth"
	"parley/internal/stack"
	"parley/internal/uc"
)

// Lync-protocol clients sign in with the handshakes of package sigauth, after
// which every message on their connection is signed, in both directions. The
// session of a connection stands beside the users that digest credentials
// have made known on it.

// sessionOf returns the session of a connection, nil when nobody on it has
// begun a handshake.
func sessionOf(f *flow.Flow) *sigauth.Session {
	a, _ := f.Value(flow.SlotAssociation).(*association)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

// openSession returns the session of a connection, which it makes if there is
// none. It is called in the reader of f.
func openSession(f *flow.Flow) *sigauth.Session {
	a, _ := f.Value(flow.SlotAssociation).(*association)
	if a == nil {
		a = new(association)
		f.SetValue(flow.SlotAssociation, a)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil {
		a.session = sigauth.NewSession(0)
	}
	return a.session
}

// SetSigning says which schemes clients may use; nil offers none. Associations
// that are there go on.
func (g *Gate) SetSigning(s *sigauth.Server) { g.signing.Store(s) }

// signature reads the field that signs m or carries a token.
func signature(m *sip.Message, p *sigauth.Parameters) (found bool, err error) {
	for _, id := range [...]sip.HeaderID{sip.HAuthorization, sip.HProxyAuthorization} {
		for v := m.Values(id); ; {
			value, ok := v.Next()
			if !ok {
				break
			}
			if sigauth.SchemeOf(value) != sigauth.NoScheme {
				return true, sigauth.Parse(value, p)
			}
		}
	}
	return false, nil
}

// Screen is asked about what Admit is not: responses, ACK and CANCEL. It
// reports whether to go on with m. What comes unsigned, or wrongly signed, from
// a client that signs is dropped ([MS-SIPAE] 3.2.5). It is meant for
// stack.Config.Screen.
func (g *Gate) Screen(f *flow.Flow, m *sip.Message) bool {
	s := sessionOf(f)
	if s == nil || !s.Signed() {
		return true
	}
	var p sigauth.Parameters
	found, err := signature(m, &p)
	if found && err == nil {
		_, err = s.Verify(g.now(), m, &p)
	}
	if !found || err != nil {
		g.counts.Forged.Add(1)
		return false
	}
	return true
}

// signed decides about a request of a Lync-protocol client. decided is false
// for everybody else's. dialog says that m belongs to a dialog.
func (g *Gate) signed(tx *stack.ServerTxn, dialog bool) (decided bool, err error) {
	f, m := tx.Flow(), tx.Request()
	srv, s := g.signing.Load(), sessionOf(f)
	if srv == nil && s == nil || !f.Transport().Reliable() {
		return false, nil
	}
	var p sigauth.Parameters
	found, err := signature(m, &p)
	register := m.Method() == sip.REGISTER
	switch {
	case !found && (s == nil || !s.Signed() || register):
		return false, nil // nobody we know, or he begins anew
	case !found:
		if _, digest := credentials(m, true, g.cfg.Users); digest {
			return false, nil
		}
		return true, g.unsigned(sigauth.ErrUnsigned)
	case err != nil:
		return true, &sip.Error{Code: 400, Diagnostic: err.Error()}
	case p.Data != nil && register:
		return true, g.handshake(tx, srv, &p)
	case s == nil:
		err = sigauth.ErrUnknown
	default:
		var a *sigauth.Association
		if a, err = s.Verify(g.now(), m, &p); err == nil {
			return true, g.admitSigned(tx, s, a, dialog)
		}
	}
	if register && err != sigauth.ErrReplay {
		return true, g.signIn(f, m, err)
	}
	return true, g.unsigned(err)
}

// unsigned refuses what is not signed as it should be. It must not be a 401:
// to anything but REGISTER clients answer that at once with the same, without
// end. What was seen before is not answered at all.
func (g *Gate) unsigned(err error) error {
	g.counts.Forged.Add(1)
	if err == sigauth.ErrReplay {
		return stack.ErrDrop
	}
	return &sip.Error{Code: 403, Diagnostic: err.Error()}
}

// handshake goes on with the token in a REGISTER.
func (g *Gate) handshake(tx *stack.ServerTxn, srv *sigauth.Server, p *sigauth.Parameters) error {
	f, m := tx.Flow(), tx.Request()
	if srv == nil {
		return g.signIn(f, m, sigauth.ErrOffer)
	}
	if err := g.endpoint(m); err != nil {
		return err
	}
	st, now := g.settings.Load(), g.now()
	name := sourceOf(f)
	all := name
	from := m.Header(sip.HFrom)
	if uri, ok := address(from); ok {
		from = uri.User
	}
	name.name = maphash.Bytes(g.seed, from)
	exempt := st.exempt(f.Remote().Addr())
	if !exempt && (st.failures.empty(name, now) || st.guesses.empty(all, now)) {
		g.counts.Blocked.Add(1)
		return &sip.Error{Code: 403, Diagnostic: "too many wrong passwords", Headers: []sip.Header{{Name: "Retry-After", Value: "30"}}}
	}
	if err := g.stranger(f); err != nil {
		return err
	}
	s := openSession(f)
	out := s.Step(srv, now, rand.Reader, m, p)
	switch {
	case out.Challenge != "":
		g.counts.Challenged.Add(1)
		return &sip.Error{Code: 401, Headers: []sip.Header{date(now), {Name: "WWW-Authenticate", Value: out.Challenge}}}
	case out.Err == sigauth.ErrEPID:
		return diag.LongEPID.Error(srv.Host(), out.Err.Error())
	case out.Err != nil:
		if errors.Is(out.Err, sigauth.ErrCredentials) || errors.Is(out.Err, sigauth.ErrSignature) {
			g.counts.Failed.Add(1)
			if !exempt {
				st.failures.take(name, now)
				st.guesses.take(all, now)
			}
		}
		return g.signIn(f, m, out.Err)
	}
	g.earned(f)
	return g.admitSigned(tx, s, out.Association, false)
}

// endpoint checks that a client says which of the user's devices it is.
func (g *Gate) endpoint(m *sip.Message) error {
	if sigauth.EPID(m) != "" {
		return nil
	}
	var n sip.NameAddr
	if sip.ParseNameAddr(m.Header(sip.HContact), &n) == nil && n.Instance() != nil {
		return nil
	}
	return diag.NoEndpointID.Error(g.host(), "neither epid nor +sip.instance")
}

// admitSigned lets a request in that was signed with an association.
func (g *Gate) admitSigned(tx *stack.ServerTxn, s *sigauth.Session, a *sigauth.Association, dialog bool) error {
	f, m := tx.Flow(), tx.Request()
	user, known := g.cfg.Users.LookupBytes([]byte(a.AOR))
	register := m.Method() == sip.REGISTER
	if a.Owner == nil {
		a.Owner = user
		f.SetOutFilter(signer(s))
	}
	switch {
	case !known:
		return diag.NotInPool.Error(g.host(), "user does not exist")
	case !user.Enabled:
		return diag.UserDisabled.Error(g.host(), "user is disabled")
	case register && a.Owner != user:
		// He was changed, perhaps in his password: he shows it again.
		return g.signIn(f, m, sigauth.ErrUnknown)
	}
	hidden := false
	if !dialog {
		var refused *sip.Error
		if _, hidden, refused = g.realm(m); refused != nil {
			return g.refuse(f, refused)
		}
	}
	if err := g.himself(m, user, hidden || dialog, register); err != nil {
		g.counts.Impostors.Add(1)
		return err
	}
	g.counts.Admitted.Add(1)
	tx.SetIdentity(client(user))
	return nil
}

// signIn asks a client to begin a handshake; cause says why the last one, or
// its association, is not good any more.
func (g *Gate) signIn(f *flow.Flow, m *sip.Message, cause error) error {
	if err := g.stranger(f); err != nil {
		return err
	}
	g.counts.Challenged.Add(1)
	e := &sip.Error{Code: 401, Diagnostic: cause.Error(), Headers: []sip.Header{date(g.now())}}
	if srv := g.signing.Load(); srv != nil {
		e.Headers = appendSchemes(e.Headers, srv)
		switch cause {
		case sigauth.ErrUnknown, sigauth.ErrUnsigned:
		case sigauth.ErrClockSkew:
			diag.ClockSkew.On(srv.Host(), e)
		default:
			e.Headers = append(e.Headers, diag.HandshakeFailed.Header(srv.Host(), cause.Error()))
		}
	}
	return e
}

func appendSchemes(h []sip.Header, srv *sigauth.Server) []sip.Header {
	for _, c := range srv.Challenges() {
		h = append(h, sip.Header{Name: "WWW-Authenticate", Value: c})
	}
	return h
}

// lyncSchemes are the schemes for a client that speaks the Lync protocol, in its
// first challenge, before the digest ones: it looks for its scheme by name,
// whereas some phones give up when the first is none they know.
func (g *Gate) lyncSchemes(m *sip.Message) []sip.Header {
	srv := g.signing.Load()
	if srv == nil || m.Method() != sip.REGISTER || !speaksLync(m) {
		return nil
	}
	return appendSchemes([]sip.Header{date(g.now())}, srv)
}

// speaksLync reports whether the sender of a REGISTER is a Lync-protocol
// client: it has an epid, or asks for the notices that come with registration.
func speaksLync(m *sip.Message) bool {
	return sigauth.EPID(m) != "" || string(m.Header(sip.HEvent)) == "registration"
}

// date lets clients compare clocks.
func date(now time.Time) sip.Header {
	return sip.Header{Name: "Date", Value: now.UTC().Format(http.TimeFormat)}
}

// host is the name by which clients know this server, for reports.
func (g *Gate) host() string {
	if srv := g.signing.Load(); srv != nil {
		return srv.Host()
	}
	return ""
}

// keptBuffer is how much memory a connection keeps for signing between
// messages.
const keptBuffer = 16 << 10

// signer signs what is sent to the clients of a session. It is called in send
// order, for one message at a time.
func signer(s *sigauth.Session) flow.OutFilter {
	var m sip.Message
	var buf []byte
	return func(_ *flow.Flow, b []byte) []byte {
		if m.Parse(b, &sip.ServerLimits) != nil {
			return b // keep-alives
		}
		if m.StatusCode() == 401 || m.StatusCode() == 407 {
			return b // begins a handshake: whatever was before does not count
		}
		a := s.For(&m)
		if a == nil {
			return b
		}
		if cap(buf) > keptBuffer {
			buf = nil
		}
		buf = a.AppendSigned(buf[:0], &m)
		return buf
	}
}

// Owner finds the user of an NTLM message among the users of a directory: by
// his address, or by his name and a domain, which is a SIP domain, or the first
// label of one. It serves sigauth.Config.FindNTLM.
func Owner(user, domain string, domains []string, hash func(uc.AOR) (*directory.User, directory.Secret, bool)) (sigauth.Account, bool) {
	for _, aor := range names(user, domain, domains) {
		if u, secret, ok := hash(aor); ok && u.AOR == aor {
			return sigauth.Account{AOR: u.AOR, NTHash: secret}, true
		}
	}
	return sigauth.Account{}, false
}

// Principal finds the user of a Kerberos principal. It serves
// sigauth.Config.FindKerberos.
func Principal(user, realm string, domains []string, lookup func(uc.AOR) (*directory.User, bool)) (uc.AOR, bool) {
	for _, aor := range names(user, realm, domains) {
		if u, ok := lookup(aor); ok && u.AOR == aor {
			return aor, true
		}
	}
	return "", false
}

// names lists the addresses that a user name and a domain can stand for.
func names(user, domain string, domains []string) []uc.AOR {
	var all []uc.AOR
	add := func(text string) {
		if aor, err := uc.ParseAOR(text); err == nil {
			all = append(all, aor)
		}
	}
	if domain == "" {
		if aor, err := uc.ParseAOR(user); err == nil {
			return []uc.AOR{aor}
		}
	}
	for _, d := range domains {
		if domain == "" || foldEqual(d, domain) || len(d) > len(domain) && d[len(domain)] == '.' && foldEqual(d[:len(domain)], domain) {
			add(user + "@" + d)
		}
	}
	return all
}

func foldEqual(a, b string) bool { return lower([]byte(a)) == lower([]byte(b)) }
