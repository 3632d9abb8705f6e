package render_test

import (
	"testing"

	"parley/internal/plan"
	"parley/internal/plan/render/bind"
	"parley/internal/plan/render/haproxy"
	"parley/internal/plan/render/nftables"
	"parley/internal/plan/render/panos"
	"parley/internal/plan/render/windows"
	"parley/internal/topology"
)

// BenchmarkLarge plans 80,000 users on twelve Front Ends with two Directors, eight Edges and twenty branches. "documents"
// is what one plan command does at most, from the text of the topology on; "files" also writes rules for every router
// and machine in several languages.
func BenchmarkLarge(b *testing.B) {
	documents := func(b *testing.B) *plan.Plan {
		s, err := topology.Load("../../../examples/large.toml")
		if err != nil {
			b.Fatal(err)
		}
		if topology.Failed(s.Validate()) {
			b.Fatal("the sample is wrong")
		}
		p := plan.Resolve(s)
		for _, kind := range plan.Kinds() {
			if _, err := p.Document(kind); err != nil {
				b.Fatal(err)
			}
		}
		return p
	}
	b.Run("documents", func(b *testing.B) {
		for b.Loop() {
			documents(b)
		}
	})
	b.Run("files", func(b *testing.B) {
		for b.Loop() {
			p := documents(b)
			for _, make := range []func(*plan.Plan) ([]plan.File, error){nftables.Firewall, nftables.QoS, windows.Firewall, windows.DNS, panos.Firewall, haproxy.Balancer, bind.DNS} {
				if _, err := make(p); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
