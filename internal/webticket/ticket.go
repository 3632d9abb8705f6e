package webticket

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"parley/internal/diag"
	"parley/internal/uc"
	"parley/internal/xmldoc"
)

// Ticket says who somebody is, to one service, for a time.
type Ticket struct {
	AOR      uc.AOR    `json:"aor"`
	Audience string    `json:"aud"` // path of the service, in lower case
	Key      []byte    `json:"key,omitempty"`
	Issued   time.Time `json:"iat"`
	Expires  time.Time `json:"exp"`
}

// Issuer makes and opens tickets. All members of a pool use the same secret. It is safe for concurrent use.
type Issuer struct {
	aead cipher.AEAD
	name string
}

// New returns an issuer; name is what assertions call it.
func New(secret []byte, name string) *Issuer {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("parley web ticket"))
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		panic(err) // the key has a right length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // of a block cipher that fits
	}
	return &Issuer{aead: aead, name: name}
}

// Why a ticket is not taken.
var (
	ErrNone     = errors.New("no web ticket")
	ErrInvalid  = errors.New("the web ticket is invalid")
	ErrExpired  = errors.New("the web ticket has expired")
	ErrAudience = errors.New("the web ticket is for another service")
	ErrProof    = errors.New("the web ticket was not signed with its key")
)

// Report is how a client is told that its ticket is not taken.
func Report(err error) diag.ID {
	switch err {
	case ErrNone:
		return diag.WebNoTicket
	case ErrExpired:
		return diag.WebTicketExpired
	}
	return diag.WebTicketInvalid
}

const (
	samlNS  = "urn:oasis:names:tc:SAML:1.0:assertion"
	timeFmt = "2006-01-02T15:04:05Z"
)

// Assertion seals a ticket as a SAML 1.1 assertion.
func (i *Issuer) Assertion(t *Ticket) []byte {
	var random [16]byte
	rand.Read(random[:])
	id := "SamlSecurityToken-" + hex.EncodeToString(random[:])
	plain, err := json.Marshal(t)
	if err != nil {
		panic(err) // of such a value there is no error
	}
	nonce := make([]byte, i.aead.NonceSize())
	rand.Read(nonce)
	sealed := i.aead.Seal(nonce, nonce, plain, []byte(id))

	dst := []byte(`<saml:Assertion xmlns:saml="` + samlNS + `" MajorVersion="1" MinorVersion="1"`)
	dst = xmldoc.AppendAttr(dst, "AssertionID", id)
	dst = xmldoc.AppendAttr(dst, "Issuer", i.name)
	dst = xmldoc.AppendAttr(dst, "IssueInstant", t.Issued.UTC().Format(timeFmt))
	dst = append(dst, `><saml:Conditions`...)
	dst = xmldoc.AppendAttr(dst, "NotBefore", t.Issued.UTC().Format(timeFmt))
	dst = xmldoc.AppendAttr(dst, "NotOnOrAfter", t.Expires.UTC().Format(timeFmt))
	dst = append(dst, `/><saml:Advice><Sealed xmlns="urn:parley:webticket">`...)
	dst = base64.StdEncoding.AppendEncode(dst, sealed)
	return append(dst, `</Sealed></saml:Advice></saml:Assertion>`...)
}

// open reads an assertion.
func (i *Issuer) open(e *xmldoc.Element, audience string, now time.Time) (*Ticket, error) {
	if !e.Is(samlNS, "Assertion") {
		return nil, ErrNone
	}
	advice := e.Kid("Advice")
	if advice == nil {
		return nil, ErrInvalid
	}
	b, err := base64.StdEncoding.DecodeString(advice.KidText("Sealed"))
	if err != nil || len(b) < i.aead.NonceSize() {
		return nil, ErrInvalid
	}
	plain, err := i.aead.Open(nil, b[:i.aead.NonceSize()], b[i.aead.NonceSize():], []byte(e.Attr("AssertionID")))
	if err != nil {
		return nil, ErrInvalid
	}
	t := new(Ticket)
	switch err := json.Unmarshal(plain, t); {
	case err != nil:
		return nil, ErrInvalid
	case !now.Before(t.Expires):
		return nil, ErrExpired
	case t.Audience != strings.ToLower(audience):
		return nil, ErrAudience
	}
	return t, nil
}

// limits of the documents that come with tickets.
var limits = xmldoc.Limits{Bytes: 64 << 10, Depth: 32, Elements: 512}

// Bearer returns the ticket in the X-MS-WebTicket field of a request to the service at the path audience.
func (i *Issuer) Bearer(r *http.Request, audience string, now time.Time) (*Ticket, error) {
	v := r.Header.Get("X-MS-WebTicket")
	text, ok := strings.CutPrefix(v, "opaque=")
	if !ok {
		return nil, ErrNone
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, ErrInvalid
	}
	e, err := xmldoc.Parse(b, limits)
	if err != nil {
		return nil, ErrInvalid
	}
	return i.open(e, audience, now)
}

// ProofKey is what both sides make of their random values: P_SHA1 of WS-Trust 1.3, as long as the client's.
func ProofKey(client, server []byte) []byte {
	mac := func(b ...[]byte) []byte {
		h := hmac.New(sha1.New, client)
		for _, x := range b {
			h.Write(x)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(server); len(out) < len(client); a = mac(a) {
		out = append(out, mac(a, server)...)
	}
	return out[:len(client)]
}
