// Package bind writes zone files (RFC 1035 section 5) for each view, internal and external.
package bind

import (
	"fmt"
	"strings"

	"parley/internal/plan"
	"parley/internal/topology"
)

// DNS writes a file for each zone of each view. The name servers are the DNS hosts of the topology; without one
// the zone names localhost, to be replaced by whoever loads it.
func DNS(p *plan.Plan) ([]plan.File, error) {
	server := "localhost."
	for _, h := range p.Topology.Topology().Hosts {
		if h.Kind == topology.DNSHost {
			server = string(h.FQDN) + "."
			break
		}
	}
	serial := max(1, p.Topology.Revision())
	var out []plan.File
	for _, view := range plan.Views() {
		for _, z := range p.Zones(view) {
			var b strings.Builder
			fmt.Fprintf(&b, "; Zone %s, %s view. Written by parley plan dns.\n$ORIGIN %s.\n$TTL 3600\n", z.Name, view, z.Name)
			ns := server
			if view == "external" {
				ns = "localhost." // name servers outside are not part of the topology
			}
			fmt.Fprintf(&b, "@\tIN\tSOA\t%s hostmaster.%s. ( %d 3600 600 1209600 600 )\n@\tIN\tNS\t%s\n", ns, z.Name, serial, ns)
			for _, r := range z.Records {
				value := r.Value
				switch r.Type {
				case "SRV":
					value = fmt.Sprintf("0 0 %d %s.", r.Port, r.Value)
				case "CNAME":
					value += "."
				}
				fmt.Fprintf(&b, "%s\tIN\t%s\t%s\t; %s\n", z.Relative(r.Name), r.Type, value, plan.Remark(r.Need+" "+r.Note, 120))
			}
			out = append(out, plan.File{Name: view + "/db." + z.Name, Data: []byte(b.String())})
		}
	}
	return out, nil
}
