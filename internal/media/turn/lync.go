package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"parley/internal/stun"
)

// The dialect of [MS-TURN] (2.2, 3.2.5). It has Allocate for refreshing too, Send for permissions, and one peer to which
// everything that is no message goes: the active destination.

// Errors that only this dialect has.
var (
	staleCredentials = &failure{430, "Stale Credentials"}
	badIntegrity     = &failure{431, "Integrity Check Failure"}
	noUsername       = &failure{432, "Missing Username"}
	noRealm          = &failure{434, "Missing Realm"}
	noNonce          = &failure{435, "Missing Nonce"}
	unknownUser      = &failure{436, "Unknown User"}
)

// lyncVersion is the version of [MS-TURN] that is announced: 4 and above may ask for IPv6.
const lyncVersion = 4

// lyncBandwidth is what is announced, in kbit/s.
const lyncBandwidth = 750

func knownLync(a stun.Attr) bool {
	switch a {
	case stun.Username, stun.MessageIntegrity, stun.Lifetime, stun.MSMagicCookie, stun.MSBandwidth, stun.MSDestinationAddress, stun.Data,
		stun.MSNonce, stun.MSRealm, stun.RequestedAddressFamily:
		return true
	}
	return false
}

func (s *Server) lync(from Tuple, a *Allocation, b []byte, now time.Time) {
	m, err := stun.Parse(b, stun.MSTURN)
	if err != nil {
		s.stats.Malformed++
		return
	}
	switch m.Type() {
	case stun.AllocateRequest, stun.MSSetActiveDestinationRequest:
	case stun.MSSendRequest:
		s.lyncSend(from, a, m, now)
		return
	default:
		s.stats.Malformed++
		return
	}
	id, key, name, f := s.authenticateLync(from, a, m, now)
	if f == nil {
		for attr := range m.Attributes() {
			if attr.Required() && !knownLync(attr) {
				f = unknownAttr
			}
		}
	}
	switch {
	case f != nil:
	case m.Type() == stun.AllocateRequest:
		f = s.lyncAllocate(from, a, m, id, name, key, now)
	default:
		f = s.setActive(from, a, m, now)
	}
	if f != nil {
		s.failLync(from, m, f, key, now)
	}
}

// beginLync starts an answer; the cookie is the first attribute of every message.
func (s *Server) beginLync(m stun.Message, class stun.Type) stun.Builder {
	b := s.begin(m, class)
	b.AddUint32(stun.MSMagicCookie, stun.MSMagic)
	return b
}

func (s *Server) failLync(to Tuple, m stun.Message, f *failure, key []byte, now time.Time) {
	if key == nil && !s.mayAnswer(to, now) {
		return
	}
	switch f {
	case badRequest, unknownAttr, mismatch, noFamily, familyMismatch, noUsername, noRealm, noNonce:
		s.stats.BadRequest++
	case quotaReached:
		s.stats.Quota++
	case noCapacity:
		s.stats.NoPort++
	case forbidden:
		s.stats.Forbidden++
	}
	b := s.beginLync(m, stun.Failure)
	b.AddError(f.code, f.reason)
	switch f {
	case unauthorized, staleNonce, staleCredentials:
		b.AddString(stun.MSRealm, s.cfg.Realm)
		b.AddString(stun.MSNonce, nonce(s.cfg.NonceKey, to.Remote.Addr(), now))
		key = nil
	case unknownAttr:
		var list []byte
		for a := range m.Attributes() {
			if a.Required() && !knownLync(a) {
				list = binary.BigEndian.AppendUint16(list, uint16(a))
			}
		}
		b.Add(stun.UnknownAttributes, list)
	}
	b.AddUint32(stun.MSVersion, lyncVersion)
	s.reply(to, b.Finish(key, false))
}

// authenticateLync checks a request; the realm counts as given in Send and Set Active Destination, where clients leave it
// out, and so does the nonce of those that belong to an allocation.
func (s *Server) authenticateLync(from Tuple, a *Allocation, m stun.Message, now time.Time) (id UserID, key []byte, name string, f *failure) {
	if _, ok := m.Get(stun.MessageIntegrity); !ok {
		s.stats.Unauthorized++
		return id, nil, "", unauthorized
	}
	username, ok := m.Get(stun.Username)
	if !ok {
		return id, nil, "", noUsername
	}
	if m.Type() == stun.AllocateRequest {
		realm, ok := m.Get(stun.MSRealm)
		if !ok {
			return id, nil, "", noRealm
		}
		n, ok := m.Get(stun.MSNonce)
		if !ok {
			return id, nil, "", noNonce
		}
		if !checkNonce(s.cfg.NonceKey, n, from.Remote.Addr(), now) {
			s.stats.Stale++
			return id, nil, "", staleNonce
		}
		if string(realm) != s.cfg.Realm {
			s.stats.BadUser++
			return id, nil, "", unauthorized
		}
	}
	if a != nil && string(username) == a.name {
		id, key, name = a.user.id, a.key, a.name // the same again: hold to the key
		if !m.CheckIntegrity(key) {
			s.stats.BadPassword++
			return id, nil, "", badIntegrity
		}
		if m.Type() == stun.AllocateRequest {
			if _, _, err := s.cfg.Secret.Check(name, s.cfg.Realm, stun.MSTURN, now); err != nil {
				s.stats.ExpiredUser++
				return id, nil, "", staleCredentials
			}
		}
	} else {
		name = string(username)
		var err error
		id, key, err = s.cfg.Secret.Check(name, s.cfg.Realm, stun.MSTURN, now)
		switch {
		case errors.Is(err, ErrUnknown):
			s.stats.BadUser++
			return id, nil, "", unknownUser
		case !m.CheckIntegrity(key):
			s.stats.BadPassword++
			return id, nil, "", badIntegrity
		case err != nil:
			s.stats.ExpiredUser++
			return id, nil, "", staleCredentials
		case a != nil:
			s.stats.Stolen++
			return id, key, name, wrongUser
		}
	}
	if a != nil && !a.sequence(m) {
		s.stats.Replayed++
		return id, key, name, badRequest
	}
	return id, key, name, nil
}

// lyncAllocate makes an allocation, or refreshes or ends the one there is.
func (s *Server) lyncAllocate(from Tuple, a *Allocation, m stun.Message, id UserID, name string, key []byte, now time.Time) *failure {
	want, hasLifetime := m.Uint32(stun.Lifetime)
	switch {
	case a != nil && a.made == m.ID(): // asked again, since the answer got lost
	case a != nil:
		life := lifetime(m)
		if hasLifetime && want == 0 {
			life = 0
			s.free(a)
		}
		a.expires = now.Add(life)
	case hasLifetime && want == 0:
		return mismatch
	default:
		var w Want
		if family, ok := m.Get(stun.RequestedAddressFamily); ok {
			if len(family) == 0 || family[0] != 1 && family[0] != 2 {
				return noFamily
			}
			version, _ := m.Uint32(stun.MSVersion)
			w.V6 = family[0] == 2 && version >= 4
		}
		var f *failure
		if a, _, f = s.open(from, m, id, name, key, w, now); f != nil {
			return f
		}
		a.lync = true
		copy(a.conn[:], nonceMAC(s.cfg.NonceKey, a.made[:], from.Remote.Addr()))
	}
	b := s.beginLync(m, stun.Success)
	b.AddUint32(stun.Lifetime, uint32(max(a.expires.Sub(now), 0)/time.Second))
	b.AddAddr(stun.MappedAddress, a.relay.Addr())
	b.AddXorAddr(stun.MSXorMappedAddress, from.Remote)
	b.AddUint32(stun.MSBandwidth, lyncBandwidth)
	b.AddUint32(stun.MSVersion, lyncVersion)
	var sequence [24]byte
	copy(sequence[:], a.conn[:])
	b.Add(stun.MSSequenceNumber, sequence[:])
	s.reply(from, b.Finish(key, false))
	return nil
}

// lyncSend relays what a client sends to a peer, and permits the peer to answer. Nothing is answered. A request to a peer
// that has permission is taken as an indication of RFC 8656 is, without looking who made it.
func (s *Server) lyncSend(from Tuple, a *Allocation, m stun.Message, now time.Time) {
	if a == nil {
		s.stats.NoAllocation++
		return
	}
	peer, ok := m.Addr(stun.MSDestinationAddress)
	data, has := m.Get(stun.Data)
	if !ok || !has || peer.Port() == 0 {
		s.stats.Malformed++
		return
	}
	if p, has := a.permissions[peer.Addr()]; has && now.Add(permissionLife/2).Before(p.until) {
		if !a.sequence(m) {
			s.stats.Replayed++
			return
		}
	} else {
		if _, _, _, f := s.authenticateLync(from, a, m, now); f != nil {
			return // counted there
		}
		if s.checkPeer(a, peer) != nil {
			s.stats.Forbidden++
			return
		}
		if _, has := a.permissions[peer.Addr()]; !has && len(a.permissions) >= maxPermissions {
			s.stats.NoPermission++
			return
		}
		s.permit(a, peer, now)
	}
	if !a.to(peer, now) {
		s.stats.NoPermission++
		return
	}
	a.send(peer, a.unframe(data), now)
}

// setActive makes a peer the one to which everything goes that is no message, and from which everything comes as it is.
func (s *Server) setActive(from Tuple, a *Allocation, m stun.Message, now time.Time) *failure {
	if a == nil {
		return mismatch
	}
	peer, ok := m.Addr(stun.MSDestinationAddress)
	if !ok || peer.Port() == 0 {
		return badRequest
	}
	if f := s.checkPeer(a, peer); f != nil {
		return f
	}
	if _, has := a.permissions[peer.Addr()]; !has && len(a.permissions) >= maxPermissions {
		return noCapacity
	}
	s.permit(a, peer, now)
	a.active = peer
	b := s.beginLync(m, stun.Success)
	s.reply(from, b.Finish(a.key, false))
	return nil
}

// raw relays what is no message to the active destination.
func (s *Server) raw(a *Allocation, b []byte, now time.Time) {
	if !a.active.IsValid() {
		s.stats.NoPermission++
		return
	}
	a.send(a.active, a.unframe(b), now)
}

// A client on a connection puts the length before each packet that is for a peer (RFC 4571), as if the peer were on a
// connection too. Peers are reached by UDP here, so it is taken off and put on.

func (a *Allocation) unframe(b []byte) []byte {
	if a.client.Conn != 0 && len(b) > 2 && int(binary.BigEndian.Uint16(b)) == len(b)-2 {
		return b[2:]
	}
	return b
}

// frame makes room for the length in front of buf[Headroom:], on a connection, and returns where the packet begins.
func (a *Allocation) frame(buf []byte, size int) int {
	if a.client.Conn == 0 {
		return Headroom
	}
	binary.BigEndian.PutUint16(buf[Headroom-2:], uint16(size))
	return Headroom - 2
}

func (s *Server) rawToClient(a *Allocation, buf []byte, n, size int) {
	s.toClient(a, buf[a.frame(buf, size):n], size, true)
}

// lyncData gives the client a packet and where it came from: a Data indication.
func (s *Server) lyncData(a *Allocation, from netip.AddrPort, data []byte) {
	b := stun.Start(s.out[:0], stun.MSDataIndication, [16]byte{}, stun.MSTURN)
	b.AddUint32(stun.MSMagicCookie, stun.MSMagic)
	b.AddAddr(stun.MSRemoteAddress, from)
	if a.client.Conn == 0 {
		b.Add(stun.Data, data)
	} else {
		b.AddFramed(stun.Data, data)
	}
	out := b.Finish(nil, false)
	s.out = out[:0]
	s.toClient(a, out, len(data), false)
}

// sequence checks the connection id and number that requests carry after the first, and notes the number. Clients of the
// first version carry none.
func (a *Allocation) sequence(m stun.Message) bool {
	v, ok := m.Get(stun.MSSequenceNumber)
	if !ok {
		return true
	}
	return len(v) == 24 && [20]byte(v) == a.conn && a.seen.take(binary.BigEndian.Uint32(v[20:]))
}

// replay remembers which of the last 64 numbers were seen.
type replay struct {
	highest uint32
	mask    uint64 // bit i: highest-i was seen
}

func (r *replay) take(n uint32) bool {
	switch {
	case n > r.highest:
		if d := n - r.highest; d < 64 {
			r.mask = r.mask<<d | 1
		} else {
			r.mask = 1
		}
		r.highest = n
		return true
	case r.highest-n >= 64:
		return false
	}
	bit := uint64(1) << (r.highest - n)
	if r.mask&bit != 0 {
		return false
	}
	r.mask |= bit
	return true
}
