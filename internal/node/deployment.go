package node

import (
	"crypto/x509"
	"time"

	"parley/internal/config"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/topology"
)

// Snapshot is part of adminapi.Control.
func (n *Node) Snapshot() *topology.Snapshot { return n.topo.Current() }

// Config is part of adminapi.Control.
func (n *Node) Config() []config.Value { return n.file.Load().Values() }

// Ports is part of adminapi.Control.
func (n *Node) Ports() []*service.PortRow {
	rows := service.PortRows(n.specs)
	byID := map[string]*service.PortRow{}
	for _, r := range rows {
		byID[r.ID] = r
	}
	for _, l := range n.listenerStatus() {
		if r := byID[l.Row]; r != nil {
			r.Listening = append(r.Listening, l.Transport+" "+l.Address)
		}
	}
	return rows
}

// Certificates is part of adminapi.Control.
func (n *Node) Certificates() []adminapi.Certificate {
	now := n.now()
	out := []adminapi.Certificate{certificate("node", n.certs.Leaf(), now, n.certs.RenewsItself())}
	for _, c := range n.certs.Others() {
		out = append(out, certificate("site", c, now, false))
	}
	for _, c := range n.certs.CACertificates() {
		out = append(out, certificate("ca", c, now, false))
	}
	if n.web != nil {
		out = append(out, certificate("users", n.web.UserCA.Cert, now, false))
	}
	return out
}

// soon is how long before its end somebody should look after a certificate that nobody renews. One that renews itself
// at two thirds of its life is looked after when the last tenth begins.
const soon = 30 * 24 * time.Hour

func certificate(use string, c *x509.Certificate, now time.Time, renewed bool) adminapi.Certificate {
	out := adminapi.Certificate{Use: use, Subject: c.Subject.CommonName, Names: c.DNSNames, Issuer: c.Issuer.CommonName,
		Serial: c.SerialNumber.Text(16), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Renewed: renewed, State: "good"}
	if out.Names == nil {
		out.Names = []string{}
	}
	for _, a := range c.IPAddresses {
		out.Names = append(out.Names, a.String())
	}
	left, limit := c.NotAfter.Sub(now), soon
	if renewed {
		limit = c.NotAfter.Sub(c.NotBefore) / 10
	}
	switch {
	case left <= 0:
		out.State = "expired"
	case left < limit:
		out.State = "soon"
	}
	return out
}
