// Package cisco writes access lists for Cisco ASA (9.x): one file for each router between zones. The statements
// follow the documented grammar; they were never loaded on a device.
package cisco

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"parley/internal/plan"
)

// Firewall writes the access lists. Interfaces are called as the zones are; each list is bound to the interface
// through which its packets arrive.
func Firewall(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, fw := range p.Routers() {
		var b strings.Builder
		fmt.Fprintf(&b, "! %s. Written by parley plan firewall.\n! Interfaces must be named (nameif) as the zones are.\n", plan.Remark(fw.Title, 150))
		for _, m := range fw.Missing {
			fmt.Fprintf(&b, "! MISSING, no address in the topology: %s\n", plan.Remark(m, 200))
		}
		groups := map[string]bool{}
		object := func(networks []netip.Prefix) string {
			switch len(networks) {
			case 0:
				return "any"
			case 1:
				return network(networks[0])
			}
			text := fmt.Sprint(networks)
			name := fmt.Sprintf("PARLEY-%X", sha256.Sum256([]byte(text)))[:15]
			if !groups[name] {
				groups[name] = true
				fmt.Fprintf(&b, "object-group network %s\n", name)
				for _, n := range networks {
					if n.IsSingleIP() {
						fmt.Fprintf(&b, " network-object host %s\n", n.Addr())
					} else if n.Addr().Is4() {
						fmt.Fprintf(&b, " network-object %s %s\n", n.Addr(), mask(n))
					} else {
						fmt.Fprintf(&b, " network-object %s\n", n)
					}
				}
			}
			return "object-group " + name
		}
		var lists []string
		var body strings.Builder
		for _, r := range fw.Rules {
			list := plan.Identifier(r.FromZone, "-") + "-in"
			if !slices.Contains(lists, list) {
				lists = append(lists, list)
			}
			ports := fmt.Sprintf("eq %d", r.Ports.First)
			if r.Ports.First != r.Ports.Last {
				ports = fmt.Sprintf("range %d %d", r.Ports.First, r.Ports.Last)
			}
			fmt.Fprintf(&body, "access-list %s remark %s\n", list, plan.Remark(r.Label(90), 100))
			v4, v6 := r.Families()
			if v4 != nil && v6 != nil && len(r.Sources) == 0 && len(r.Destinations) == 0 {
				v6 = nil
			}
			for _, f := range []*plan.Rule{v4, v6} {
				if f != nil {
					fmt.Fprintf(&body, "access-list %s extended permit %s %s %s %s\n", list, f.Transport, object(f.Sources), object(f.Destinations), ports)
				}
			}
		}
		b.WriteString(body.String())
		for _, l := range lists {
			fmt.Fprintf(&b, "access-list %s remark everything else\naccess-list %s extended deny ip any any log\n", l, l)
		}
		for _, l := range lists {
			fmt.Fprintf(&b, "access-group %s in interface %s\n", l, strings.TrimSuffix(l, "-in"))
		}
		out = append(out, plan.File{Name: fw.Name + ".asa", Data: []byte(b.String())})
	}
	return out, nil
}

func network(n netip.Prefix) string {
	switch {
	case n.IsSingleIP():
		return "host " + n.Addr().String()
	case n.Addr().Is4():
		return n.Addr().String() + " " + mask(n)
	}
	return n.String()
}

// mask is the netmask of an IPv4 network.
func mask(n netip.Prefix) string {
	m := ^uint32(0) << (32 - n.Bits())
	if n.Bits() == 0 {
		m = 0
	}
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}
