package transport

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/sdp"
)

// Local is what a description has to say of a transport.
type Local struct {
	Addr        netip.Addr // where RTP and RTCP come to: Config.Advertise
	RTP         uint16
	RTCP        uint16 // that of RTP when both share it
	Mux         bool   // a=rtcp-mux
	MuxOnly     bool   // there is no other port (RFC 8858)
	Keying      sdp.Keying
	Crypto      []sdp.Crypto    // of SDES: what is offered, or the one that was agreed upon
	Fingerprint sdp.Fingerprint // of DTLS
	Setup       string          // of DTLS, in an answer: "active" or "passive"; an offer says "actpass"
	ICE         *sdp.ICE        // nil without ICE
	Candidates  []sdp.Candidate
	Selected    [2]netip.AddrPort // what ICE chose of the peer's addresses, for RTP and RTCP
}

// Remote is what a description of the peer said.
type Remote struct {
	Answer bool           // to a description of ours
	RTP    netip.AddrPort // the zero one, or an unspecified address (RFC 2543 hold), when nothing is to be sent
	RTCP   netip.AddrPort
	Mux    bool // RTCP comes to the port of RTP
	// Source is the address that the description came from, when it may be that of a translator that media passes as
	// well: with no ICE, media is also taken from there. Only a signalling source that was authenticated may be named.
	Source       netip.Addr
	Keying       sdp.Keying
	Crypto       []sdp.Crypto
	Fingerprints []sdp.Fingerprint
	Setup        string
	ICE          *sdp.ICE // nil without ICE
	Candidates   []sdp.Candidate
}

func (r *Remote) address(component int) netip.AddrPort {
	switch {
	case component == rtp:
		return r.RTP
	case r.Mux:
		return netip.AddrPort{}
	}
	return r.RTCP
}

// Local returns what the transport has to say now. After SetRemote it is what was agreed upon.
func (t *Transport) Local() Local {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := Local{Addr: t.config.Advertise, RTP: t.pair.Port, RTCP: t.pair.Port + 1, MuxOnly: t.config.Mux, Keying: t.keying}
	if t.remote != nil {
		l.Mux = t.remote.Mux
	} else { // phones that know neither ICE nor DTLS are not asked
		l.Mux = t.config.Mux || t.config.Dialect == RFC && (t.config.ICE != None || t.keying == sdp.DTLS)
	}
	if t.config.Mux || t.remote != nil && t.remote.Mux {
		l.RTCP = l.RTP
	}
	switch t.keying {
	case sdp.SDES:
		l.Crypto = slices.Clone(t.sdes.local)
	case sdp.DTLS:
		l.Fingerprint, l.Setup = fingerprint(t.certificate), t.dtls.setup
	}
	if t.withICE() {
		i := t.agent.Local()
		l.ICE, l.Candidates = &i, t.agent.Candidates()
		for k := range t.comps {
			l.Selected[k] = t.agent.Selected(k)
		}
	}
	return l
}

// RemoteOf reads what a medium says to the transport of the other side. Of what it offers to protect the packets with,
// want is taken; when that is not there, the first that is. Answer and Source are the caller's to set.
func RemoteOf(d *sdp.Description, m *sdp.Media, want sdp.Keying) (Remote, error) {
	var r Remote
	keyings := d.Keyings(m)
	for i, k := range keyings {
		if i == 0 || k == want {
			r.Keying = k
		}
	}
	r.Mux = m.RTCPMux()
	if i, ok := d.ICE(m); ok {
		r.ICE, r.Candidates = &i, m.Candidates()
	}
	c, ok := d.Connection(m)
	if !ok {
		return r, fmt.Errorf("media transport: no address for %s", m.MLine().Kind)
	}
	addr, ok := c.Addr()
	if !ok && r.ICE == nil {
		return r, fmt.Errorf("media transport: the address %.64q is a name", c.Address)
	}
	r.RTP = netip.AddrPortFrom(addr, m.MLine().Port)
	port, other := m.RTCP()
	r.RTCP = netip.AddrPortFrom(addr, port)
	if a, err := netip.ParseAddr(other); err == nil && other != "" {
		r.RTCP = netip.AddrPortFrom(a, port)
	}
	switch r.Keying {
	case sdp.SDES:
		r.Crypto = m.Cryptos()
	case sdp.DTLS:
		r.Fingerprints, r.Setup = d.Fingerprints(m), d.Setup(m)
	}
	return r, nil
}

// described are the attributes that Describe writes.
var described = []string{"rtcp", "rtcp-mux", "rtcp-mux-only", "ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "candidate",
	"remote-candidates", "end-of-candidates", "crypto", "cryptoscale", "fingerprint", "setup", "tls-id", "ice-mismatch"}

// Describe writes into a medium what the transport has to say: port, c= line and attributes, in the place of any that
// are there. What of it stood in the session (c=, fingerprint, setup, ice-ufrag ...) is overruled by the medium's, but
// a=ice-lite, which is the session's alone: see SetLite. In an answer, a=rtcp-mux is said only when the offer did.
func (l Local) Describe(m *sdp.Media, offer bool) {
	m.SetPort(l.RTP)
	m.SetConnection(sdp.ConnectionTo(l.Addr))
	m.Remove(described...)
	if l.RTCP != l.RTP+1 || l.ICE != nil {
		m.Add(sdp.Attribute("rtcp", fmt.Sprintf("%d %v", l.RTCP, sdp.ConnectionTo(l.Addr))))
	}
	if l.Mux {
		m.Add(sdp.Attribute("rtcp-mux", ""))
	}
	if l.MuxOnly && offer {
		m.Add(sdp.Attribute("rtcp-mux-only", ""))
	}
	if l.ICE != nil {
		m.Add(sdp.Attribute("ice-ufrag", l.ICE.Ufrag), sdp.Attribute("ice-pwd", l.ICE.Pwd))
		if len(l.ICE.Options) > 0 {
			m.Add(sdp.Attribute("ice-options", strings.Join(l.ICE.Options, " ")))
		}
		for _, c := range l.Candidates {
			m.Add(sdp.Attribute("candidate", c.String()))
		}
	}
	switch l.Keying {
	case sdp.SDES:
		for _, c := range l.Crypto {
			m.Add(sdp.Attribute("crypto", c.Value()))
		}
	case sdp.DTLS:
		setup := l.Setup
		if offer {
			setup = "actpass"
		}
		m.Add(sdp.Attribute("fingerprint", l.Fingerprint.String()), sdp.Attribute("setup", setup))
	}
}

// SetLite says in the session whether its agent is lite (RFC 8839 5.3).
func SetLite(d *sdp.Description, lite bool) {
	d.Session.Remove("ice-lite")
	if lite {
		d.Session.Add(sdp.Attribute("ice-lite", ""))
	}
}
