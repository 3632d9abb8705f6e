package digest

import "crypto/subtle"

// maxHex is the length of the longest hash in hex.
const maxHex = 64

// Verify reports whether the credentials prove knowledge of ha1, which is HA1 of the user, in constant time with
// regard to the response. method is the request's method; body matters for auth-int only. It is false for an
// unsupported algorithm or qop and for an ha1 of another length.
//
// Verify says nothing about the rest: whether the nonce is ours and fresh, whether the count was seen before,
// whether realm and URI are acceptable, whether NoQOP is.
func (c *Credentials) Verify(method, ha1, body []byte) bool {
	if c.Algorithm == Unsupported || len(ha1) != c.Algorithm.Size() || c.QOP == OtherQOP || c.UserHash {
		return false
	}
	if len(c.Response) != 2*len(ha1) {
		return false
	}
	var want [maxHex]byte
	w := c.response(want[:0], method, ha1, body)
	var got [maxHex]byte
	g := got[:len(c.Response)]
	for i, ch := range c.Response {
		if 'A' <= ch && ch <= 'F' { // the grammar says lower case; old phones differ
			ch += 'a' - 'A'
		}
		g[i] = ch
	}
	return subtle.ConstantTimeCompare(w, g) == 1
}

// response appends the request-digest (RFC 7616 section 3.4.1).
func (c *Credentials) response(dst, method, ha1, body []byte) []byte {
	var mem [512]byte // enough for most; append takes the heap beyond
	var hash [maxHex]byte
	a2 := append(mem[:0], method...)
	a2 = append(a2, ':')
	a2 = append(a2, c.URI...)
	if c.QOP == AuthInt {
		a2 = append(a2, ':')
		a2 = c.Algorithm.appendHex(a2, body)
	}
	ha2 := c.Algorithm.appendHex(hash[:0], a2)

	kd := appendHex(mem[:0], ha1)
	kd = append(kd, ':')
	kd = append(kd, c.Nonce...)
	kd = append(kd, ':')
	if c.QOP != NoQOP {
		kd = append(kd, c.NCText...)
		kd = append(kd, ':')
		kd = append(kd, c.CNonce...)
		kd = append(kd, ':')
		kd = append(kd, c.QOP.String()...)
		kd = append(kd, ':')
	}
	kd = append(kd, ha2...)
	return c.Algorithm.appendHex(dst, kd)
}

// AppendInfo appends the value of an Authentication-Info field (RFC 7616 section 3.5), by which the server
// proves in its 2xx that it knows ha1 too. body is that of the response, for auth-int. The credentials must
// have been verified and must have a qop.
func (c *Credentials) AppendInfo(dst, ha1, body []byte) []byte {
	dst = append(dst, `rspauth="`...)
	dst = c.response(dst, nil, ha1, body)
	dst = append(dst, `", cnonce="`...)
	dst = append(dst, c.CNonce...)
	dst = append(dst, `", nc=`...)
	dst = append(dst, c.NCText...)
	dst = append(dst, ", qop="...)
	return append(dst, c.QOP.String()...)
}
