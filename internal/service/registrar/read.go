package registrar

import (
	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/uc"
)

// Bounds on what is kept of one contact.
const (
	maxContactURI = 1024
	maxParams     = 1024
	maxInstance   = 256
	maxCallID     = 512
	maxPath       = 2048
	maxUserAgent  = 128
)

// scratch is what reading a REGISTER needs besides the message.
type scratch struct {
	req      Request
	contacts [4]Contact
	buf      [512]byte
}

// read collects what Step needs to know of a REGISTER for aor. The result is
// part of s and made of slices of the message.
func (s *scratch) read(m *sip.Message, aor uc.AOR, f *flow.Flow) (*Request, *sip.Error) {
	r := &s.req
	*r = Request{AOR: aor, CallID: m.CallID(), UserAgent: m.Header(sip.HUserAgent), Flow: f, Contacts: s.contacts[:0]}
	r.CSeq, _ = m.CSeq()
	r.Expires, r.HasExpires = m.Expires()
	if len(r.CallID) > maxCallID {
		return nil, sip.Errorf(400, "Call-ID longer than %d bytes", maxCallID)
	}
	r.UserAgent = r.UserAgent[:min(len(r.UserAgent), maxUserAgent)]
	if err := s.path(m); err != nil {
		return nil, err
	}
	if err := s.outbound(m); err != nil {
		return nil, err
	}
	buf := s.buf[:0]
	for v := m.Values(sip.HContact); ; {
		raw, ok := v.Next()
		if !ok {
			return r, nil
		}
		if len(r.Contacts) >= 64 {
			return nil, &sip.Error{Code: 403, Reason: "Too Many Contacts"}
		}
		var c Contact
		var err *sip.Error
		if buf, err = readContact(raw, &c, buf); err != nil {
			return nil, err
		}
		r.Contacts = append(r.Contacts, c)
	}
}

// path joins the Path values (RFC 3327). They count only when the client
// says that it understands them (section 5.3).
func (s *scratch) path(m *sip.Message) *sip.Error {
	if !m.Has(sip.HPath) {
		return nil
	}
	if !m.HasToken(sip.HSupported, "path") && !m.HasToken(sip.HRequire, "path") {
		return &sip.Error{Code: 421, Headers: []sip.Header{{Name: "Require", Value: "path"}}, Diagnostic: "Path without Supported: path"}
	}
	var path []byte
	for v := m.Values(sip.HPath); ; {
		value, ok := v.Next()
		if !ok {
			break
		}
		if len(path) > 0 {
			path = append(path, ", "...)
		}
		path = append(path, value...)
	}
	if len(path) > maxPath {
		return sip.Errorf(400, "Path longer than %d bytes", maxPath)
	}
	s.req.Path = path
	return nil
}

// outbound finds out whether reg-id counts. It does when the client supports
// outbound and the first hop does too: that is us, or an edge proxy that says
// so with an ob parameter in its Path (RFC 5626 section 6).
func (s *scratch) outbound(m *sip.Message) *sip.Error {
	if !m.HasToken(sip.HSupported, "outbound") && !m.HasToken(sip.HRequire, "outbound") {
		return nil
	}
	if m.Count(sip.HVia) > 1 && !firstHopHasOutbound(m) {
		if registersFlow(m) {
			return &sip.Error{Code: 439, Reason: "First Hop Lacks Outbound Support"}
		}
		return nil
	}
	s.req.Outbound = true
	return nil
}

// firstHopHasOutbound looks at the last Path, which the first hop added.
func firstHopHasOutbound(m *sip.Message) bool {
	var last []byte
	for v := m.Values(sip.HPath); ; {
		value, ok := v.Next()
		if !ok {
			break
		}
		last = value
	}
	var n sip.NameAddr
	var u sip.URI
	return last != nil && sip.ParseNameAddr(last, &n) == nil && n.ParseURI(&u) == nil && u.Params.Has("ob")
}

func registersFlow(m *sip.Message) bool {
	var n sip.NameAddr
	for v := m.Values(sip.HContact); ; {
		raw, ok := v.Next()
		if !ok {
			return false
		}
		if sip.ParseNameAddr(raw, &n) == nil && n.RegID() > 0 {
			return true
		}
	}
}

// readContact reads one Contact value. buf takes the parameters when they are
// not kept as they stand.
func readContact(raw []byte, c *Contact, buf []byte) ([]byte, *sip.Error) {
	var n sip.NameAddr
	if err := sip.ParseNameAddr(raw, &n); err != nil {
		return buf, &sip.Error{Code: 400, Reason: "Bad Contact", Err: err}
	}
	if n.Star {
		c.Star = true
		return buf, nil
	}
	var u sip.URI
	if err := n.ParseURI(&u); err != nil || u.Kind != sip.SIPURI {
		return buf, &sip.Error{Code: 400, Reason: "Bad Contact", Diagnostic: "contact is not a SIP URI", Err: err}
	}
	c.URI = n.URI
	c.Expires, c.HasExpires = n.Expires()
	q, ok := n.Q()
	if !ok {
		return buf, &sip.Error{Code: 400, Reason: "Bad Contact", Diagnostic: "q is not between 0 and 1"}
	}
	c.Q = uint16(q)
	c.Instance, c.RegID = n.Instance(), n.RegID()
	start := len(buf)
	for name, value := range n.Params.All() {
		switch {
		case is(name, "expires"), is(name, "q"), is(name, "pub-gruu"), is(name, "temp-gruu"):
			continue
		case is(name, "gruu"), is(name, "proxy"): // [MS-SIPRE]: the registrar's own; for the first hop, which we are
			continue
		}
		buf = append(append(buf, ';'), name...)
		if len(value) > 0 {
			buf = append(append(buf, '='), value...)
		}
	}
	c.Params = buf[start:len(buf):len(buf)]
	if len(c.URI) > maxContactURI || len(c.Params) > maxParams || len(c.Instance) > maxInstance {
		return buf, &sip.Error{Code: 400, Reason: "Contact Too Long"}
	}
	return buf, nil
}

// is compares a parameter name without case; want is lower case.
func is(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}
