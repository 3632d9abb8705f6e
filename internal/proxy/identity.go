package proxy

import (
	"bytes"

	"parley/internal/directory"
	"parley/internal/sip"
	"parley/internal/sip/digest"
	"parley/internal/sip/sigauth"
	"parley/internal/uc"
)

// People is what forwarding asks about users. *directory.Directory is one.
type People interface {
	Lookup(aor uc.AOR) (*directory.User, bool)
	IsLocal(domain []byte) bool
}

// Vouch sets in opt what a request that from sent shows of its sender to those it goes to. It takes off what was
// meant for us, digest credentials of our domains (RFC 3261 22.3), which a curious endpoint could try passwords on,
// and identities that the sender claims and may not (RFC 3325 section 5). For a user who signed in here it adds the
// identity that we know: his address, with his name of the directory, and his telephone number ([MS-SIPAE] 1.3).
// Clients send no name in From, and From is part of their signature: it stays as it is.
func (p *Proxy) Vouch(opt *Options, from uc.Identity, m *sip.Message) {
	if p.cfg.People == nil {
		return
	}
	claimed := !from.Class.Server() && from.Class != uc.Trunk
	if claimed && (m.Has(sip.HPAssertedIdentity) || m.Has(sip.HPPreferredIdentity)) || m.Has(sip.HProxyAuthorization) || m.Has(sip.HAuthorization) {
		opt.Drop = func(f sip.Field) bool {
			switch f.ID {
			case sip.HPAssertedIdentity, sip.HPPreferredIdentity:
				return claimed
			case sip.HProxyAuthorization, sip.HAuthorization:
				var c digest.Credentials
				return digest.ParseCredentials(f.Value, &c) == nil && p.cfg.People.IsLocal(c.Realm)
			}
			return false
		}
	}
	if from.Class != uc.Client || hidden(m) {
		return
	}
	if user, ok := p.cfg.People.Lookup(from.AOR); ok {
		opt.Headers = append(opt.Headers, sip.Header{Name: "P-Asserted-Identity", Value: string(appendIdentity(nil, user))})
	}
}

// hidden reports whether the sender does not want to be named (RFC 3323, RFC 3325 section 7).
func hidden(m *sip.Message) bool {
	if v := m.HeaderNamed("Privacy"); v != nil && !bytes.EqualFold(v, []byte("none")) {
		return true
	}
	var n sip.NameAddr
	var u sip.URI
	return sip.ParseNameAddr(m.Header(sip.HFrom), &n) != nil || n.ParseURI(&u) != nil || string(u.Host) == "anonymous.invalid"
}

// appendIdentity writes the identities of a user in one field, which is all that clients read: one SIP and at most
// one TEL URI.
func appendIdentity(dst []byte, u *directory.User) []byte {
	if u.Name != "" && !bytes.ContainsAny([]byte(u.Name), "<>") { // clients look for the first bracket
		dst = append(sip.AppendQuoted(dst, u.Name), ' ')
	}
	dst = sip.AppendEscape(append(dst, "<sip:"...), u.AOR.User())
	dst = append(append(append(dst, '@'), u.AOR.Domain()...), '>')
	if len(u.Phones) > 0 {
		dst = append(append(append(dst, ", <"...), u.Phones[0]...), '>')
	}
	return dst
}

// signed reports whether a request carries what a Lync-protocol client signs with, or begins a handshake with.
func signed(m *sip.Message) bool {
	return m.Has(sip.HAuthorization) || m.Has(sip.HProxyAuthorization)
}

// isSignature reports whether a field is the signature of a Lync-protocol client, or its credentials: they hold
// between it and this server only ([MS-SIPAE] 3.1).
func isSignature(f sip.Field) bool {
	if f.ID != sip.HAuthorization && f.ID != sip.HProxyAuthorization || sigauth.SchemeOf(f.Value) == sigauth.NoScheme {
		return false
	}
	var p sigauth.Parameters
	return sigauth.Parse(f.Value, &p) != nil || string(p.Realm) == sigauth.DefaultRealm
}
