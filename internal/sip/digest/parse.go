package digest

import "errors"

// Errors of parsing.
var (
	ErrScheme = errors.New("digest: another authentication scheme")
	ErrSyntax = errors.New("digest: malformed parameters")
)

// QOP is the quality of protection.
type QOP uint8

// The qualities of protection. NoQOP is the form of RFC 2069, without client nonce and count.
const (
	NoQOP QOP = iota
	Auth
	AuthInt
	OtherQOP
)

// String returns the token of the grammar.
func (q QOP) String() string {
	switch q {
	case Auth:
		return "auth"
	case AuthInt:
		return "auth-int"
	}
	return ""
}

func qopOf(v []byte) QOP {
	switch {
	case v == nil:
		return NoQOP
	case equalFold(v, "auth"):
		return Auth
	case equalFold(v, "auth-int"):
		return AuthInt
	}
	return OtherQOP
}

// Credentials is what an Authorization or Proxy-Authorization field says. Its parts are slices of the field's
// value, without quotes but with the escapes within them, which is how the hashes take them.
type Credentials struct {
	Username  []byte
	Realm     []byte
	Nonce     []byte
	URI       []byte
	Response  []byte
	CNonce    []byte
	Opaque    []byte
	NCText    []byte // as written
	NC        uint32
	QOP       QOP
	Algorithm Algorithm
	UserHash  bool // Username is a hash (RFC 7616 section 3.4.4)
}

// ParseCredentials reads the value of an Authorization or Proxy-Authorization field into c. ErrScheme means
// that it is not digest; ErrSyntax that parameters are malformed, missing or doubled. An algorithm that is not
// known is not an error here; it shows as Unsupported.
func ParseCredentials(v []byte, c *Credentials) error {
	*c = Credentials{}
	rest, err := cutScheme(v)
	if err != nil {
		return err
	}
	var algorithm, qop []byte
	s := scanner{b: rest}
	for s.next() {
		var to *[]byte
		switch n := s.name; len(n) {
		case 2:
			to = pick(n, "nc", &c.NCText)
		case 3:
			if equalFold(n, "uri") {
				to = &c.URI
			} else {
				to = pick(n, "qop", &qop)
			}
		case 5:
			if equalFold(n, "realm") {
				to = &c.Realm
			} else {
				to = pick(n, "nonce", &c.Nonce)
			}
		case 6:
			if equalFold(n, "cnonce") {
				to = &c.CNonce
			} else {
				to = pick(n, "opaque", &c.Opaque)
			}
		case 8:
			switch {
			case equalFold(n, "username"):
				to = &c.Username
			case equalFold(n, "userhash"):
				c.UserHash = equalFold(s.value, "true")
			default:
				to = pick(n, "response", &c.Response)
			}
		case 9:
			to = pick(n, "algorithm", &algorithm)
		}
		if to == nil {
			continue // auth-param of an extension
		}
		if *to != nil {
			return ErrSyntax
		}
		*to = s.value
	}
	if s.bad || c.Username == nil || c.Realm == nil || c.Nonce == nil || c.URI == nil || c.Response == nil {
		return ErrSyntax
	}
	c.Algorithm, c.QOP = algorithmOf(algorithm), qopOf(qop)
	if c.QOP == Auth || c.QOP == AuthInt {
		if c.CNonce == nil || !parseNC(c.NCText, &c.NC) {
			return ErrSyntax
		}
	}
	return nil
}

// Challenge is what a WWW-Authenticate or Proxy-Authenticate field says.
type Challenge struct {
	Realm     []byte
	Nonce     []byte
	Opaque    []byte
	Domain    []byte
	Algorithm Algorithm
	Auth      bool // qop offers auth
	AuthInt   bool // qop offers auth-int
	Stale     bool
}

// ParseChallenge reads the value of a WWW-Authenticate or Proxy-Authenticate field into c, with errors as
// ParseCredentials.
func ParseChallenge(v []byte, c *Challenge) error {
	*c = Challenge{}
	rest, err := cutScheme(v)
	if err != nil {
		return err
	}
	var algorithm []byte
	s := scanner{b: rest}
	for s.next() {
		switch n := s.name; {
		case equalFold(n, "realm"):
			c.Realm = s.value
		case equalFold(n, "nonce"):
			c.Nonce = s.value
		case equalFold(n, "opaque"):
			c.Opaque = s.value
		case equalFold(n, "domain"):
			c.Domain = s.value
		case equalFold(n, "algorithm"):
			algorithm = s.value
		case equalFold(n, "stale"):
			c.Stale = equalFold(s.value, "true")
		case equalFold(n, "qop"):
			for list := s.value; len(list) > 0; {
				var item []byte
				item, list = cutComma(list)
				c.Auth = c.Auth || equalFold(item, "auth")
				c.AuthInt = c.AuthInt || equalFold(item, "auth-int")
			}
		}
	}
	if s.bad || c.Realm == nil || c.Nonce == nil {
		return ErrSyntax
	}
	c.Algorithm = algorithmOf(algorithm)
	return nil
}
