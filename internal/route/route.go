// Package route decides where a request goes that the gate let in, and sends
// it there. It runs in the reader and decides from memory.
//
// The order of the questions: does the request follow a route of ours? Is its
// URI one that we understand? Whose domain is it? Does a service take it? Which
// user, and where is he signed in?
package route

import (
	"bytes"
	"strings"

	"parley/internal/contract/binding"
	"parley/internal/diag"
	"parley/internal/directory"
	"parley/internal/proxy"
	"parley/internal/service"
	"parley/internal/sip"
	"parley/internal/sip/event"
	"parley/internal/topology"
	"parley/internal/uc"
)

// Users is what routing asks about users. *directory.Directory is one.
type Users interface {
	LookupBytes(aor []byte) (*directory.User, bool)
	ByNumber(number string) (*directory.User, bool)
	IsLocal(domain []byte) bool
}

// Config is what a Router is made of.
type Config struct {
	Users    Users
	Bindings *binding.Table
	GRUU     *binding.Coder
	Proxy    *proxy.Proxy
	// Handler finds the service for a method and what it is about, as
	// service.Spec.Handles says. It is called in readers.
	Handler func(method, event string) (service.SIPHandler, bool)
	// IsSelf reports whether a host and port (0 when absent) are a name or
	// address of this server and not a SIP domain.
	IsSelf func(host []byte, port uint16) bool
	// StaticRoute finds the route for a host that is none of our domains. Nil
	// knows none.
	StaticRoute func(host string, phone bool) (topology.StaticRoute, bool)
	// Host is the name of this server, for reports to clients.
	Host string
	// OtherPool reports whether a name is that of another pool of this deployment.
	// Nil knows none.
	OtherPool func(name string) bool
	// Events are the event packages served here, for Allow-Events.
	Events func() string
}

// Router is safe for concurrent use.
type Router struct {
	cfg    Config
	counts Counters
}

// New returns a router.
func New(cfg Config) *Router { return &Router{cfg: cfg} }

// allow are the methods the server itself, or a service on it, answers.
const allow = "REGISTER, OPTIONS, PUBLISH, SUBSCRIBE, NOTIFY, MESSAGE, INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, REFER"

// Decide finds where m goes, which id sent. The Decision refers to m
// only through its bytes.
func (r *Router) Decide(id uc.Identity, m *sip.Message) Decision {
	if e := r.proxyRequire(m); e != nil {
		return refuse(m, e)
	}
	if follow, e := r.followRoute(id, m); e != nil {
		return refuse(m, e)
	} else if follow {
		return Dialog{}
	}
	var u sip.URI
	if err := sip.ParseURI(m.RequestURI(), &u); err != nil {
		return refuse(m, &sip.Error{Code: 400, Diagnostic: "unreadable request URI", Err: err})
	}
	switch u.Kind {
	case sip.TelURI:
		return r.number(id, m, &u)
	case sip.SIPURI:
	default:
		return refuse(m, &sip.Error{Code: 416})
	}
	local := r.cfg.Users.IsLocal(u.Host)
	self := !local && r.cfg.IsSelf != nil && r.cfg.IsSelf(u.Host, u.Port)
	switch {
	case !local && !self:
		return r.foreign(id, m, &u)
	case u.User == nil:
		return r.server(m)
	case self:
		// sip:alice@192.0.2.1, which phones make of an address they dialled:
		// not an address of record, nobody is known by it.
		if m.ToTag() != nil || m.Method() == sip.SERVICE { // a service by its name: sip:mras@192.0.2.1
			if h, ok := r.named(m, u.User); ok {
				return Service{h}
			}
		}
		if m.ToTag() != nil {
			if h, ok := r.handler(m); ok {
				return Service{h} // a dialog with a service, by its Contact
			}
		}
		return refuse(m, &sip.Error{Code: 404, Diagnostic: "address of this server in place of a domain"})
	}
	return r.user(id, m, &u)
}

func refuse(m *sip.Message, e *sip.Error) Decision {
	if m.Method() == sip.ACK {
		return Drop{}
	}
	return Refuse{e}
}

// proxyRequire refuses extensions that proxies would have to know (RFC 3261
// 16.3 step 5). The only one we know is ms-benotify.
func (r *Router) proxyRequire(m *sip.Message) *sip.Error {
	if !m.Has(sip.HProxyRequire) {
		return nil
	}
	tags := ""
	for v := m.Values(sip.HProxyRequire); ; {
		tag, ok := v.Next()
		if !ok {
			break
		}
		if strings.EqualFold(string(tag), "ms-benotify") {
			continue // passed on like anything else ([MS-SIP] 3.4)
		}
		if tags != "" {
			tags += ", "
		}
		tags += string(tag)
	}
	if tags == "" {
		return nil
	}
	return &sip.Error{Code: 420, Headers: []sip.Header{{Name: "Unsupported", Value: tags}}}
}

// followRoute looks at the Routes. One that we made leads on. Those that only
// name us, as phones with an outbound proxy send them, say nothing. Only other
// servers may have us go somewhere else.
func (r *Router) followRoute(id uc.Identity, m *sip.Message) (bool, *sip.Error) {
	if !m.Has(sip.HRoute) {
		return false, nil
	}
	own, token := r.cfg.Proxy.OwnRoutes(m)
	if token {
		return true, nil
	}
	for v := m.Values(sip.HRoute); ; own-- {
		value, ok := v.Next()
		if !ok {
			return false, nil
		}
		if own > 0 {
			continue
		}
		var n sip.NameAddr
		var u sip.URI
		if sip.ParseNameAddr(value, &n) != nil || n.ParseURI(&u) != nil {
			return false, &sip.Error{Code: 400, Diagnostic: "unreadable Route"}
		}
		if id.Class.Server() || id.Class == uc.Trunk {
			return true, nil
		}
		return false, &sip.Error{Code: 403, Diagnostic: "no relay along foreign routes"}
	}
}

// server answers what is addressed to a domain or to this server.
func (r *Router) server(m *sip.Message) Decision {
	if m.Method() == sip.OPTIONS {
		return Self{}
	}
	if m.Method() == sip.SERVICE && r.cfg.Handler != nil {
		if h, ok := r.cfg.Handler("SERVICE", "domain"); ok {
			return Service{h}
		}
	} else if h, ok := r.handler(m); ok {
		return Service{h}
	}
	switch m.Method() {
	case sip.SUBSCRIBE, sip.PUBLISH:
		return Refuse{r.badEvent()}
	case sip.ACK:
		return Drop{}
	case sip.OtherMethod, sip.SERVICE, sip.BENOTIFY, sip.NEGOTIATE:
		return Refuse{&sip.Error{Code: 405, Headers: []sip.Header{{Name: "Allow", Value: allow}}}}
	}
	return Refuse{&sip.Error{Code: 404, Diagnostic: "addressed to a domain, not to a user"}}
}

func (r *Router) badEvent() *sip.Error {
	e := &sip.Error{Code: 489}
	if r.cfg.Events != nil {
		e.Headers = []sip.Header{{Name: "Allow-Events", Value: r.cfg.Events()}}
	}
	return e
}

// named finds the service that takes requests within its dialogs, by the name
// that it put into the user part of its Contact.
func (r *Router) named(m *sip.Message, name []byte) (service.SIPHandler, bool) {
	if r.cfg.Handler == nil {
		return nil, false
	}
	return r.cfg.Handler("*", string(name))
}

// serversOnly reports whether a SUBSCRIBE is for an event package that only servers
// have, so that there is no use in asking an endpoint.
func serversOnly(m *sip.Message) bool {
	e, ok := event.Parse(m.Header(sip.HEvent))
	return ok && (bytes.HasPrefix(e.Package, []byte("vnd-microsoft-")) || bytes.HasPrefix(e.Package, []byte("presence.")))
}

// isChat reports whether an INVITE is for a session of instant messages that are
// SIP requests; those over MSRP go between endpoints like calls.
func isChat(m *sip.Message) bool {
	b := m.Body()
	if bytes.Contains(b, []byte("\nm=x-ms-message ")) {
		return true
	}
	_, line, ok := bytes.Cut(b, []byte("\nm=message "))
	if !ok {
		return false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	f := bytes.Fields(line)
	return len(f) > 1 && bytes.EqualFold(f[1], []byte("sip"))
}

// handler finds the service that takes a request.
func (r *Router) handler(m *sip.Message) (service.SIPHandler, bool) {
	if r.cfg.Handler == nil {
		return nil, false
	}
	pkg := ""
	switch m.Method() {
	case sip.OtherMethod:
		return r.cfg.Handler(string(m.MethodName()), "")
	case sip.INVITE:
		if !isChat(m) {
			break
		}
		pkg = "message"
	case sip.SERVICE:
		t, ok := m.ContentType()
		if !ok {
			return nil, false
		}
		pkg = strings.ToLower(string(t.Type) + "/" + string(t.Subtype))
	case sip.SUBSCRIBE, sip.PUBLISH, sip.NOTIFY:
		e, ok := event.Parse(m.Header(sip.HEvent))
		if !ok {
			return nil, false
		}
		pkg = string(e.Package)
	}
	return r.cfg.Handler(m.Method().String(), pkg)
}

// user routes to one of our users.
func (r *Router) user(id uc.Identity, m *sip.Message, u *sip.URI) Decision {
	if binding.IsTemp(u.User) && u.Params.Has("gr") {
		return r.tempGRUU(id, m, u)
	}
	var buf [96]byte // goes to the heap with the interface call; longer addresses grow
	aor, err := u.AppendAOR(buf[:0])
	if err != nil {
		return refuse(m, diag.UnknownRecipient.Error(r.cfg.Host, "not an address of record"))
	}
	user, ok := r.cfg.Users.LookupBytes(aor)
	if !ok && isNumber(u.User) {
		user, ok = r.cfg.Users.ByNumber(string(u.User))
	}
	return r.known(id, m, u, user, ok)
}

// number routes a telephone number, which a user may have.
func (r *Router) number(id uc.Identity, m *sip.Message, u *sip.URI) Decision {
	number := string(u.User)
	if ext, ok := u.Params.Get("ext"); ok {
		number += ";ext=" + string(ext)
	}
	user, ok := r.cfg.Users.ByNumber(number)
	if !ok && r.cfg.StaticRoute != nil {
		if ctx, has := u.Params.Get("phone-context"); has {
			if hop, found := r.cfg.StaticRoute(string(ctx), true); found {
				return r.hop(m, hop)
			}
		}
	}
	return r.known(id, m, u, user, ok)
}

// isNumber reports whether a user part is a telephone number in global form.
func isNumber(user []byte) bool {
	if len(user) < 3 || user[0] != '+' {
		return false
	}
	for _, c := range user[1:] {
		if (c < '0' || c > '9') && c != '-' && c != '.' && c != '(' && c != ')' && c != ';' && c != '=' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// known routes to a user who was looked up. A user who is switched off does
// not exist for others.
func (r *Router) known(id uc.Identity, m *sip.Message, u *sip.URI, user *directory.User, ok bool) Decision {
	if !ok || !user.Enabled {
		if m.Method() == sip.REGISTER {
			if h, found := r.handler(m); found {
				return Service{h} // looks at To, not at the request URI
			}
		}
		return refuse(m, diag.UnknownRecipient.Error(r.cfg.Host, ""))
	}
	if pool := user.Policy.HomePool; pool != "" && m.Method() != sip.REGISTER && r.cfg.OtherPool != nil && r.cfg.OtherPool(pool) {
		return r.pool(id, m, pool)
	}
	endpoint, lync := binding.EndpointOf(u)
	if h, found := r.handler(m); found && !((u.IsGRUU() || lync) && m.Method() == sip.MESSAGE) {
		return Service{h} // a message to one endpoint goes there or nowhere
	}
	switch m.Method() {
	case sip.PUBLISH:
		return Refuse{r.badEvent()}
	case sip.SERVICE:
		return Refuse{&sip.Error{Code: 415, Diagnostic: "no service takes this body"}} // it is for us, never for an endpoint
	case sip.SUBSCRIBE:
		if serversOnly(m) {
			return Refuse{r.badEvent()}
		}
	}
	set := r.cfg.Bindings.Of(user.AOR)
	if gr := u.GRUU(); len(gr) > 0 {
		set = instance(set, string(gr))
	} else if lync {
		set = endpointOf(set, endpoint)
	}
	return r.endpoints(id, m, u, user.AOR, set)
}

// pool routes to the pool that serves a user. What comes from another server is
// not sent round: the topologies of the two differ then.
func (r *Router) pool(id uc.Identity, m *sip.Message, name string) Decision {
	switch {
	case m.MaxForwards() == 0:
		return refuse(m, &sip.Error{Code: 483})
	case id.Class == uc.TrustedServer:
		return refuse(m, diag.NotInPool.Error(r.cfg.Host, "served by "+name))
	}
	return Pool{name}
}

func instance(set []*binding.Binding, id string) []*binding.Binding {
	var of []*binding.Binding
	for _, b := range set {
		if b.Instance == id {
			of = append(of, b)
		}
	}
	return of
}

// endpointOf is instance for the names of [MS-SIPRE].
func endpointOf(set []*binding.Binding, id string) []*binding.Binding {
	var of []*binding.Binding
	for _, b := range set {
		if have, ok := binding.EndpointID(b.Instance); ok && have == id {
			of = append(of, b)
		}
	}
	return of
}

// tempGRUU routes to the endpoint that was given a temporary name.
func (r *Router) tempGRUU(id uc.Identity, m *sip.Message, u *sip.URI) Decision {
	if r.cfg.GRUU == nil {
		return refuse(m, &sip.Error{Code: 404})
	}
	aor, gen, err := r.cfg.GRUU.Temp(u.User, string(u.Host))
	if err != nil {
		return refuse(m, &sip.Error{Code: 404, Diagnostic: err.Error()})
	}
	if user, ok := r.cfg.Users.LookupBytes([]byte(aor)); !ok || !user.Enabled {
		return refuse(m, diag.UnknownRecipient.Error(r.cfg.Host, ""))
	}
	set := r.cfg.Bindings.Of(aor)
	for _, b := range set {
		if b.Gen == gen {
			return r.endpoints(id, m, u, aor, instance(set, b.Instance))
		}
	}
	return refuse(m, &sip.Error{Code: 480, Diagnostic: "temporary GRUU has ended"})
}

// endpoints routes to where a user is signed in.
func (r *Router) endpoints(id uc.Identity, m *sip.Message, u *sip.URI, aor uc.AOR, set []*binding.Binding) Decision {
	if m.MaxForwards() == 0 {
		return refuse(m, &sip.Error{Code: 483})
	}
	if to := r.cfg.Proxy.Reachable(id, set, u.Secure); to != nil {
		return Endpoints{AOR: aor, Branches: to}
	}
	return refuse(m, &sip.Error{Code: 480})
}

// foreign routes to a host that is none of ours.
func (r *Router) foreign(id uc.Identity, m *sip.Message, u *sip.URI) Decision {
	if r.cfg.StaticRoute != nil && (id.Class == uc.Client || id.Class.Server() || id.Class == uc.Trunk) {
		user, _ := u.Param("user")
		if hop, ok := r.cfg.StaticRoute(string(u.Host), string(user) == "phone" || isNumber(u.User)); ok {
			return r.hop(m, hop)
		}
	}
	return refuse(m, diag.NoRouteToDomain.Error(r.cfg.Host, "not a domain of this server"))
}

func (r *Router) hop(m *sip.Message, hop topology.StaticRoute) Decision {
	if m.MaxForwards() == 0 {
		return refuse(m, &sip.Error{Code: 483})
	}
	return Hop{hop}
}
