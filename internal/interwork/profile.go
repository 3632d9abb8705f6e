package interwork

import (
	"strings"

	"parley/internal/sdp"
)

// Profile says which descriptions an end can use.
type Profile uint8

// Profiles.
const (
	Unknown Profile = iota
	Browser         // WebRTC: DTLS, ICE, RTCP on the port of RTP, feedback
	Phone           // plain RTP, with SRTP by SDES as an option it may not know (RTP/AVP with a=crypto)
	Secure          // SRTP by SDES and nothing else (RTP/SAVP)
	Lync            // ICE of [MS-ICE2], SRTP by SDES
)

// String names the profile for people.
func (p Profile) String() string {
	return [...]string{"unknown", "WebRTC", "phone", "phone with SRTP", "Lync"}[min(p, Lync)]
}

// proto is the protocol of a description for an end.
func (p Profile) proto() string {
	switch p {
	case Browser:
		return "UDP/TLS/RTP/SAVPF"
	case Secure:
		return "RTP/SAVP"
	}
	return "RTP/AVP"
}

// class is what kind of offer one is, so that it can be remembered who refuses it.
type class uint8

const (
	plain    class = 1 << iota // RTP/AVP
	optional                   // RTP/AVP with a=crypto
	secure                     // RTP/SAVP
	dtls                       // a=fingerprint
	ice                        // with ICE of Lync clients
)

// live reports whether a medium of a description is RTP and in use.
func live(m *sdp.Media) bool {
	l := m.MLine()
	return sdp.RTP(l.Proto) && (l.Port != 0 || m.Has("bundle-only"))
}

// classOf is the class of a description, by its first medium that is in use; 0 without any. isLync says what its
// sender is known for otherwise.
func classOf(d *sdp.Description, isLync bool) class {
	for _, m := range d.Media {
		if !live(m) {
			continue
		}
		_, withICE := d.ICE(m)
		switch proto := m.MLine().Proto; {
		case strings.HasPrefix(proto, "UDP/TLS/"), sdp.Secure(proto) && len(d.Fingerprints(m)) > 0 && len(m.Cryptos()) == 0:
			return dtls
		case isLync && withICE:
			return ice
		case sdp.Secure(proto):
			return secure
		case len(m.Cryptos()) > 0:
			return optional
		}
		return plain
	}
	return 0
}

// profileOf is the profile of an end that sends offers of a class.
func (c class) profile() Profile {
	switch c {
	case dtls:
		return Browser
	case ice:
		return Lync
	case secure:
		return Secure
	case plain, optional:
		return Phone
	}
	return Unknown
}

// share reports whether an end of a profile can be expected to use an offer of a class. What is not known is tried.
func (c class) share(p Profile) bool {
	switch p {
	case Browser:
		return c == dtls
	case Lync:
		return c == ice
	case Phone:
		return c != dtls && c != ice
	case Secure:
		return c == secure
	}
	return true
}
