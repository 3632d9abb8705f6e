package sigauth

import (
	"bytes"
	"strconv"

	"parley/internal/sip"
)

// AppendText appends what the signature of m is computed over ([MS-SIPAE] 3.1.5, [MS-SIP] 3.1.4.2): fields of
// the message exactly as they stand on the wire, each in angle brackets, missing ones empty. p gives scheme,
// salt, number, realm, targetname and the version of the protocol: version 2 leaves out the To URI and the
// asserted identities.
func AppendText(dst []byte, m *sip.Message, p *Parameters) []byte {
	dst = field(dst, []byte(p.Scheme.String()))
	dst = field(dst, p.Rand)
	dst = field(dst, p.Num)
	dst = field(dst, p.Realm)
	dst = field(dst, p.TargetName)
	dst = field(dst, m.CallID())
	number, _ := cutWord(m.Header(sip.HCSeq))
	dst = field(dst, number)
	dst = field(dst, m.MethodName())
	var from, to sip.NameAddr
	sip.ParseNameAddr(m.Header(sip.HFrom), &from) // what cannot be read is empty
	sip.ParseNameAddr(m.Header(sip.HTo), &to)
	dst = field(dst, from.URI)
	dst = tag(dst, &from)
	if p.Version > 2 {
		dst = field(dst, to.URI)
	}
	dst = tag(dst, &to)
	if p.Version > 2 {
		uri, tel := identities(m)
		dst = field(field(dst, uri), tel)
	}
	dst = field(dst, m.Header(sip.HExpires))
	if code := m.StatusCode(); code != 0 {
		dst = append(strconv.AppendInt(append(dst, '<'), int64(code), 10), '>')
	}
	return dst
}

func field(dst, v []byte) []byte { return append(append(append(dst, '<'), v...), '>') }

func tag(dst []byte, n *sip.NameAddr) []byte {
	t, _ := n.Param("tag")
	return field(dst, t)
}

// identities returns the first SIP and the first TEL URI of P-Asserted-Identity or, without that, of
// P-Preferred-Identity. Only the first field of the name counts, and only URIs in angle brackets, except for a
// lone tel URI: that is how the other side reads it.
func identities(m *sip.Message) (uri, tel []byte) {
	v := m.Header(sip.HPAssertedIdentity)
	if v == nil {
		v = m.Header(sip.HPPreferredIdentity)
	}
	if hasPrefix(v, "tel:") {
		return nil, v
	}
	for len(v) > 0 {
		one := v
		if i := bytes.IndexByte(v, ','); i >= 0 {
			one, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		_, one, ok := bytes.Cut(one, []byte{'<'})
		if !ok {
			continue
		}
		if one, _, ok = bytes.Cut(one, []byte{'>'}); !ok {
			continue
		}
		switch {
		case uri == nil && hasPrefix(one, "sip:"):
			uri = one
		case tel == nil && hasPrefix(one, "tel:"):
			tel = one
		}
	}
	return uri, tel
}

func hasPrefix(v []byte, prefix string) bool {
	return len(v) >= len(prefix) && equalFold(v[:len(prefix)], prefix)
}
