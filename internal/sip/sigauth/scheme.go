package sigauth

import (
	"errors"
	"strconv"
)

// Scheme is a way to make a security association.
type Scheme uint8

// The schemes.
const (
	NoScheme Scheme = iota
	NTLM
	Kerberos
	TLSDSK
)

var schemeNames = [...]string{"", "NTLM", "Kerberos", "TLS-DSK"}

// String returns the word of the header fields, which is also the first field of what is signed.
func (s Scheme) String() string {
	if int(s) >= len(schemeNames) {
		return ""
	}
	return schemeNames[s]
}

// SchemeOf finds the scheme of the value of an Authorization field by its first word, NoScheme when it is
// another, such as Digest.
func SchemeOf(v []byte) Scheme {
	word, _ := cutWord(v)
	for s := NTLM; s <= TLSDSK; s++ {
		if equalFold(word, schemeNames[s]) {
			return s
		}
	}
	return NoScheme
}

// Errors of parsing.
var (
	ErrScheme = errors.New("sigauth: another authentication scheme")
	ErrSyntax = errors.New("sigauth: malformed parameters")
)

// Parameters is what a header field of these schemes says: Authorization and Proxy-Authorization, and on the
// other side WWW-Authenticate, Authentication-Info and their proxy forms. Its parts are slices of the field's
// value; they are never escaped. Nil means that a parameter is missing.
type Parameters struct {
	Scheme     Scheme
	QOP        []byte
	Realm      []byte
	TargetName []byte
	Opaque     []byte
	Data       []byte // gssapi-data in base64; empty and not nil asks to begin
	STSURI     []byte
	Rand       []byte // crand or srand
	Num        []byte // cnum or snum
	Signature  []byte // response or rspauth, in hex
	Version    int    // 2 when it is missing: clients print it only when it is higher
}

// Parse reads the value of a header field. ErrScheme means that it belongs to another scheme. Parameters are
// separated by commas or blanks, their names compared without case; unknown ones are passed over and doubled
// ones refused.
func Parse(v []byte, p *Parameters) error {
	*p = Parameters{Scheme: SchemeOf(v), Version: 2}
	if p.Scheme == NoScheme {
		return ErrScheme
	}
	_, v = cutWord(v)
	var version []byte
	for {
		for len(v) > 0 && (space(v[0]) || v[0] == ',') {
			v = v[1:]
		}
		if len(v) == 0 {
			break
		}
		i := 0
		for i < len(v) && v[i] != '=' && v[i] != ',' && v[i] != '"' && !space(v[i]) {
			i++
		}
		if i == 0 || i == len(v) || v[i] != '=' {
			return ErrSyntax
		}
		name := v[:i]
		value := v[i+1:]
		if len(value) > 0 && value[0] == '"' {
			value = value[1:]
			i = 0
			for i < len(value) && value[i] != '"' {
				if value[i] == '\r' || value[i] == '\n' {
					return ErrSyntax
				}
				i++
			}
			if i == len(value) {
				return ErrSyntax
			}
			v, value = value[i+1:], value[:i:i]
		} else {
			i = 0
			for i < len(value) && value[i] != ',' && value[i] != '"' && !space(value[i]) {
				i++
			}
			v, value = value[i:], value[:i:i]
		}
		if to := p.slot(name, &version); to != nil {
			if *to != nil {
				return ErrSyntax
			}
			*to = value
		}
	}
	if version != nil {
		n, err := strconv.Atoi(string(version))
		if err != nil || n < 2 || n > 99 {
			return ErrSyntax
		}
		p.Version = n
	}
	return nil
}

func (p *Parameters) slot(name []byte, version *[]byte) *[]byte {
	for _, s := range [...]struct {
		name string
		to   *[]byte
	}{
		{"qop", &p.QOP}, {"realm", &p.Realm}, {"targetname", &p.TargetName}, {"opaque", &p.Opaque},
		{"crand", &p.Rand}, {"cnum", &p.Num}, {"response", &p.Signature},
		{"gssapi-data", &p.Data}, {"version", version},
		{"srand", &p.Rand}, {"snum", &p.Num}, {"rspauth", &p.Signature}, {"sts-uri", &p.STSURI},
	} {
		if equalFold(name, s.name) {
			return s.to
		}
	}
	return nil
}

// AppendChallenge appends the value of a WWW-Authenticate or Proxy-Authenticate field: scheme, realm, targetname
// and version, and what else is there of opaque, gssapi-data and sts-uri. Clients find the parts by their exact
// spelling and read the version without quotes.
func (p *Parameters) AppendChallenge(dst []byte) []byte {
	dst = append(dst, p.Scheme.String()...)
	if p.Opaque != nil {
		dst = append(appendQuoted(dst, ` opaque="`, p.Opaque), ',')
	}
	if p.Data != nil {
		dst = append(appendQuoted(dst, ` gssapi-data="`, p.Data), ',')
	}
	dst = appendQuoted(dst, ` realm="`, p.Realm)
	dst = appendQuoted(dst, `, targetname="`, p.TargetName)
	dst = append(dst, ", version="...)
	dst = strconv.AppendInt(dst, int64(p.Version), 10)
	if p.STSURI != nil {
		dst = appendQuoted(dst, `, sts-uri="`, p.STSURI)
	}
	return dst
}

// AppendInfo appends the value of an Authentication-Info or Proxy-Authentication-Info field.
func (p *Parameters) AppendInfo(dst []byte) []byte {
	dst = append(dst, p.Scheme.String()...)
	dst = append(dst, ` qop="auth"`...)
	dst = appendQuoted(dst, `, opaque="`, p.Opaque)
	dst = appendQuoted(dst, `, srand="`, p.Rand)
	dst = appendQuoted(dst, `, snum="`, p.Num)
	dst = appendQuoted(dst, `, rspauth="`, p.Signature)
	dst = appendQuoted(dst, `, targetname="`, p.TargetName)
	dst = appendQuoted(dst, `, realm="`, p.Realm)
	dst = append(dst, ", version="...)
	return strconv.AppendInt(dst, int64(p.Version), 10)
}

// AppendAuthorization appends the value of an Authorization field, the parts in the order of the client that
// is here imitated. It serves tests and probes.
func (p *Parameters) AppendAuthorization(dst []byte) []byte {
	dst = append(dst, p.Scheme.String()...)
	dst = append(dst, ` qop="auth"`...)
	if p.Opaque != nil {
		dst = appendQuoted(dst, `, opaque="`, p.Opaque)
	}
	dst = appendQuoted(dst, `, realm="`, p.Realm)
	dst = appendQuoted(dst, `, targetname="`, p.TargetName)
	if p.Data != nil {
		dst = appendQuoted(dst, `, gssapi-data="`, p.Data)
	}
	if p.Version > 2 {
		dst = strconv.AppendInt(append(dst, ", version="...), int64(p.Version), 10)
	}
	if p.Signature != nil {
		dst = appendQuoted(dst, `, crand="`, p.Rand)
		dst = appendQuoted(dst, `, cnum="`, p.Num)
		dst = appendQuoted(dst, `, response="`, p.Signature)
	}
	return dst
}

func appendQuoted(dst []byte, start string, v []byte) []byte {
	return append(append(append(dst, start...), v...), '"')
}

// cutWord splits the first word off.
func cutWord(v []byte) (word, rest []byte) {
	for len(v) > 0 && space(v[0]) {
		v = v[1:]
	}
	i := 0
	for i < len(v) && !space(v[i]) {
		i++
	}
	return v[:i], v[i:]
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// equalFold compares without case; both are ASCII.
func equalFold(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
