// Package windows writes PowerShell scripts for Windows: firewall rules, IPsec exceptions, marks and DNS records.
// The scripts follow the documented parameters of the cmdlets; they were never run on Windows.
package windows

import (
	"fmt"
	"net/netip"
	"strings"

	"parley/internal/plan"
)

// quote makes a PowerShell string that expands nothing.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func header(b *strings.Builder, title string) {
	fmt.Fprintf(b, "# %s. Written by parley plan; run as administrator.\n#Requires -RunAsAdministrator\n$ErrorActionPreference = 'Stop'\n", plan.Remark(title, 200))
}

// list is an array of strings.
func list(items []string) string {
	for i, s := range items {
		items[i] = quote(s)
	}
	return "@(" + strings.Join(items, ", ") + ")"
}

func addresses(networks []netip.Prefix) string {
	if len(networks) == 0 {
		return "'Any'"
	}
	words := make([]string, len(networks))
	for i, n := range networks {
		if words[i] = n.String(); n.IsSingleIP() {
			words[i] = n.Addr().String()
		}
	}
	return list(words)
}

// Firewall writes a script for each machine of the product: it removes the rules of an earlier run and adds those
// of the plan. It does not change what the firewall does with everything else.
func Firewall(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, fw := range p.HostFirewalls() {
		var b strings.Builder
		header(&b, "Firewall of "+fw.Title)
		for _, m := range fw.Missing {
			fmt.Fprintf(&b, "# MISSING, no address in the topology: %s\n", plan.Remark(m, 200))
		}
		b.WriteString("Get-NetFirewallRule -Group 'Parley' -ErrorAction SilentlyContinue | Remove-NetFirewallRule\n")
		for _, r := range fw.Rules {
			local, remote := addresses(r.Destinations), addresses(r.Sources)
			if r.Local {
				local, remote = "'Any'", "@('127.0.0.1', '::1')"
			}
			fmt.Fprintf(&b, "New-NetFirewallRule -Name %s -DisplayName %s -Description %s -Group 'Parley' -Direction Inbound -Action Allow -Profile Any -Protocol %s -LocalPort %s -LocalAddress %s -RemoteAddress %s | Out-Null\n",
				quote("Parley-"+r.ID), quote(fmt.Sprintf("Parley %s %s %s", r.Rows[0], r.Transport, r.Ports)),
				quote(strings.Join(r.Rows, " ")+": "+plan.Remark(r.Note, 200)), strings.ToUpper(r.Transport), quote(r.Ports.String()), local, remote)
		}
		out = append(out, plan.File{Name: fw.Name + ".ps1", Data: []byte(b.String())})
	}
	return out, nil
}

// IPsec writes the exceptions: one script for each group of machines that they concern.
func IPsec(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, g := range plan.ExceptionsByPlace(p.Exceptions()) {
		var b strings.Builder
		header(&b, "IPsec exceptions of "+g.Where)
		b.WriteString("Get-NetIPsecRule -Group 'Parley' -ErrorAction SilentlyContinue | Remove-NetIPsecRule\n")
		for _, x := range g.Exceptions {
			for _, t := range x.Transports {
				for i, ports := range x.LocalPorts() {
					name := fmt.Sprintf("Parley-%s-%s", x.Row, t)
					if i > 0 {
						name += fmt.Sprint("-", i+1)
					}
					local := "'Any'"
					if ports != (plan.Range{}) {
						local = quote(ports.String())
					}
					fmt.Fprintf(&b, "New-NetIPsecRule -Name %s -DisplayName %s -Description %s -Group 'Parley' -Profile Any -InboundSecurity None -OutboundSecurity None -Protocol %s -LocalPort %s -LocalAddress %s -RemoteAddress 'Any' | Out-Null\n",
						quote(name), quote("Parley "+x.Rule+" "+t), quote(x.Row), strings.ToUpper(t), local, addresses(x.Local()))
				}
			}
		}
		out = append(out, plan.File{Name: g.File + ".ps1", Data: []byte(b.String())})
	}
	return out, nil
}

// QoS writes the marks: a script for each pool, and one for each zone of clients.
func QoS(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, g := range plan.MarksByPlace(p.Marks()) {
		var b strings.Builder
		header(&b, "Marks of packets that "+g.Where+" sends")
		b.WriteString("Get-NetQosPolicy -ErrorAction SilentlyContinue | Where-Object Name -like 'Parley-*' | Remove-NetQosPolicy -Confirm:$false\n")
		for _, m := range g.Marks {
			side := "Src"
			if m.Match == "destination" {
				side = "Dst"
			}
			for _, t := range m.Transport {
				fmt.Fprintf(&b, "New-NetQosPolicy -Name %s -NetworkProfile All -IPProtocolMatchCondition %s -IP%sPortStartMatchCondition %d -IP%sPortEndMatchCondition %d -DSCPAction %d | Out-Null # %s\n",
					quote("Parley-"+strings.ReplaceAll(m.Medium, " ", "-")+"-"+t), strings.ToUpper(t), side, m.Ports.First, side, m.Ports.Last, m.DSCP, m.Row)
			}
		}
		out = append(out, plan.File{Name: g.File + ".ps1", Data: []byte(b.String())})
	}
	return out, nil
}

// DNS writes a script for each view that adds zones and records. What exists is left alone.
func DNS(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, view := range plan.Views() {
		zones := p.Zones(view)
		if len(zones) == 0 {
			continue
		}
		var b strings.Builder
		header(&b, "DNS records, "+view)
		for _, z := range zones {
			fmt.Fprintf(&b, "\nif (-not (Get-DnsServerZone -Name %s -ErrorAction SilentlyContinue)) { Add-DnsServerPrimaryZone -Name %s -ZoneFile %s }\n",
				quote(z.Name), quote(z.Name), quote(z.Name+".dns"))
			for _, r := range z.Records {
				at := fmt.Sprintf("-ZoneName %s -Name %s", quote(z.Name), quote(z.Relative(r.Name)))
				switch r.Type {
				case "A":
					fmt.Fprintf(&b, "Add-DnsServerResourceRecordA %s -IPv4Address %s -ErrorAction SilentlyContinue\n", at, quote(r.Value))
				case "AAAA":
					fmt.Fprintf(&b, "Add-DnsServerResourceRecordAAAA %s -IPv6Address %s -ErrorAction SilentlyContinue\n", at, quote(r.Value))
				case "SRV":
					fmt.Fprintf(&b, "Add-DnsServerResourceRecord -Srv %s -DomainName %s -Priority 0 -Weight 0 -Port %d -ErrorAction SilentlyContinue\n", at, quote(r.Value+"."), r.Port)
				case "CNAME":
					fmt.Fprintf(&b, "Add-DnsServerResourceRecordCName %s -HostNameAlias %s -ErrorAction SilentlyContinue\n", at, quote(r.Value+"."))
				}
			}
		}
		out = append(out, plan.File{Name: "dns-" + view + ".ps1", Data: []byte(b.String())})
	}
	return out, nil
}
