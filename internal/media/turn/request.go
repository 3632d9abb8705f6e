package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"parley/internal/stun"
)

// additionalFamily and addressError are of RFC 8656 18.11 and 18.12: a second relay address of the other family.
const (
	additionalFamily stun.Attr = 0x8000
	addressError     stun.Attr = 0x8001
)

// udp is the number of the only protocol that is relayed.
const udp = 17

// failure is an error answer.
type failure struct {
	code   int
	reason string
}

var (
	badRequest     = &failure{400, "Bad Request"}
	unauthorized   = &failure{401, "Unauthorized"}
	forbidden      = &failure{403, "Forbidden"}
	unknownAttr    = &failure{420, "Unknown Attribute"}
	mismatch       = &failure{437, "Allocation Mismatch"}
	staleNonce     = &failure{438, "Stale Nonce"}
	noFamily       = &failure{440, "Address Family not Supported"}
	wrongUser      = &failure{441, "Wrong Credentials"}
	noTransport    = &failure{442, "Unsupported Transport Protocol"}
	familyMismatch = &failure{443, "Peer Address Family Mismatch"}
	quotaReached   = &failure{486, "Allocation Quota Reached"}
	noCapacity     = &failure{508, "Insufficient Capacity"}
)

// known are the attributes of requests that are understood, of those that must be (RFC 8489 14).
func known(a stun.Attr) bool {
	switch a {
	case stun.Username, stun.MessageIntegrity, stun.ChannelNumber, stun.Lifetime, stun.XorPeerAddress, stun.Data, stun.Realm, stun.Nonce,
		stun.RequestedAddressFamily, stun.EvenPort, stun.RequestedTransport, stun.ReservationToken:
		return true
	}
	return false
}

// message takes a STUN message of RFC 8489.
func (s *Server) message(from Tuple, a *Allocation, b []byte, now time.Time) {
	m, err := stun.Parse(b, stun.RFC)
	if err != nil {
		s.stats.Malformed++
		return
	}
	switch t := m.Type(); t {
	case stun.SendIndication:
		s.sendIndication(a, m, now)
	case stun.BindingRequest:
		if !s.mayAnswer(from, now) {
			return
		}
		if answer, ok := stun.Answer(s.out[:0], b, from.Remote); ok {
			s.reply(from, answer)
		}
	case stun.AllocateRequest, stun.RefreshRequest, stun.CreatePermissionRequest, stun.ChannelBindRequest:
		s.request(from, a, m, now)
	default:
		if t.Class() == 0 && s.mayAnswer(from, now) { // CONNECT and CONNECTION-BIND of RFC 6062 among them
			s.fail(from, m, badRequest, nil, now)
		} else {
			s.stats.Malformed++
		}
	}
}

func (s *Server) request(from Tuple, a *Allocation, m stun.Message, now time.Time) {
	id, key, name, f := s.authenticate(from, a, m, now)
	if f == nil {
		f = s.checkAttributes(m)
	}
	if f == nil {
		switch m.Type() {
		case stun.AllocateRequest:
			f = s.allocate(from, a, m, id, name, key, now)
		case stun.RefreshRequest:
			f = s.refresh(from, a, m, now)
		case stun.CreatePermissionRequest:
			f = s.createPermission(from, a, m, now)
		case stun.ChannelBindRequest:
			f = s.channelBind(from, a, m, now)
		}
	}
	if f != nil {
		s.fail(from, m, f, key, now)
	}
}

// fail answers with an error. With a key the answer is protected. 401 and 438 carry what the client has to come back with.
func (s *Server) fail(to Tuple, m stun.Message, f *failure, key []byte, now time.Time) {
	if key == nil && !s.mayAnswer(to, now) {
		return
	}
	switch f {
	case badRequest, unknownAttr, mismatch, noFamily, noTransport, familyMismatch:
		s.stats.BadRequest++
	case quotaReached:
		s.stats.Quota++
	case noCapacity:
		s.stats.NoPort++
	case forbidden:
		s.stats.Forbidden++
	}
	b := s.begin(m, stun.Failure)
	b.AddError(f.code, f.reason)
	switch f {
	case unauthorized, staleNonce:
		b.AddString(stun.Realm, s.cfg.Realm)
		b.AddString(stun.Nonce, nonce(s.cfg.NonceKey, to.Remote.Addr(), now))
		key = nil
	case unknownAttr:
		var list []byte
		for a := range m.Attributes() {
			if a.Required() && !known(a) {
				list = binary.BigEndian.AppendUint16(list, uint16(a))
			}
		}
		b.Add(stun.UnknownAttributes, list)
	}
	s.reply(to, b.Finish(key, hasFingerprint(m)))
}

func hasFingerprint(m stun.Message) bool {
	_, ok := m.Get(stun.Fingerprint)
	return ok
}

func (s *Server) checkAttributes(m stun.Message) *failure {
	for a := range m.Attributes() {
		if a.Required() && !known(a) {
			return unknownAttr
		}
	}
	return nil
}

// authenticate is the long-term credential mechanism (RFC 8489 9.2.4). A key is returned once the message was made with it.
func (s *Server) authenticate(from Tuple, a *Allocation, m stun.Message, now time.Time) (id UserID, key []byte, name string, f *failure) {
	if _, ok := m.Get(stun.MessageIntegrity); !ok {
		s.stats.Unauthorized++
		return id, nil, "", unauthorized
	}
	username, hasUser := m.Get(stun.Username)
	realm, hasRealm := m.Get(stun.Realm)
	n, hasNonce := m.Get(stun.Nonce)
	if !hasUser || !hasRealm || !hasNonce {
		return id, nil, "", badRequest
	}
	if !checkNonce(s.cfg.NonceKey, n, from.Remote.Addr(), now) {
		s.stats.Stale++
		return id, nil, "", staleNonce
	}
	if string(realm) != s.cfg.Realm || len(username) > 512 {
		s.stats.BadUser++
		return id, nil, "", unauthorized
	}
	name = string(username)
	id, key, err := s.cfg.Secret.Check(name, s.cfg.Realm, m.Dialect, now)
	switch {
	case errors.Is(err, ErrUnknown):
		s.stats.BadUser++
		return id, nil, "", unauthorized
	case !m.CheckIntegrity(key):
		s.stats.BadPassword++
		return id, nil, "", unauthorized
	case err != nil:
		s.stats.ExpiredUser++
		return id, nil, "", unauthorized
	case a != nil && a.name != name:
		s.stats.Stolen++
		return id, key, name, wrongUser
	}
	return id, key, name, nil
}

// allocate makes an allocation (RFC 8656 7.2).
func (s *Server) allocate(from Tuple, a *Allocation, m stun.Message, id UserID, name string, key []byte, now time.Time) *failure {
	if a != nil {
		if a.made == m.ID() {
			s.allocated(a, m, now, nil) // asked again, since the answer got lost
			return nil
		}
		return mismatch
	}
	transport, ok := m.Get(stun.RequestedTransport)
	if !ok || len(transport) != 4 {
		return badRequest
	}
	if transport[0] != udp {
		return noTransport
	}
	var w Want
	family, hasFamily := m.Get(stun.RequestedAddressFamily)
	even, hasEven := m.Get(stun.EvenPort)
	token, hasToken := m.Get(stun.ReservationToken)
	_, additional := m.Get(additionalFamily)
	switch {
	case hasFamily && len(family) != 4, hasEven && len(even) != 1, hasToken && len(token) != 8,
		hasToken && (hasEven || hasFamily || additional), additional && (hasFamily || hasEven && even[0]&0x80 != 0):
		return badRequest
	case hasFamily && family[0] == 2:
		w.V6 = true
	case hasFamily && family[0] != 1:
		return noFamily
	}
	w.Even, w.Reserve = hasEven, hasEven && even[0]&0x80 != 0
	if hasToken {
		w.Token = [8]byte(token)
		if w.Token == [8]byte{} {
			return noCapacity
		}
	}
	a, reserved, f := s.open(from, m, id, name, key, w, now)
	if f != nil {
		return f
	}
	var extra []byte
	if w.Reserve {
		extra = reserved[:]
	}
	s.allocated(a, m, now, extra)
	return nil
}

// open makes an allocation in either dialect.
func (s *Server) open(from Tuple, m stun.Message, id UserID, name string, key []byte, w Want, now time.Time) (*Allocation, [8]byte, *failure) {
	u := s.cfg.Users.take(id)
	if u == nil {
		return nil, [8]byte{}, quotaReached
	}
	r, token, err := s.cfg.Net.Open(w)
	if err != nil {
		u.release()
		if errors.Is(err, ErrNoFamily) {
			return nil, token, noFamily
		}
		return nil, token, noCapacity
	}
	a := &Allocation{server: s, client: from, relay: r, user: u, expires: now.Add(lifetime(m)), made: m.ID(), name: name, key: key,
		permissions: make(map[netip.Addr]permission), channels: make(map[netip.AddrPort]*channel)}
	s.allocs[from] = a
	s.cfg.Net.Attach(r, a)
	s.stats.Allocated++
	return a, token, nil
}

// allocated is the answer to Allocate.
func (s *Server) allocated(a *Allocation, m stun.Message, now time.Time, token []byte) {
	b := s.begin(m, stun.Success)
	b.AddXorAddr(stun.XorRelayedAddress, a.relay.Addr())
	b.AddUint32(stun.Lifetime, uint32(a.expires.Sub(now)/time.Second))
	if token != nil {
		b.Add(stun.ReservationToken, token)
	}
	b.AddXorAddr(stun.XorMappedAddress, a.client.Remote)
	if family, ok := m.Get(additionalFamily); ok && len(family) == 4 {
		b.Add(addressError, []byte{family[0], 0, 4, 40}) // one address an allocation
	}
	s.reply(a.client, b.Finish(a.key, hasFingerprint(m)))
}

// refresh changes how long an allocation lives (RFC 8656 8.2).
func (s *Server) refresh(from Tuple, a *Allocation, m stun.Message, now time.Time) *failure {
	if a == nil {
		return mismatch
	}
	if family, ok := m.Get(stun.RequestedAddressFamily); ok && (len(family) != 4 || (family[0] == 2) != a.relay.Addr().Addr().Is6()) {
		return familyMismatch
	}
	life := lifetime(m)
	if want, ok := m.Uint32(stun.Lifetime); ok && want == 0 {
		life = 0
		s.free(a)
	} else {
		a.expires = now.Add(life)
	}
	b := s.begin(m, stun.Success)
	b.AddUint32(stun.Lifetime, uint32(life/time.Second))
	s.reply(from, b.Finish(a.key, hasFingerprint(m)))
	return nil
}

// createPermission is RFC 8656 10.2: all of the peers, or none.
func (s *Server) createPermission(from Tuple, a *Allocation, m stun.Message, now time.Time) *failure {
	if a == nil {
		return mismatch
	}
	var peers []netip.AddrPort
	for attr, v := range m.Attributes() {
		if attr != stun.XorPeerAddress {
			continue
		}
		peer, ok := m.DecodeXorAddr(v)
		if !ok {
			return badRequest
		}
		if f := s.checkPeer(a, peer); f != nil {
			return f
		}
		peers = append(peers, peer)
	}
	if len(peers) == 0 {
		return badRequest
	}
	if len(a.permissions)+len(peers) > maxPermissions {
		return noCapacity
	}
	for _, p := range peers {
		s.permit(a, p, now)
	}
	b := s.begin(m, stun.Success)
	s.reply(from, b.Finish(a.key, hasFingerprint(m)))
	return nil
}

// checkPeer says what is against relaying to a peer.
func (s *Server) checkPeer(a *Allocation, peer netip.AddrPort) *failure {
	if peer.Addr().Is6() != a.relay.Addr().Addr().Is6() {
		return familyMismatch
	}
	if s.cfg.Allowed(peer) == Refuse {
		return forbidden
	}
	return nil
}

// channelBind is RFC 8656 12.2.
func (s *Server) channelBind(from Tuple, a *Allocation, m stun.Message, now time.Time) *failure {
	if a == nil {
		return mismatch
	}
	v, ok := m.Get(stun.ChannelNumber)
	peer, hasPeer := m.XorAddr(stun.XorPeerAddress)
	if !ok || len(v) != 4 || !hasPeer || peer.Port() == 0 {
		return badRequest
	}
	number := binary.BigEndian.Uint16(v)
	if number < firstChannel || number > lastChannel {
		return badRequest
	}
	if f := s.checkPeer(a, peer); f != nil {
		return f
	}
	at, of := a.channel(number), a.channels[peer]
	if at != of {
		return badRequest // the number has another peer, or the peer another number
	}
	if _, has := a.permissions[peer.Addr()]; at == nil && len(a.channels) >= maxChannels || !has && len(a.permissions) >= maxPermissions {
		return noCapacity
	}
	if at == nil {
		at = &channel{number: number, peer: peer}
		a.bind(at)
	}
	at.expires = now.Add(channelLife)
	s.permit(a, peer, now)
	b := s.begin(m, stun.Success)
	s.reply(from, b.Finish(a.key, hasFingerprint(m)))
	return nil
}
