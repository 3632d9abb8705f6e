package webticket

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"parley/internal/diag"
	"parley/internal/uc"
	"parley/internal/xmldoc"
)

// Path walks down by local names and returns nil when one is missing.
func Path(e *xmldoc.Element, names ...string) *xmldoc.Element {
	for _, n := range names {
		if e == nil {
			return nil
		}
		e = e.Kid(n)
	}
	return e
}

// Proof checks the ticket and the signature in the header of a SOAP envelope: who signed has the key of the ticket.
// audience is the path of the service.
func (i *Issuer) Proof(doc []byte, audience string, now time.Time) (*Ticket, *xmldoc.Element, error) {
	envelope, err := xmldoc.Parse(doc, limits)
	if err != nil {
		return nil, nil, err
	}
	security := Path(envelope, "Header", "Security")
	assertion := Path(security, "Assertion")
	if assertion == nil {
		return nil, nil, ErrNone
	}
	t, err := i.open(assertion, audience, now)
	if err != nil {
		return nil, nil, err
	}
	timestamp, signature := Path(security, "Timestamp"), Path(security, "Signature")
	info := Path(signature, "SignedInfo")
	reference := Path(info, "Reference")
	if timestamp == nil || reference == nil || len(t.Key) == 0 || reference.Attr("URI") != "#"+timestamp.AttrFold("Id") {
		return nil, nil, ErrProof
	}
	expires, err := time.Parse(time.RFC3339, timestamp.KidText("Expires"))
	if err != nil || !now.Before(expires) {
		return nil, nil, ErrExpired
	}
	digest, err1 := base64.StdEncoding.DecodeString(reference.KidText("DigestValue"))
	value, err2 := base64.StdEncoding.DecodeString(signature.KidText("SignatureValue"))
	raw, canon, err3 := canonical(doc, "Timestamp")
	rawInfo, canonInfo, err4 := canonical(doc, "SignedInfo")
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return nil, nil, ErrProof
	}
	sum := func(b []byte) []byte { s := sha1.Sum(b); return s[:] }
	mac := func(b []byte) []byte {
		h := hmac.New(sha1.New, t.Key)
		h.Write(b)
		return h.Sum(nil)
	}
	if !hmac.Equal(digest, sum(canon)) && !hmac.Equal(digest, sum(raw)) || !hmac.Equal(value, mac(canonInfo)) && !hmac.Equal(value, mac(rawInfo)) {
		return nil, nil, ErrProof
	}
	return t, envelope, nil
}

// Request is a request for a ticket (RequestSecurityToken of WS-Trust 1.3).
type Request struct {
	Context string // repeated in the answer
	Address string // URL of the service the ticket is for
	AOR     uc.AOR // whom the client wants to be, empty when it does not say
	Entropy []byte // the client's half of the key; nil for a ticket without
}

// ParseRequest reads the SOAP envelope of a request.
func ParseRequest(doc []byte) (*Request, error) {
	envelope, err := xmldoc.Parse(doc, limits)
	if err != nil {
		return nil, err
	}
	rst := Path(envelope, "Body", "RequestSecurityToken")
	address := Path(rst, "AppliesTo", "EndpointReference", "Address")
	if address == nil {
		return nil, ErrInvalid
	}
	r := &Request{Context: rst.Attr("Context"), Address: address.Text()}
	if claim := Path(rst, "Claims", "ClaimType", "Value"); claim != nil {
		if r.AOR, err = uc.ParseAOR(claim.Text()); err != nil {
			return nil, ErrInvalid
		}
	}
	if secret := Path(rst, "Entropy", "BinarySecret"); secret != nil {
		r.Entropy, err = base64.StdEncoding.DecodeString(secret.Text())
		if err != nil || len(r.Entropy) < 16 || len(r.Entropy) > 64 {
			return nil, ErrInvalid
		}
	}
	return r, nil
}

const (
	soapNS  = "http://schemas.xmlsoap.org/soap/envelope/"
	trustNS = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
	utilNS  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
)

// AppendAnswer appends the SOAP envelope that carries the ticket of a user for r. It ends at expires.
func (i *Issuer) AppendAnswer(dst []byte, r *Request, aor uc.AOR, audience string, now, expires time.Time) []byte {
	t := &Ticket{AOR: aor, Audience: audience, Issued: now, Expires: expires}
	var server [32]byte
	if r.Entropy != nil {
		rand.Read(server[:])
		t.Key = ProofKey(r.Entropy, server[:])
	}
	// Clients cut the pieces out of the text: one Lifetime, one Assertion that can stand alone, one BinarySecret.
	dst = append(dst, `<s:Envelope xmlns:s="`+soapNS+`"><s:Body><RequestSecurityTokenResponseCollection xmlns="`+trustNS+`"><RequestSecurityTokenResponse`...)
	dst = xmldoc.AppendAttr(dst, "Context", r.Context)
	dst = append(dst, `><TokenType>http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#SAMLV1.1</TokenType>`...)
	dst = append(dst, `<Lifetime><wsu:Created xmlns:wsu="`+utilNS+`">`+now.UTC().Format(timeFmt)+`</wsu:Created>`...)
	dst = append(dst, `<wsu:Expires xmlns:wsu="`+utilNS+`">`+expires.UTC().Format(timeFmt)+`</wsu:Expires></Lifetime><RequestedSecurityToken>`...)
	dst = append(dst, i.Assertion(t)...)
	dst = append(dst, `</RequestedSecurityToken>`...)
	if r.Entropy != nil {
		dst = append(dst, `<Entropy><BinarySecret>`...)
		dst = base64.StdEncoding.AppendEncode(dst, server[:])
		dst = append(dst, `</BinarySecret></Entropy>`...)
	}
	return append(dst, `</RequestSecurityTokenResponse></RequestSecurityTokenResponseCollection></s:Body></s:Envelope>`...)
}

// Fault answers a SOAP request with a fault ([MS-OCAUTHWS] 2.2).
func Fault(w http.ResponseWriter, id diag.ID, text string) {
	b := []byte(`<s:Envelope xmlns:s="` + soapNS + `"><s:Body><s:Fault><faultcode>s:Client</faultcode>`)
	b = xmldoc.AppendElement(b, "faultstring", text)
	b = append(b, `<detail><OCSDiagnosticsFault xmlns="urn:component:Microsoft.Rtc.WebAuthentication.2010"><Ms-Diagnostics-Fault><ErrorId>`...)
	b = strconv.AppendUint(b, uint64(id), 10)
	b = append(b, `</ErrorId>`...)
	b = xmldoc.AppendElement(b, "Reason", text)
	b = append(b, `</Ms-Diagnostics-Fault></OCSDiagnosticsFault></detail></s:Fault></s:Body></s:Envelope>`...)
	Write(w, http.StatusInternalServerError, b)
}

// Write answers with an XML document.
func Write(w http.ResponseWriter, code int, doc []byte) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(doc) // the client may have gone
}
