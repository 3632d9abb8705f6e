package node

import (
	"parley/internal/porttable"
	"parley/internal/topology"
)

// urlOf is service.Web.URL.
func (n *Node) urlOf(path string, external bool) string {
	base := n.webURL()
	if external {
		base = n.externalWebURL()
	}
	if base == "" || !n.front.Serves(path) {
		return ""
	}
	return base + path
}

// externalWebURL is how clients outside reach the web site, which is by the reverse proxy; empty when the topology
// has no name for that or the site is not open.
func (n *Node) externalWebURL() string {
	p, ok := n.topo.Current().Pool(topology.FQDN(n.pool()))
	if !ok || p.ExternalWeb == "" || n.portOf(porttable.SrvFeWeb4443) == 0 {
		return ""
	}
	return "https://" + string(p.ExternalWeb)
}
