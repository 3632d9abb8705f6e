package node_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/internal/cert"
	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/autodiscover"
	"parley/internal/service/registrar"
	"parley/internal/service/web"
	"parley/internal/service/webclient"
	"parley/internal/topology"
)

var webSpecs = []service.Spec{autodiscover.Spec, webclient.Spec, web.Spec, registrar.Spec}

// visitor asks a site of n with a client of its own, which keeps its connection.
type visitor struct {
	t *testing.T
	c *http.Client
}

func newVisitor(t *testing.T, conf *tls.Config) *visitor {
	tr := &http.Transport{TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	return &visitor{t, &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// get returns the response, and whether the connection was there before.
func (v *visitor) get(url string, header ...string) (resp *http.Response, body string, reused bool, err error) {
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(v.t.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
	}), "GET", url, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	if resp, err = v.c.Do(r); err != nil {
		return nil, "", reused, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), reused, err
}

// trusting trusts the CA of a data directory.
func trusting(t *testing.T, dir string) *tls.Config {
	t.Helper()
	own, err := cert.LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(own.Cert)
	return &tls.Config{RootCAs: roots, ServerName: nodetest.FQDN}
}

// A certificate is replaced while people are connected: who was there stays, who comes sees the new one.
func TestRenewedCertificate(t *testing.T) {
	dir := nodetest.Dir(t)
	n := nodetest.Start(t, dir, node.Options{Specs: webSpecs})
	url := "https://" + n.Addr(porttable.SrvFeWebcompat443).String() + "/client/"
	early := newVisitor(t, trusting(t, dir))
	first, _, _, err := early.get(url)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cert.LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	old := first.TLS.PeerCertificates[0]
	again := cert.Request{Subject: nodetest.FQDN, Names: old.DNSNames}
	if err := cert.IssueNode(dir, ca, again, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	late, _, _, err := newVisitor(t, trusting(t, dir)).get(url)
	if err != nil {
		t.Fatal(err)
	}
	if late.TLS.PeerCertificates[0].SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Error("a new connection sees the old certificate")
	}
	second, _, reused, err := early.get(url)
	if err != nil || !reused || second.StatusCode != 200 || second.TLS.PeerCertificates[0].SerialNumber.Cmp(old.SerialNumber) != 0 {
		t.Errorf("the old connection did not live on: %v, reused %t", err, reused)
	}
}

// The ports between servers open when they are wanted, and only for servers that certificate and topology name.
func TestWebBetweenServers(t *testing.T) {
	dir := nodetest.Dir(t)
	edit(t, dir, "listen", "enable", `["srv-fe-web-8060", "srv-fe-web-8061"]`)
	n := nodetest.Start(t, dir, node.Options{Specs: webSpecs})
	own, err := cert.LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := cert.NewCA("Somebody else's CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{porttable.SrvFeWeb8060, porttable.SrvFeWeb8061} {
		url := "https://" + n.Addr(row).String() + "/client/"
		if _, _, _, err := newVisitor(t, trusting(t, dir)).get(url); err == nil {
			t.Errorf("%s: served without a certificate", row)
		}
		for name, c := range map[string]struct {
			ca *cert.CA
			as string
			ok bool
		}{
			"another CA": {stranger, nodetest.FQDN, false}, "not in the topology": {own, "unknown.example.test", false}, "server": {own, nodetest.FQDN, true},
		} {
			conf := trusting(t, dir)
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return issue(t, c.ca, c.as), nil }
			resp, _, _, err := newVisitor(t, conf).get(url)
			if (err == nil) != c.ok || c.ok && resp.StatusCode != 404 {
				t.Errorf("%s, %s: %v", row, name, err)
			}
		}
	}
	if closed := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: webSpecs}); strings.Contains(listening(closed), "806") {
		t.Error("open without being wanted:", listening(closed))
	}
}

func listening(n *nodetest.Node) string {
	var rows []string
	for _, l := range n.Status().Listeners {
		rows = append(rows, l.Row)
	}
	return strings.Join(rows, " ")
}

func issue(t *testing.T, ca *cert.CA, name string) *tls.Certificate {
	t.Helper()
	key, err := cert.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue(cert.Request{Subject: name, Names: []string{name}}, key.Public(), time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

func TestSimpleURLs(t *testing.T) {
	dir := nodetest.Dir(t)
	topo, err := topology.Load(filepath.Join(dir, topology.FileName))
	if err != nil {
		t.Fatal(err)
	}
	next := topo.Topology()
	next.SimpleURLs = topology.SimpleURLs{
		Meet:   map[topology.FQDN]topology.URL{nodetest.Domain: {Host: "meet.example.test"}},
		DialIn: topology.URL{Host: "pages.example.test", Path: "/dialin"},
	}
	if err := node.WriteFile(filepath.Join(dir, topology.FileName), topology.Format(next)); err != nil {
		t.Fatal(err)
	}
	n := nodetest.Start(t, dir, node.Options{Specs: webSpecs})
	v := newVisitor(t, trusting(t, dir))
	url := "https://" + n.Addr(porttable.SrvFeWebcompat443).String()
	const page = "text/html,*/*;q=0.8"
	for _, row := range []struct {
		host, path, language string
		code                 int
		says                 string
	}{
		{"meet.example.test", "/", "en", 404, "There are no meetings"},
		{"meet.example.test", "/alice/ABC123", "ko-KR,ko;q=0.9", 404, "회의가 없습니다"},
		{"meet.example.test", "/client/", "en", 200, "js/main.js"},
		{"pages.example.test", "/DialIn", "en", 404, "no dial-in"},
		{"pages.example.test", "/dialing", "en", 404, "404 page"},
		{nodetest.FQDN, "/", "en", 302, ""},
	} {
		resp, body, _, err := v.get(url+row.path, "Host", row.host, "Accept", page, "Accept-Language", row.language)
		if err != nil || resp.StatusCode != row.code || !strings.Contains(body, row.says) {
			t.Errorf("%s%s: %v %v %s", row.host, row.path, err, resp, body)
		}
	}
	if resp, body, _, err := v.get(url+"/", "Host", "meet.example.test"); err != nil || resp.StatusCode != 200 || !strings.Contains(body, "_links") {
		t.Errorf("Autodiscover under the name of meetings: %v %s", err, body)
	}
}

func TestACMESection(t *testing.T) {
	for name, row := range map[string]struct {
		s  node.ACME
		ok bool
	}{
		"off":            {node.ACME{}, true},
		"on":             {node.ACME{Directory: "https://acme.example.test/directory", Contact: "postmaster@example.test", Names: []string{"web.example.test"}}, true},
		"in clear":       {node.ACME{Directory: "http://acme.example.test/directory"}, false},
		"no mail":        {node.ACME{Contact: "postmaster"}, false},
		"no name":        {node.ACME{Names: []string{"*.example.test/x"}}, false},
		"half a binding": {node.ACME{KeyID: "k"}, false},
		"a binding":      {node.ACME{KeyID: "k", Key: config.NewSecret("c2VjcmV0")}, true},
		"no base64":      {node.ACME{KeyID: "k", Key: config.NewSecret("!")}, false},
	} {
		if err := row.s.Validate(); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
