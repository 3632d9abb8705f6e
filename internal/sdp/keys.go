package sdp

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Key is the master key and salt of an SRTP stream. It never prints what it is.
type Key []byte

// Format keeps the key out of logs, whatever the verb.
func (Key) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }

// Crypto is an a=crypto line (RFC 4568).
type Crypto struct {
	Tag      int
	Suite    string
	Key      Key    // of the first inline parameter
	Lifetime string // "2^31", "1048576", or ""
	MKI      string // "1:4", or ""
	Session  string // session parameters, as they are: "UNENCRYPTED_SRTCP"
	Keys     int    // how many inline parameters there are; with more than one, only by MKI
}

// keyLengths is the octets of key and salt of each suite: RFC 4568 6.2, RFC 6188, RFC 7714.
var keyLengths = map[string]int{
	"AES_CM_128_HMAC_SHA1_80": 30, "AES_CM_128_HMAC_SHA1_32": 30, "F8_128_HMAC_SHA1_80": 30,
	"AES_192_CM_HMAC_SHA1_80": 38, "AES_192_CM_HMAC_SHA1_32": 38,
	"AES_256_CM_HMAC_SHA1_80": 46, "AES_256_CM_HMAC_SHA1_32": 46,
	"AEAD_AES_128_GCM": 28, "AEAD_AES_256_GCM": 44,
}

// ParseCrypto reads the value of a crypto attribute. Of a suite that is known, the key has to have the right length;
// of others it is returned as it is. An error never contains the key.
func ParseCrypto(v string) (Crypto, error) {
	f := strings.Fields(v)
	if len(f) < 3 {
		return Crypto{}, fmt.Errorf("crypto: want <tag> <suite> inline:<key>")
	}
	tag, err := strconv.ParseUint(f[0], 10, 31)
	if err != nil || len(f[0]) > 9 {
		return Crypto{}, fmt.Errorf("crypto: tag %.12q", f[0])
	}
	c := Crypto{Tag: int(tag), Suite: f[1], Session: strings.Join(f[3:], " ")}
	for p := range strings.SplitSeq(f[2], ";") {
		info, ok := strings.CutPrefix(p, "inline:")
		if !ok {
			return Crypto{}, fmt.Errorf("crypto %d: the key is not inline", c.Tag)
		}
		if c.Keys++; c.Keys > 1 {
			continue
		}
		parts := strings.Split(info, "|")
		key, err := base64.StdEncoding.DecodeString(parts[0])
		if err != nil {
			key, err = base64.RawStdEncoding.DecodeString(parts[0]) // RFC 4568 9.1 leaves the padding out
		}
		if want, known := keyLengths[c.Suite]; err != nil || known && len(key) != want || len(key) == 0 {
			return Crypto{}, fmt.Errorf("crypto %d: the key does not fit %.32q", c.Tag, c.Suite)
		}
		c.Key = key
		for _, x := range parts[1:] {
			switch {
			case x == "":
				return Crypto{}, fmt.Errorf("crypto %d: an empty parameter of the key", c.Tag)
			case strings.Contains(x, ":"):
				c.MKI = x
			default:
				c.Lifetime = x
			}
		}
	}
	return c, nil
}

// Value is the value of the attribute, with the key.
func (c Crypto) Value() string {
	s := fmt.Sprintf("%d %s inline:%s", c.Tag, c.Suite, base64.StdEncoding.EncodeToString(c.Key))
	for _, x := range []string{c.Lifetime, c.MKI} {
		if x != "" {
			s += "|" + x
		}
	}
	if c.Session != "" {
		s += " " + c.Session
	}
	return s
}

// Cryptos returns those of a medium that can be read, in order of preference; at most 64 are looked at.
func (m *Media) Cryptos() []Crypto {
	var cs []Crypto
	n := 0
	for v := range m.Attrs("crypto") {
		if n++; n > 64 {
			break
		}
		if c, err := ParseCrypto(v); err == nil {
			cs = append(cs, c)
		}
	}
	return cs
}

// Fingerprint is an a=fingerprint line (RFC 8122): the hash of a certificate.
type Fingerprint struct {
	Hash string // "sha-256", in lower case
	Sum  []byte
}

// ParseFingerprint reads the value of a fingerprint attribute.
func ParseFingerprint(v string) (Fingerprint, error) {
	f := strings.Fields(v)
	if len(f) != 2 || len(f[1]) > 200 {
		return Fingerprint{}, fmt.Errorf("fingerprint %.40q", v)
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(f[1], ":", ""))
	if err != nil || len(f[1]) != 3*len(sum)-1 {
		return Fingerprint{}, fmt.Errorf("fingerprint %.40q", v)
	}
	return Fingerprint{strings.ToLower(f[0]), sum}, nil
}

// String is the value of the attribute.
func (p Fingerprint) String() string {
	parts := make([]string, len(p.Sum))
	for i, b := range p.Sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return p.Hash + " " + strings.Join(parts, ":")
}

// Fingerprints returns those of a medium, or of the session when it has none.
func (d *Description) Fingerprints(m *Media) []Fingerprint {
	var ps []Fingerprint
	for _, ls := range []Lines{m.Lines, d.Session} {
		for v := range ls.Attrs("fingerprint") {
			if p, err := ParseFingerprint(v); err == nil {
				ps = append(ps, p)
			}
		}
		if ps != nil {
			break
		}
	}
	return ps
}

// Setup returns who begins the handshake (RFC 4145, RFC 8842 5.3): "actpass", "active", "passive" or "holdconn"; ""
// when the description does not say.
func (d *Description) Setup(m *Media) string {
	v, ok := m.Attr("setup")
	if !ok {
		v, _ = d.Session.Attr("setup")
	}
	return v
}

// AnswerSetup is the setup of an answer to one of an offer. To "actpass" it is "active", as RFC 8842 5.3 recommends;
// "" for what is no offer.
func AnswerSetup(offered string) string {
	switch offered {
	case "actpass", "passive":
		return "active"
	case "active", "": // what says nothing is active (RFC 4145 4)
		return "passive"
	case "holdconn":
		return "holdconn"
	}
	return ""
}
