package gate

import (
	"bytes"
	"fmt"
	"net/netip"

	"parley/internal/sip/digest"
)

// Challenge says when a client is asked for credentials.
type Challenge string

// The policies. Either way a datagram must carry credentials, since its source
// may be forged, and so must every REGISTER, and every request that came
// through another proxy before us.
const (
	// OncePerFlow believes a user on a connection on which he has shown his
	// credentials: nobody else can send there. It saves the second round of
	// every call and message and is the default.
	OncePerFlow Challenge = "once-per-flow"
	// Every asks for each request.
	Every Challenge = "every"
)

// Settings are what an administrator decides. The zero value takes defaults.
type Settings struct {
	Challenge  Challenge // default OncePerFlow
	Algorithms []string  // offered, the preferred first; default SHA-256, MD5
	// Failures is how many wrong passwords one address may try for one user
	// name before it has to wait; one more every 10 seconds. Default 10. Ten
	// times as many are allowed for all names of an address together.
	Failures int
	// Unknown is how many requests without valid credentials an address may
	// have answered in a second, with a burst of ten times as many. Default 1000.
	Unknown int
	// Exempt says which addresses are not limited; nil exempts loopback.
	Exempt func(netip.Addr) bool
}

// settings is Settings made ready for use.
type settings struct {
	once       bool
	algorithms []digest.Algorithm
	failures   *throttle // by address and user name
	guesses    *throttle // by address
	unknown    *throttle // by address
	exempt     func(netip.Addr) bool
}

// Reload takes new settings. Counts against addresses begin anew.
func (g *Gate) Reload(s Settings) error {
	n := &settings{exempt: s.Exempt}
	if n.exempt == nil {
		n.exempt = func(a netip.Addr) bool { return a.IsLoopback() }
	}
	switch s.Challenge {
	case "", OncePerFlow:
		n.once = true
	case Every:
	default:
		return fmt.Errorf("gate: challenge %q: want %q or %q", s.Challenge, OncePerFlow, Every)
	}
	names := s.Algorithms
	if len(names) == 0 {
		names = []string{"SHA-256", "MD5"}
	}
	for _, name := range names {
		switch name {
		case "MD5":
			n.algorithms = append(n.algorithms, digest.MD5)
		case "SHA-256":
			n.algorithms = append(n.algorithms, digest.SHA256)
		default:
			return fmt.Errorf("gate: algorithm %q: want SHA-256 or MD5", name)
		}
	}
	or := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	or(&s.Failures, 10)
	or(&s.Unknown, 1000)
	n.failures = newThrottle(0.1, s.Failures)
	n.guesses = newThrottle(1, 10*s.Failures)
	n.unknown = newThrottle(float64(s.Unknown), 10*s.Unknown)
	g.settings.Store(n)
	return nil
}

func (s *settings) offers(a digest.Algorithm) bool {
	for _, have := range s.algorithms {
		if have == a {
			return true
		}
	}
	return false
}

// onlyMD5 begins the User-Agent of phones that give up on a 401 when any
// challenge in it names another algorithm, in whatever order they come
// (RFC 8760 section 2.4 wants it skipped): the SIP library of baresip before
// version 2, and JsSIP, which is in browsers.
var onlyMD5 = []string{"baresip v0.", "baresip v1.", "JsSIP "}

// offered is what this phone is asked for.
func (s *settings) offered(userAgent []byte) []digest.Algorithm {
	for _, prefix := range onlyMD5 {
		if bytes.HasPrefix(userAgent, []byte(prefix)) && s.offers(digest.MD5) {
			return []digest.Algorithm{digest.MD5}
		}
	}
	return s.algorithms
}
