package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"net/netip"
	"sync"

	"parley/internal/flow"
	"parley/internal/sip"
	"parley/internal/uc"
)

// A route token is the user part of a URI that we put into Record-Route or Path: a letter, then in base64url what
// the letter says, then the MAC of both.
//
//	f  number of a stream's flow                        a connection is that connection or nothing
//	u  local port, remote port and address, over UDP    valid for as long as the key is
//	d  nothing; the MAC covers the Call-ID              the next hop is found by Route or request URI
//
// The first two are for phones. The third is for other servers, whose connections come and go, and ties the
// permission to be forwarded to one dialog: without it any request with our Route would be relayed anywhere.
const (
	tokenStream = 'f'
	tokenUDP    = 'u'
	tokenDialog = 'd'
	macLen      = 12
)

// Errors of opening a token.
var (
	errForged = errors.New("proxy: forged route token")
	errGone   = errors.New("proxy: the flow of the route token is gone")
)

type tokens struct {
	proxy *Proxy
	macs  sync.Pool // of *mac
}

// mac is a keyed hash that is used again and again, with room for its results.
type mac struct {
	h   hash.Hash
	buf [64]byte
	sum [sha256.Size]byte
}

func (t *tokens) init(p *Proxy, key []byte) {
	t.proxy = p
	t.macs.New = func() any { return &mac{h: hmac.New(sha256.New, key)} }
}

// seal appends the token for payload to dst. bound is covered by the MAC but not contained.
func (t *tokens) seal(dst []byte, kind byte, payload, bound []byte) []byte {
	m := t.macs.Get().(*mac)
	defer t.macs.Put(m)
	b := append(m.buf[:0], payload...)
	b = append(b, m.of(kind, payload, bound)...)
	dst = append(dst, kind)
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

// of computes the MAC.
func (m *mac) of(kind byte, payload, bound []byte) []byte {
	m.h.Reset()
	var head [2]byte
	head[0], head[1] = kind, byte(len(payload))
	m.h.Write(head[:])
	m.h.Write(payload)
	m.h.Write(bound)
	return m.h.Sum(m.sum[:0])[:macLen]
}

// open checks a token and returns its payload in buf.
func (t *tokens) open(token, bound []byte, buf []byte) ([]byte, error) {
	if len(token) < 1+macLen || len(token) > 64 {
		return nil, errForged
	}
	b, err := base64.RawURLEncoding.AppendDecode(buf[:0], token[1:])
	// The decoder skips line ends; a token has one spelling.
	if err != nil || len(b) < macLen || base64.RawURLEncoding.EncodedLen(len(b)) != len(token)-1 {
		return nil, errForged
	}
	payload := b[:len(b)-macLen]
	if token[0] != tokenDialog {
		bound = nil
	}
	m := t.macs.Get().(*mac)
	defer t.macs.Put(m)
	if subtle.ConstantTimeCompare(m.of(token[0], payload, bound), b[len(payload):]) != 1 {
		return nil, errForged
	}
	return payload, nil
}

// looksLikeToken reports whether a user part could be one of ours.
func looksLikeToken(user []byte) bool {
	if len(user) < 1+macLen {
		return false
	}
	return user[0] == tokenStream && len(user) == 1+27 || user[0] == tokenDialog && len(user) == 1+16 ||
		user[0] == tokenUDP && (len(user) == 1+27 || len(user) == 1+43)
}

// route is what a flow's Route, Record-Route and Path values are made of, kept on the flow.
type route struct {
	token string // empty for flows to servers
	value []byte // "<sip:TOKEN@host:port;transport=tcp;lr>", nil for flows to servers
}

// routeOf returns the route values of a flow, working them out the first time.
func (p *Proxy) routeOf(f *flow.Flow) *route {
	if r, ok := f.Value(flow.SlotProxy).(*route); ok {
		return r
	}
	r := &route{}
	if phone(f) {
		var payload [24]byte
		var token []byte
		if f.Transport() == flow.UDP {
			b := binary.BigEndian.AppendUint16(payload[:0], f.Local().Port())
			b = binary.BigEndian.AppendUint16(b, f.Remote().Port())
			b = append(b, f.Remote().Addr().AsSlice()...)
			token = p.tokens.seal(nil, tokenUDP, b, nil)
		} else {
			b := binary.BigEndian.AppendUint64(payload[:0], f.ID())
			token = p.tokens.seal(nil, tokenStream, b, nil)
		}
		r.token = string(token)
		r.value = p.appendRoute(nil, token, f, false)
	}
	f.SetValue(flow.SlotProxy, r)
	return r
}

// phone reports whether a flow is reached by nothing but itself: a phone's. Servers and what we dialled are
// reached by name.
func phone(f *flow.Flow) bool {
	c := f.Identity().Class
	return !f.Dialled() && (c == uc.Anonymous || c == uc.Client)
}

// appendRoute appends a route value with a token.
func (p *Proxy) appendRoute(dst, token []byte, f *flow.Flow, outbound bool) []byte {
	dst = append(dst, "<sip:"...)
	dst = append(dst, token...)
	dst = append(dst, '@')
	dst = append(dst, p.stack.HostPort(f)...)
	switch f.Transport() {
	case flow.TCP:
		dst = append(dst, ";transport=tcp"...)
	case flow.TLS:
		dst = append(dst, ";transport=tls"...)
	case flow.WS, flow.WSS:
		dst = append(dst, ";transport=ws"...)
	}
	dst = append(dst, ";lr"...)
	if outbound {
		dst = append(dst, ";ob"...)
	}
	return append(dst, '>')
}

// recordRoute returns the Record-Route value for one side of a new dialog.
func (p *Proxy) recordRoute(f *flow.Flow, callID []byte) []byte {
	if r := p.routeOf(f); r.value != nil {
		return r.value
	}
	var token [32]byte
	return p.appendRoute(nil, p.tokens.seal(token[:0], tokenDialog, nil, callID), f, false)
}

// PathOf returns the Path value that leads to a phone's flow (RFC 3327, RFC 5626 5.1), for a REGISTER that is
// forwarded and for a binding that another node shall reach through this one.
func (p *Proxy) PathOf(f *flow.Flow) []byte {
	return p.appendRoute(nil, []byte(p.routeOf(f).token), f, true)
}

// next is where a token leads.
type next struct {
	flow *flow.Flow // nil: to the next Route or the request URI
}

// follow opens a token and finds its flow.
func (p *Proxy) follow(user, callID []byte) (next, error) {
	var buf [64]byte
	payload, err := p.tokens.open(user, callID, buf[:])
	if err != nil {
		return next{}, err
	}
	switch {
	case user[0] == tokenStream && len(payload) == 8:
		if f, ok := p.stack.Layer().FlowByID(binary.BigEndian.Uint64(payload)); ok && !f.Closed() {
			return next{flow: f}, nil
		}
		return next{}, errGone
	case user[0] == tokenUDP && (len(payload) == 8 || len(payload) == 20):
		return p.followUDP(payload)
	case user[0] == tokenDialog && len(payload) == 0:
		return next{}, nil
	}
	return next{}, errForged
}

// followUDP finds or makes the flow to a UDP address. It needs no look-up and does not wait.
func (p *Proxy) followUDP(payload []byte) (next, error) {
	local, port := binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
	addr, _ := netip.AddrFromSlice(payload[4:])
	t := flow.Target{Transport: flow.UDP, Addr: netip.AddrPortFrom(addr, port)}
	for _, l := range p.stack.Layer().Listeners() {
		if l.Transport() == flow.UDP && l.Addr().Port() == local {
			t.Listener = l
			break
		}
	}
	if t.Listener == nil {
		return next{}, errGone
	}
	var n next
	p.stack.Layer().ConnectFunc(t, func(f *flow.Flow, err error) { n.flow = f })
	if n.flow == nil {
		return next{}, errGone
	}
	return n, nil
}

// ours reads a Route value and reports whether we made it or it names us. user is its user part.
func (p *Proxy) ours(value []byte) (user []byte, token, ok bool) {
	var n sip.NameAddr
	var u sip.URI
	if sip.ParseNameAddr(value, &n) != nil || n.ParseURI(&u) != nil || u.Kind != sip.SIPURI {
		return nil, false, false
	}
	token = looksLikeToken(u.User)
	if p.cfg.IsLocal == nil {
		return u.User, token, token
	}
	ok = p.cfg.IsLocal(u.Host, u.Port)
	return u.User, token && ok, ok // another node's token is none of ours
}
