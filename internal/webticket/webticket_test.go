package webticket

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"crypto/hmac"
	"crypto/sha1"

	"parley/internal/xmldoc"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// Examples of the recommendation (section 2.2, 4) and cases of its rules.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`<a:x xmlns:a="urn:a" xmlns:b="urn:b"><T z="1" a="2"/></a:x>`:                           `<T a="2" z="1"></T>`,
		`<a:x xmlns:a="urn:a" xmlns:b="urn:b"><b:T xmlns:c="urn:c"/></a:x>`:                     `<b:T xmlns:b="urn:b"></b:T>`,
		`<x xmlns="urn:d"><T><u xmlns="urn:d"/><v xmlns=""><w/></v></T></x>`:                    `<T xmlns="urn:d"><u></u><v xmlns=""><w></w></v></T>`,
		`<x xmlns:p="urn:1"><T p:k="&lt;&quot;&#9;'" >a &amp; b&gt;<!-- c -->]</T></x>`:         `<T xmlns:p="urn:1" p:k="&lt;&quot;&#x9;'">a &amp; b&gt;]</T>`,
		`<x xmlns:p="urn:2" xmlns:q="urn:1"><T p:a="1" q:b="2" c="3"/></x>`:                     `<T xmlns:p="urn:2" xmlns:q="urn:1" c="3" q:b="2" p:a="1"></T>`,
		`<x><T xmlns:p="urn:1"><p:a><p:b xmlns:p="urn:1"/><p:c xmlns:p="urn:2"/></p:a></T></x>`: `<T><p:a xmlns:p="urn:1"><p:b></p:b><p:c xmlns:p="urn:2"></p:c></p:a></T>`,
	} {
		if _, got, err := canonical([]byte(in), "T"); err != nil || string(got) != want {
			t.Errorf("%s\n got %s\nwant %s (%v)", in, got, want, err)
		}
	}
}

// The vector for P_SHA1 is the SHA-1 half of the PRF of TLS; here its properties.
func TestProofKey(t *testing.T) {
	a, b := []byte("0123456789abcdef0123456789abcdef"), []byte("server")
	k := ProofKey(a, b)
	if len(k) != 32 || string(k) == string(ProofKey(a, []byte("other"))) || string(k[:16]) != string(ProofKey(a, b)[:16]) {
		t.Errorf("%x", k)
	}
}

const path = "/certprov/certprovisioningservice.svc/webticket_proof_sha1"

// call makes the envelope of a client with the ticket of an answer, in the way of the open client.
func call(t *testing.T, answer, entropy []byte) string {
	t.Helper()
	cut := func(from, to string) string {
		s := string(answer)
		i := strings.Index(s, from)
		j := strings.Index(s, to)
		if i < 0 || j < 0 {
			t.Fatalf("no %s in %s", from, s)
		}
		return s[i+len(from) : j]
	}
	e, err := xmldoc.Parse(answer, limits)
	if err != nil {
		t.Fatal(err)
	}
	server, err := base64.StdEncoding.DecodeString(Path(e, "Body", "RequestSecurityTokenResponseCollection", "RequestSecurityTokenResponse", "Entropy", "BinarySecret").Text())
	if err != nil {
		t.Fatal(err)
	}
	timestamp := `<wsu:Timestamp xmlns:wsu="` + utilNS + `" wsu:Id="timestamp">` + cut("<Lifetime>", "</Lifetime>") + `</wsu:Timestamp>`
	digest := sha1.Sum([]byte(timestamp))
	info := `<SignedInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><Reference URI="#timestamp"><DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</DigestValue></Reference></SignedInfo>`
	h := hmac.New(sha1.New, ProofKey(entropy, server))
	h.Write([]byte(info))
	return `<?xml version="1.0"?><soap:Envelope xmlns:soap="` + soapNS + `" xmlns:wsse="urn:wsse"><soap:Header><wsse:Security>` + timestamp +
		cut("<RequestedSecurityToken>", "</RequestedSecurityToken>") + `<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"> ` + info +
		` <SignatureValue>` + base64.StdEncoding.EncodeToString(h.Sum(nil)) + `</SignatureValue></Signature></wsse:Security></soap:Header><soap:Body><Do/></soap:Body></soap:Envelope>`
}

func TestTicketWithProof(t *testing.T) {
	i := New([]byte("secret"), "https://server.example.test")
	entropy := []byte("0123456789abcdef0123456789abcdef")
	r, err := ParseRequest([]byte(`<?xml version="1.0"?><soap:Envelope xmlns:soap="` + soapNS + `" xmlns:wst="` + trustNS + `" xmlns:wsa="urn:a" xmlns:auth="urn:b"><soap:Body><wst:RequestSecurityToken Context="c1">
 <wsp:AppliesTo xmlns:wsp="urn:p"><wsa:EndpointReference><wsa:Address>https://server.example.test:443/x</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>
 <wst:Claims><auth:ClaimType><auth:Value>sip:alice@example.test</auth:Value></auth:ClaimType></wst:Claims>
 <wst:Entropy><wst:BinarySecret>` + base64.StdEncoding.EncodeToString(entropy) + `</wst:BinarySecret></wst:Entropy></wst:RequestSecurityToken></soap:Body></soap:Envelope>`))
	if err != nil || r.Context != "c1" || r.AOR != "alice@example.test" || r.Address != "https://server.example.test:443/x" {
		t.Fatalf("%+v %v", r, err)
	}
	answer := i.AppendAnswer(nil, r, r.AOR, path, now, now.Add(time.Hour))
	good := call(t, answer, entropy)
	ticket, envelope, err := i.Proof([]byte(good), path, now)
	if err != nil || ticket.AOR != "alice@example.test" || Path(envelope, "Body", "Do") == nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		doc      string
		audience string
		at       time.Time
		want     error
	}{
		"late":            {good, path, now.Add(time.Hour), ErrExpired},
		"other service":   {good, "/abs", now, ErrAudience},
		"other key":       {call(t, answer, []byte("0123456789abcdef0123456789abcdeX")), path, now, ErrProof},
		"other timestamp": {strings.Replace(good, "03:04:05Z", "03:04:06Z", 1), path, now, ErrProof},
		"other id":        {strings.Replace(good, `SamlSecurityToken-`, `SamlSecurityToken-0`, 1), path, now, ErrInvalid},
		"no ticket":       {strings.Replace(strings.Replace(good, "<saml:Assertion", "<saml:X", 1), "</saml:Assertion", "</saml:X", 1), path, now, ErrNone},
		"no signature":    {strings.ReplaceAll(good, "SignatureValue", "Signature2"), path, now, ErrProof},
		"not in the info": {strings.Replace(good, `URI="#timestamp"`, `URI="#body"`, 1), path, now, ErrProof},
	} {
		if _, _, err := i.Proof([]byte(row.doc), row.audience, row.at); err != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := New([]byte("other"), "x").Proof([]byte(good), path, now); err != ErrInvalid {
		t.Errorf("of another pool: %v", err)
	}
}

func TestBearer(t *testing.T) {
	i := New([]byte("secret"), "x")
	a := i.Assertion(&Ticket{AOR: "alice@example.test", Audience: "/abs", Issued: now, Expires: now.Add(time.Hour)})
	r := httptest.NewRequest("GET", "/abs", nil)
	if _, err := i.Bearer(r, "/abs", now); err != ErrNone {
		t.Error(err)
	}
	r.Header.Set("X-MS-WebTicket", "opaque="+base64.StdEncoding.EncodeToString(a))
	if got, err := i.Bearer(r, "/ABS", now); err != nil || got.AOR != "alice@example.test" {
		t.Error(err)
	}
	r.Header.Set("X-MS-WebTicket", "opaque="+base64.StdEncoding.EncodeToString(a[1:]))
	if _, err := i.Bearer(r, "/abs", now); err != ErrInvalid {
		t.Error(err)
	}
}

func FuzzProof(f *testing.F) {
	i := New([]byte("secret"), "x")
	f.Add([]byte(`<a><Header><Security><Assertion xmlns="` + samlNS + `"/></Security></Header></a>`))
	f.Add([]byte(`<T xmlns:a="b" a:c="d">&amp;<!-- x --><U/></T>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if _, _, err := i.Proof(doc, "/abs", now); err == nil {
			t.Error("accepted a ticket that was never issued")
		}
		if _, err := xmldoc.Parse(doc, limits); err != nil {
			return
		}
		// The canonical form is well-formed, and its own canonical form.
		if _, canon, err := canonical(doc, "T"); err == nil {
			_, again, err := canonical(canon, "T")
			if err != nil || string(again) != string(canon) {
				t.Errorf("%s\nbecame %s (%v)", canon, again, err)
			}
		}
	})
}
