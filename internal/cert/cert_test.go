package cert

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/topology"
)

var t0 = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// issued makes a certificate with names from a CA.
func issued(t testing.TB, ca *CA, names ...string) *x509.Certificate {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(Request{Names: names}, key.Public(), t0, NodeLife)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := NewCA("Test CA", t0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func pool(ca *CA) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Cert)
	return p
}

func enterprise(t testing.TB) *topology.Snapshot {
	t.Helper()
	s, err := topology.Load("../../examples/enterprise.toml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCA(t *testing.T) {
	ca := newCA(t)
	if !ca.Cert.IsCA || !ca.Cert.NotAfter.Equal(t0.Add(CALife)) {
		t.Errorf("CA certificate: %+v", ca.Cert)
	}
	dir := t.TempDir()
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"ca/ca.key": 0o600, "ca/ca.crt": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := ca.Save(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("saving over another CA: %v", err)
	}
	again, err := LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := issued(t, again, "a.example.test")
	if c.CheckSignatureFrom(ca.Cert) != nil || c.IsCA {
		t.Error("issued certificate does not belong to the CA, or is one itself")
	}
	if _, err := LoadCA(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no CA: %v", err)
	}
	other := newCA(t)
	if err := writeKey(filepath.Join(dir, "ca", "ca.key"), other.key); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(dir); err == nil {
		t.Error("a key that does not belong to the certificate was loaded")
	}
}

// TestIssuedNotBeyondCA checks that nothing outlives its issuer, which would fail verification anyway.
func TestIssuedNotBeyondCA(t *testing.T) {
	ca := newCA(t)
	key, _ := NewKey()
	c, err := ca.Issue(Request{Names: []string{"a.b"}}, key.Public(), t0.Add(CALife-time.Hour), NodeLife)
	if err != nil || c.NotAfter.After(ca.Cert.NotAfter) {
		t.Errorf("valid until %v, CA until %v, %v", c.NotAfter, ca.Cert.NotAfter, err)
	}
	if _, err := ca.Issue(Request{}, key.Public(), t0, NodeLife); err == nil {
		t.Error("a certificate without a name was issued")
	}
}

func TestCSR(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 60) + ".example.test"
	for _, names := range [][]string{{"pool.example.test", "sip.example.test"}, {long}} {
		text, err := NewCSR(key, Request{Names: names, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		r, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || r.CheckSignature() != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.DNSNames, names) || len(r.IPAddresses) != 1 || len(r.Subject.CommonName) > 64 {
			t.Errorf("request %v %v %q", r.DNSNames, r.IPAddresses, r.Subject.CommonName)
		}
	}
}

func TestNames(t *testing.T) {
	ca := newCA(t)
	if got := Names(issued(t, ca, "Pool.Example.Test", "*.example.test", "sip.example.test")); !slices.Equal(got, []string{"pool.example.test", "sip.example.test"}) {
		t.Errorf("got %v", got)
	}
	parse := func(c x509.Certificate) []string { return Names(&c) }
	if got := parse(x509.Certificate{URIs: uris(t, "sip:example.test", "sip:alice@example.test", "https://web.example.test", "sip:example.org;transport=tls")}); !slices.Equal(got, []string{"example.test", "example.org"}) {
		t.Errorf("URIs: %v", got)
	}
	c := x509.Certificate{}
	c.Subject.CommonName = "old.example.test"
	if got := parse(c); !slices.Equal(got, []string{"old.example.test"}) {
		t.Errorf("common name: %v", got)
	}
	c.DNSNames = []string{"new.example.test"}
	if got := parse(c); !slices.Equal(got, []string{"new.example.test"}) {
		t.Errorf("the common name counts beside alternative names: %v", got)
	}
}

func TestIdentify(t *testing.T) {
	ca, other, topo := newCA(t), newCA(t), enterprise(t)
	roots := pool(ca)
	one := func(c *x509.Certificate) []*x509.Certificate { return []*x509.Certificate{c} }
	p, err := Identify(one(issued(t, ca, "pool01.example.test", "fe02.example.test", "sip.example.test")), roots, topo, t0)
	if err != nil || p.Name != "fe02.example.test" || p.Pool != "pool01.example.test" || p.Kind != topology.PeerServer {
		t.Errorf("a Front End: %+v, %v", p, err)
	}
	if p, err := Identify(one(issued(t, ca, "pool01.example.test")), roots, topo, t0); err != nil || p.Name != "pool01.example.test" {
		t.Errorf("a pool: %+v, %v", p, err)
	}
	if p, err := Identify(one(issued(t, ca, "bot01.example.test")), roots, topo, t0); err != nil || p.Kind != topology.PeerApplication {
		t.Errorf("an application: %+v, %v", p, err)
	}
	if _, err := Identify(nil, roots, topo, t0); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("no certificate: %v", err)
	}
	var untrusted *UntrustedError
	if _, err := Identify(one(issued(t, other, "fe02.example.test")), roots, topo, t0); !errors.As(err, &untrusted) {
		t.Errorf("another CA: %v", err)
	}
	var invalid x509.CertificateInvalidError
	if _, err := Identify(one(issued(t, ca, "fe02.example.test")), roots, topo, t0.Add(2*NodeLife)); !errors.As(err, &untrusted) || !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("expired: %v", err)
	}
	var unknown *UnknownServerError
	if _, err := Identify(one(issued(t, ca, "fe99.example.test", "db01.example.test")), roots, topo, t0); !errors.As(err, &unknown) || len(unknown.Names) != 2 {
		t.Errorf("not in the topology: %v", err)
	}
	if _, err := Identify(one(issued(t, ca, "*.example.test")), roots, topo, t0); !errors.As(err, &unknown) {
		t.Errorf("a wildcard: %v", err)
	}
	var wrong *WrongServerError
	if _, err := IdentifyServer("fe01.example.test", one(issued(t, ca, "fe02.example.test")), roots, topo, t0); !errors.As(err, &wrong) {
		t.Errorf("another server than wanted: %v", err)
	}
	if _, err := IdentifyServer("FE02.example.test.", one(issued(t, ca, "fe02.example.test")), roots, topo, t0); err != nil {
		t.Errorf("the server that was wanted: %v", err)
	}
	// The CA's own certificate is no server.
	if _, err := Identify(one(ca.Cert), roots, topo, t0); err == nil {
		t.Error("the CA is taken for a server")
	}
}

func TestPlan(t *testing.T) {
	s := enterprise(t)
	machine := func(name topology.FQDN) *topology.Machine {
		m, ok := s.Machine(name)
		if !ok {
			t.Fatalf("no machine %s", name)
		}
		return m
	}
	for _, c := range []struct {
		machine topology.FQDN
		use     Use
		want    string
	}{
		{"fe02.example.test", UseDefault, "pool01 fe02 sip sip.example.org @ example.org"},
		{"fe02.example.test", UseInternalWeb, "pool01 web-int01 fe02 meet meet.example.org dialin admin lyncdiscoverinternal lyncdiscover lyncdiscoverinternal.example.org lyncdiscover.example.org"},
		{"fe02.example.test", UseExternalWeb, "pool01 web-ext01 meet meet.example.org dialin lyncdiscover lyncdiscover.example.org"},
		{"dir01.example.test", UseDefault, "dirpool dir01 sip sip.example.org @ example.org"},
		{"dir01.example.test", UseInternalWeb, "dir01 dir-int dirpool meet meet.example.org dialin admin lyncdiscoverinternal lyncdiscover lyncdiscoverinternal.example.org lyncdiscover.example.org"},
		{"med01.example.test", UseDefault, "medpool med01"},
		{"edge01.example.test", UseEdgeInternal, "edgepool edge01"},
		{"edge01.example.test", UseEdgeExternal, "access webcon sip sip.example.org xmpp *.example.test xmpp.example.org *.example.org"},
		{"sba.harbour.example.test", UseDefault, "sba.harbour sip sip.example.org"},
		{"proxy.example.test", UseProxy, "web-ext01 web-ext02 dir-ext meet meet.example.org dialin lyncdiscover lyncdiscover.example.org"},
		{"chat01.example.test", UseDefault, "chatpool chat01"},
		{"med01.example.test", UseInternalWeb, ""},
		{"db01.example.test", UseDefault, ""},
	} {
		var want []string
		for _, w := range strings.Fields(c.want) {
			switch {
			case w == "@":
				w = "example.test"
			case !strings.HasSuffix(w, ".example.org") && !strings.HasSuffix(w, ".test") && w != "example.org":
				w += ".example.test"
			}
			want = append(want, w)
		}
		if got := Plan(s, machine(c.machine), c.use).Names; !slices.Equal(got, want) {
			t.Errorf("%s %s\ngot  %v\nwant %v", c.machine, c.use, got, want)
		}
	}
	r := ForNode(s, machine("fe02.example.test"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("10.1.0.12"))
	if r.Subject != "pool01.example.test" || len(r.Addresses) != 2 || r.Addresses[1].String() != "192.0.2.1" || !slices.Contains(r.Names, "web-ext01.example.test") {
		t.Errorf("node: %+v", r)
	}
	if r := ForNode(s, machine("edge01.example.test")); slices.Contains(r.Names, "access.example.test") {
		t.Errorf("an Edge's internal certificate has external names: %v", r.Names)
	}
}
