package service

import "testing"

// TestPortRows shows how a listener answers for the rows that repeat it and for balancers before it.
func TestPortRows(t *testing.T) {
	rows := PortRows([]Spec{{Name: "core", Ports: []Port{
		{Row: "srv-fe-frontend-5061", Transport: TLS},
		{Row: "srv-med-5070-tcp", Transport: TLS},
		{Row: "ext-sip-udp-5060", Transport: UDP, Extension: "desk phones", Number: 5060},
	}}})
	got := map[string]string{}
	for _, r := range rows {
		got[r.ID] = r.State
	}
	for id, state := range map[string]string{
		"srv-fe-frontend-5061": Served, "hlb-fe-5061": Served, "hlb-dir-5061": NotYet, "srv-fe-frontend-444": NotYet,
		"srv-med-5070-tcp": Served, "srv-med-5070-mtls": Served, "srv-colmed-5070": Served, "hlb-med-5070": Served, "hlb-femed-5070": Served,
		"cli-sip-5061": ClientSide, "ext-sip-udp-5060": Served,
	} {
		if got[id] != state {
			t.Errorf("%s is %q, want %q", id, got[id], state)
		}
	}
}
