package plan

import (
	"slices"
	"strings"

	"parley/internal/porttable"
	"parley/internal/topology"
)

// Publication is what a reverse proxy shows outside.
type Publication struct {
	Proxy topology.FQDN
	Rules []PublishRule
}

// PublishRule is one publishing rule: requests for some names go to one pool, every path, with the host name kept.
type PublishRule struct {
	Names   []string
	Pool    topology.FQDN
	Targets []Host
	HTTPS   uint16 // port inside of what arrives on 443
	HTTP    uint16 // port inside of what arrives on 80, 0 for nothing
	Rows    []string
}

// Publications lists the reverse proxies with their publishing rules: one for each pool, server and Director that
// has a name outside. The pool that answers first also gets the pages and discovery.
func (p *Plan) Publications() []Publication {
	r := &resolver{s: p.Topology, t: p.Topology.Topology(), parties: map[*topology.Pool]Party{}}
	n := &zoneWriter{r: r, seen: map[Record]bool{}}
	var out []Publication
	for i := range r.t.ReverseProxies {
		x := &r.t.ReverseProxies[i]
		pub := Publication{Proxy: x.FQDN}
		pools := r.published(x)
		entrance := x.NextHop
		if entrance == "" && len(pools) > 0 {
			entrance = pools[0].FQDN
		}
		for _, w := range pools {
			rule := PublishRule{Pool: w.FQDN, Targets: r.web(w).Hosts, HTTPS: 4443, HTTP: 8080,
				Rows: []string{porttable.SrvFeWeb4443, porttable.SrvFeWebcompat8080}}
			if !w.Kind.FrontEnd() {
				rule.Rows = []string{"proxy-int-4443", "proxy-int-8080"}
			}
			if w.ExternalWeb != "" {
				rule.Names = append(rule.Names, string(w.ExternalWeb))
			}
			if w.FQDN == entrance {
				for _, u := range n.urls() {
					if !u.admin && u.host != "" {
						rule.Names = append(rule.Names, string(u.host))
					}
				}
				for _, d := range r.s.Domains() {
					rule.Names = append(rule.Names, "lyncdiscover."+string(d))
				}
			}
			rule.Names = unique(rule.Names)
			if len(rule.Names) > 0 {
				pub.Rules = append(pub.Rules, rule)
			}
		}
		for _, f := range r.pools(func(q *topology.Pool) bool { return q.Kind == topology.OfficeWebApps }) {
			pub.Rules = append(pub.Rules, PublishRule{Names: []string{string(f.FQDN)}, Pool: f.FQDN, Targets: r.web(f).Hosts, HTTPS: 443,
				Rows: []string{"proxy-int-443"}})
		}
		out = append(out, pub)
	}
	return out
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (p *Plan) proxy() *Document {
	d := &Document{
		Title:   "Reverse proxies",
		Columns: columns("proxy", "names", "path", "from_port", "pool", "to_address", "to_port", "row", "notes"),
		Notes: []string{
			"The host name of the request stays as it is. The certificate of the proxy carries every published name.",
			"Mobile clients inside use the names outside too, so the proxy must be reachable from inside.",
			"Clients wait for events in requests that last: do not end a silent request before 16 minutes.",
		},
	}
	for _, x := range p.Publications() {
		for _, r := range x.Rules {
			to := Party{Hosts: r.Targets}.Addresses()
			row := func(from, port uint16, id, note string) {
				d.add(x.Proxy, strings.Join(r.Names, ", "), "/*", from, r.Pool, to, port, id, note)
			}
			row(443, r.HTTPS, r.Rows[0], "")
			if r.HTTP != 0 {
				row(80, r.HTTP, r.Rows[1], "optional: first discovery of some mobile clients, or redirect to HTTPS")
			}
		}
	}
	return d
}
