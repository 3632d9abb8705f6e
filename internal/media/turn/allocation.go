package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"parley/internal/stun"
)

// Bounds on what one allocation keeps.
const (
	maxPermissions = 64
	maxChannels    = 64
	firstChannel   = 0x4000
	lastChannel    = 0x7FFE // of RFC 5766 11.2, to which turnutils_uclient keeps; RFC 8656 ends at 0x4FFF
)

// Allocation is a relay address and who may send to it.
type Allocation struct {
	server  *Server
	client  Tuple
	relay   Relay
	user    *user
	expires time.Time
	made    [16]byte // transaction that made it
	name    string   // user name it was made with
	key     []byte

	permissions map[netip.Addr]permission
	channels    map[netip.AddrPort]*channel
	byNumber    [maxChannels]*channel // those below firstChannel+maxChannels, which clients take first
	others      map[uint16]*channel

	last   *channel // the channel that was sent to the client last
	second int64    // for the rate
	bytes  [2]int64 // in that second, each way

	// [MS-TURN]
	lync   bool
	active netip.AddrPort // all that is no message goes there
	conn   [20]byte       // connection id
	seen   replay
}

// permission lets a peer send, and the client send to it.
type permission struct {
	until   time.Time
	onePort bool // each port is a question of its own
}

// channel is a number that stands for a peer (RFC 8656 12).
type channel struct {
	number  uint16
	peer    netip.AddrPort
	expires time.Time
}

// Relay is the allocation's relay address.
func (a *Allocation) Relay() Relay { return a.relay }

func (s *Server) permit(a *Allocation, peer netip.AddrPort, now time.Time) {
	a.permissions[peer.Addr()] = permission{now.Add(permissionLife), s.cfg.Allowed(peer) == OnePort}
}

// from reports whether a peer may send to the client.
func (a *Allocation) from(peer netip.Addr, now time.Time) bool {
	p, ok := a.permissions[peer]
	return ok && now.Before(p.until)
}

// to reports whether the client may send to a peer.
func (a *Allocation) to(peer netip.AddrPort, now time.Time) bool {
	p, ok := a.permissions[peer.Addr()]
	return ok && now.Before(p.until) && (!p.onePort || a.server.cfg.Allowed(peer) != Refuse)
}

// tick forgets what has expired.
func (a *Allocation) tick(now time.Time) {
	for p, x := range a.permissions {
		if !now.Before(x.until) && p != a.active.Addr() {
			delete(a.permissions, p)
		}
	}
	for _, c := range a.channels {
		if !now.Before(c.expires) {
			a.unbind(c)
		}
	}
}

func (a *Allocation) unbind(c *channel) {
	delete(a.channels, c.peer)
	if i := int(c.number) - firstChannel; i < maxChannels {
		a.byNumber[i] = nil
	} else {
		delete(a.others, c.number)
	}
	if a.last == c {
		a.last = nil
	}
}

func (a *Allocation) bind(c *channel) {
	a.channels[c.peer] = c
	if i := int(c.number) - firstChannel; i < maxChannels {
		a.byNumber[i] = c
		return
	}
	if a.others == nil {
		a.others = make(map[uint16]*channel)
	}
	a.others[c.number] = c
}

func (a *Allocation) channel(number uint16) *channel {
	if i := int(number) - firstChannel; i >= 0 && i < maxChannels {
		return a.byNumber[i]
	}
	return a.others[number]
}

// spend counts octets against the rates of allocation and user.
func (a *Allocation) spend(way, n int, now time.Time) bool {
	if rate := a.server.cfg.PortRate; rate != 0 {
		if sec := now.Unix(); a.second != sec {
			a.second, a.bytes = sec, [2]int64{}
		}
		if a.bytes[way] += int64(n); a.bytes[way] > rate {
			a.server.stats.OverRate++
			return false
		}
	}
	if !a.user.spend(way, n, now) {
		a.server.stats.OverRate++
		return false
	}
	return true
}

// send relays to a peer that has permission.
func (a *Allocation) send(peer netip.AddrPort, data []byte, now time.Time) {
	if a.spend(toPeer, len(data), now) {
		st := &a.server.stats
		st.ToPeers++
		st.ToPeersBytes += uint64(len(data))
		a.relay.Send(peer, data)
	}
}

// channelData relays ChannelData (RFC 8656 12.6).
func (s *Server) channelData(a *Allocation, b []byte, now time.Time) {
	if a == nil {
		s.stats.NoAllocation++
		return
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		s.stats.Malformed++
		return
	}
	c := a.channel(binary.BigEndian.Uint16(b))
	if c == nil || !now.Before(c.expires) || !a.from(c.peer.Addr(), now) {
		s.stats.NoPermission++
		return
	}
	a.send(c.peer, b[4:4+n], now)
}

// sendIndication relays a Send indication (RFC 8656 11.1). What is wrong with one is not answered.
func (s *Server) sendIndication(a *Allocation, m stun.Message, now time.Time) {
	if a == nil {
		s.stats.NoAllocation++
		return
	}
	peer, ok := m.XorAddr(stun.XorPeerAddress)
	data, has := m.Get(stun.Data)
	if !ok || !has || peer.Port() == 0 {
		s.stats.Malformed++
		return
	}
	if _, df := m.Get(stun.DontFragment); df {
		s.stats.Malformed++ // not known here
		return
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if !a.to(peer, now) {
		s.stats.NoPermission++
		return
	}
	a.send(peer, data, now)
}

// Peer takes a datagram that came to the relay address of an allocation: buf[Headroom:n], and buf is longer by Tailroom.
// What is around the datagram is overwritten.
func (s *Server) Peer(a *Allocation, from netip.AddrPort, buf []byte, n int, now time.Time) {
	size := n - Headroom
	if !a.lync {
		if c := a.channelOf(from); c != nil && now.Before(c.expires) {
			if !a.from(from.Addr(), now) {
				s.stats.NoPermission++
			} else if a.spend(toClient, size, now) {
				head := buf[Headroom-4:]
				binary.BigEndian.PutUint16(head, c.number)
				binary.BigEndian.PutUint16(head[2:], uint16(size))
				s.toClient(a, buf[Headroom-4:n], size, false)
			}
			return
		}
	}
	if a.lync && from == a.active {
		if a.spend(toClient, size, now) {
			s.rawToClient(a, buf, n, size)
		}
		return
	}
	if !a.from(from.Addr(), now) {
		s.stats.NoPermission++
		return
	}
	if !a.spend(toClient, size, now) {
		return
	}
	if a.lync {
		s.lyncData(a, from, buf[Headroom:n])
		return
	}
	// A Data indication is written around the datagram (RFC 8656 11.3): header, XOR-PEER-ADDRESS, DATA.
	addrLen := 4
	if from.Addr().Is6() {
		addrLen = 16
	}
	start := Headroom - (20 + 8 + addrLen + 4)
	b := stun.Start(buf[start:start:Headroom], stun.DataIndication, dataID, stun.RFC)
	b.AddXorAddr(stun.XorPeerAddress, from)
	binary.BigEndian.PutUint16(buf[Headroom-4:], uint16(stun.Data))
	binary.BigEndian.PutUint16(buf[Headroom-2:], uint16(size))
	for ; n%4 != 0; n++ { // Headroom is a multiple of four
		buf[n] = 0
	}
	binary.BigEndian.PutUint16(buf[start+2:], uint16(n-start-20))
	s.toClient(a, buf[start:n], size, false)
}

// dataID is the transaction of indications, which nobody answers.
var dataID = stun.NewID([16]byte{}, stun.RFC)

func (a *Allocation) channelOf(peer netip.AddrPort) *channel {
	if a.last != nil && a.last.peer == peer {
		return a.last
	}
	c := a.channels[peer]
	if c != nil {
		a.last = c
	}
	return c
}

func (s *Server) toClient(a *Allocation, b []byte, size int, raw bool) {
	s.stats.ToClients++
	s.stats.ToClientsBytes += uint64(size)
	s.cfg.Net.Reply(a.client, b, raw)
}
