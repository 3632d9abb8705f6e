package route

import (
	"strconv"
	"sync/atomic"

	"parley/internal/contract/binding"
	"parley/internal/diag"
	"parley/internal/proxy"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/topology"
	"parley/internal/uc"
)

// Counters say where requests went since the router was made.
type Counters struct {
	Services, Self, Dialogs, Endpoints, Pools, Hops, Refused, Dropped atomic.Uint64
}

// Counters returns the live counters.
func (r *Router) Counters() *Counters { return &r.counts }

// Serve decides about a request and carries the decision out. It is meant for
// stack.Config.Route.
func (r *Router) Serve(tx *stack.ServerTxn) {
	m := tx.Request()
	switch d := r.Decide(tx.Identity(), m).(type) {
	case Service:
		r.counts.Services.Add(1)
		d.Handler.ServeSIP(tx)
	case Self:
		r.counts.Self.Add(1)
		r.self(tx)
	case Dialog:
		r.counts.Dialogs.Add(1)
		if !r.cfg.Proxy.InDialog(tx, func() []proxy.Branch { return r.anew(tx.Identity(), m) }) {
			// A Route that only another server may give us: followed as it is.
			r.cfg.Proxy.Forward(tx, []proxy.Branch{{}}, proxy.Options{RecordRoute: recorded(m)})
		}
	case Endpoints:
		r.counts.Endpoints.Add(1)
		r.cfg.Proxy.Forward(tx, d.Branches, r.options(tx, m, d.Branches))
	case Pool:
		r.counts.Pools.Add(1)
		b := []proxy.Branch{{Dest: stack.Destination{URI: proxy.ServerURI(d.Name)}}}
		r.cfg.Proxy.Forward(tx, b, r.options(tx, m, b))
	case Hop:
		r.counts.Hops.Add(1)
		b := []proxy.Branch{{Dest: stack.Destination{URI: hopURI(d.Route)}}}
		if d.Route.ReplaceHost {
			b[0].URI = replaceHost(m.RequestURI(), d.Route.Destination)
		}
		r.cfg.Proxy.Forward(tx, b, r.options(tx, m, b))
	case Refuse:
		r.counts.Refused.Add(1)
		tx.Fail(d.Err)
	case Drop:
		r.counts.Dropped.Add(1)
	}
}

// anew is where the endpoint that a GRUU names is signed in now (RFC 5627), for a request within a dialog whose route led
// over a connection that is gone.
func (r *Router) anew(id uc.Identity, m *sip.Message) []proxy.Branch {
	var u sip.URI
	if sip.ParseURI(m.RequestURI(), &u) != nil || u.Kind != sip.SIPURI || !u.IsGRUU() || !r.cfg.Users.IsLocal(u.Host) {
		return nil
	}
	to, _ := r.user(id, m, &u).(Endpoints)
	return to.Branches
}

// self answers OPTIONS.
func (r *Router) self(tx *stack.ServerTxn) {
	h := []sip.Header{{Name: "Allow", Value: allow}, {Name: "Accept", Value: "*/*"},
		{Name: "Supported", Value: "path, outbound, gruu, eventlist"}}
	if r.cfg.Events != nil {
		h = append(h, sip.Header{Name: "Allow-Events", Value: r.cfg.Events()})
	}
	tx.Respond(200, "", h...)
}

// options says how a request from tx is forwarded to branches.
func (r *Router) options(tx *stack.ServerTxn, m *sip.Message, branches []proxy.Branch) proxy.Options {
	o := proxy.Options{
		RecordRoute: recorded(m),
		OnBranchFailure: func(b *proxy.Branch, code int) {
			if bound, ok := b.Tag.(*binding.Binding); ok && code == 430 {
				r.cfg.Bindings.Remove(bound.AOR, bound.Gen)
			}
		},
	}
	r.cfg.Proxy.Vouch(&o, tx.Identity(), m)
	for i := range branches {
		if branches[i].Dest.Flow == nil {
			r.reportUnreachable(tx, &o)
			break
		}
	}
	return o
}

// reportUnreachable has the caller told when it is another server that does not
// answer, and nobody else did.
func (r *Router) reportUnreachable(tx *stack.ServerTxn, o *proxy.Options) {
	unreachable, next := false, o.OnBranchFailure
	o.OnBranchFailure = func(b *proxy.Branch, code int) {
		unreachable = unreachable || b.Dest.Flow == nil
		next(b, code)
	}
	o.OnFinal = func(_ int, best *sip.Message) bool {
		if best != nil || !unreachable {
			return false
		}
		tx.Fail(diag.ServerUnreachable.Error(r.cfg.Host, "another server does not answer"))
		return true
	}
}

// recorded reports whether we stay in the path of what a request begins. A
// re-INVITE and its like follow the route that is there.
func recorded(m *sip.Message) bool {
	switch m.Method() {
	case sip.INVITE, sip.SUBSCRIBE, sip.REFER, sip.NOTIFY:
		return true
	}
	return false
}

// hopURI is where a static route leads, for resolution.
func hopURI(s topology.StaticRoute) []byte {
	b := append([]byte("sip:"), s.Destination...)
	b = strconv.AppendUint(append(b, ':'), uint64(s.PortOrDefault()), 10)
	if s.Transport == topology.OverTCP {
		return append(b, ";transport=tcp"...)
	}
	return append(b, ";transport=tls"...)
}

// replaceHost writes another host into a SIP URI.
func replaceHost(uri []byte, host string) []byte {
	var u sip.URI
	if sip.ParseURI(uri, &u) != nil || u.Kind != sip.SIPURI {
		return uri
	}
	b := append(append([]byte(nil), u.Scheme...), ':')
	if u.User != nil {
		b = append(append(b, u.User...), '@')
	}
	b = append(b, host...)
	return append(b, u.Params...)
}
