package node

import (
	"net/netip"

	"parley/internal/config"
	"parley/internal/gate"
)

// Auth is the section of the node file about proving who one is.
type Auth struct {
	Challenge  string         `toml:"challenge" doc:"once-per-flow: a phone on TCP or TLS shows its password with REGISTER and with its first request on a connection, and is believed there from then on. every: it shows it with each request. Over UDP it always does, since there the sender's address may be forged." reload:"live"`
	Algorithms []string       `toml:"algorithms" doc:"Digest algorithms that are offered, the preferred one first: SHA-256 and MD5. Many desk phones know MD5 only." reload:"live"`
	NTLM       bool           `toml:"ntlm" doc:"Lync-protocol clients may sign in with NTLM version 2. Without it they need a certificate or Kerberos." reload:"live"`
	Certs      bool           `toml:"certificates" doc:"Lync-protocol clients may sign in with the certificates they get from this server (TLS-DSK)." reload:"live"`
	Keytab     string         `toml:"keytab" doc:"Keytab file with an AES key of the Kerberos principal sip/NAME, NAME being the name of this node. With it Lync-protocol clients may sign in with Kerberos." reload:"live" example:"sip.keytab"`
	Failures   int            `toml:"failures" doc:"Wrong passwords that one address may try for one user name at once; after that, one every 10 seconds." reload:"live"`
	Unknown    int            `toml:"unknown" doc:"Requests without valid credentials that one address may have answered in a second." reload:"live"`
	Exempt     []netip.Prefix `toml:"exempt" doc:"Networks to which the two limits above do not apply." reload:"live"`
}

func defaultAuth() any {
	return &Auth{Challenge: string(gate.OncePerFlow), Algorithms: []string{"SHA-256", "MD5"}, NTLM: true, Certs: true, Failures: 10, Unknown: 1000,
		Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
}

// authSection has no service: the gate serves all of them.
var authSection = config.Section{Name: "auth", New: defaultAuth, Doc: "How peers prove who they are."}

// Validate implements config.Validator.
func (a *Auth) Validate() error {
	switch gate.Challenge(a.Challenge) {
	case gate.OncePerFlow, gate.Every:
	default:
		return &config.FieldError{Key: "challenge", Text: "\"" + a.Challenge + "\" is no way to challenge", Fix: `"once-per-flow" or "every"`}
	}
	if len(a.Algorithms) == 0 {
		return &config.FieldError{Key: "algorithms", Text: "nobody could sign in without any", Fix: `["SHA-256", "MD5"]`}
	}
	for _, name := range a.Algorithms {
		if name != "SHA-256" && name != "MD5" {
			return &config.FieldError{Key: "algorithms", Text: "\"" + name + "\" is not an algorithm that users have verifiers for", Fix: `"SHA-256" or "MD5"`}
		}
	}
	if a.Failures < 1 || a.Unknown < 1 {
		return &config.FieldError{Key: "failures", Text: "failures and unknown are 1 or more"}
	}
	return nil
}

func (a *Auth) settings() gate.Settings {
	return gate.Settings{Challenge: gate.Challenge(a.Challenge), Algorithms: a.Algorithms, Failures: a.Failures, Unknown: a.Unknown,
		Exempt: func(addr netip.Addr) bool {
			for _, p := range a.Exempt {
				if p.Contains(addr.Unmap()) {
					return true
				}
			}
			return false
		}}
}

// auth is the section as it is in a node file.
func auth(f *config.File) *Auth {
	if a, ok := f.Section(authSection.Name).(*Auth); ok {
		return a
	}
	return defaultAuth().(*Auth)
}
