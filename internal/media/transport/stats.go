package transport

import "sync/atomic"

// Stats counts what a transport did. Octets are those of plain packets, headers of RTP included.
type Stats struct {
	State   State
	Keys    string // "none", or the name of the SRTP profile in use: "AES_CM_128_HMAC_SHA1_80"
	RTPIn   Count
	RTPOut  Count
	RTCPIn  Count
	RTCPOut Count

	UnknownSource uint64 // from addresses that may not send
	AuthFailed    uint64 // SRTP with a wrong key
	Replayed      uint64 // SRTP that was received before, or is too old to tell
	Malformed     uint64 // no RTP, RTCP, STUN or DTLS, or too large
	Checks        uint64 // STUN messages received
	Handshake     uint64 // DTLS records received
	Unkeyed       uint64 // media that came before its key or before Handle
	NotReady      uint64 // written before there was an address and a key
	SendFailed    uint64 // the system did not take it
}

// Count is packets and octets.
type Count struct{ Packets, Octets uint64 }

type count struct{ packets, octets atomic.Uint64 }

func (c *count) add(octets int) {
	c.packets.Add(1)
	c.octets.Add(uint64(octets))
}

func (c *count) load() Count { return Count{c.packets.Load(), c.octets.Load()} }

// counters are Stats while they grow.
type counters struct {
	in, out                                        [2]count // RTP, RTCP
	unknown, auth, replay, malformed, checks, dtls atomic.Uint64
	unkeyed, notReady, sendFailed                  atomic.Uint64
}

// Stats returns the counters of now.
func (t *Transport) Stats() Stats {
	n := &t.counters
	t.mu.Lock()
	s := Stats{State: t.state}
	t.mu.Unlock()
	s.Keys, _ = t.comps[rtp].keyed()
	s.RTPIn, s.RTCPIn, s.RTPOut, s.RTCPOut = n.in[rtp].load(), n.in[rtcp].load(), n.out[rtp].load(), n.out[rtcp].load()
	s.UnknownSource, s.AuthFailed, s.Replayed, s.Malformed = n.unknown.Load(), n.auth.Load(), n.replay.Load(), n.malformed.Load()
	s.Checks, s.Handshake, s.Unkeyed = n.checks.Load(), n.dtls.Load(), n.unkeyed.Load()
	s.NotReady, s.SendFailed = n.notReady.Load(), n.sendFailed.Load()
	return s
}
