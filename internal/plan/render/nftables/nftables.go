// Package nftables writes rule sets for nft(8): one file for each router between zones and one for each machine
// of the product, and files that mark packets. A file replaces its own tables and touches nothing else, so that it
// can be loaded again after a change.
package nftables

import (
	"fmt"
	"net/netip"
	"strings"

	"parley/internal/plan"
)

// maxComment is the longest comment that the kernel keeps with a rule.
const maxComment = 127

// Firewall writes the routers and host firewalls.
func Firewall(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, fw := range p.Routers() {
		out = append(out, plan.File{Name: fw.Name + ".nft", Data: Router(fw)})
	}
	for _, fw := range p.HostFirewalls() {
		out = append(out, plan.File{Name: fw.Name + ".nft", Data: Host(fw)})
	}
	return out, nil
}

// Router is the rule set of a router between zones. It drops what no rule names.
func Router(fw *plan.Firewall) []byte {
	var b strings.Builder
	head(&b, fw)
	b.WriteString(`table inet parley
delete table inet parley

table inet parley {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
		icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
`)
	rules(&b, fw.Rules)
	b.WriteString("\t\tcounter comment \"everything else\"\n\t}\n}\n")
	translate(&b, fw.Translate)
	return []byte(b.String())
}

// Host is the rule set of a machine. What it sends is not filtered.
func Host(fw *plan.Firewall) []byte {
	var b strings.Builder
	head(&b, fw)
	b.WriteString(`table inet parley
delete table inet parley

table inet parley {
	chain input {
		type filter hook input priority filter; policy drop;
`)
	for _, r := range fw.Rules {
		if r.Local {
			fmt.Fprintf(&b, "\t\tiifname \"lo\" %s dport %s counter accept comment \"%s\"\n", r.Transport, r.Ports, r.Label(maxComment))
		}
	}
	b.WriteString(`		iifname "lo" accept
		ct state established,related accept
		ct state invalid drop
		icmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request } accept
		icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
`)
	rules(&b, fw.Rules)
	b.WriteString("\t\tcounter comment \"everything else\"\n\t}\n}\n")
	return []byte(b.String())
}

func head(b *strings.Builder, fw *plan.Firewall) {
	fmt.Fprintf(b, "#!/usr/sbin/nft -f\n# %s. Written by parley plan firewall; the comment of a rule names the rows of the port plan.\n", plan.Remark(fw.Title, 200))
	for _, m := range fw.Missing {
		fmt.Fprintf(b, "# MISSING, no address in the topology: %s\n", plan.Remark(m, 200))
	}
	b.WriteByte('\n')
}

func rules(b *strings.Builder, all []plan.Rule) {
	for _, r := range all {
		if r.Local {
			continue
		}
		fmt.Fprintf(b, "\n\t\t# %s %s: %s to %s\n", r.ID, strings.Join(r.Rows, " "), plan.Remark(r.From, 120), plan.Remark(r.To, 120))
		v4, v6 := r.Families()
		switch {
		case len(r.Sources) == 0 && len(r.Destinations) == 0:
			rule(b, "", r)
		default:
			if v4 != nil {
				rule(b, "ip", *v4)
			}
			if v6 != nil {
				rule(b, "ip6", *v6)
			}
		}
	}
}

func rule(b *strings.Builder, family string, r plan.Rule) {
	b.WriteString("\t\t")
	for _, m := range []struct {
		key      string
		networks []netip.Prefix
	}{{"saddr", r.Sources}, {"daddr", r.Destinations}} {
		if len(m.networks) > 0 {
			fmt.Fprintf(b, "%s %s %s ", family, m.key, set(m.networks))
		}
	}
	fmt.Fprintf(b, "%s dport %s ct state new counter accept comment \"%s\"\n", r.Transport, r.Ports, r.Label(maxComment))
}

// set is an anonymous set, or the only member.
func set(networks []netip.Prefix) string {
	words := make([]string, len(networks))
	for i, n := range networks {
		if words[i] = n.String(); n.IsSingleIP() {
			words[i] = n.Addr().String()
		}
	}
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// translate adds the address translation of Edges: one to one, both ways, the source of what comes in kept.
func translate(b *strings.Builder, all []plan.Translation) {
	if len(all) == 0 {
		return
	}
	b.WriteString("\ntable ip parley_nat\ndelete table ip parley_nat\n\ntable ip parley_nat {\n")
	chain := func(name, hook, statement string, from, to func(plan.Translation) netip.Addr) {
		fmt.Fprintf(b, "\tchain %s {\n\t\ttype nat hook %s; policy accept;\n", name, hook)
		for _, t := range all {
			if t.Public.Is4() && t.Private.Is4() {
				fmt.Fprintf(b, "\t\t%s to %s comment \"%s\"\n", fmt.Sprintf(statement, from(t)), to(t), plan.Remark(t.Name, maxComment))
			}
		}
		b.WriteString("\t}\n")
	}
	public := func(t plan.Translation) netip.Addr { return t.Public }
	private := func(t plan.Translation) netip.Addr { return t.Private }
	chain("prerouting", "prerouting priority dstnat", "ip daddr %s dnat", public, private)
	// Edges reach each other by their public addresses too, which takes this router there and back.
	chain("postrouting", "postrouting priority srcnat", "ip saddr %s snat", private, public)
	b.WriteString("}\n")
}

// QoS writes the marks: a file for each pool, and one for each zone of clients.
func QoS(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, g := range plan.MarksByPlace(p.Marks()) {
		var b strings.Builder
		fmt.Fprintf(&b, "#!/usr/sbin/nft -f\n# Marks of packets that %s sends. Written by parley plan qos.\n\n", plan.Remark(g.Where, 120))
		b.WriteString(`table inet parley_qos
delete table inet parley_qos

table inet parley_qos {
	chain postrouting {
		type filter hook postrouting priority mangle; policy accept;
`)
		for _, m := range g.Marks {
			port := "sport"
			if m.Match == "destination" {
				port = "dport"
			}
			for _, t := range m.Transport {
				for _, family := range []string{"ip", "ip6"} {
					// The first match decides: with the default ranges application sharing overlaps audio and video.
					fmt.Fprintf(&b, "\t\tmeta nfproto %s %s %s %s %s dscp set %d accept comment \"%s %s\"\n",
						map[string]string{"ip": "ipv4", "ip6": "ipv6"}[family], t, port, m.Ports, family, m.DSCP, m.Row, m.Medium)
				}
			}
		}
		b.WriteString("\t}\n}\n")
		out = append(out, plan.File{Name: g.File + ".nft", Data: []byte(b.String())})
	}
	return out, nil
}
