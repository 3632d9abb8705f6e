package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley/internal/cert"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/test/phone"
)

// dialAs connects with a certificate of ca for name.
func dialAs(t *testing.T, n *nodetest.Node, ca *cert.CA, name string) *phone.Phone {
	t.Helper()
	key, err := cert.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(cert.Request{Subject: name, Names: []string{name}}, key.Public(), time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := cert.LoadCA(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(own.Cert)
	conf := &tls.Config{RootCAs: roots, ServerName: nodetest.FQDN,
		// Shown whoever the server asks for, as an intruder would.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, nil
		}}
	p, err := phone.Dial(t.Context(), phone.Account{User: "alice", Password: nodetest.Password, Domain: nodetest.Domain}, "tls",
		n.TLSAddr().String(), conf)
	if err != nil {
		return nil
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// options asks the server for what it can, and reports whether it answers.
func options(t *testing.T, p *phone.Phone) bool {
	t.Helper()
	if p == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := p.Final(ctx, p.Request("OPTIONS", "sip:"+nodetest.Domain, "sip:"+nodetest.Domain))
	if ctx.Err() != nil {
		t.Fatal("neither answered nor closed")
	}
	return err == nil && r.Code() == 200
}

func TestServersAreTrustedByCertificateAndTopologyTogether(t *testing.T) {
	dir := nodetest.Dir(t)
	n := nodetest.Start(t, dir, node.Options{})
	own, err := cert.LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := cert.NewCA("Somebody else's CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if options(t, dialAs(t, n, stranger, nodetest.FQDN)) {
		t.Error("a server with a certificate of another CA was served")
	}
	if options(t, dialAs(t, n, own, "unknown.example.test")) {
		t.Error("a server that is not in the topology was served")
	}
	if !options(t, dialAs(t, n, own, nodetest.FQDN)) {
		t.Error("a server of the topology was not served")
	}
	classes := map[string]int{}
	for _, f := range n.Flows() {
		classes[f.Class+" "+f.Identity]++
	}
	if len(classes) != 1 || !strings.HasPrefix(firstKey(classes), "member") {
		t.Errorf("flows: %v", classes)
	}

	// A phone shows none, and is a client of the same port.
	n.AddUsers("alice")
	if err := dial(t, n, "alice", "tls").Register(t.Context(), 600); err != nil {
		t.Error(err)
	}
}

func firstKey(m map[string]int) string {
	for k := range m {
		return k
	}
	return ""
}

func TestUnwritableAddressSaysWhatToDo(t *testing.T) {
	taken := nodetest.Start(t, nodetest.Dir(t), node.Options{})
	listen := nodetest.FreePorts(nil)
	listen["admin"] = netip.MustParseAddrPort(taken.Status().AdminHTTP)
	if _, err := nodetest.TryStart(t, nodetest.Dir(t), node.Options{Listen: listen}); err == nil || !strings.Contains(err.Error(), "choose another address with admin.listen") {
		t.Errorf("health address in use: %v", err)
	}
	listen = nodetest.FreePorts(nil)
	listen[rowB] = taken.TLSAddr()
	if _, err := nodetest.TryStart(t, nodetest.Dir(t), node.Options{Listen: listen}); err == nil || !strings.Contains(err.Error(), rowB) {
		t.Errorf("SIP address in use: %v", err)
	}
}
