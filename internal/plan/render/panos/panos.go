// Package panos writes set commands for PAN-OS (9.1 or later): one file for each router between zones. The
// commands follow the documented grammar; they were never loaded on a device.
package panos

import (
	"fmt"
	"net/netip"
	"strings"

	"parley/internal/plan"
)

// maxName is the longest name of a rule or object.
const maxName = 63

// Firewall writes addresses, services and security rules. Zones are called as in the topology. Rules match ports and
// not applications, which the plan does not know.
func Firewall(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, fw := range p.Routers() {
		var b strings.Builder
		fmt.Fprintf(&b, "# %s. Written by parley plan firewall.\n", plan.Remark(fw.Title, 150))
		for _, m := range fw.Missing {
			fmt.Fprintf(&b, "# MISSING, no address in the topology: %s\n", plan.Remark(m, 200))
		}
		b.WriteString("configure\n")
		known := map[string]bool{}
		define := func(name, command string) string {
			if !known[name] {
				known[name] = true
				b.WriteString(command + "\n")
			}
			return name
		}
		addresses := func(networks []netip.Prefix) string {
			if len(networks) == 0 {
				return "any"
			}
			words := make([]string, len(networks))
			for i, n := range networks {
				name := "parley-" + plan.Identifier(strings.ReplaceAll(n.String(), ":", "."), "_")
				words[i] = define(name, fmt.Sprintf("set address %s ip-netmask %s", name, n))
			}
			return list(words)
		}
		var rules strings.Builder
		for _, r := range fw.Rules {
			service := fmt.Sprintf("parley-%s-%s", r.Transport, r.Ports)
			define(service, fmt.Sprintf("set service %s protocol %s port %s", service, r.Transport, r.Ports))
			name := "parley-" + strings.ReplaceAll(r.Label(maxName-len("parley-")), " ", "-")
			name = strings.ReplaceAll(name, "+", "and-")
			if len(name) > maxName {
				name = name[:maxName]
			}
			fmt.Fprintf(&rules, "set rulebase security rules %s from %s to %s source %s destination %s service %s application any action allow log-end yes description \"%s\"\n",
				name, zone(r.FromZone), zone(r.ToZone), addresses(r.Sources), addresses(r.Destinations), service, plan.Remark(strings.Join(r.Rows, " ")+": "+r.Note, 250))
		}
		b.WriteString(rules.String())
		fmt.Fprintf(&b, "set rulebase security rules parley-everything-else-%s from any to any source any destination any service any application any action deny log-end yes\n", plan.Identifier(fw.Near, "-"))
		out = append(out, plan.File{Name: fw.Name + ".panos", Data: []byte(b.String())})
	}
	return out, nil
}

func zone(name string) string { return plan.Identifier(name, "-") }

func list(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "[ " + strings.Join(words, " ") + " ]"
}
