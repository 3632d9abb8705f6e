// Package cloud writes security groups for machines that run at a cloud provider, as Terraform configurations in
// JSON: AWS security groups and Azure network security groups. They were checked against the documented arguments of
// the resources and never applied.
package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"parley/internal/plan"
)

type object = map[string]any

func encode(name string, v any) (plan.File, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return plan.File{Name: name, Data: b.Bytes()}, err
}

// AWS writes a security group for each machine of the product, with a rule for each network that may reach it. Groups
// keep state, so that answers need no rule; what a machine sends is not restricted.
func AWS(p *plan.Plan) ([]plan.File, error) {
	groups, rules, egress := object{}, object{}, object{}
	for _, fw := range p.HostFirewalls() {
		name := plan.Identifier(fw.Name, "_")
		groups[name] = object{
			"name": fw.Name, "description": "Parley " + fw.Title, "vpc_id": "${var.vpc_id}",
			"tags": object{"Name": fw.Name},
		}
		egress[name] = object{"security_group_id": "${aws_security_group." + name + ".id}", "ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0",
			"description": "everything out"}
		for _, r := range fw.Rules {
			if r.Local {
				continue // never leaves the machine
			}
			sources := r.Sources
			if len(sources) == 0 {
				sources = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
				if _, v6 := r.Families(); v6 != nil && len(r.Destinations) > 0 {
					sources = append(sources, netip.MustParsePrefix("::/0"))
				}
			}
			for i, s := range sources {
				rule := object{
					"security_group_id": "${aws_security_group." + name + ".id}",
					"description":       plan.Remark(strings.Join(r.Rows, " "), 200),
					"ip_protocol":       r.Transport, "from_port": r.Ports.First, "to_port": r.Ports.Last,
				}
				if s.Addr().Is4() {
					rule["cidr_ipv4"] = s.String()
				} else {
					rule["cidr_ipv6"] = s.String()
				}
				rules[fmt.Sprintf("%s_%s_%d", name, r.ID, i+1)] = rule
			}
		}
	}
	f, err := encode("aws-security-groups.tf.json", object{
		"variable": object{"vpc_id": object{"type": "string", "description": "VPC of the machines"}},
		"resource": object{"aws_security_group": groups, "aws_vpc_security_group_ingress_rule": rules, "aws_vpc_security_group_egress_rule": egress},
	})
	return []plan.File{f}, err
}

// Azure writes a network security group for each machine of the product. The last rule denies what none before it
// allows, also what the built-in rules would let through inside a virtual network.
func Azure(p *plan.Plan) ([]plan.File, error) {
	groups := object{}
	for _, fw := range p.HostFirewalls() {
		rules := []object{}
		priority := 100
		for _, r := range fw.Rules {
			if r.Local {
				continue
			}
			v4, v6 := r.Families()
			if len(r.Sources) == 0 && len(r.Destinations) == 0 {
				v6 = nil // any address of either kind
			}
			for _, f := range []*plan.Rule{v4, v6} {
				if f == nil {
					continue
				}
				rule := object{
					"name": fmt.Sprintf("%s-%d", plan.Identifier(r.ID+"-"+r.Rows[0], "-"), priority), "description": plan.Remark(strings.Join(r.Rows, " "), 140),
					"priority": priority, "direction": "Inbound", "access": "Allow", "protocol": title(r.Transport),
					"source_port_range": "*", "destination_port_range": r.Ports.String(),
					"source_port_ranges": nil, "destination_port_ranges": nil,
					"source_application_security_group_ids": nil, "destination_application_security_group_ids": nil,
				}
				prefixes(rule, "source", f.Sources)
				prefixes(rule, "destination", f.Destinations)
				rules = append(rules, rule)
				priority++
			}
		}
		deny := object{
			"name": "everything-else", "description": "Deny what no rule allows.", "priority": 4096, "direction": "Inbound", "access": "Deny",
			"protocol": "*", "source_port_range": "*", "destination_port_range": "*", "source_port_ranges": nil, "destination_port_ranges": nil,
			"source_application_security_group_ids": nil, "destination_application_security_group_ids": nil,
		}
		prefixes(deny, "source", nil)
		prefixes(deny, "destination", nil)
		rules = append(rules, deny)
		groups[plan.Identifier(fw.Name, "_")] = object{
			"name": fw.Name, "location": "${var.location}", "resource_group_name": "${var.resource_group}", "security_rule": rules,
		}
	}
	f, err := encode("azure-security-groups.tf.json", object{
		"variable": object{
			"location":       object{"type": "string", "description": "Region of the machines"},
			"resource_group": object{"type": "string", "description": "Resource group of the machines"},
		},
		"resource": object{"azurerm_network_security_group": groups},
	})
	return []plan.File{f}, err
}

func title(transport string) string { return strings.ToUpper(transport[:1]) + transport[1:] }

// prefixes sets the two arguments of a side: either the one or the list must be null.
func prefixes(rule object, side string, networks []netip.Prefix) {
	rule[side+"_address_prefix"], rule[side+"_address_prefixes"] = nil, nil
	if len(networks) == 0 {
		rule[side+"_address_prefix"] = "*"
		return
	}
	words := make([]string, len(networks))
	for i, n := range networks {
		words[i] = n.String()
	}
	rule[side+"_address_prefixes"] = words
}
