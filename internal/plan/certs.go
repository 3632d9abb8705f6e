package plan

import (
	"strings"

	"parley/internal/cert"
	"parley/internal/topology"
)

// Certificate is one certificate that must exist. The members of an Edge pool share the external one.
type Certificate struct {
	Machine topology.FQDN // or the Edge pool
	Role    string
	Use     cert.Use
	Request cert.Request
	Issuer  string // "internal" or "public"
}

// Certificates lists the certificates of the plan, by machine.
func (p *Plan) Certificates() []Certificate {
	var out []Certificate
	shared := map[topology.FQDN]bool{}
	for _, m := range p.Topology.Machines() {
		for _, use := range cert.Uses(m) {
			c := Certificate{Machine: m.FQDN, Role: string(m.Roles[0]), Use: use, Request: cert.Plan(p.Topology, m, use), Issuer: "internal"}
			switch use {
			case cert.UseEdgeExternal:
				if shared[m.Pool.FQDN] {
					continue
				}
				shared[m.Pool.FQDN] = true
				c.Machine, c.Issuer = m.Pool.FQDN, "public"
			case cert.UseProxy:
				c.Issuer = "public"
			}
			if len(c.Request.Names) > 0 {
				out = append(out, c)
			}
		}
	}
	return out
}

func (p *Plan) certs() *Document {
	d := &Document{
		Title:   "Certificates",
		Columns: columns("server", "role", "use", "subject", "alternative_names", "issuer", "extended_key_usage"),
		Notes: []string{
			"The members of an Edge pool use the same external certificate and key. The A/V relay itself has no certificate, its authentication service has.",
			"A node of this product has one internal certificate that carries the names of all its internal uses.",
		},
	}
	for _, c := range p.Certificates() {
		usage := "server authentication"
		if c.Use != cert.UseProxy {
			usage += ", client authentication"
		}
		d.add(c.Machine, c.Role, c.Use, c.Request.Subject, strings.Join(c.Request.Names, ", "), c.Issuer, usage)
	}
	return d
}
