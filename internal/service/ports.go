package service

import (
	"fmt"
	"slices"

	"parley/internal/porttable"
)

// The states of a row of the port plan.
const (
	Served     = "served"      // a service of this program listens on it, or stands behind the balancer
	ClientSide = "client side" // clients open it
	NotYet     = "not yet"     // nobody serves it in this version
)

// PortRow is a row of the port plan with its state, or a port beside the plan.
type PortRow struct {
	ID          string   `json:"id"`
	Table       string   `json:"table"`
	Role        string   `json:"role"`
	Service     string   `json:"service"`
	Port        string   `json:"port"`
	First       uint16   `json:"first,omitempty"`
	Last        uint16   `json:"last,omitempty"`
	Transports  []string `json:"transports"`
	TLS         []string `json:"tls"`
	Direction   []string `json:"direction"`
	Purpose     string   `json:"purpose"`
	DuplicateOf string   `json:"duplicate_of,omitempty"`
	State       string   `json:"state"`
	ServedBy    []string `json:"served_by"`           // services of this program
	Listening   []string `json:"listening,omitempty"` // addresses of the running node
}

// duringCalls are the ranges of which ports are open while a call needs them. No service has them: the proxy puts the
// media engine between the ends of a call, on every node that passes calls on.
var duringCalls = map[string]string{porttable.SrvInternalAudioRange: "media", porttable.SrvFeAvVideoRange: "media"}

// PortRows joins the port plan with what services declare. Ports beside the plan are at the end.
func PortRows(specs []Spec) []*PortRow {
	owners := map[string][]string{} // by row
	var extensions []*PortRow
	for id, name := range duringCalls {
		owners[id] = append(owners[id], name)
	}
	for _, s := range specs {
		for _, p := range s.Ports {
			owners[p.Row] = append(owners[p.Row], s.Name)
			if p.Extension != "" {
				extensions = append(extensions, extensionRow(s.Name, p))
			}
		}
	}
	var out []*PortRow
	for _, r := range porttable.All() {
		row := &PortRow{ID: r.ID, Table: string(r.Table), Role: string(r.Role), Service: r.ServiceText, Port: r.Ports,
			First: r.PortFirst, Last: r.PortLast, Transports: r.Transports.List(), TLS: r.TLS.List(), Direction: r.Direction.List(),
			Purpose: r.Purpose, DuplicateOf: r.DuplicateOf, State: NotYet, ServedBy: []string{}}
		for _, id := range sameListener(r) {
			for _, name := range owners[id] {
				if !slices.Contains(row.ServedBy, name) {
					row.ServedBy = append(row.ServedBy, name)
				}
			}
		}
		switch {
		case len(row.ServedBy) > 0:
			row.State = Served
		case r.Table == porttable.Client:
			row.State = ClientSide
		}
		out = append(out, row)
	}
	return append(out, extensions...)
}

func extensionRow(name string, p Port) *PortRow {
	transport := "tcp"
	if p.Transport.Network() == "udp" {
		transport = "udp"
	}
	mode := "none"
	if p.Transport == TLS || p.Transport == WSS {
		mode = "tls"
	}
	return &PortRow{ID: p.Row, Table: "extension", Role: "-", Service: name, Port: fmt.Sprint(p.Number), First: p.Number, Last: p.Number,
		Transports: []string{transport}, TLS: []string{mode}, Direction: []string{"inbound"}, Purpose: p.Extension, State: Served,
		ServedBy: []string{name}}
}

// sameListener lists the rows that speak of the same listener as r: the row itself, the row it repeats and
// those that repeat it, and for a load balancer the row of the servers behind it.
func sameListener(r porttable.Row) []string {
	ids := []string{r.ID}
	if r.DuplicateOf != "" {
		ids = append(ids, r.DuplicateOf)
	}
	behind := map[porttable.RoleID][]porttable.RoleID{
		porttable.RoleFrontEndLB:    {porttable.RoleFrontEnd},
		porttable.RoleFrontEndMedLB: {porttable.RoleFrontEndMediation},
		porttable.RoleDirectorLB:    {porttable.RoleDirector},
		porttable.RoleMediationLB:   {porttable.RoleMediation},
	}
	for _, o := range porttable.All() {
		if o.DuplicateOf == r.ID || r.DuplicateOf != "" && o.DuplicateOf == r.DuplicateOf {
			ids = append(ids, o.ID)
		}
		for _, role := range behind[r.Role] {
			if o.Table == porttable.Server && o.Role == role && o.PortFirst == r.PortFirst && o.Direction.Has(porttable.Inbound) {
				ids = append(ids, o.ID)
				if o.DuplicateOf != "" {
					ids = append(ids, o.DuplicateOf)
				}
			}
		}
	}
	return ids
}
