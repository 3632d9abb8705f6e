package proxy

import (
	"parley/internal/contract/binding"
	"parley/internal/sip"
	"parley/internal/stack"
	"parley/internal/uc"
)

// OwnRoutes counts the Routes at the top of a request that name this server, and reports whether one of them has a
// token: InDialog takes care of such a request.
func (p *Proxy) OwnRoutes(m *sip.Message) (n int, token bool) {
	n, t := p.ownRoutes(m)
	return n, t != nil
}

// Endpoints returns the branches to where a user is signed in on this node: the highest q first, equal ones at the
// same time (RFC 3261 section 16.6). Of several flows to one endpoint the one that was refreshed last is taken (RFC
// 5626 section 5.3): one that fails ends its binding, so the next request takes another. With secure only flows
// over TLS are taken. Each branch has its *binding.Binding as Tag.
func Endpoints(set []*binding.Binding, secure bool) []Branch {
	var buf [16]*binding.Binding
	own := buf[:0]
next:
	for _, b := range set {
		if b.Flow == nil || b.Flow.Closed() || secure && !b.Flow.Transport().Secure() {
			continue
		}
		for i, a := range own {
			if a.SameEndpoint(b) {
				if b.Refreshed > a.Refreshed {
					own[i] = b
				}
				continue next
			}
		}
		own = append(own, b)
	}
	if len(own) == 0 {
		return nil
	}
	for i := 1; i < len(own); i++ {
		for j := i; j > 0 && own[j].Q > own[j-1].Q; j-- {
			own[j], own[j-1] = own[j-1], own[j]
		}
	}
	branches := make([]Branch, len(own))
	for i, b := range own {
		branches[i].URI, branches[i].Tag = []byte(b.Contact), b
		branches[i].Dest.Flow = b.Flow
		if i > 0 {
			branches[i].Group = branches[i-1].Group
			if b.Q < own[i-1].Q {
				branches[i].Group++
			}
		}
		if b.Path != "" {
			branches[i].Routes = [][]byte{[]byte(b.Path)}
		}
	}
	return branches
}

// Reachable returns the branches to wherever a user is signed in: his endpoints on this node, as Endpoints has them,
// and each other member of the pool on which he has some, which finds them itself. What comes from another member
// goes to endpoints of this node only: that member has asked the others.
func (p *Proxy) Reachable(from uc.Identity, set []*binding.Binding, secure bool) []Branch {
	branches := Endpoints(set, secure)
	if from.Class == uc.Member {
		return branches
	}
	for i, b := range set {
		if b.Node == "" || named(set[:i], b.Node) || p.cfg.Alive != nil && !p.cfg.Alive(b.Node) {
			continue
		}
		branches = append(branches, Branch{Dest: stack.Destination{URI: ServerURI(b.Node)}, Tag: b})
	}
	return branches
}

func named(set []*binding.Binding, node string) bool {
	for _, b := range set {
		if b.Node == node {
			return true
		}
	}
	return false
}

// ServerURI is where another server of the deployment takes what this one sends: by its name, which its certificate
// must have.
func ServerURI(name string) []byte {
	return append(append([]byte("sip:"), name...), ";transport=tls"...)
}
