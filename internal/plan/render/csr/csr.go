// Package csr writes certificate requests (RFC 2986) with their keys, one pair for each certificate of the plan.
package csr

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"parley/internal/cert"
	"parley/internal/plan"
)

// Requests makes a fresh key (ECDSA on P-256) and a request for each certificate. The members of an Edge pool share
// one. Each call makes other keys.
func Requests(p *plan.Plan) ([]plan.File, error) {
	var out []plan.File
	for _, c := range p.Certificates() {
		key, err := cert.NewKey()
		if err != nil {
			return nil, err
		}
		request, err := cert.NewCSR(key, c.Request)
		if err != nil {
			return nil, fmt.Errorf("request for %s, %s: %w", c.Machine, c.Use, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		name := string(c.Machine) + "-" + string(c.Use)
		out = append(out,
			plan.File{Name: name + ".csr", Data: request},
			plan.File{Name: name + ".key", Data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), Secret: true})
	}
	return out, nil
}
