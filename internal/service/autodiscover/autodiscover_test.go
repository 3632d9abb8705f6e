package autodiscover_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/autodiscover"
	"parley/internal/service/certprov"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, autodiscover.Spec) }

// site is the web site of a node.
type site struct {
	t      *testing.T
	n      *nodetest.Node
	client *http.Client
}

func start(t *testing.T) *site {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{certprov.Spec, autodiscover.Spec, web.Spec, registrar.Spec}})
	n.AddUsers("alice", "bob")
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &site{t, n, &http.Client{Transport: tr}}
}

func (s *site) do(method, row, path, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	scheme := "https"
	if row == porttable.SrvFeWebcompat80 || row == porttable.SrvFeWebcompat8080 {
		scheme = "http"
	}
	r, err := http.NewRequestWithContext(context.Background(), method, scheme+"://"+s.n.Addr(row).String()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(b)
}

const (
	wantXML  = "application/vnd.microsoft.rtc.autodiscover+xml;v=1"
	userPath = "/Autodiscover/AutodiscoverService.svc/root/user"
)

func TestRoot(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/?sipuri=alice@example.test", "/Autodiscover/AutodiscoverService.svc/root?sipuri=alice@example.test", "/autodiscover/autodiscoverservice.svc/root?originalDomain=example.test"} {
		resp, body := s.do("GET", porttable.SrvFeWebcompat443, path, "", "Accept", wantXML)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/vnd.microsoft.rtc.autodiscover+xml") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		e, err := xmldoc.Parse([]byte(body), xmldoc.Limits{})
		if err != nil || e.Attr("AccessLocation") != "Internal" {
			t.Fatalf("%v\n%s", err, body)
		}
		tokens := ""
		for l := range e.Kid("Root").Kids {
			tokens += l.Attr("token") + " "
			if !strings.HasPrefix(l.Attr("href"), "https://"+s.n.Addr(porttable.SrvFeWebcompat443).String()+"/Autodiscover/") {
				t.Errorf("href %s", l.Attr("href"))
			}
		}
		if tokens != "Domain User Self " {
			t.Errorf("%s: %s", path, tokens)
		}
	}
	t.Run("outside", func(t *testing.T) {
		if _, body := s.do("GET", porttable.SrvFeWeb4443, "/", "", "Accept", wantXML); !strings.Contains(body, `AccessLocation="External"`) {
			t.Error(body)
		}
	})
	t.Run("in clear only the way to TLS", func(t *testing.T) {
		for _, row := range []string{porttable.SrvFeWebcompat80, porttable.SrvFeWebcompat8080} {
			_, body := s.do("GET", row, "/?sipuri=alice@example.test", "", "Accept", wantXML)
			if strings.Count(body, "<Link") != 1 || !strings.Contains(body, `<Root><Link token="Redirect" href="https://`) {
				t.Error(body)
			}
		}
	})
	t.Run("JSON without a wish", func(t *testing.T) {
		resp, body := s.do("GET", porttable.SrvFeWebcompat443, "/", "")
		if resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"_links":{"self":{"href":`) {
			t.Error(body)
		}
	})
	t.Run("nothing else", func(t *testing.T) {
		if resp, _ := s.do("GET", porttable.SrvFeWebcompat443, "/other", ""); resp.StatusCode != 404 {
			t.Error(resp.Status)
		}
		if resp, _ := s.do("POST", porttable.SrvFeWebcompat443, "/", ""); resp.StatusCode != 405 {
			t.Error(resp.Status)
		}
	})
}

// ticket gets one for a path by password.
func (s *site) ticket(user, path string) (*http.Response, string) {
	s.t.Helper()
	url := "https://" + s.n.Addr(porttable.SrvFeWebcompat443).String() + path
	return s.do("POST", porttable.SrvFeWebcompat443, "/WebTicket/WebTicketService.svc",
		`<s:Envelope xmlns:s="urn:s"><s:Body><RequestSecurityToken Context="c"><AppliesTo><EndpointReference><Address>`+url+
			`</Address></EndpointReference></AppliesTo><Claims><ClaimType><Value>sip:alice@example.test</Value></ClaimType></Claims></RequestSecurityToken></s:Body></s:Envelope>`,
		"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+"@example.test:"+nodetest.Password)), "Content-Type", "text/xml")
}

func assertion(t *testing.T, body string) string {
	t.Helper()
	i, j := strings.Index(body, "<saml:Assertion"), strings.Index(body, "</saml:Assertion>")
	if i < 0 || j < 0 {
		t.Fatal(body)
	}
	return base64.StdEncoding.EncodeToString([]byte(body[i : j+len("</saml:Assertion>")]))
}

func TestUser(t *testing.T) {
	s := start(t)
	resp, _ := s.do("GET", porttable.SrvFeWebcompat443, userPath, "", "Accept", wantXML)
	if resp.StatusCode != 401 || resp.Header.Get("X-MS-WebTicketURL") != "https://"+s.n.Addr(porttable.SrvFeWebcompat443).String()+"/WebTicket/WebTicketService.svc" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	_, mex := s.do("GET", porttable.SrvFeWebcompat443, "/WebTicket/WebTicketService.svc/mex", "")
	if e, err := xmldoc.Parse([]byte(mex), xmldoc.Limits{}); err != nil || webticket.Path(e, "service", "port").Attr("name") != "WebTicketServiceWinNegotiate" {
		t.Fatal(err, mex)
	}
	_, body := s.ticket("alice", userPath)
	resp, body = s.do("GET", porttable.SrvFeWebcompat443, userPath, "", "Accept", wantXML, "X-MS-WebTicket", "opaque="+assertion(t, body))
	e, err := xmldoc.Parse([]byte(body), xmldoc.Limits{})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(err, resp.Status, body)
	}
	access := webticket.Path(e, "User", "SipClientInternalAccess")
	if access == nil || access.Attr("fqdn") != nodetest.FQDN || access.Attr("port") == "" {
		t.Errorf("%s", body)
	}
	t.Run("for another service", func(t *testing.T) {
		_, body := s.ticket("alice", "/abs")
		resp, _ := s.do("GET", porttable.SrvFeWebcompat443, userPath, "", "X-MS-WebTicket", "opaque="+assertion(t, body))
		if resp.StatusCode != 401 || resp.Header.Get("X-Ms-diagnostics") == "" {
			t.Error(resp.Status)
		}
	})
	t.Run("as somebody else", func(t *testing.T) {
		if resp, body := s.ticket("bob", userPath); resp.StatusCode != 500 || !strings.Contains(body, "does not match") {
			t.Error(resp.Status, body)
		}
	})
	t.Run("in clear", func(t *testing.T) {
		if resp, _ := s.do("GET", porttable.SrvFeWebcompat80, "/WebTicket/WebTicketService.svc/mex", ""); resp.StatusCode != 403 {
			t.Error(resp.Status)
		}
	})
}
