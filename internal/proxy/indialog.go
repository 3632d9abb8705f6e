package proxy

import (
	"errors"

	"parley/internal/diag"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/uc"
)

// InDialog forwards a request that follows a Route of ours: one within a dialog that we put Record-Route into, or
// one that came by our Path. It reports whether the request was such a one; tx is then taken care of: forwarded,
// answered with 403 when the token is forged, or with 430 when its flow is gone. If it reports false, Routes that
// name this server without a token may still be there; Forward takes them off.
//
// A browser that lost its connection goes on with its calls on another one. anew, which may be nil, is asked where the
// endpoint of a request within a dialog is now, when the flow of its Route is gone; with no branches that is 430.
func (p *Proxy) InDialog(tx *stack.ServerTxn, anew func() []Branch) bool {
	m := tx.Request()
	strip, token := p.ownRoutes(m)
	if token == nil {
		return false
	}
	p.stats.inDialog.Add(1)
	n, err := p.follow(token, m.CallID())
	switch {
	case errors.Is(err, errGone):
		p.stats.gone.Add(1)
		if m.ToTag() != nil && anew != nil {
			if b := anew(); len(b) > 0 {
				var opt Options
				if b[0].Dest.Flow == nil {
					p.Vouch(&opt, tx.Identity(), m)
				}
				p.forward(tx, b, opt, strip)
				return true
			}
		}
		tx.Fail(diag.ConnectionEnded.On(p.cfg.Host, &sip.Error{Code: 430, Reason: "Flow Failed"}))
		return true
	case err != nil:
		p.stats.forged.Add(1)
		tx.Fail(diag.RouteEnded.Error(p.cfg.Host, ""))
		return true
	}
	if m.ToTag() == nil && !trusted(tx.Identity()) {
		// A token alone does not open a dialog: it would go past everything that is decided about new requests.
		p.stats.forged.Add(1)
		tx.Fail(diag.RouteEnded.Error(p.cfg.Host, ""))
		return true
	}
	b := [1]Branch{}
	b[0].Dest.Flow = n.flow
	var opt Options
	if n.flow == nil {
		p.Vouch(&opt, tx.Identity(), m) // to another server, which asks who it is with every request
	}
	p.forward(tx, b[:], opt, strip)
	return true
}

// trusted reports whether new requests may come by a Path of ours: from the registrar it was given to.
func trusted(id uc.Identity) bool { return id.Class.Server() }

// ownRoutes counts the Routes at the top that are ours and returns the token of the last one that has one: with
// two for the two sides of a dialog, the second names the side to send to. It is nil when none has.
func (p *Proxy) ownRoutes(m *sip.Message) (n int, token []byte) {
	if !m.Has(sip.HRoute) {
		return 0, nil
	}
	for v := m.Values(sip.HRoute); ; n++ {
		r, ok := v.Next()
		if !ok {
			return n, token
		}
		user, isToken, ours := p.ours(r)
		if !ours {
			return n, token
		}
		if isToken {
			token = user
		}
	}
}
