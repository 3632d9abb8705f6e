package phone

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// credentials answers the first challenge in m that it understands (RFC 7616, RFC 8760: MD5 and SHA-256,
// qop auth) with a header for the repeated request.
func credentials(m *Message, method, uri, user, password string) (Header, error) {
	name, reply := "WWW-Authenticate", "Authorization"
	if m.Code() == 407 {
		name, reply = "Proxy-Authenticate", "Proxy-Authorization"
	}
	for _, v := range m.All(name) {
		scheme, rest, _ := strings.Cut(v, " ")
		if !strings.EqualFold(scheme, "Digest") {
			continue
		}
		p := params(rest)
		var sum hash.Hash
		switch strings.ToUpper(p["algorithm"]) {
		case "", "MD5":
			sum = md5.New()
		case "SHA-256":
			sum = sha256.New()
		default:
			continue
		}
		h := func(parts ...string) string {
			sum.Reset()
			sum.Write([]byte(strings.Join(parts, ":")))
			return hex.EncodeToString(sum.Sum(nil))
		}
		ha1, ha2 := h(user, p["realm"], password), h(method, uri)
		var b strings.Builder
		fmt.Fprintf(&b, `Digest username="%s", realm="%s", nonce="%s", uri="%s"`, user, p["realm"], p["nonce"], uri)
		if p["qop"] != "" {
			const nc, cnonce = "00000001", "7a6f6e65"
			fmt.Fprintf(&b, `, qop=auth, nc=%s, cnonce="%s", response="%s"`, nc, cnonce, h(ha1, p["nonce"], nc, cnonce, "auth", ha2))
		} else {
			fmt.Fprintf(&b, `, response="%s"`, h(ha1, p["nonce"], ha2))
		}
		if p["algorithm"] != "" {
			fmt.Fprintf(&b, `, algorithm=%s`, p["algorithm"])
		}
		if p["opaque"] != "" {
			fmt.Fprintf(&b, `, opaque="%s"`, p["opaque"])
		}
		return Header{reply, b.String()}, nil
	}
	return Header{}, fmt.Errorf("no challenge that this phone can answer: %q", m.All(name))
}

// params splits `a="b", c=d` into a map with lower-case names.
func params(s string) map[string]string {
	out := map[string]string{}
	for s != "" {
		var name, value string
		name, s, _ = strings.Cut(s, "=")
		if strings.HasPrefix(s, `"`) {
			value, s, _ = strings.Cut(s[1:], `"`)
			_, s, _ = strings.Cut(s, ",")
		} else {
			value, s, _ = strings.Cut(s, ",")
		}
		out[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return out
}
