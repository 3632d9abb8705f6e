package registrar

import (
	"fmt"

	"parley/internal/directory"
	"parley/internal/porttable"
	"parley/internal/sip"
	"parley/internal/topology"
)

// elsewhere says where a user has to register when it is not here: with the pool
// that serves him ([MS-SIP] 4.2), or with another member while this one drains.
// It is nil for who is right here, and for who signs out.
func (r *Registrar) elsewhere(user *directory.User, req *Request) *sip.Error {
	if !signsIn(req) {
		return nil
	}
	to := ""
	if pool, other := r.homePool(user); other {
		to = pool
	} else if r.host.Members.Leaving() {
		if to, other = r.host.Members.Successor(user.AOR); !other {
			return &sip.Error{Code: 503, Diagnostic: "the server is going down", Headers: []sip.Header{{Name: "Retry-After", Value: "5"}}}
		}
	}
	if to == "" {
		return nil
	}
	return &sip.Error{Code: 301, Headers: []sip.Header{{Name: "Contact", Value: contactOf(to, req)}}}
}

// homePool is the pool that serves a user, if that is another one of this
// deployment.
func (r *Registrar) homePool(user *directory.User) (name string, other bool) {
	name = user.Policy.HomePool
	if name == "" || name == r.host.Node.Pool {
		return "", false
	}
	_, other = r.host.Topology().Pool(topology.FQDN(name))
	return name, other
}

// signsIn reports whether a REGISTER adds or refreshes anything.
func signsIn(req *Request) bool {
	for i := range req.Contacts {
		c := &req.Contacts[i]
		expires, has := c.Expires, c.HasExpires
		if !has {
			expires, has = req.Expires, req.HasExpires
		}
		if !c.Star && (!has || expires > 0) {
			return true
		}
	}
	return false
}

// contactOf is the address of a server in the way the client came, which has to
// be spelled like that: clients read host, port and transport and nothing else.
func contactOf(server string, req *Request) string {
	row, transport := porttable.SrvFeFrontend5060, ""
	switch t := req.Flow.Transport(); {
	case t.Secure():
		row, transport = porttable.SrvFeFrontend5061, ";transport=tls"
	case t.Reliable():
		transport = ";transport=tcp"
	}
	return fmt.Sprintf("<sip:%s:%d%s>", server, porttable.MustByID(row).PortFirst, transport)
}
