// Package strongswan writes the IPsec exceptions as passthrough connections of swanctl.conf(5): traffic that must
// not wait for a negotiation passes in the clear, whatever policy encrypts the rest.
package strongswan

import (
	"fmt"
	"net/netip"
	"strings"

	"parley/internal/plan"
)

// IPsec writes a file for each group of machines, to be included in swanctl.conf there.
func IPsec(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, g := range plan.ExceptionsByPlace(p.Exceptions()) {
		var b strings.Builder
		fmt.Fprintf(&b, "# IPsec exceptions of %s. Written by parley plan ipsec; belongs in /etc/swanctl/conf.d.\n", plan.Remark(g.Where, 120))
		b.WriteString("connections {\n    parley-exceptions {\n        # No peer: shunts only.\n        remote_addrs = 127.0.0.1\n        children {\n")
		for _, x := range g.Exceptions {
			for _, t := range x.Transports {
				for i, ports := range x.LocalPorts() {
					name := x.Row + "-" + t
					if i > 0 {
						name += fmt.Sprint("-", i+1)
					}
					fmt.Fprintf(&b, "            %s {\n                local_ts = %s\n                remote_ts = %s\n                mode = pass\n                start_action = trap\n            }\n",
						name, selectors(x.Local(), t, ports), selectors(nil, t, plan.Range{}))
				}
			}
		}
		b.WriteString("        }\n    }\n}\n")
		out = append(out, plan.File{Name: g.File + ".conf", Data: []byte(b.String())})
	}
	return out, nil
}

// selectors are traffic selectors: networks with a protocol and ports.
func selectors(networks []netip.Prefix, transport string, ports plan.Range) string {
	match := "[" + transport + "]"
	if ports != (plan.Range{}) {
		match = "[" + transport + "/" + ports.String() + "]"
	}
	words := []string{}
	for _, n := range networks {
		words = append(words, n.String()+match)
	}
	if len(words) == 0 {
		words = []string{"0.0.0.0/0" + match, "::/0" + match}
	}
	return strings.Join(words, ", ")
}
