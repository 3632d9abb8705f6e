package certprov_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/service/certprov"
	"parley/internal/service/registrar"
	"parley/internal/service/servicetest"
	"parley/internal/service/web"
	"parley/internal/webticket"
	"parley/internal/xmldoc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestService(t *testing.T) { servicetest.Run(t, certprov.Spec) }

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func pkcs10(t testing.TB) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "whoever"}}, testKey())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

const device = "{8BC83D5C-0000-5000-8000-000000000001}"

func publish(device, entity, csr string) string {
	return `<GetAndPublishCert xmlns="http://schemas.microsoft.com/OCS/AuthWebServices/" DeviceId="` + device + `" Entity="` + entity + `"><RequestSecurityToken><BinarySecurityToken>` +
		csr + `</BinarySecurityToken></RequestSecurityToken></GetAndPublishCert>`
}

// client is a client of the web site of a node.
type client struct {
	t    *testing.T
	n    *nodetest.Node
	http *http.Client
}

func start(t *testing.T) *client {
	n := nodetest.Start(t, nodetest.Dir(t), node.Options{Specs: []service.Spec{certprov.Spec, web.Spec, registrar.Spec}})
	n.AddUsers("alice", "bob")
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t, n, &http.Client{Transport: tr}}
}

func (c *client) post(path, user, body string) (int, []byte) {
	c.t.Helper()
	url := "https://" + c.n.Addr(porttable.SrvFeWebcompat443).String() + path
	r, err := http.NewRequestWithContext(context.Background(), "POST", url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user+"@"+nodetest.Domain, nodetest.Password)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, b
}

const proofURL = certprov.URL + "/WebTicket_Proof_SHA1"

// signed gets a ticket for a user and wraps body in an envelope signed with it.
func (c *client) signed(user, body string) string {
	c.t.Helper()
	entropy := []byte("0123456789abcdef0123456789abcdef")
	code, b := c.post("/WebTicket/WebTicketService.svc", user, `<s:Envelope xmlns:s="urn:s"><s:Body><RequestSecurityToken><AppliesTo><EndpointReference><Address>https://x`+proofURL+
		`</Address></EndpointReference></AppliesTo><Entropy><BinarySecret>`+base64.StdEncoding.EncodeToString(entropy)+`</BinarySecret></Entropy></RequestSecurityToken></s:Body></s:Envelope>`)
	e, err := xmldoc.Parse(b, xmldoc.Limits{})
	if err != nil || code != 200 {
		c.t.Fatalf("%d %v %s", code, err, b)
	}
	secret := webticket.Path(e, "Body", "RequestSecurityTokenResponseCollection", "RequestSecurityTokenResponse", "Entropy", "BinarySecret")
	server, err := base64.StdEncoding.DecodeString(secret.Text())
	if err != nil {
		c.t.Fatal(err)
	}
	i, j := bytes.Index(b, []byte("<saml:Assertion")), bytes.Index(b, []byte("</RequestedSecurityToken>"))
	timestamp := `<Timestamp Id="timestamp"><Expires>` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `</Expires></Timestamp>`
	digest := sha1.Sum([]byte(timestamp))
	info := `<SignedInfo><Reference URI="#timestamp"><DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</DigestValue></Reference></SignedInfo>`
	h := hmac.New(sha1.New, webticket.ProofKey(entropy, server))
	h.Write([]byte(info))
	return `<s:Envelope xmlns:s="urn:s"><s:Header><Security>` + timestamp + string(b[i:j]) + `<Signature>` + info + `<SignatureValue>` +
		base64.StdEncoding.EncodeToString(h.Sum(nil)) + `</SignatureValue></Signature></Security></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`
}

func certificate(t *testing.T, answer []byte) *x509.Certificate {
	t.Helper()
	e, err := xmldoc.Parse(answer, xmldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	token := webticket.Path(e, "Body", "GetAndPublishCertResponse", "RequestSecurityTokenResponse", "RequestedSecurityToken", "BinarySecurityToken")
	if token == nil {
		t.Fatalf("%s", answer)
	}
	der, err := base64.StdEncoding.DecodeString(token.Text())
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPublish(t *testing.T) {
	c := start(t)
	code, b := c.post(proofURL, "", c.signed("alice", publish(device, "alice@example.test", pkcs10(t))))
	if code != 200 {
		t.Fatalf("%d %s", code, b)
	}
	got := certificate(t, b)
	if got.Subject.CommonName != "alice@example.test" || fmt.Sprint(got.URIs) != "[sip:alice@example.test urn:uuid:8bc83d5c-0000-5000-8000-000000000001]" ||
		time.Until(got.NotAfter) < 179*24*time.Hour || !got.PublicKey.(*rsa.PublicKey).Equal(testKey().Public()) {
		t.Errorf("%v %v %v", got.Subject, got.URIs, got.NotAfter)
	}
	if again := certificate(t, second(c)); again.SerialNumber.Cmp(got.SerialNumber) == 0 {
		t.Error("the same number twice")
	}
	for name, row := range map[string]struct {
		doc  string
		want string
	}{
		"no ticket":      {`<s:Envelope xmlns:s="urn:s"><s:Body>` + publish(device, "", pkcs10(t)) + `</s:Body></s:Envelope>`, "28020"},
		"no XML":         {"x", "28032"},
		"somebody else":  {c.signed("bob", publish(device, "alice@example.test", pkcs10(t))), "somebody else"},
		"no device":      {c.signed("alice", publish("{x}", "", pkcs10(t))), "DeviceId"},
		"no request":     {c.signed("alice", "<GetAndPublishCert/>"), "no request"},
		"no certificate": {c.signed("alice", publish(device, "", "AAAA")), "PKCS 10"},
	} {
		if code, b := c.post(proofURL, "", row.doc); code != 500 || !strings.Contains(string(b), row.want) {
			t.Errorf("%s: %d %s", name, code, b)
		}
	}
}

func second(c *client) []byte {
	_, b := c.post(proofURL, "", c.signed("alice", publish(device, "", pkcs10(c.t))))
	return b
}
