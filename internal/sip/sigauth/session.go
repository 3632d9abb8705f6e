package sigauth

import (
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"parley/internal/sip"
	"parley/internal/uc"
)

// Session is the authentication of one connection: its handshakes and its associations. A client has one
// association; a server that brings its clients' messages has many. It is safe for concurrent use.
type Session struct {
	max int

	mu        sync.Mutex // guards what follows
	pending   []*handshake
	byOpaque  map[string]*Association
	byAddress map[address]*Association
	only      *Association // when there is one
}

// associationsPerHandshake is how many associations a session holds for each handshake it may have open.
const associationsPerHandshake = 8

// address is a device of a user.
type address struct {
	aor  uc.AOR
	epid string
}

// handshake is one that has begun.
type handshake struct {
	scheme    Scheme
	opaque    string
	began     time.Time
	challenge [8]byte      // NTLM
	dsk       *dsk         // TLS-DSK, until its last flight
	made      *Association // TLS-DSK, until the client has signed with it
}

// NewSession returns a session that holds at most handshakes unfinished ones; with more the oldest is forgotten.
// Zero takes a number that suits one client.
func NewSession(handshakes int) *Session {
	if handshakes <= 0 {
		handshakes = defaultHandshake
	}
	return &Session{max: handshakes, byOpaque: map[string]*Association{}, byAddress: map[address]*Association{}}
}

// Outcome is what a step of a handshake leads to: exactly one of its fields is set.
type Outcome struct {
	// Association was made, and the message that finished it is believed.
	Association *Association
	// Challenge is the value of a WWW-Authenticate field; the client goes on with it.
	Challenge string
	// Err is why the handshake failed. The client may begin anew.
	Err error
}

// ErrEPID says that the epid of the sender is longer than 16 characters ([MS-SIPAE] 2.2.1).
var ErrEPID = errors.New("the epid is too long")

// ErrOffer says that a client uses a scheme that it was not offered.
var ErrOffer = errors.New("the authentication scheme is not offered")

// Step takes the next token of a handshake, the gssapi-data that p says in message m. random gives keys, salts
// and names of associations.
func (s *Session) Step(srv *Server, now time.Time, random io.Reader, m *sip.Message, p *Parameters) Outcome {
	if !srv.Offers(p.Scheme) {
		return Outcome{Err: ErrOffer}
	}
	if string(p.Realm) != srv.cfg.Realm || string(p.TargetName) != srv.target(p.Scheme) {
		return Outcome{Err: ErrUnknown} // of another server, or of this one before it was renamed
	}
	if len(EPID(m)) > maxEPID {
		return Outcome{Err: ErrEPID}
	}
	if base64.StdEncoding.DecodedLen(len(p.Data)) > maxToken {
		return Outcome{Err: ErrToken}
	}
	token, err := base64.StdEncoding.AppendDecode(nil, p.Data)
	if err != nil {
		return Outcome{Err: ErrToken}
	}
	st := step{Session: s, srv: srv, now: now, random: random, m: m, p: p, token: token}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out Outcome
	switch p.Scheme {
	case NTLM:
		out, err = st.ntlm()
	case Kerberos:
		out, err = st.kerberos()
	case TLSDSK:
		out, err = st.tlsDSK()
	}
	if err != nil {
		return Outcome{Err: err}
	}
	return out
}

// step is one call of Session.Step.
type step struct {
	*Session
	srv    *Server
	now    time.Time
	random io.Reader
	m      *sip.Message
	p      *Parameters
	token  []byte
}

func (s *step) ntlm() (out Outcome, err error) {
	if len(s.token) == 0 {
		h, err := s.begin()
		if err != nil {
			return out, err
		}
		if _, err := io.ReadFull(s.random, h.challenge[:]); err != nil {
			return out, err
		}
		return s.ask(h, appendNTLMChallenge(nil, &s.srv.names, challengeFlags, h.challenge)), nil
	}
	h := s.take()
	if h == nil {
		return out, ErrUnknown
	}
	r, err := parseNTLMResponse(s.token, requiredFlags)
	if err != nil {
		return out, err
	}
	// A wrong clock is told only to those who know the password.
	account, known := s.srv.cfg.FindNTLM(r.user, r.domain)
	if !known || len(account.NTHash) != 16 {
		account.NTHash, known = make([]byte, 16), false // as much work for an unknown name
	}
	session, ok := r.verify(account.NTHash, h.challenge)
	if !ok || !known {
		return out, ErrCredentials
	}
	if d := s.now.Sub(r.made); d > ntlmSkew || d < -ntlmSkew {
		return out, ErrClockSkew
	}
	return s.finish(h.opaque, account.AOR, ntlmKeys(session), time.Time{})
}

func (s *step) kerberos() (out Outcome, err error) {
	if len(s.token) == 0 {
		return out, ErrToken
	}
	a, err := s.srv.cfg.Kerberos.Accept(s.token, s.now)
	if err != nil {
		return out, err
	}
	aor, ok := s.srv.cfg.FindKerberos(a.User, a.Realm)
	if !ok {
		return out, ErrCredentials
	}
	opaque, err := s.name()
	if err != nil {
		return out, err
	}
	return s.finish(opaque, aor, a.Keys, a.Expires)
}

func (s *step) tlsDSK() (out Outcome, err error) {
	if len(s.token) == 0 {
		return out, ErrToken
	}
	h := s.take()
	if h == nil || h.dsk == nil {
		if len(s.token) > maxHello {
			return out, ErrToken
		}
		if h, err = s.begin(); err != nil {
			return out, err
		}
		cert, err := s.srv.cfg.TLSDSK.Certificate()
		if err != nil {
			s.drop(h)
			return out, err
		}
		h.dsk = &dsk{cert: cert}
		flight, err := h.dsk.hello(s.token, s.random)
		if err != nil {
			s.drop(h)
			return out, err
		}
		return s.ask(h, flight), nil
	}
	chain, flight, keys, err := h.dsk.finish(s.token, s.random)
	if err != nil {
		return out, err
	}
	aor, until, err := s.srv.cfg.TLSDSK.Owner(chain, s.now)
	if err != nil {
		return out, err
	}
	if h.made, err = s.association(h.opaque, aor, keys, until); err != nil {
		return out, err
	}
	h.dsk = nil
	s.pending = append(s.pending, h)
	return s.ask(h, flight), nil
}

// begin makes room for one more handshake.
func (s *step) begin() (*handshake, error) {
	opaque, err := s.name()
	if err != nil {
		return nil, err
	}
	old := 0
	for old < len(s.pending) && (s.now.Sub(s.pending[old].began) > handshakeTime || len(s.pending)-old >= s.max) {
		old++
	}
	n := copy(s.pending, s.pending[old:])
	clear(s.pending[n:])
	h := &handshake{scheme: s.p.Scheme, opaque: opaque, began: s.now}
	s.pending = append(s.pending[:n], h)
	return h, nil
}

// take takes out the handshake that the message goes on with.
func (s *step) take() *handshake {
	for _, h := range s.pending {
		if h.opaque == string(s.p.Opaque) && h.scheme == s.p.Scheme && s.now.Sub(h.began) <= handshakeTime {
			s.drop(h)
			return h
		}
	}
	return nil
}

func (s *Session) drop(h *handshake) {
	for i, have := range s.pending {
		if have == h {
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			return
		}
	}
}

// name makes the name of an association: eight hexadecimal digits.
func (s *step) name() (string, error) {
	for {
		var b [4]byte
		if _, err := io.ReadFull(s.random, b[:]); err != nil {
			return "", err
		}
		name := string(appendHex32(nil, uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])))
		taken := s.byOpaque[name] != nil
		for _, h := range s.pending {
			taken = taken || h.opaque == name
		}
		if !taken {
			return name, nil
		}
	}
}

// ask makes the challenge with the server's token.
func (s *step) ask(h *handshake, token []byte) Outcome {
	p := s.srv.parameters(h.scheme)
	p.Opaque = []byte(h.opaque)
	p.Data = base64.StdEncoding.AppendEncode(nil, token)
	return Outcome{Challenge: string(p.AppendChallenge(make([]byte, 0, len(p.Data)+256)))}
}

// association makes an association. until zero is no limit of its own.
func (s *step) association(opaque string, aor uc.AOR, keys Keys, until time.Time) (*Association, error) {
	a := &Association{
		Scheme: s.p.Scheme, AOR: aor, EPID: EPID(s.m), Opaque: opaque, Expires: s.now.Add(s.srv.cfg.Lifetime),
		version: s.p.Version, realm: []byte(s.srv.cfg.Realm), target: []byte(s.srv.target(s.p.Scheme)), keys: keys, opaque: []byte(opaque),
	}
	if !until.IsZero() && until.Before(a.Expires) {
		a.Expires = until
	}
	var seed [16]byte
	if _, err := io.ReadFull(s.random, seed[:]); err != nil {
		return nil, err
	}
	a.signs.salt = *rand.NewPCG(le64(seed[:8]), le64(seed[8:]))
	return a, nil
}

func le64(b []byte) (v uint64) {
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// finish makes the association of a handshake whose last message must be signed with it, if the client's version
// of the protocol does so.
func (s *step) finish(opaque string, aor uc.AOR, keys Keys, until time.Time) (out Outcome, err error) {
	a, err := s.association(opaque, aor, keys, until)
	if err != nil {
		return out, err
	}
	if s.p.Version > 3 || s.p.Signature != nil {
		p := *s.p
		p.Opaque = a.opaque // Kerberos: the client does not know it yet
		if err := a.Verify(s.m, &p, s.now); err != nil {
			return out, err
		}
	}
	s.live(a)
	return Outcome{Association: a}, nil
}

// live puts an association to use, in place of the one that the device had before.
func (s *Session) live(a *Association) {
	at := address{a.AOR, a.EPID}
	if old := s.byAddress[at]; old != nil {
		delete(s.byAddress, at)
		delete(s.byOpaque, old.Opaque)
	}
	if len(s.byAddress) >= s.max*associationsPerHandshake {
		s.forgetOne()
	}
	s.byAddress[at], s.byOpaque[a.Opaque] = a, a
	s.only = nil
	if len(s.byAddress) == 1 {
		s.only = a
	}
}

// forgetOne removes the association that would end first.
func (s *Session) forgetOne() {
	var first *Association
	for _, a := range s.byAddress {
		if first == nil || a.Expires.Before(first.Expires) {
			first = a
		}
	}
	delete(s.byAddress, address{first.AOR, first.EPID})
	delete(s.byOpaque, first.Opaque)
}

// Verify finds the association m was signed with, as p says, and checks the signature.
func (s *Session) Verify(now time.Time, m *sip.Message, p *Parameters) (*Association, error) {
	s.mu.Lock()
	a := s.byOpaque[string(p.Opaque)]
	var h *handshake
	if a == nil {
		for _, have := range s.pending {
			if have.made != nil && have.opaque == string(p.Opaque) {
				h, a = have, have.made
			}
		}
	}
	s.mu.Unlock()
	if a == nil {
		return nil, ErrUnknown
	}
	if epid := EPID(m); m.IsRequest() && epid != "" && epid != a.EPID {
		return nil, ErrUnknown // of another device
	}
	if err := a.Verify(m, p, now); err != nil {
		return nil, err
	}
	if h != nil {
		s.mu.Lock()
		s.drop(h)
		s.live(a)
		s.mu.Unlock()
	}
	return a, nil
}

// Signed reports whether there is an association.
func (s *Session) Signed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byAddress) > 0
}

// For finds the association of the client that m goes to, nil when there is none.
func (s *Session) For(m *sip.Message) *Association {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.only != nil || len(s.byAddress) == 0 {
		return s.only
	}
	// Of several, the one whom a response answers or a request is for.
	id := sip.HTo
	if !m.IsRequest() {
		id = sip.HFrom
	}
	var n sip.NameAddr
	var u sip.URI
	var buf [uc.MaxAOR]byte
	if sip.ParseNameAddr(m.Header(id), &n) != nil || n.ParseURI(&u) != nil {
		return nil
	}
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return nil
	}
	epid, _ := n.Param("epid")
	if a := s.byAddress[address{uc.AOR(aor), string(epid)}]; a != nil || len(epid) > 0 {
		return a
	}
	for at, a := range s.byAddress {
		if string(at.aor) == string(aor) {
			return a
		}
	}
	return nil
}

// EPID returns the epid of the sender of m, empty when it has none.
func EPID(m *sip.Message) string {
	var n sip.NameAddr
	if sip.ParseNameAddr(m.Header(sip.HFrom), &n) != nil {
		return ""
	}
	v, _ := n.Param("epid")
	return string(v)
}
